#!/usr/bin/env bash
# Limits of a step: memory with a clear word when it was what ended the step, processes, open files,
# shared memory; and that nothing is left of a step's control group.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
start_registry
start_daemon
mkdir -p "$work/context"
dockerfile() { printf 'FROM %s/library/busybox\n%s\n' "$registry" "$1" > "$work/context/Dockerfile"; }
build() { kiln build "$work/context" --no-cache --progress plain "$@" 2>&1; }
ln -s "$bin/kiln" "$work/buildctl"
with() {
  "$work/buildctl" --addr "unix://$work/s.sock" build --frontend dockerfile.v0 --local "context=$work/context" \
    --local "dockerfile=$work/context" --no-cache --progress plain "$@" 2>&1
}

dockerfile 'RUN ulimit -n | grep 100 && df -k /dev/shm | grep 2048'
with --opt ulimit=nofile=100:100 --opt shm-size=2097152 > "$work/log" || fail "ulimit or shm-size: $(cat "$work/log")"

if [[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes || -e /sys/fs/cgroup/memory.max || -e /sys/fs/cgroup/cgroup.controllers ]]; then
  dockerfile 'RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | grep 33554432'
  with --opt memory=33554432 > "$work/log" || fail "memory limit: $(cat "$work/log")"
  dockerfile 'RUN exec tail -c 200000000 /dev/zero'
  contains "$(with --opt memory=16777216 --opt memory-swap=16777216 || true)" "cannot allocate memory"
  dockerfile 'RUN true'
  build > "$work/log" || fail "the next build: $(cat "$work/log")"
fi
