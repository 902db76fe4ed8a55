#!/bin/bash
#
# STUBS of those functions of DevStack and devstack-plugin-ceph that the plugin calls: their contract, as far as the
# plugin relies on it, and nothing else of theirs. They change files and issue commands as the real ones do. With
# RATOON_TEST_DEVSTACK (see run) the real ones are used instead.

function die {                               # die $LINENO MESSAGE
    echo "[ERROR] line $1: ${*:2}" >&2
    exit 1
}

function warn {                              # warn $LINENO MESSAGE: returns the status of what stood before it
    local status=$?
    echo "[WARNING] line $1: ${*:2}"
    return $status
}

function echo_summary {
    echo "$@"
}

# --- plugins and services ---------------------------------------------------------------------------------------------

function define_plugin { :; }
function plugin_requires { :; }

function enable_service {                    # enable_service NAME...: unless local.conf has disabled it
    local name
    for name; do
        if [[ ",$DISABLED_SERVICES,$ENABLED_SERVICES," != *",$name,"* ]]; then
            ENABLED_SERVICES+=,$name
        fi
    done
}

function is_service_enabled {                # is_service_enabled NAME...: one of them is
    local name
    for name; do
        case $name in
            nova) name="n-*" ;;
            cinder) name="c-*" ;;
            glance) name="g-*" ;;
        esac
        # shellcheck disable=SC2053  # a pattern is meant
        if [[ ",$ENABLED_SERVICES," == *,$name,* ]]; then
            return 0
        fi
    done
    return 1
}

function load_plugin_settings {
    # shellcheck source=../../devstack/settings
    source "$PLUGIN_DIR/settings"
}

function run_phase {                         # run_phase MODE [PHASE]
    # shellcheck source=../../devstack/plugin.sh
    source "$PLUGIN_DIR/plugin.sh" "$@"
}

# As devstack-plugin-ceph defines it: the service is enabled, and so is Ceph for it.
if [[ ",$DEVSTACK_PLUGINS," == *,devstack-plugin-ceph,* ]]; then
    function is_ceph_enabled_for_service {
        local wanted=ENABLE_CEPH_${1^^}
        is_service_enabled "$1" && [[ "${!wanted}" == "True" ]]
    }
fi

# --- files, packages and processes ------------------------------------------------------------------------------------

# iniset FILE SECTION OPTION VALUE: makes file and section if need be, and replaces a value that is there. All that
# stands elsewhere in the file stays.
function iniset {
    touch "$1"
    grep -qxF "[$2]" "$1" || printf '\n[%s]\n' "$2" >>"$1"
    local text
    text=$(SECTION="[$2]" OPTION=$3 VALUE=$4 awk '
        function write() { print ENVIRON["OPTION"] " = " ENVIRON["VALUE"]; written = 1 }
        /^\[/ { if (inside && !written) write(); inside = ($0 == ENVIRON["SECTION"]) }
        inside && $0 ~ "^" ENVIRON["OPTION"] "[ \t]*=" { if (!written) write(); next }
        { print }
        END { if (!written) write() }' "$1")
    printf '%s\n' "$text" >"$1"
}

function install_package {                   # install_package NAME...
    sudo apt-get install --assume-yes "$@"
}

function pip_install {                       # pip_install ARGUMENT...
    sudo python3 -m pip install "$@"
}

# run_process NAME COMMAND: as a unit of systemd, which is left alone where it runs already
function run_process {
    if ! is_service_enabled "$1"; then
        return
    fi
    [[ "$2" == /* ]] || die $LINENO "systemd wants an absolute path: $2"
    iniset "$SYSTEMD_DIR/devstack@$1.service" Service ExecStart "$2"
    iniset "$SYSTEMD_DIR/devstack@$1.service" Service User "$STACK_USER"
    sudo systemctl enable "devstack@$1.service"
    sudo systemctl start "devstack@$1.service"
}

function stop_process {                      # stop_process NAME; the file of the unit is clean.sh's to remove
    if is_service_enabled "$1" && sudo systemctl is-enabled "devstack@$1.service"; then
        sudo systemctl stop "devstack@$1.service"
        sudo systemctl disable "devstack@$1.service"
    fi
}

# wait_for_service SECONDS URL: until somebody listens there and says something else than 503
function wait_for_service {
    local code limit=$((SECONDS + $1))
    until code=$(curl -s -o /dev/null -w '%{http_code}' "$2") && [[ "$code" != 503 ]]; do
        if [[ $SECONDS -ge $limit ]]; then
            return 124
        fi
        sleep 0.2
    done
}

function start_tls_proxy {                   # start_tls_proxy NAME FRONT-HOST FRONT-PORT BACK-HOST BACK-PORT
    echo "$2:$3 -> $4:$5" >"$APACHE_CONF_DIR/$1-tls-proxy.conf"
}

# --- database, queue and Keystone -------------------------------------------------------------------------------------

function recreate_database {                 # recreate_database NAME: empty, whatever was there
    case $DATABASE_TYPE in
        mysql)
            mysql -u"$DATABASE_USER" -p"$DATABASE_PASSWORD" -h"$DATABASE_HOST" \
                -e "DROP DATABASE IF EXISTS $1; CREATE DATABASE $1 CHARACTER SET utf8;" ;;
        postgresql)
            psql -h"$DATABASE_HOST" -U"$DATABASE_USER" -dtemplate1 -c "DROP DATABASE IF EXISTS $1"
            createdb -h "$DATABASE_HOST" -U"$DATABASE_USER" -E utf8 "$1" ;;
    esac
}

function database_connection_url {           # database_connection_url NAME; the parameters are what DevStack adds
    local place=$DATABASE_USER:$DATABASE_PASSWORD@$DATABASE_HOST/$1
    case $DATABASE_TYPE in
        mysql) echo "mysql+pymysql://$place?charset=utf8&plugin=dbcounter" ;;
        postgresql) echo "postgresql://$place?client_encoding=utf8" ;;
    esac
}

function get_notification_url {              # nothing where there is no RabbitMQ
    if is_service_enabled rabbit; then
        echo "rabbit://$RABBIT_USERID:$RABBIT_PASSWORD@$RABBIT_HOST:5672/"
    fi
}

function create_service_user {               # create_service_user NAME [ROLE]: beside the role service
    local role admin=(openstack --os-cloud devstack-system-admin)
    "${admin[@]}" user create "$1" --password "$SERVICE_PASSWORD" --domain="$SERVICE_DOMAIN_NAME" --or-show -f value -c id
    for role in service ${2:+"$2"}; do
        "${admin[@]}" role add "$role" --user "$1" --project "$SERVICE_PROJECT_NAME" \
            --user-domain "$SERVICE_DOMAIN_NAME" --project-domain "$SERVICE_DOMAIN_NAME"
    done
}

function configure_keystoneauth {            # configure_keystoneauth FILE USER SECTION
    iniset "$1" "$3" auth_type password
    iniset "$1" "$3" interface public
    iniset "$1" "$3" auth_url "$KEYSTONE_SERVICE_URI"
    iniset "$1" "$3" username "$2"
    iniset "$1" "$3" password "$SERVICE_PASSWORD"
    iniset "$1" "$3" user_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$1" "$3" project_name "$SERVICE_PROJECT_NAME"
    iniset "$1" "$3" project_domain_name "$SERVICE_DOMAIN_NAME"
}
