#!/usr/bin/env bash
# A client that is killed or interrupted in any phase takes its build with it: nothing runs on,
# nothing stays mounted, no connection or descriptor is kept, and the next build works.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
start_marked_daemon
mark=sleep.$$.${work##*.}
ctx=$work/ctx
mkdir "$ctx"
base=$faulty/library/busybox:latest
in_background() { "$bin/kiln" --addr "unix://$work/s.sock" build --progress plain "$@" "$ctx" > "$work/build.log" 2>&1 & client=$!; }
works() { kiln build --progress plain "$ctx" > "$work/again.log" 2>&1 || fail "$phase: the next build failed: $(cat "$work/again.log")"; }
descriptors() { find "/proc/$daemon/fd" -mindepth 1 2>/dev/null | wc -l; }
# The pool keeps up to four groups ready, each with a descriptor a controller.
few_descriptors() { (($(descriptors) <= before + 28)); }
nothing_left() {
  eventually 15 no_process "$mark" || fail "$phase: a step outlived its client"
  eventually 15 no_mount || fail "$phase: mounts left"
  eventually 15 no_busy_cgroup || fail "$phase: processes left in cgroups"
  eventually 15 few_descriptors || fail "$phase: descriptors left: $before before, $(descriptors) now: $(ls -l "/proc/$daemon/fd")"
}
# lose SIGNAL: the client gets it; for a signal that it can hear it must end soon, and not with success
lose() {
  kill "-$1" "$client"
  kill -CONT "$client" 2>/dev/null || true
  eventually 15 not_running "$client" || fail "$phase: the client goes on after SIG$1"
  if wait "$client" 2>/dev/null; then fail "$phase: success after SIG$1"; fi
  clear_faults
  nothing_left
  works
}
not_running() { [[ ! -e /proc/$1/stat ]] || [[ $(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null) == [ZX] ]]; }

printf 'FROM %s\nRUN true\n' "$base" > "$ctx/Dockerfile"
phase=begin; works; works
before=$(descriptors)
for signal in KILL INT; do
  phase="run, SIG$signal"
  # Daemonised processes and those that ignore signals belong to the step.
  printf 'FROM %s\nRUN (setsid sh -c "trap : TERM INT HUP; sleep 1000; : %s" &); sh -c "sleep 1000; : %s"\n' "$base" "$mark" "$mark" > "$ctx/Dockerfile"
  in_background
  eventually 30 some_process "$mark" || fail "the step did not start: $(cat "$work/build.log")"
  printf 'FROM %s\nRUN true\n' "$base" > "$ctx/Dockerfile"
  lose $signal

  phase="pull, SIG$signal"
  kiln prune --all > /dev/null
  fault GET /blobs/ stall
  in_background
  fault_was_hit
  lose $signal

  phase="resolve, SIG$signal"
  fault "*" /manifests/ stall
  in_background --no-cache
  fault_was_hit
  lose $signal

  phase="context, SIG$signal"
  truncate -s 300M "$ctx/large"
  printf 'FROM %s\nCOPY large /\n' "$base" > "$ctx/Dockerfile"
  in_background
  eventually 30 grep -q "transferring context" "$work/build.log" || fail "no context: $(cat "$work/build.log")"
  kill -STOP "$client"
  rm "$ctx/large"
  printf 'FROM %s\nRUN true\n' "$base" > "$ctx/Dockerfile"
  lose $signal

  phase="push, SIG$signal"
  fault "*" /blobs/uploads/ stall
  in_background -t "$faulty/it/lost${signal,,}:latest" --push
  fault_was_hit
  lose $signal

  phase="cache export, SIG$signal"
  fault PUT /manifests/ stall
  in_background --cache-to "type=registry,ref=$faulty/it/lost${signal,,}:cache"
  fault_was_hit
  lose $signal
done
kill -TERM "$daemon"
eventually 15 not_running "$daemon" || fail "the daemon waits for builds that nobody wants"
echo "lost in every phase, nothing ran on"
