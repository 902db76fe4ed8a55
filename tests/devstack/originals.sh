#!/bin/bash
#
# The functions of a DevStack checkout (RATOON_TEST_DEVSTACK) in place of the stubs. Two stubs stay: devstack-plugin-ceph is
# another repository, and start_tls_proxy wants an Apache.

# The originals read what is set here.
# shellcheck disable=SC2034

# shellcheck source=stubs.sh
source "$(dirname "${BASH_SOURCE[0]}")/stubs.sh"
stub=$(declare -f start_tls_proxy)

# As stackrc would set it.
TOP_DIR=$RATOON_TEST_DEVSTACK
FILES=$TOP_DIR/files
REQUIREMENTS_DIR=$DEST/requirements
CURL_GET="curl -g"
SYSTEMCTL="sudo systemctl"
PYTHON3_VERSION=3
os_PACKAGE=deb
os_VENDOR=Debian
REPOS_UPDATED=True

for original in functions lib/database lib/rpc_backend lib/tls lib/keystone; do
    # shellcheck source=/dev/null
    source "$TOP_DIR/$original"
done
# All of lib/cinder would be too much: it brings its back ends.
# shellcheck source=/dev/null
source <(sed -n '/^function is_cinder_enabled/,/^}/p' "$TOP_DIR/lib/cinder")
KEYSTONE_SERVICE_URI=$KEYSTONE_URL           # lib/keystone has put its own
initialize_database_backends
define_database_baseurl
eval "$stub"

DEVSTACK_PLUGINS=ratoon
GITDIR["ratoon"]=$(dirname "$PLUGIN_DIR")
