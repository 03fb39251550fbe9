#!/usr/bin/env bash
# A step killed for its memory fails with one sentence that says so; the daemon and the next build live.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
start_marked_daemon
mkdir "$work/ctx"
# The limit stands on the parent of all the steps' groups, where a host's administrator would put it.
limit_memory() {
  local v1=/sys/fs/cgroup/memory/$cgroup_parent v2=/sys/fs/cgroup/$cgroup_parent
  if [[ -e $v1/memory.limit_in_bytes ]]; then
    echo "$1" > "$v1/memory.limit_in_bytes"
  elif [[ -e $v2/memory.max ]]; then
    echo "$1" > "$v2/memory.max"
    echo 0 > "$v2/memory.swap.max" 2>/dev/null || true
  else
    skip "no memory cgroup for steps here"
  fi
}
base=$faulty/library/busybox:latest
printf 'FROM %s\nRUN true\n' "$base" > "$work/ctx/Dockerfile"
kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || fail "$(cat "$work/log")"
limit_memory $((32 << 20))
printf 'FROM %s\nRUN echo begun\nRUN ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=400M", "count=1"]\n' "$base" > "$work/ctx/Dockerfile"
code=0; kiln --debug build --progress plain "$work/ctx" > "$work/log" 2>&1 || code=$?
((code == 1)) || fail "exit code $code: $(cat "$work/log")"
contains "$(grep '^error: ' "$work/log")" "cannot allocate memory"
contains "$(cat "$work/log")" ">>> RUN [\"/bin/dd\""
# One process of several: the shell goes on and its own exit code counts.
printf 'FROM %s\nRUN dd if=/dev/zero of=/dev/null bs=400M count=1; test $? = 137\n' "$base" > "$work/ctx/Dockerfile"
kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || fail "the shell's own code was lost: $(cat "$work/log")"
limit_memory $((512 << 20))
printf 'FROM %s\nRUN echo begun\nRUN echo next\n' "$base" > "$work/ctx/Dockerfile"
kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || fail "the next build: $(cat "$work/log")"
contains "$(grep -A1 'RUN echo begun' "$work/log")" CACHED
eventually 10 no_busy_cgroup || fail "processes left in cgroups"
echo "killed for memory, and said so"
