# Keystone, then the other services, then what a user needs: flavors, a volume type, an image.

keystone_up() {
    once keystone keystone_init
    launch keystone
    await keystone
    once catalog as_admin register.py
}

keystone_init() {
    local manage=(keystone-manage --config-file "$CONF/keystone.conf")
    rm -rf "$DIR"/keystone/*
    schema keystone "${manage[@]}" db_sync &&
        "${manage[@]}" fernet_setup --keystone-user root --keystone-group root &&
        "${manage[@]}" credential_setup --keystone-user root --keystone-group root &&
        "${manage[@]}" bootstrap --bootstrap-password "$PASSWORD" --bootstrap-region-id RegionOne \
            --bootstrap-admin-url http://127.0.0.1:5000/v3 --bootstrap-internal-url http://127.0.0.1:5000/v3 \
            --bootstrap-public-url http://127.0.0.1:5000/v3
}

services_launch() {
    local name
    for name in "${OPENSTACK[@]}"; do launch "$name"; done
}

resources_up() {
    await glance-api nova-api cinder-api
    once "resources-$(guest_version)" as_admin resources.py "$DIR/guest.raw"
    await nova-compute
    once discover-hosts nova-manage --config-file "$CONF/nova.conf" cell_v2 discover_hosts
}

as_admin() {                                 # as_admin SCRIPT ARGUMENTS...
    # shellcheck source=/dev/null
    (. "$DIR/openrc" admin admin; exec /usr/bin/python3 -B "$HERE/$1" "${@:2}")
}
