from django.conf import settings

settings.POLICY_FILES.update({"server-snapshot": "ratoon_policy.yaml"})
settings.DEFAULT_POLICY_FILES.update(
    {"server-snapshot": "default_policies/ratoon.yaml"}
)
