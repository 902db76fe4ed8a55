# What the demo proves its story with: the lines that the guest "tick" writes on each of its disks once a second, read from
# Ceph behind everybody's back. Sourced by `up`.
# shellcheck shell=bash
declare -A REMEMBERED

ticks() {                                    # the counter of each image: "470 469 470"
    CEPH_CONF=$CEPH_CONF /usr/bin/python3 "$TOP/devstack/minicloud/disktick.py" "$@" |
        /usr/bin/python3 -c 'import json, sys; print(*((json.loads(line)["counter"] or 0) for line in sys.stdin))'
}

find_server() { SERVER_ID=$(openstack server show "$SERVER" -f value -c id); }

images() {                                   # the server's disks in Ceph, in the guest's order
    echo "vms/${SERVER_ID}_disk"
    openstack server volume list "$SERVER" -f json |
        /usr/bin/python3 -c 'import json, sys; print(*("volumes/volume-" + v["Volume ID"] for v in json.load(sys.stdin)), sep="\n")'
}

now() { local list; mapfile -t list < <(images); ticks "${list[@]}"; }

wait_for_volume() {
    local i
    for ((i = 0; i < 120; i++)); do
        [ "$(openstack volume show "$1" -f value -c status)" = "$2" ] && return
        sleep 0.5
    done
    echo "volume $1 does not become $2" >&2
    return 1
}

# wait_for_guest N: until every disk has been written N times more.
wait_for_guest() {
    local before after place i
    read -ra before <<<"$(now)"
    for ((i = 0; i < 120; i++)); do
        read -ra after <<<"$(now)"
        for place in "${!after[@]}"; do
            [ "${after[place]}" -ge $((${before[place]:-0} + $1)) ] || { sleep 0.5; continue 2; }
        done
        return
    done
    echo "the guest does not write: $(openstack console log show "$SERVER" | tail -n 3)" >&2
    return 1
}

show_disks() { tell "$1; its counters on the three disks: $(now)"; }

# remember NAME: the counters inside the snapshot's own disks, which must never change again.
remember() {
    local system
    system=$(rbd --id admin snap ls --format json "vms/${SERVER_ID}_disk" | /usr/bin/python3 -c '
import json, sys
print(max(json.load(sys.stdin), key=lambda snap: snap["id"])["name"])')
    REMEMBERED[$1]=$(ticks "vms/${SERVER_ID}_disk@$system")
    tell "'$1' holds the moment at which the guest's counter was ${REMEMBERED[$1]}"
}

# After a restore the guest goes on from the snapshot's counter: what it found is on its console.
prove_restored() {
    local found
    found=$(found_at_boot)
    tell "the guest found on its disks at boot: $found"
    local counter
    for counter in $found; do
        if [ "$counter" -lt $((${REMEMBERED[$1]} - 1)) ] || [ "$counter" -gt $((${REMEMBERED[$1]} + 2)) ]; then
            echo "PROOF FAILED: '$1' was at ${REMEMBERED[$1]}, the guest found $found" >&2
            return 1
        fi
    done
    tell "PROVEN: all three disks are back at '$1' (counter ${REMEMBERED[$1]}; a running guest writes its disks one after the other, so they may differ by one)"
    wait_for_guest 2
    tell "and the guest counts on: $(now)"
}

found_at_boot() {                            # the counters in the DISK lines of the last boot
    local i lines
    for ((i = 0; i < 120; i++)); do
        lines=$(openstack console log show "$SERVER" | tr -d '\r' | sed -n 's/^DISK .*found=COUNTER \([0-9]*\) .*/\1/p')
        if [ "$(wc -l <<<"$lines")" -ge 3 ]; then tail -n 3 <<<"$lines" | xargs; return; fi
        sleep 0.5
    done
    echo "the guest does not say what it found" >&2
    return 1
}

remember_safety() {                          # the parked disks of main: the line written while the guest was shut down
    local parked
    parked=$(rbd --id admin ls vms | grep '^ratoon\.')
    REMEMBERED[main]=$(ticks "vms/$(head -n 1 <<<"$parked")")
    tell "the disk that gave way is kept; its last line, written while the guest was shut down, is number ${REMEMBERED[main]}"
}

prove_switched_back() {
    local found counter
    found=$(found_at_boot)
    tell "the guest found on its disks at boot: $found"
    for counter in $found; do
        [ "$counter" = "${REMEMBERED[main]}" ] || { echo "PROOF FAILED: main ended at ${REMEMBERED[main]}" >&2; return 1; }
    done
    tell "PROVEN: all three disks are back at the last line that the guest wrote on main (${REMEMBERED[main]})"
}

# prove_deleted NAME: nobody finds NAME any more, and the guest goes on counting on all its disks.
prove_deleted() {
    if openstack server snapshot show "$1" >/dev/null 2>&1; then
        echo "PROOF FAILED: snapshot $1 is still there" >&2
        return 1
    fi
    wait_for_guest 3
    tell "PROVEN: the guest has counted on, on all three disks ($(now)), while $1 was deleted behind it"
}

# A demo that ran before leaves its server, with its tree: this one begins anew. The cloud is emptied and the service's records
# with it: Ratoon does not hear yet of a server that is deleted.
sweep_earlier_demo() {
    openstack server show "$SERVER" >/dev/null 2>&1 || return 0
    tell "an earlier demo's server is there: emptying the cloud"
    "$RATOON" stop "$HOME_DIR"
    "$MINICLOUD" reset
    rm -f "$HOME_DIR"/ratoon.sqlite*
    "$RATOON" configure "$HOME_DIR" "$PORT" >/dev/null
    "$RATOON" start "$HOME_DIR"
}
