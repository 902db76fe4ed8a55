# Paths, messages and the bookkeeping of processes. Everything else is sourced after this file.
# shellcheck disable=SC2034  # the paths are for the files sourced later

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
# Nothing of the caller's Python, cloud or proxy settings may reach the daemons.
unset TMPDIR "${!PYTHON@}" "${!OS_@}"
export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost

DIR=$(realpath -m "${MINICLOUD_DIR:-/var/tmp/ratoon-minicloud}")
CONF=$DIR/conf RUN=$DIR/run LOG=$DIR/log DONE=$DIR/done
VIRT_TYPE=${MINICLOUD_VIRT_TYPE:-qemu}       # kvm where it really runs guests
OSD_GB=${MINICLOUD_OSD_GB:-20}               # a sparse file
CEPH_CONF=$DIR/ceph/ceph.conf
export MINICLOUD_DIR=$DIR CEPH_CONF

say() { printf '%(%H:%M:%S)T %s\n' -1 "$*"; }
die() { say "FAILED: $*" >&2; exit 1; }

with() { [ -e "$DIR/with-$1" ]; }              # what 'up --with-...' has asked for, once and for all

# --- steps ------------------------------------------------------------------------------------------------------------

# logged STEP COMMAND...: run with the output in a file, and say where it is when it fails.
logged() {
    local step=$1 log=$LOG/setup-$1.log; shift
    "$@" >>"$log" 2>&1 && return
    { echo "--- the last lines of $log:"; tail -n 12 "$log"; } >&2
    die "$step. Look at $log, mend the cause, and run 'minicloud up' again: it goes on from this step."
}

# once STEP COMMAND...: only until it has succeeded. The command may have been killed half-way before: it starts clean.
once() {
    [ -e "$DONE/$1" ] && return
    logged "$@"
    : >"$DONE/$1"
}

# together COMMAND -- COMMAND...: run them side by side; fail when one fails.
together() {
    local pids=() words=() word
    for word in "$@" --; do
        if [ "$word" != -- ]; then words+=("$word"); continue; fi
        "${words[@]}" & pids+=($!); words=()
    done
    local pid rc=0
    for pid in "${pids[@]}"; do wait "$pid" || rc=1; done
    [ $rc = 0 ] || exit 1                    # the part that failed has said why
}

# --- processes --------------------------------------------------------------------------------------------------------
# run/NAME.pid holds "pid starttime", so a recycled pid is never taken for ours. Every process of a service carries
# MINICLOUD_SERVICE in its environment: that finds the children that a killed parent left behind, and nobody else's.

starttime() {                                # field 22 of stat; the command in field 2 may hold spaces
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] && echo "${fields[19]}"
}

alive() {
    local pid start
    { read -r pid start <"$RUN/$1.pid"; } 2>/dev/null && [ -n "$start" ] && [ "$(starttime "$pid")" = "$start" ]
}

pid_of() { local pid; read -r pid _ <"$RUN/$1.pid" && echo "$pid"; }

members() {                                  # all processes of a service
    local file
    grep -lzsxF "MINICLOUD_SERVICE=$1@$DIR" /proc/[0-9]*/environ | while IFS=/ read -r _ _ file _; do echo "$file"; done
}

launch() {                                   # start the service NAME in a session of its own, unless it runs
    alive "$1" && return
    local left
    left=$(members "$1")
    # shellcheck disable=SC2086  # one word a pid
    [ -z "$left" ] || kill -KILL $left 2>/dev/null || :
    command_of "$1"
    MINICLOUD_SERVICE="$1@$DIR" setsid "${COMMAND[@]}" >>"$LOG/$1.out" 2>&1 </dev/null 9>&- &
    echo "$! $(starttime $!)" >"$RUN/$1.pid"
}

await() {                                    # wait until every NAME answers
    local name limit
    for name in "$@"; do
        limit=$((SECONDS + 120))
        until ready "$name" >/dev/null 2>&1; do
            alive "$name" || { tail -n 12 "$(log_of "$name")" >&2; die "$name has ended. Log: $(log_of "$name"). 'minicloud up' tries again."; }
            [ $SECONDS -lt $limit ] || die "$name does not answer after 120 s. Log: $(log_of "$name")"
            sleep 0.2
        done
    done
}

halt() {                                     # end the services NAME... together: TERM, and KILL after 10 s
    local name pid pids=() limit=$((SECONDS + 10))
    for name in "$@"; do
        alive "$name" || continue
        pid=$(pid_of "$name")
        kill -TERM "$pid" 2>/dev/null || :
        pids+=("$pid")
    done
    for name in "$@"; do
        while alive "$name" && [ $SECONDS -lt $limit ]; do sleep 0.1; done
        # shellcheck disable=SC2046  # one word a pid
        kill -KILL $(members "$name") 2>/dev/null || :
        rm -f "$RUN/$name.pid"
    done
}

log_of() {
    if [ -e "$LOG/$1.log" ]; then echo "$LOG/$1.log"; else echo "$LOG/$1.out"; fi
}

port() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
http() { curl -sf -m 5 -o /dev/null "http://127.0.0.1:$1"; }
