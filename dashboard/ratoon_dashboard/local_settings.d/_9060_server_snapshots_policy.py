import pathlib

from django.conf import settings

import ratoon_dashboard

# Of the paths that Horizon joins with its own folder of policies an absolute one wins.
_conf = pathlib.Path(ratoon_dashboard.__file__).parent / "conf"
settings.POLICY_FILES.setdefault("server-snapshot", str(_conf / "policy.yaml"))
settings.DEFAULT_POLICY_FILES.setdefault("server-snapshot", str(_conf / "default_policies.yaml"))
