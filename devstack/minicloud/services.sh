# The daemons: how each is started, and how we know that it answers. In the order in which they are needed.
# shellcheck disable=SC2034,SC2016  # COMMAND is for launch; $1 in single quotes is for an inner shell

FOUNDATION=(epmd rabbitmq memcached mariadb)
CEPH=(ceph-mon ceph-mgr ceph-osd)
LIBVIRT=(virtlogd libvirtd)
OPENSTACK=(keystone placement glance-api glance-internal neutron-server cinder-api cinder-scheduler cinder-volume
    nova-conductor nova-scheduler nova-api nova-compute)
! with horizon || OPENSTACK+=(horizon)
SERVICES=("${FOUNDATION[@]}" "${CEPH[@]}" "${LIBVIRT[@]}" "${OPENSTACK[@]}")

is_service() { [[ " ${SERVICES[*]} " = *" $1 "* ]]; }

command_of() {                               # command_of NAME: sets COMMAND
    case $1 in
    epmd) COMMAND=(epmd -address 127.0.0.1) ;;
    rabbitmq) COMMAND=(env HOME="$DIR/rabbit" ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        RABBITMQ_MNESIA_BASE="$DIR/rabbit/mnesia" RABBITMQ_LOG_BASE="$LOG" RABBITMQ_CONFIG_FILE="$CONF/rabbitmq.conf"
        RABBITMQ_PID_FILE="$DIR/rabbit/beam.pid" RABBITMQ_ENABLED_PLUGINS_FILE="$DIR/rabbit/plugins"
        RABBITMQ_CONF_ENV_FILE=/dev/null
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
        /usr/lib/rabbitmq/bin/rabbitmq-server) ;;
    memcached) COMMAND=(memcached -u nobody -l 127.0.0.1 -p 11211 -m 64) ;;
    mariadb) COMMAND=(mariadbd --defaults-file="$CONF/my.cnf") ;;
    ceph-mon) COMMAND=(ceph-mon -f -i a) ;;
    ceph-mgr) COMMAND=(ceph-mgr -f -i a) ;;
    ceph-osd) COMMAND=(ceph-osd -f -i 0) ;;
    virtlogd) COMMAND=(virtlogd) ;;
    # Nova names its compute node after libvirt's idea of the hostname: a fixed one (the dot spares a DNS lookup).
    libvirtd) COMMAND=(unshare --uts sh -c 'hostname minicloud.localdomain && exec libvirtd -f "$1"' sh "$CONF/libvirtd.conf") ;;
    keystone) wsgi 5000 --env "OS_KEYSTONE_CONFIG_FILES=$CONF/keystone.conf" --wsgi-file /usr/bin/keystone-wsgi-public ;;
    placement) wsgi 8778 --env "OS_PLACEMENT_CONFIG_DIR=$CONF/placement" --wsgi-file /usr/bin/placement-api ;;
    horizon) horizon_command ;;
    glance-api) COMMAND=(glance-api --config-file "$CONF/glance-api.conf") ;;
    glance-internal) COMMAND=(glance-api --config-file "$CONF/glance-api.conf" --config-file "$CONF/glance-internal.conf") ;;
    neutron-server) COMMAND=(neutron-server --config-file "$CONF/neutron.conf") ;;
    cinder-*) COMMAND=("$1" --config-file "$CONF/cinder.conf" --log-file "$LOG/$1.log") ;;
    *-second) second_command "$1" ;;
    nova-*) COMMAND=("$1" --config-file "$CONF/nova.conf" --config-dir "$CONF/nova.d" --log-file "$LOG/$1.log") ;;
    esac
}

wsgi() {                                     # no keep-alive: uwsgi's http-socket resets reused connections
    COMMAND=(uwsgi_python3 --plugins python3 --master --no-orphans --die-on-term --lazy-apps --enable-threads --need-app
        --processes 2 --threads 4 --buffer-size 65535 --add-header "Connection: close" --http-socket "127.0.0.1:$1" "${@:2}")
}

ready() {                                    # ready NAME: does it answer now?
    case $1 in
    epmd) port 4369 ;;
    rabbitmq) port 5672 ;;
    memcached) port 11211 ;;
    mariadb) sql -e 'select 1' ;;
    ceph-mon) port 3300 && timeout 10 ceph mon stat ;;
    ceph-mgr) timeout 10 ceph daemon mgr.a status ;;
    ceph-osd) timeout 10 ceph daemon osd.0 status | grep -q '"state": "active"' ;;
    virtlogd) [ -S /run/libvirt/virtlogd-sock ] ;;
    libvirtd) virsh -c qemu:///system version ;;
    keystone) http 5000/v3 ;;
    placement) http 8778/ ;;
    glance-api) http 9292/healthcheck ;;
    glance-internal) http 9293/healthcheck ;;
    neutron-server) http 9696/ ;;
    cinder-api) http 8776/healthcheck ;;
    nova-api) http 8774/ ;;
    horizon) http 8080/auth/login/ ;;
    *-second) second_ready "$1" ;;
    *) /usr/bin/python3 -B "$HERE/check.py" --listening "$1" ;;
    esac
}

sql() { mariadb -uroot -S "$RUN/mysql.sock" "$@"; }
