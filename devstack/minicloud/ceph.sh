# Ceph: one mon, one mgr, one OSD, three pools, and a user for each service. Keyrings are in $MINICLOUD_DIR/ceph.

ceph_up() {
    cd "$DIR/ceph" || die "no $DIR/ceph"
    once ceph-mon ceph_mon_init
    launch ceph-mon
    await ceph-mon
    once ceph-mgr ceph_mgr_init
    launch ceph-mgr
    once ceph-osd ceph_osd_init
    launch ceph-osd
    await ceph-osd
    once ceph-pools ceph_pools
    once ceph-users ceph_users
}

ceph_mon_init() {
    rm -rf mon-a
    ceph-authtool -C ceph.mon.a.keyring --gen-key -n mon. --cap mon 'allow *' &&
        ceph-authtool -C ceph.client.admin.keyring --gen-key -n client.admin \
            --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *' &&
        ceph-authtool ceph.mon.a.keyring --import-keyring ceph.client.admin.keyring &&
        monmaptool --create --clobber --addv a '[v2:127.0.0.1:3300,v1:127.0.0.1:6789]' --fsid "$FSID" monmap &&
        mkdir mon-a && ceph-mon --mkfs -i a --monmap monmap --keyring ceph.mon.a.keyring
}

ceph_mgr_init() {
    mkdir -p mgr-a
    ceph auth get-or-create mgr.a mon 'allow profile mgr' osd 'allow *' mds 'allow *' -o ceph.mgr.a.keyring
}

ceph_osd_init() {
    rm -rf osd-0
    ceph osd new "$OSD_UUID" 0 &&            # the same uuid on a second try, so it is the same OSD
        ceph auth get-or-create osd.0 mon 'allow profile osd' mgr 'allow profile osd' osd 'allow *' -o ceph.osd.0.keyring &&
        mkdir osd-0 && ceph-osd --mkfs -i 0 --osd-uuid "$OSD_UUID"
}

ceph_pools() {
    local pool
    for pool in images vms volumes; do ceph osd pool create "$pool" 8 && rbd pool init "$pool" || return; done
}

# The caps of the Ceph manual for OpenStack. Nova has a user of its own here, with write access to images too: without
# it Nova's direct snapshot of a system disk would fall back to copying.
ceph_users() {
    ceph_user glance 'profile rbd pool=images' 'profile rbd pool=images' &&
        ceph_user cinder 'profile rbd pool=volumes, profile rbd pool=vms, profile rbd-read-only pool=images' \
            'profile rbd pool=volumes, profile rbd pool=vms' &&
        ceph_user nova 'profile rbd pool=vms, profile rbd pool=volumes, profile rbd pool=images' 'profile rbd pool=vms' &&
        ceph_user ratoon 'profile rbd pool=vms, profile rbd pool=images' 'profile rbd pool=vms, profile rbd pool=images'
}

ceph_user() {                                # ceph_user NAME OSD-CAPS MGR-CAPS
    ceph auth get-or-create "client.$1" mon 'profile rbd' osd "$2" mgr "$3" -o "ceph.client.$1.keyring"
}
