#!/usr/bin/env bash
# A cache in a directory lost its layers after it was written: its records still promise them. Steps that
# need the bytes, and exports that do, run what the records stood for; the build never fails.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
mkdir "$work/ctx"
write_dockerfile() {
  cat > "$work/ctx/Dockerfile" <<D
FROM $registry/library/busybox:latest AS base
RUN echo one > /one
RUN echo two > /two
FROM $registry/library/busybox:latest
COPY --from=base /one /two /
RUN cat /one /two > /both && echo $1 > /version
D
}
forget() { kiln prune --all > /dev/null 2>&1; }
# Everything but small documents goes from the cache.
lose_layers() {
  local lost
  lost=$(find "$work/cache/blobs" -type f -exec grep -L '"schemaVersion"\|"records"' {} +)
  [[ $lost ]] || fail "the cache has no layers"
  rm -f $lost
}

write_dockerfile 1
out=$(kiln build --progress plain --cache-to "type=local,dest=$work/cache,mode=max" --output "type=tar,dest=$work/a.tar" "$work/ctx" 2>&1) ||
  fail "the first build: $out"
forget
lose_layers
write_dockerfile 2
out=$(kiln build --progress plain --cache-from "type=local,src=$work/cache" --output "type=tar,dest=$work/b.tar" "$work/ctx" 2>&1) ||
  fail "a step on lost layers: $out"
contains "$(tar -xOf "$work/b.tar" both version | tr '\n' ' ')" "one two 2"

# Nothing needs to run, but the export needs the bytes.
forget
rm -rf "$work/cache"
write_dockerfile 3
out=$(kiln build --progress plain --cache-to "type=local,dest=$work/cache,mode=max" "$work/ctx" 2>&1) || fail "the third build: $out"
forget
lose_layers
out=$(kiln build --progress plain --cache-from "type=local,src=$work/cache" --output "type=tar,dest=$work/c.tar" "$work/ctx" 2>&1) ||
  fail "an export of lost layers: $out"
contains "$(tar -xOf "$work/c.tar" both version | tr '\n' ' ')" "one two 3"
