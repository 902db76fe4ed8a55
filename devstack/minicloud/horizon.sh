# Horizon, Debian's, with Ratoon's panel as it stands in this checkout.
# shellcheck disable=SC2034  # COMMAND is for launch

HORIZON_LOCAL=/usr/lib/python3/dist-packages/openstack_dashboard/local
CHECKOUT=$(realpath "$HERE/../..")
PANEL=$CHECKOUT/dashboard/ratoon_dashboard

horizon_command() {
    # What `manage.py collectstatic` would copy is served from where it lies; the first map that fits counts.
    wsgi 8080 --pythonpath "$CHECKOUT/client" --pythonpath "$CHECKOUT/dashboard" \
        --static-map "/static/server_snapshots=$PANEL/static/server_snapshots" --static-map /static=/var/lib/openstack-dashboard/static \
        --wsgi-file /usr/share/openstack-dashboard/wsgi.py
}

# What runs is what lies here: Horizon reads code and templates once.
horizon_refresh() {
    local version
    version=$(find "$CHECKOUT/dashboard/ratoon_dashboard" "$CHECKOUT/client/ratoonclient" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 cksum | cksum)
    if [ "$version" != "$(cat "$DONE/horizon-version" 2>/dev/null)" ]; then
        ! alive horizon || halt horizon
        echo "$version" >"$DONE/horizon-version"
    fi
}

# Without its packages there is no place for them; and while these are set up, our panel could not be found.
horizon_files() {
    packages_installed || return 0
    cp "$CONF/horizon_settings.py" "$HORIZON_LOCAL/local_settings.d/_9999_minicloud.py"
    cp "$PANEL"/enabled/_*_server_snapshots.py "$HORIZON_LOCAL/enabled/"
    cp "$PANEL"/local_settings.d/_*_server_snapshots_policy.py "$HORIZON_LOCAL/local_settings.d/"
}

remove_horizon_files() {
    rm -f "$HORIZON_LOCAL"/local_settings.d/_9999_minicloud.py "$HORIZON_LOCAL"/{enabled,local_settings.d}/_*_server_snapshots*.py
}
