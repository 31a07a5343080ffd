#!/bin/bash
# The cheap checks of a container, without starting a Python.
#   probe http PORT PATH       the service on PORT answers PATH with 200
#   probe joined PORT          an open connection leads to PORT: the worker has found its gateway
#   probe beating [PID]        the process (default: the container's first) wakes up by itself. A worker does so several
#                              times a second; a stopped, dead-locked or endlessly looping one does not.
set -u
BEATS=12 PAUSE=0.25

http() {
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
    read -r -t 2 _ status _ <&3 && [ "$status" = 200 ]
}

joined() {
    local port remote state
    port=$(printf '%04X' "$1")
    # state 01 is ESTABLISHED
    while read -r _ _ remote state _; do
        [ "${remote##*:}" = "$port" ] && [ "$state" = 01 ] && return 0
    done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    return 1
}

# Only sleeping of one's own accord counts: an endless loop is switched away from, too, but never by its own wish.
waits() {
    local key value
    while read -r key value; do
        if [ "$key" = voluntary_ctxt_switches: ]; then
            echo "$value"
            return
        fi
    done <"/proc/$1/status"
    return 1
}

beating() {
    local before now
    before=$(waits "$1") || return 1
    for ((i = 0; i < BEATS; i++)); do
        sleep "$PAUSE"
        now=$(waits "$1") || return 1
        [ "$now" != "$before" ] && return 0
    done
    return 1
}

case "${1:-}:$#" in
    http:3) http "$2" "$3" ;;
    joined:2) joined "$2" ;;
    beating:1 | beating:2) beating "${2:-1}" ;;
    *) echo "usage: probe http PORT PATH | probe joined PORT | probe beating [PID]" >&2 && exit 2 ;;
esac 2>/dev/null
