# Debian packages: everything the cloud, the guest and the tests need, and nothing that starts by itself.

PACKAGES=(
    # the cloud
    keystone glance-api placement-api neutron-server nova-api nova-conductor nova-scheduler nova-compute nova-compute-kvm
    cinder-api cinder-scheduler cinder-volume rabbitmq-server mariadb-server memcached
    ceph-mon ceph-mgr ceph-osd ceph-common librbd1 librados2 python3-rbd python3-rados
    qemu-system-x86 qemu-utils qemu-block-extra libvirt-daemon-system libvirt-clients
    python3-pymysql python3-memcache python3-amqp uwsgi-core uwsgi-plugin-python3 sudo util-linux
    # the guest; mkfs.vfat and mkfs.ext4 are what Nova formats ephemeral disks with
    linux-image-cloud-amd64 busybox-static qemu-guest-agent syslinux syslinux-common mtools fdisk cpio kmod hostname dosfstools e2fsprogs
    # clients and tests
    postgresql python3-openstackclient python3-openstacksdk python3-pytest python3-pytest-xdist python3-pip python3-venv python3-setuptools python3-wheel sqlite3 curl jq
)
HORIZON_PACKAGES=(openstack-dashboard)
BROWSER_PACKAGES=(chromium chromium-driver python3-selenium fonts-dejavu-core)

wanted_packages() {
    printf '%s\n' "${PACKAGES[@]}"
    ! with horizon || printf '%s\n' "${HORIZON_PACKAGES[@]}"
    ! with browser || printf '%s\n' "${BROWSER_PACKAGES[@]}"
}

packages_installed() {
    local states
    # shellcheck disable=SC2046  # one word a package
    states=$(dpkg-query -W -f '${Status}\n' $(wanted_packages) 2>/dev/null) &&
        ! grep -qv '^install ok installed' <<<"$states"
}

packages_up() {
    packages_installed || { say "packages: installing (about 100 s)"; logged packages install_packages; }
    cinder_context_fix
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    local policy=/usr/sbin/policy-rc.d rc=0
    # Nothing may start by itself: we run every daemon. A policy that is already there is not ours to change.
    [ -e "$policy" ] || { printf '#!/bin/sh\n# by ratoon minicloud\nexit 101\n' >"$policy"; chmod +x "$policy"; }
    remove_horizon_files
    preseed | debconf-set-selections
    dpkg --configure -a                      # an earlier up may have been killed in the middle
    apt-get update && install_wanted || rc=$?
    ! grep -qs 'by ratoon minicloud' "$policy" || rm -f "$policy"
    return $rc
}

install_wanted() {
    # A backported qemu-utils breaks the release's qemu-system: take the one that belongs to it.
    local qemu
    qemu=$(apt-cache policy qemu-system-x86 | awk '/Candidate:/ {print $2}')
    # shellcheck disable=SC2046  # one word a package
    apt-get install -y --no-install-recommends --allow-downgrades -o Dpkg::Options::=--force-unsafe-io \
        $(wanted_packages) "qemu-utils=$qemu" "qemu-block-extra=$qemu"
}

# No database and no endpoint from the maintainer scripts: we make both.
preseed() {
    local project
    echo 'dbconfig-common dbconfig-common/dbconfig-install boolean false'
    echo 'keystone keystone/configure_db boolean false'
    echo 'keystone keystone/create-admin-tenant boolean false'
    echo 'keystone keystone/register-endpoint boolean false'
    for project in glance placement nova cinder neutron; do
        echo "$project-common $project/configure_db boolean false"
    done
    for project in glance nova cinder; do echo "$project-api $project/register-endpoint boolean false"; done
    echo 'placement-api placement-api/register-endpoint boolean false'
    echo 'neutron-server neutron/register-endpoint boolean false'
}

# Debian's oslo.messaging 14 rebuilds contexts from sanitized notification data, and cinder 21 chokes on the missing
# key: every API call that notifies would be a 500. The one-word fix is upstream cinder's.
cinder_context_fix() {
    sed -i "s/read_deleted=values.get('read_deleted'),/read_deleted=values.get('read_deleted', 'no'),/" \
        /usr/lib/python3/dist-packages/cinder/context.py
}
