#!/usr/bin/env bash
# A daemon's life from outside: metrics, a socket from the service manager and what it is told, mutual
# TLS, the end (a running build may finish, a second signal cancels it), and what is refused at start.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry

# -- metrics and debug pages
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start_daemon --debugaddr "127.0.0.1:$port" --log-format json
mkdir "$work/c"
printf 'FROM %s/library/busybox:latest\nRUN echo hello\n' "$registry" > "$work/c/Dockerfile"
kiln build --progress plain "$work/c" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
! kiln build --progress plain --target none "$work/c" > /dev/null 2>&1 || fail "a stage that is not there builds"
page=$(curl -sf "http://127.0.0.1:$port/metrics")
contains "$page" 'buildkit_builds_total{status="success"} 1'
contains "$page" 'status="failure"} 1'
contains "$page" 'buildkit_build_duration_seconds_bucket'
# The record of the last one may still be written.
no_build_runs() { [[ $(curl -sf "http://127.0.0.1:$port/metrics") == *"kiln_builds_running 0"* ]]; }
eventually 10 no_build_runs || fail "a build still runs"
[[ $(curl -sf "http://127.0.0.1:$port/healthz") == ok ]] || fail "healthz"
[[ $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/debug/pprof/heap") == 501 ]] || fail "pprof"
contains "$(curl -sf "http://127.0.0.1:$port/debug/requests")" SESSION
head -1 "$work/kilnd.log" | jq -e '.level and .msg and .time' > /dev/null || fail "the log is no JSON: $(head -1 "$work/kilnd.log")"

# -- traces
ref=$(kiln debug histories --format '{{.Record.Ref}}'); ref=${ref%%$'\n'*}
[[ $(kiln debug logs --trace "$ref" 2>/dev/null || { sleep 4; kiln debug logs --trace "$ref"; }) == *'"Name": "moby.buildkit.v1.Control/Solve"'* ]] || fail "no trace"

# -- the end: the first signal lets a build finish, nobody new comes in
printf 'FROM %s/library/busybox:latest\nRUN sleep 2 && echo finished\n' "$registry" > "$work/c/slow"
kiln build --progress plain -f "$work/c/slow" "$work/c" > "$work/slow" 2>&1 & build=$!
for _ in $(seq 100); do grep -q "RUN sleep" "$work/slow" && break; sleep 0.05; done
kill -TERM "$daemon"
wait "$build" || fail "a build that ran was not let finish: $(cat "$work/slow")"
contains "$(cat "$work/slow")" finished
for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
! kill -0 "$daemon" 2>/dev/null || fail "the daemon did not leave"

# -- a second signal cancels
start_daemon
sed -i 's/sleep 2/sleep 60/' "$work/c/slow"
kiln build --progress plain -f "$work/c/slow" "$work/c" > "$work/slow" 2>&1 & build=$!
for _ in $(seq 100); do grep -q "RUN sleep" "$work/slow" && break; sleep 0.05; done
sleep 0.3
kill -TERM "$daemon"; sleep 0.2; kill -TERM "$daemon"
! wait "$build" || fail "a cancelled build succeeds"
for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
! kill -0 "$daemon" 2>/dev/null || fail "the daemon did not leave after a second signal"

# -- a socket from the service manager, which is told of the start and the end
cat > "$work/manager.py" <<'P'
import os, socket, subprocess, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); notify.bind(sys.argv[2]); notify.settimeout(20)
def child():
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=sys.argv[2])
    os.execv(sys.argv[3], sys.argv[3:])
pid = os.fork()
if pid == 0:
    child()
