# shellcheck disable=SC2034,SC2016  # COMMAND is for launch; $1 in single quotes is for an inner shell
# A second compute host, for what needs one (an evacuation): a libvirtd and a nova-compute in namespaces of their own.
# Its row in Nova stays when it is down, as that of any host; nothing is scheduled to it then.

second-host() {
    case ${1:-} in
    up) second_up ;;
    down) second_down ;;
    *) usage; exit 2 ;;
    esac
}

second_up() {
    alive libvirtd || die "libvirtd is down. 'minicloud up' first."
    if ! alive libvirtd-second; then
        rm -rf "$DIR/second"
        mkdir -p "$DIR"/second/{run,lib,instances}
        cp -a /etc/libvirt "$DIR/second/etc"             # with the secrets
        rm -rf "$DIR/second/etc/qemu"                    # but none of the first host's guests
        mkdir "$DIR/second/etc/qemu"
        echo 'stdio_handler = "file"' >>"$DIR/second/etc/qemu.conf"  # there is no virtlogd
        sed "s|/libvirtd.log|/libvirtd-second.log|" "$CONF/libvirtd.conf" >"$CONF/libvirtd-second.conf"
        launch libvirtd-second
    fi
    await libvirtd-second
    launch nova-compute-second
    await nova-compute-second
    logged discover-second nova-manage --config-file "$CONF/nova.conf" cell_v2 discover_hosts
    say "the host \"second\" is up"
}

second_down() {
    local pid namespace
    halt nova-compute-second
    if alive libvirtd-second; then
        namespace=$(readlink "/proc/$(pid_of libvirtd-second)/ns/mnt")
        guests | while read -r pid _; do
            [ "$(readlink "/proc/$pid/ns/mnt")" != "$namespace" ] || kill -KILL "$pid"
        done
    fi
    halt libvirtd-second
}

# Both see /run, /etc and /var/lib of their own below, and a name of their own, after which Nova names the compute node.
second_command() {                           # second_command NAME: sets COMMAND
    case $1 in
    libvirtd-second) COMMAND=(unshare --uts --mount sh -c '
        hostname second.localdomain
        mount --bind "$1/run" /run/libvirt && mount --bind "$1/lib" /var/lib/libvirt && mount --bind "$1/etc" /etc/libvirt || exit
        exec libvirtd -f "$2" -p "$1/libvirtd.pid"' sh "$DIR/second" "$CONF/libvirtd-second.conf") ;;
    nova-compute-second) COMMAND=(nsenter --target "$(pid_of libvirtd-second)" --uts --mount
        nova-compute --config-file "$CONF/nova.conf" --config-file "$CONF/nova-second.conf" --log-file "$LOG/$1.log") ;;
    esac
}

second_ready() {
    case $1 in
    libvirtd-second) nsenter --target "$(pid_of libvirtd-second)" --mount virsh -c qemu:///system version ;;
    *) /usr/bin/python3 -B "$HERE/check.py" --listening "$1" ;;
    esac
}
