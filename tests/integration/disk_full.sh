#!/usr/bin/env bash
# A full disk, met while a step writes, a context arrives, a layer is pulled or exported: one sentence
# that says so, the daemon lives and starts, prune makes room even when not a byte is left.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
mkdir "$work/ctx" "$work/root"
mount -t tmpfs -o size=48m tmpfs "$work/root" || skip "may not mount"
mounted+=("$work/root")
start_marked_daemon
base=$faulty/library/busybox:latest

# full PLACE PART ARGS…: the build fails and its error says PART; after a prune the next one works
full() {
  local place=$1 part=$2 code=0; shift 2
  kiln build --progress plain "$@" "$work/ctx" > "$work/log" 2>&1 || code=$?
  ((code == 1)) || fail "$place: exit code $code: $(cat "$work/log")"
  grep -v '^error: ' "$work/log" | grep -qi 'no space' || contains "$(grep '^error: ' "$work/log")" "$part"
  contains "$(cat "$work/log")" "$part"
  rm -f "$work/ctx"/*
  works "$place"
}
works() {
  kill -0 "$daemon" || fail "$1: the daemon is gone"
  kiln prune --all > "$work/log" 2>&1 || fail "$1: no prune: $(cat "$work/log")"
  printf 'FROM %s\nRUN true\n' "$base" > "$work/ctx/Dockerfile"
  kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || fail "$1: the next build: $(cat "$work/log")"
  kiln du > "$work/log" 2>&1 || fail "$1: no du: $(cat "$work/log")"
}
fill() { dd if=/dev/zero of="$work/root/filler" bs=4k 2>/dev/null || true; }

works begin
printf 'FROM %s\nRUN dd if=/dev/zero of=/x bs=1M count=100\n' "$base" > "$work/ctx/Dockerfile"
full step "o space left on device"
truncate -s 100M "$work/ctx/large"; printf 'FROM scratch\nCOPY large /\n' > "$work/ctx/Dockerfile"
full context "o space left on device"
truncate -s 30M "$work/ctx/large"; printf 'FROM scratch\nCOPY large /\n' > "$work/ctx/Dockerfile"
full copy "o space left on device"
printf 'FROM %s\nRUN dd if=/dev/urandom of=/x bs=1M count=25 2>/dev/null\n' "$base" > "$work/ctx/Dockerfile"
full export "o space left on device" --output "type=oci,dest=$work/out.tar"
"$top/tests/integration/odd_images.py" large "$faulty" 100
printf 'FROM %s/odd/large:latest\nCOPY Dockerfile /\n' "$faulty" > "$work/ctx/Dockerfile"
full pull "o space left on device"
# Not a byte: even what is found out about the failure cannot be written down.
fill
code=0; kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || code=$?
((code == 1)) || fail "a build without a byte of disk: exit code $code: $(cat "$work/log")"
contains "$(cat "$work/log")" "o space left"
kiln prune --all > "$work/log" 2>&1 || fail "no prune on a full disk: $(cat "$work/log")"
rm "$work/root/filler"
works "not a byte left"
fill
kill_daemon
start_marked_daemon
kiln prune --all > "$work/log" 2>&1 || fail "no prune after a start on a full disk: $(cat "$work/log")"
rm "$work/root/filler"
works "start on a full disk"
echo "full in every place, and emptied again"
