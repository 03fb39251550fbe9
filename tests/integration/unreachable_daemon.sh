#!/usr/bin/env bash
# A daemon whose name nobody resolves: the wait for its address ends with --timeout, and at once with an interrupt.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
command -v unshare >/dev/null && command -v python3 >/dev/null || skip "needs unshare and python3"
echo "nameserver 127.0.0.53" > "$work/resolv.conf"
cat > "$work/silent.py" <<'P'
import socket, sys, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.53", 53))
open(sys.argv[1], "w").close()
asked = server.recv(512)
open(sys.argv[2], "w").close()
time.sleep(600)
P
# in_silence COMMAND…: where names are asked for and never answered
in_silence() {
  rm -f "$work/ready" "$work/asked"
  unshare --net --mount bash -c '
    set -e
    ip link set lo up
    mount --bind "$0/resolv.conf" /etc/resolv.conf
    python3 "$0/silent.py" "$0/ready" "$0/asked" & server=$!
    until [[ -e $0/ready ]]; do sleep 0.05; done
    code=0
    "$@" || code=$?
    kill $server
    exit $code' "$work" "$@"
}
interrupted() {
  "$bin/kiln" --addr tcp://daemon.example:1234 --timeout 60 debug info 2> "$work/said" & client=$!
  until [[ -e $work/asked ]]; do sleep 0.05; done
  kill -INT $client
  SECONDS=0
  wait $client && exit 99
  ((SECONDS <= 2)) || exit 98
}
export -f interrupted
export bin work
code=0; in_silence bash -c interrupted || code=$?
[[ $code == 0 ]] || fail "the interrupted client: $code $(cat "$work/said")"
SECONDS=0
in_silence "$bin/kiln" --addr tcp://daemon.example:1234 --timeout 2 debug info 2> "$work/said" && fail "nobody answered, and yet"
((SECONDS <= 6)) || fail "the timeout of 2 s took $SECONDS s"
contains "$(cat "$work/said")" "daemon.example"
echo "a silent name server keeps nobody"
