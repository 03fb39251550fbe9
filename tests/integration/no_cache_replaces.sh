#!/usr/bin/env bash
# What a build without cache made replaces what was there: the next build with cache finds the newer of two results
# of one step, also when both are found under several keys, by definition and by content.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
start_registry
start_daemon
mkdir -p "$work/context"
cat > "$work/context/Dockerfile" <<D
FROM $registry/library/busybox:latest AS made
RUN head -c 100 /dev/urandom | sha256sum > /one
FROM $registry/library/busybox:latest AS other
RUN head -c 100 /dev/urandom | sha256sum > /two
FROM scratch
COPY --from=made /one /
COPY --from=other /two /
D
build() { kiln build --progress plain --output "type=local,dest=$work/$1" "${@:2}" "$work/context" > "$work/log" 2>&1 || fail "$(cat "$work/log")"; }
for round in 1 2 3 4; do
  build first
  build again --no-cache
  build third
  cmp -s "$work/first/one" "$work/again/one" && fail "round $round: nothing ran without cache"
  cmp -s "$work/again/one" "$work/third/one" || fail "round $round: the older result was taken"
  cmp -s "$work/again/two" "$work/third/two" || fail "round $round: the older result was taken"
done
echo "the newer result is found"