assert b'READY=1' in notify.recv(200)
print(subprocess.run([os.path.dirname(sys.argv[3]) + '/kiln', '--addr', 'unix://' + sys.argv[1], 'debug', 'info'], capture_output=True, text=True).stdout)
os.kill(pid, 15)
assert b'STOPPING=1' in notify.recv(200)
assert os.waitpid(pid, 0)[1] == 0
print('left')
P
out=$(python3 "$work/manager.py" "$work/fd.sock" "$work/notify.sock" "$bin/kilnd" --root "$work/root" --addr fd:// 2>> "$work/kilnd.log") || fail "socket activation: $out"
contains "$out" BuildKit
contains "$out" left

# -- mutual TLS
(cd "$work" && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=ca &&
  for who in server client; do
    openssl req -newkey rsa:2048 -nodes -keyout $who.key -out $who.csr -subj /CN=$who
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $who.pem \
      -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  done) > "$work/openssl.log" 2>&1 || fail "$(cat "$work/openssl.log")"
"$bin/kilnd" --root "$work/root" --addr "tcp://127.0.0.1:$port" --tlscert "$work/server.pem" --tlskey "$work/server.key" \
  --tlscacert "$work/ca.pem" >> "$work/kilnd.log" 2>&1 & pids+=($!); tls_daemon=$!
tls=("$bin/kiln" --addr "tcp://127.0.0.1:$port" --tlscacert "$work/ca.pem")
for _ in $(seq 100); do "${tls[@]}" --tlscert "$work/client.pem" --tlskey "$work/client.key" debug info > "$work/out" 2>&1 && break; sleep 0.1; done
contains "$(cat "$work/out")" BuildKit
! "${tls[@]}" --timeout 2 debug info > "$work/out" 2>&1 || fail "a client without a certificate is let in"
! "$bin/kiln" --addr "tcp://127.0.0.1:$port" --timeout 2 debug info > "$work/out" 2>&1 || fail "a client without TLS is let in"
cp "$work/ca.pem" "$work/client.key" "$work/client.pem" "$work/root/" && (cd "$work/root" && mkdir -p tls && mv ca.pem tls/ca.pem && mv client.pem tls/cert.pem && mv client.key tls/key.pem)
"$bin/kiln" --addr "tcp://127.0.0.1:$port" --tlsdir "$work/root/tls" debug workers > /dev/null || fail "--tlsdir"
kill "$tls_daemon"; wait "$tls_daemon" || true

# -- refused at start, in one sentence
refused() {
  local want=$1; shift
  local out
  ! out=$(timeout 10 "$bin/kilnd" --root "$work/refused" --addr "unix://$work/r.sock" "$@" 2>&1) || fail "'$*' is accepted"
  contains "$out" "$want"
  [[ $(grep -c kilnd: <<< "$out") == 1 ]] || fail "more than a sentence: $out"
}
# Files that are no such thing, or do not belong together, end the start, as does a port that is none.
echo garbage > "$work/garbage.pem"
refused "garbage.pem': there is no certificate" --addr tcp://127.0.0.1:0 --tlscert "$work/garbage.pem" --tlskey "$work/server.key"
refused "garbage.pem': there is no private key" --addr tcp://127.0.0.1:0 --tlscert "$work/server.pem" --tlskey "$work/garbage.pem"
refused "it is not the key of the certificate" --addr tcp://127.0.0.1:0 --tlscert "$work/ca.pem" --tlskey "$work/server.key"
refused "invalid port" --addr tcp://127.0.0.1:65537
refused "mapped root in a user namespace" --addr "unix://$work/never.sock" --rootless
refused "--nonsense" --nonsense
refused "not supported" --containerd-worker=true
refused "selinux" --oci-worker-selinux=true
refused "unsupported log level" --log-level loud
printf '[worker.oci]\n  apparmor-profile = "x"\n' > "$work/armor.toml"
refused "AppArmor" --config "$work/armor.toml"
printf '[worker.oci]\n  max-parallelism = "many"\n' > "$work/bad.toml"
refused "line 2" --config "$work/bad.toml"
OTEL_TRACES_EXPORTER=pigeon refused "pigeon"
echo "served, drained, activated, guarded, refused"
