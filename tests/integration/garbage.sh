#!/usr/bin/env bash
# Bytes that no client sends: graphs that make no sense, calls that are no messages, connections that
# speak no HTTP/2 or say nothing. Each is answered or dropped; the daemon serves everyone else.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
start_marked_daemon
mkdir "$work/ctx"
ln -s "$bin/kiln" "$work/buildctl"
buildctl() { timeout 60 "$work/buildctl" --addr "unix://$work/s.sock" "$@"; }
alive() { kill -0 "$daemon" 2>/dev/null || fail "$1: the daemon is gone"; }
works() {
  alive "$1"
  printf 'FROM %s/library/busybox:latest\nRUN true\n' "$faulty" > "$work/ctx/Dockerfile"
  kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || fail "$1: the next build: $(cat "$work/log")"
}

odd=$top/tests/integration/odd_definitions.py
for name in $("$odd"); do
  code=0
  "$odd" "$name" > "$work/definition"
  buildctl build --progress plain < "$work/definition" > "$work/log" 2>&1 || code=$?
  [[ -z ${SHOW:-} ]] || echo "$name $code $(tail -1 "$work/log" | cut -c1-200)"
  alive "$name"
  case $name in
    ok-*) ((code == 0)) || fail "$name: $(cut -c1-2000 "$work/log")" ;;
    bad-*) ((code == 1)) || fail "$name should have been refused ($code): $(cut -c1-2000 "$work/log")" ;;
    *) ((code == 0 || code == 1)) || fail "$name: exit code $code: $(cut -c1-2000 "$work/log")" ;;
  esac
  ((code == 0)) || [[ $(grep -c '^error: ' "$work/log") == 1 ]] || fail "$name: not one sentence: $(cut -c1-2000 "$work/log")"
done
[[ ! -e /tmp/kiln-escaped ]] || fail "a graph made a directory on the host"
works "odd graphs"

# call METHOD < BYTES: the bytes as one message; prints the call's status code
call() {
  { printf '\0'; printf '%08x' "$(stat -c %s "$work/message")" | sed 's/../\\x&/g' | xargs -0 printf; cat "$work/message"; } > "$work/frame"
  curl -s --max-time 10 --retry 2 --retry-all-errors --http2-prior-knowledge --unix-socket "$work/s.sock" -H 'content-type: application/grpc' -H 'te: trailers' \
    --data-binary "@$work/frame" -D "$work/headers" -o /dev/null "http://kiln/$1" || true
  tr -d '\r' < "$work/headers" | awk -F': ' 'tolower($1)=="grpc-status"{print $2}' | tail -1
}
head -c 2000 /dev/urandom > "$work/message"
for method in Control/Solve Control/Prune Control/DiskUsage Control/Status Control/ListWorkers Control/UpdateBuildHistory; do
  code=$(call "moby.buildkit.v1.$method")
  [[ $code && $code != 0 && $code != 2 ]] || fail "$method with garbage: status '$code'"
done
: > "$work/message"
[[ $(call moby.buildkit.v1.Control/NoSuchMethod) == 12 ]] || fail "an unknown method is not Unimplemented"
[[ $(call moby.buildkit.v1.frontend.LLBBridge/Solve) != 0 ]] || fail "a gateway call without a build went well"
works "odd calls"

/usr/bin/python3 - "$work/s.sock" <<'P'
import os, socket, sys, time
def send(data, wait=False):
    s = socket.socket(socket.AF_UNIX); s.settimeout(5)
    for _ in range(200):  # the queue of those who wait may be full
        try: s.connect(sys.argv[1]); break
        except BlockingIOError: time.sleep(0.05)
    try:
        s.sendall(data)
        if wait: s.recv(100)
    except OSError: pass
    return s
preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
def frame(kind, flags, stream, data=b""): return len(data).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + data
kept = []
for data in [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(5000), preface, preface + os.urandom(5000),
             preface + frame(4, 0, 0) + frame(1, 4, 1, b"\xff" * 100), preface + frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"),
             preface + b"\xff\xff\xff\0\0\0\0\0\1", preface + frame(4, 0, 0) + frame(0, 0, 9, b"x" * 100),
             preface + frame(4, 0, 0) + b"".join(frame(3, 0, 2 * i + 1, b"\0\0\0\x08") for i in range(2000)),
             b"\x16\x03\x01\x02\x00\x01\x00" + os.urandom(500)]:
    for _ in range(20): send(data).close()
    kept.append(send(data, wait=bool(data) and data != preface))
for _ in range(300): kept.append(send(b""))
for _ in range(300): kept.append(send(preface))
P
works "odd connections"
kill -TERM "$daemon"
ended() { [[ $(cut -d' ' -f3 "/proc/$daemon/stat" 2>/dev/null || echo Z) == Z ]]; }
eventually 20 ended || fail "the daemon does not end"
echo "made no sense of it, and lived"
