# Folders, secrets and configuration files. Templates are in conf/; the result is in $MINICLOUD_DIR/conf.
# shellcheck disable=SC2034  # the values are for other files

configure() {
    mkdir -p "$DIR"/{ceph,rabbit,libvirt,keystone,placement,glance/staging,neutron,nova/instances} \
        "$DIR"/cinder/{conversion,coordination,lock} "$CONF"/{placement,nova.d}
    # Made once: a password, an fsid or a secret that changes later would lock the cloud out of its own state.
    [ -s "$DIR/password" ] || echo "${MINICLOUD_PASSWORD:-minicloud}" >"$DIR/password"
    local name
    for name in fsid osd-uuid secret-nova secret-cinder; do
        [ -s "$DIR/$name" ] || cat /proc/sys/kernel/random/uuid >"$DIR/$name"
    done
    PASSWORD=$(<"$DIR/password") FSID=$(<"$DIR/fsid") OSD_UUID=$(<"$DIR/osd-uuid")
    NOVA_SECRET=$(<"$DIR/secret-nova") CINDER_SECRET=$(<"$DIR/secret-cinder")

    local template
    for template in "$HERE"/conf/*; do
        name=${template##*/}
        render <"$template" >"$CONF/$name.new"
        case $name in
        ceph.conf) mv "$CONF/$name.new" "$CEPH_CONF" ;;
        openrc) mv "$CONF/$name.new" "$DIR/openrc" ;;
        placement.conf) mv "$CONF/$name.new" "$CONF/placement/$name" ;;  # Placement wants a folder
        *) mv "$CONF/$name.new" "$CONF/$name" ;;
        esac
    done
    echo '[].' >"$DIR/rabbit/plugins"
    system_files
}

# @NAME@ is a value; a line "@AUTH user@" becomes the block with which that service user logs in.
render() {
    local auth='auth_type = password\nproject_domain_name = Default\nuser_domain_name = Default\nproject_name = service\nregion_name = RegionOne'
    sed -e "s|^@AUTH \(.*\)@$|auth_url = http://127.0.0.1:5000\nusername = \1\npassword = @PASSWORD@\n$auth|" |
        sed -e "s|@DIR@|$DIR|g" -e "s|@PASSWORD@|$PASSWORD|g" -e "s|@FSID@|$FSID|g" -e "s|@VIRT_TYPE@|$VIRT_TYPE|g" \
            -e "s|@NOVA_SECRET@|$NOVA_SECRET|g" -e "s|@CINDER_SECRET@|$CINDER_SECRET|g" -e "s|@OSD_BYTES@|$((OSD_GB << 30))|g"
}

# The files that cannot live in our folder. Whatever was there is kept, and put back by 'down --wipe'.
system_files() {
    [ -e /etc/libvirt/qemu.conf.packaged ] || cp /etc/libvirt/qemu.conf /etc/libvirt/qemu.conf.packaged
    cp "$CONF/qemu.conf" /etc/libvirt/qemu.conf
    # QEMU's own librbd reads the default path; somebody else's real file is left alone.
    if [ -L /etc/ceph/ceph.conf ] || [ ! -e /etc/ceph/ceph.conf ]; then ln -sfn "$CEPH_CONF" /etc/ceph/ceph.conf; fi
    ! with horizon || horizon_files
}

remove_system_files() {
    [ ! -e /etc/libvirt/qemu.conf.packaged ] || mv /etc/libvirt/qemu.conf.packaged /etc/libvirt/qemu.conf
    [ "$(readlink /etc/ceph/ceph.conf)" != "$CEPH_CONF" ] || rm /etc/ceph/ceph.conf
    remove_horizon_files
}
