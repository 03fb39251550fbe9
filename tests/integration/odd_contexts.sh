#!/usr/bin/env bash
# Contexts as they lie on real disks: sockets, fifos, devices, odd names, loops of links, paths without
# end, files that may not be read or change while they are sent. What can be sent arrives; what cannot is
# named in one sentence.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
start_marked_daemon
ctx=$work/ctx
mkdir "$ctx"
base=$faulty/library/busybox:latest
as_root() { kiln build --progress plain "$@" "$ctx" > "$work/log" 2>&1; }
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$bin/kiln" --addr "unix://$work/s.sock" build --progress plain "$ctx" > "$work/log" 2>&1; }
# refused PART HOW
refused() {
  local code=0; "${@:2}" || code=$?
  ((code == 1)) || fail "exit code $code: $(cat "$work/log")"
  [[ $(grep -c '^error: ' "$work/log") == 1 ]] || fail "not one sentence: $(cat "$work/log")"
  contains "$(grep '^error: ' "$work/log")" "$1"
}
printf 'FROM %s\nCOPY . /ctx\nRUN cd /ctx && %s\n' "$base" \
  'test -f sock && test -p fifo && test -c null && test -L loop && test "$(readlink out)" = /etc/passwd && ls -a | grep -q "^ space" && test -e "$(printf "new\nline")" && test -e "$(printf "bad\377name")" && test ! -e hidden' \
  > "$ctx/Dockerfile"
echo hidden > "$ctx/.dockerignore"
touch "$ctx/hidden" "$ctx/ space \"quoted\"" "$ctx/"$'new\nline' "$ctx/"$'bad\xffname' "$ctx/"$'\e[31mred'
mkfifo "$ctx/fifo"
mknod "$ctx/null" c 1 3
ln -s loop "$ctx/loop"; ln -s b "$ctx/a"; ln -s a "$ctx/b"; ln -s /etc/passwd "$ctx/out"; ln -s . "$ctx/self"
/usr/bin/python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$ctx/sock"
as_root || fail "odd files: $(cat "$work/log")"

printf 'FROM %s\nCOPY . /ctx\nRUN true\n' "$base" > "$ctx/Dockerfile"
/usr/bin/python3 - "$ctx" <<'P'
import os, sys
os.chdir(sys.argv[1])
for _ in range(10000):
    os.mkdir("d"); os.chdir("d")
P
refused "too long" as_root
rm -rf "$ctx/d"
as_root || fail "the next build: $(cat "$work/log")"

chmod 755 "$work"; chmod 777 "$work/s.sock"
rm -rf "$ctx"; mkdir "$ctx"
printf 'FROM %s\nCOPY . /ctx\nRUN true\n' "$base" > "$ctx/Dockerfile"
mkdir "$ctx/closed"; chmod 700 "$ctx/closed"
refused "closed': Permission denied" as_nobody
rmdir "$ctx/closed"
echo private > "$ctx/private"; chmod 600 "$ctx/private"
refused "private': Permission denied" as_nobody
echo private > "$ctx/.dockerignore"
as_nobody || fail "an ignored file was read: $(cat "$work/log")"
rm "$ctx/private" "$ctx/.dockerignore"

# Files that grow, shrink and vanish while they are sent.
(for _ in $(seq 300); do truncate -s $((RANDOM * 100)) "$ctx/changing"; rm -f "$ctx"/f*; touch "$ctx"/f{1..50}; done) 2>/dev/null & churn=$!
for _ in 1 2 3; do as_root || fail "a changing context: $(cat "$work/log")"; done
kill "$churn"; wait "$churn" 2>/dev/null || true
rm -f "$ctx"/f* "$ctx/changing"
as_root || fail "the next build: $(cat "$work/log")"
echo "sent what can be sent"
