# Shared by the integration tests: a registry and a daemon of their own on loopback and in a
# temporary directory, and checks that say what they compared. Sourced; `finish` runs at exit. KILN_KEEP=DIR keeps
# a copy of the temporary directory.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=${KILN_BIN:-$top/build/release/bin}
work=$(mktemp -d /tmp/kiln-it.XXXXXX)
pids=()

finish() {
  local code=$?
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  ((code == 0)) || { echo "--- kilnd's log"; tail -30 "$work/kilnd.log" 2>/dev/null || true; }
  [[ ${KILN_KEEP:-} ]] && cp -r "$work" "$KILN_KEEP" 2>/dev/null; rm -rf "$work" 2>/dev/null || true
  exit $code
}
trap finish EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
# contains TEXT PART: PART must occur in TEXT
contains() { [[ $1 == *"$2"* ]] || fail "expected '$2' in: $1"; }
skip() { echo "SKIPPED: $*"; exit 77; }

start_registry() {
  command -v docker-registry >/dev/null || skip "docker-registry is not installed"
  cat > "$work/registry.yml" <<R
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:0"}
R
  docker-registry serve "$work/registry.yml" > "$work/registry.log" 2>&1 & pids+=($!)
  local port=
  for _ in $(seq 200); do
    port=$(ss -Hltnp | grep "pid=$!," | grep -o '127.0.0.1:[0-9]*' | head -1 | cut -d: -f2 || true)
    [[ $port ]] && break
    sleep 0.05
  done
  [[ $port ]] || fail "the registry did not start"
  registry=127.0.0.1:$port
  "$top/tools/base-images" "$registry"
}

start_daemon() {
  "$bin/kilnd" --root "$work/root" --addr "unix://$work/s.sock" "$@" >> "$work/kilnd.log" 2>&1 & pids+=($!)
  daemon=$!
  for _ in $(seq 200); do "$bin/kiln" --addr "unix://$work/s.sock" debug info >/dev/null 2>&1 && return; sleep 0.05; done
  fail "the daemon did not answer"
}
kiln() { "$bin/kiln" --addr "unix://$work/s.sock" "$@"; }
