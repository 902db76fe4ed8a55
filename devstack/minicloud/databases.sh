# RabbitMQ, memcached, MariaDB, and the schemas of the OpenStack services.
# A schema step drops its databases first: MariaDB cannot undo a half-done migration, and nothing else is in them yet.

foundation_launch() {
    launch epmd
    await epmd                               # or RabbitMQ starts one of its own, on all addresses
    launch rabbitmq
    launch memcached
    once mysql-init mysql_init
    launch mariadb
}

mysql_init() {
    rm -rf "$DIR/mysql"
    mariadb-install-db --no-defaults --user=root --datadir="$DIR/mysql" --auth-root-authentication-method=normal --skip-test-db
}

database_user() {
    sql -e "CREATE USER IF NOT EXISTS openstack@'127.0.0.1' IDENTIFIED BY '$PASSWORD';
            GRANT ALL ON *.* TO openstack@'127.0.0.1'"
}

fresh() {                                    # fresh DATABASE...
    local database
    for database in "$@"; do echo "DROP DATABASE IF EXISTS $database; CREATE DATABASE $database;"; done | sql
}

# Two at a time, for two cores.
schemas_up() {
    together schemas_nova -- schemas_others
}
schemas_nova() {
    once schema-nova schema_nova
}
schemas_others() {
    once schema-placement schema placement placement-manage --config-file "$CONF/placement/placement.conf" db sync
    once schema-glance schema glance glance-manage --config-file "$CONF/glance-api.conf" db_sync
    once schema-cinder schema cinder cinder-manage --config-file "$CONF/cinder.conf" db sync
    once schema-neutron schema neutron neutron-db-manage --config-file "$CONF/neutron.conf" upgrade head
}

schema() { fresh "$1" && "${@:2}"; }         # schema DATABASE COMMAND...

schema_nova() {
    local manage=(nova-manage --config-file "$CONF/nova.conf")
    fresh nova nova_api nova_cell0 &&
        "${manage[@]}" api_db sync &&
        "${manage[@]}" cell_v2 map_cell0 --database_connection "mysql+pymysql://openstack:$PASSWORD@127.0.0.1/nova_cell0" &&
        "${manage[@]}" db sync &&
        "${manage[@]}" cell_v2 create_cell --name cell1
}
