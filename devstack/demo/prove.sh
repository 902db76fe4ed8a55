# What the demo proves its story with: the lines that the guest "tick" writes on each of its disks once a second, read from
# Ceph behind everybody's back. Sourced by `up`.
# shellcheck shell=bash
declare -A REMEMBERED

trails() {                                   # counter and label of each image or snapshot: "470:vda-1f2e... 470:vdb-9a8b..."
    CEPH_CONF=$CEPH_CONF /usr/bin/python3 "$TOP/devstack/minicloud/disktick.py" "$@" |
        /usr/bin/python3 -c 'import json, sys
print(*("{counter}:{label}".format_map(json.loads(line)) for line in sys.stdin))'
}

counters() { sed -E 's/:[^ ]*//g; s/None/0/g' <<<"$*"; }  # of trails: "470 470"

find_server() { SERVER_ID=$(openstack server show "$SERVER" -f value -c id); }

images() {                                   # the server's disks in Ceph, in the guest's order
    echo "vms/${SERVER_ID}_disk"
    openstack server volume list "$SERVER" -f json |
        /usr/bin/python3 -c 'import json, sys; print(*("volumes/volume-" + v["Volume ID"] for v in json.load(sys.stdin)), sep="\n")'
}

now() { local list; mapfile -t list < <(images); counters "$(trails "${list[@]}")"; }

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

# remember NAME: counter and label inside each of the snapshot's disks, which must never change again.
remember() {
    local list
    mapfile -t list < <(images)
    mapfile -t list < <(for image in "${list[@]}"; do
        rbd --id admin snap ls --format json "$image" | /usr/bin/python3 -c '
import json, sys
print(sys.argv[1] + "@" + max(json.load(sys.stdin), key=lambda snap: snap["id"])["name"])' "$image"
    done)
    REMEMBERED[$1]=$(trails "${list[@]}")
    tell "'$1' holds the moment at which the guest's counters were $(counters "${REMEMBERED[$1]}")"
}

# prove_boot NAME WORDS: what the guest found on each of its disks when it came up is what is remembered of NAME.
prove_boot() {
    local found
    found=$(found_at_boot)
    tell "the guest found on its disks at boot: $(counters "$found")"
    if [ "$found" != "${REMEMBERED[$1]}" ]; then
        echo "PROOF FAILED: '$1' was ${REMEMBERED[$1]}, the guest found $found" >&2
        return 1
    fi
    tell "PROVEN: $2 ($(counters "$found"); each disk's own label tells that none has taken another's place)"
}

# After a restore the guest goes on from the snapshot's counter. One that runs writes its disks one after the other, so
# they may differ by one; but each is what the snapshot holds.
prove_restored() {
    prove_boot "$1" "all three disks are back at '$1'"
    wait_for_guest 2
    tell "and the guest counts on: $(now)"
}

found_at_boot() {                            # trails in the DISK lines of the last boot: Nova begins a new console at each
    local i lines
    for ((i = 0; i < 120; i++)); do
        # The guest says each twice, since a line may be spoilt on its way.
        lines=$(openstack console log show "$SERVER" | tr -d '\r' |
            sed -n 's/^DISK \(vd.\) .*found=COUNTER \([0-9]*\) .*label=\(vd.-[0-9a-f]\{16\}\)$/\1 \2:\3/p' | sort -u | cut -d ' ' -f 2)
        if [ "$(wc -l <<<"$lines")" = 3 ]; then xargs <<<"$lines"; return; fi
        sleep 0.5
    done
    echo "the guest does not say what it found" >&2
    return 1
}

# remember_parked VOLUME...: what is on the disks of main that gave way, given those of the volumes: also the line written
# while the guest was shut down.
remember_parked() {
    REMEMBERED[main]=$(trails "vms/$(rbd --id admin ls vms | grep -m 1 '^ratoon\.')" "$@")
    tell "the disks that gave way are kept; their last line, written while the guest was shut down, is number $(counters "${REMEMBERED[main]}")"
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

# A demo that ran before leaves a server, volumes and a tree, in the cloud and in the service's records: this one begins anew.
sweep_earlier_demo() {
    [ -e "$HOME_DIR/ratoon.sqlite" ] || openstack server show "$SERVER" >/dev/null 2>&1 || return 0
    tell "there was a demo before: emptying the cloud, and Ratoon's records of it"
    "$RATOON" stop "$HOME_DIR"
    "$MINICLOUD" reset
    rm -f "$HOME_DIR"/ratoon.sqlite*
}
