#!/usr/bin/env bash
# Many small builds, some that fail and some at once: threads, descriptors, mounts, cgroups, temporary
# files and memory are the same afterwards. KILN_BUILDS sets how many.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
builds=${KILN_BUILDS:-120}
start_faulty_registry
start_marked_daemon
base=$faulty/library/busybox:latest
one() { # one NUMBER
  local ctx=$work/ctx$(($1 % 4)) code=0
  mkdir -p "$ctx"
  echo "$1" > "$ctx/file"
  printf 'FROM %s\nCOPY file /\nRUN echo %s > /n; %s\n' "$base" "$1" "$([[ $(($1 % 10)) == 9 ]] && echo 'exit 3' || echo true)" > "$ctx/Dockerfile"
  kiln build --progress plain "$ctx" > "$ctx.log" 2>&1 || code=$?
  [[ $code == $(($1 % 10 == 9 ? 1 : 0)) ]] || { echo "build $1: exit code $code: $(cat "$ctx.log")" > "$work/failed"; }
}
round() { # round FROM TO: four at a time
  local n
  for ((n = $1; n < $2; n += 4)); do
    local running=() i
    for ((i = n; i < n + 4; i++)); do one "$i" & running+=($!); done
    wait "${running[@]}"
  done
  [[ ! -e $work/failed ]] || fail "$(cat "$work/failed")"
}
threads() { find "/proc/$daemon/task" -mindepth 1 -maxdepth 1 | wc -l; }
descriptors() { find "/proc/$daemon/fd" -mindepth 1 2>/dev/null | wc -l; }
# What the daemon has of its own; pages of the program's file come and go with use.
memory() { awk '/^RssAnon/{print $2}' "/proc/$daemon/status"; }
cgroups() { find /sys/fs/cgroup -type d -path "*/$cgroup_parent/*" 2>/dev/null | wc -l; }
temporary() { find "$work/root" -path '*/ingest/*' -o -name '*.new' -o -name 'probe-*' | wc -l; }
settled() { no_mount && (($(threads) <= threads_before + 8 && $(descriptors) <= descriptors_before + 8 && $(cgroups) <= cgroups_before + 16 && $(temporary) == 0)); }

round 0 40  # the pools reach their size
kiln prune --all > /dev/null
threads_before=$(threads) descriptors_before=$(descriptors) memory_before=$(memory) cgroups_before=$(cgroups)
round 40 $((40 + builds))
kiln prune --all > /dev/null
eventually 20 settled || fail "grown: threads $threads_before → $(threads), descriptors $descriptors_before → $(descriptors), cgroups $cgroups_before → $(cgroups), temporary files $(temporary)"
grown=$(($(memory) - memory_before))
# A build's record stays, so a little growth is right.
sanitized || ((grown < 8192 + builds * 20)) || fail "memory grew by $grown kB over $builds builds"
echo "$builds builds: threads $(threads), descriptors $(descriptors), memory $memory_before kB + $grown kB"
