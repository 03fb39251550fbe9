# Shared by the integration tests: a registry and a daemon of their own on loopback and in a
# temporary directory, and checks that say what they compared. Sourced; `finish` runs at exit. KILN_KEEP=DIR keeps
# a copy of the temporary directory.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=${KILN_BIN:-$top/build/release/bin}
work=$(mktemp -d /tmp/kiln-it.XXXXXX)
pids=()
mounted=()

finish() {
  local code=$?
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  ((code == 0)) || { echo "--- kilnd's log"; tail -30 "$work/kilnd.log" 2>/dev/null || true; }
  for place in ${mounted[@]+"${mounted[@]}"}; do umount -l "$place" || true; done
  [[ -z ${KILN_KEEP:-} ]] || cp -r "$work" "$KILN_KEEP" 2>/dev/null || true
  rm -rf "$work" 2>/dev/null || true
  [[ -z ${cgroup_parent:-} ]] || find /sys/fs/cgroup -depth -type d -path "*/$cgroup_parent*" -exec rmdir {} + 2>/dev/null || true
  exit $code
}
trap finish EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
# contains TEXT PART: PART must occur in TEXT
contains() { [[ $1 == *"$2"* ]] || fail "expected '$2' in: $1"; }
skip() { echo "SKIPPED: $*"; exit 77; }

# Whether the programs carry a sanitizer, which keeps freed memory and makes frames several times as large.
sanitized() { grep -qa __asan_init "$bin/kilnd" 2>/dev/null; }
sanitized && ulimit -s 65536

start_registry() {
  command -v docker-registry >/dev/null || skip "docker-registry is not installed"
  cat > "$work/registry.yml" <<R
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:0"}
R
  docker-registry serve "$work/registry.yml" > "$work/registry.log" 2>&1 & pids+=($!)
  registry_pid=$!
  local port=
  for _ in $(seq 200); do
    port=$(ss -Hltnp | grep "pid=$registry_pid," | grep -o '127.0.0.1:[0-9]*' | head -1 | cut -d: -f2 || true)
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
kill_daemon() { kill -9 "$daemon"; wait "$daemon" 2>/dev/null || true; }

# eventually SECONDS COMMAND…: the command succeeds within that time
eventually() {
  local end=$((SECONDS + $1)); shift
  until "$@"; do ((SECONDS < end)) || return 1; sleep 0.05; done
}

# A registry that misbehaves as told: see faulty_registry.py.
start_faulty_registry() {
  "$top/tests/integration/faulty_registry.py" "$work/faulty.port" & pids+=($!)
  eventually 20 test -s "$work/faulty.port" || fail "the faulty registry did not start"
  faulty=127.0.0.1:$(cat "$work/faulty.port")
  "$top/tools/base-images" "$faulty"
}
fault() { curl -sf "http://$faulty/_fault" -d "$*"; }
clear_faults() { curl -sf -X POST "http://$faulty/_clear"; }
fault_was_hit() { [[ $(curl -sf "http://$faulty/_wait") == hit ]] || fail "nobody ran into the fault"; }

# A daemon whose steps run in cgroups of this test alone, so that what is left of them can be counted.
start_marked_daemon() {
  cgroup_parent=kiln-it-$$
  printf '[worker.oci]\n  defaultCgroupParent = "%s"\n' "$cgroup_parent" > "$work/kilnd.toml"
  start_daemon --config "$work/kilnd.toml" "$@"
}
# What a build may leave behind: processes with MARK in their arguments, mounts in the test's folder.
processes() { local all; all=$(pgrep -f -- "$1" | grep -vx "$$") || true; wc -w <<< "$all"; }
some_process() { [[ $(processes "$1") != 0 ]]; }
no_process() { [[ $(processes "$1") == 0 ]]; }
no_mount() { ! grep -qF "$work/root" /proc/self/mountinfo; }
# Processes in the steps' cgroups, other than the daemon's threads that wait there for the next step.
no_busy_cgroup() { [[ -z $(find /sys/fs/cgroup -path "*/$cgroup_parent/*" -name cgroup.procs -exec cat {} + 2>/dev/null | grep -vx "$daemon") ]]; }
