# One line a service: up or down, pid, memory, log.

status() {
    local name format='%-17s %-5s %7s %6s  %s\n' rc=0 total=0 mib pid state rows=()
    for name in "${SERVICES[@]}"; do
        mib=0 pid='' state=down
        if alive "$name"; then
            pid=$(pid_of "$name") state=up
            # shellcheck disable=SC2046  # one word a pid
            mib=$(pss_mib $(members "$name"))
        else
            rc=1
        fi
        total=$((total + mib))
        rows+=("$name $state ${pid:--} $mib $(log_of "$name")")
    done
    local guest_mib guest_pids
    guest_pids=$(guests | cut -d' ' -f1)
    # shellcheck disable=SC2086  # one word a pid
    guest_mib=$(pss_mib $guest_pids)
    if [ "${1:-}" = --json ]; then
        printf '%s\n' "${rows[@]}" |
            jq -Rn --argjson total "$total" --argjson guests "$(wc -w <<<"$guest_pids")" --argjson guest_mib "$guest_mib" \
                '{services: [inputs | split(" ") | {name: .[0], up: (.[1] == "up"), pid: (.[2] | tonumber? // null),
                                                    memory_mib: (.[3] | tonumber), log: .[4]}],
                  memory_mib: $total, guests: $guests, guests_memory_mib: $guest_mib}'
    else
        # shellcheck disable=SC2059  # the format is ours
        printf "$format" service state pid MiB log
        # shellcheck disable=SC2059,SC2086  # a row is its words
        for name in "${rows[@]}"; do printf "$format" $name; done
        # shellcheck disable=SC2059
        printf "$format" total '' '' "$total" "(PSS; and $(wc -w <<<"$guest_pids") guests with $guest_mib MiB)"
    fi
    return $rc
}

pss_mib() {                                  # PSS counts a shared page once
    local pid sum=0 key kib
    for pid in "$@"; do
        while read -r key kib _; do [ "$key" != Pss: ] || sum=$((sum + kib)); done <"/proc/$pid/smaps_rollup"
    done 2>/dev/null
    echo $((sum / 1024))
}
