# Processes that a script of tests starts in DIR, each in a session of its own, and ends again. Sourced by broker and databases.
# shellcheck shell=bash

# A pid file holds "pid starttime", so that a recycled pid is never taken for ours.
starttime() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    [ "$1" != Z ] && echo "${20}"
}

alive() {                                    # alive NAME
    local pid start
    { read -r pid start <"$DIR/$1.pid"; } 2>/dev/null && [ -n "$start" ] && [ "$(starttime "$pid")" = "$start" ]
}

launch() {                                   # launch NAME COMMAND...
    local name=$1
    shift
    setsid "$@" >>"$DIR/$name.out" 2>&1 </dev/null &
    echo "$! $(starttime $!)" >"$DIR/$name.pid"
}

halt() {                                     # halt NAME SECONDS [SIGNAL]
    local name=$1 limit=$((SECONDS + $2)) pid
    if alive "$name"; then
        read -r pid _ <"$DIR/$name.pid"
        kill "-${3:-TERM}" "$pid" 2>/dev/null || :
        while alive "$name"; do
            # Its session is its own: whatever it has started goes with it.
            [ $SECONDS -lt $limit ] || kill -KILL -- "-$pid" 2>/dev/null || :
            sleep 0.1
        done
    fi
    rm -f "$DIR/$name.pid"
}

port() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

answers() {                                  # answers NAME SECONDS LOG COMMAND...: waits until the command succeeds
    local name=$1 limit=$((SECONDS + $2)) log=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! alive "$name" || [ $SECONDS -ge $limit ]; then
            tail -n 12 "$DIR/$name.out" "$log" >&2 || :
            echo "$name does not answer. Its logs are in $DIR." >&2
            return 1
        fi
        sleep 0.1
    done
}
