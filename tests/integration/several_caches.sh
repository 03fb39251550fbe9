#!/usr/bin/env bash
# Several caches of one build: two directories of different kinds, a registry beside a directory, records inside the
# image beside both. Each is whole by itself, named in its own index, and found by a fresh daemon.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
mkdir "$work/ctx"
cat > "$work/ctx/Dockerfile" <<D
FROM $registry/library/busybox:latest AS base
RUN echo one > /one
FROM $registry/library/busybox:latest
COPY --from=base /one /
RUN echo two > /two
D
build() { kiln build --progress plain "$@" "$work/ctx" 2>&1; }
# Every digest that the index names is there.
is_whole() {
  local digest
  digest=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]+"/index.json"))["manifests"][0]["digest"])' "$1") ||
    fail "'$1' has no index"
  [[ -f $1/blobs/sha256/${digest#sha256:} ]] || fail "'$1' names $digest, which is not there"
}
found() { # WHAT MIN ARGUMENTS…
  local out
  kiln prune --all > /dev/null
  out=$(build "${@:3}") || fail "$1: $out"
  [[ $(grep -c CACHED <<< "$out") -ge $2 ]] || fail "$1: expected $2 steps from the cache: $out"
}

out=$(build --cache-to "type=local,dest=$work/max,mode=max" --cache-to "type=local,dest=$work/min,mode=min" \
  --cache-to "type=local,dest=$work/zstd,mode=max,compression=zstd,force-compression=true") || fail "three directories: $out"
is_whole "$work/max"; is_whole "$work/min"; is_whole "$work/zstd"
found "mode max" 3 --cache-from "type=local,src=$work/max"
found "mode min" 2 --cache-from "type=local,src=$work/min"
found "zstd" 3 --cache-from "type=local,src=$work/zstd"
# The same again writes nothing new and loses no name.
out=$(build --cache-to "type=local,dest=$work/max,mode=max" --cache-to "type=local,dest=$work/min,mode=min") || fail "again: $out"
is_whole "$work/max"; is_whole "$work/min"

ref=$registry/it/several
for order in "type=local,dest=$work/a,mode=max type=registry,ref=$ref:a,mode=min,oci-mediatypes=false" \
  "type=registry,ref=$ref:b,mode=min,oci-mediatypes=false type=local,dest=$work/b,mode=max"; do
  read -r first second <<< "$order"
  out=$(build --cache-to "$first" --cache-to "$second" --cache-to type=inline --metadata-file "$work/meta.json" \
    --output "type=image,name=$ref:image,push=true") || fail "a directory and a registry: $out"
  grep -q '"cache.manifest"' "$work/meta.json" || fail "no cache is told: $(cat "$work/meta.json")"
done
for one in a b; do
  is_whole "$work/$one"
  found "directory $one" 3 --cache-from "type=local,src=$work/$one"
  found "registry $one" 2 --cache-from "type=registry,ref=$ref:$one"
done
found "inline" 2 --cache-from "type=registry,ref=$ref:image"
# Many builds into one directory at once: nobody takes away what another writes, and no name is lost.
builders=()
for i in 1 2 3 4 5 6; do
  mkdir "$work/c$i"
  sed "s/echo one/echo one-$i/" "$work/ctx/Dockerfile" > "$work/c$i/Dockerfile"
  kiln build --progress plain --cache-to "type=local,dest=$work/shared,mode=max,tag=t$i" "$work/c$i" > "$work/c$i.log" 2>&1 & builders+=($!)
done
for i in 1 2 3 4 5 6; do wait "${builders[$((i - 1))]}" || fail "one of many: $(tail -3 "$work/c$i.log")"; done
[[ $(grep -o '"t[1-6]"' "$work/shared/index.json" | sort -u | wc -l) == 6 ]] || fail "a name is lost: $(cat "$work/shared/index.json")"
out=$(build --cache-to "type=local,dest=$work/x" --cache-to "type=local,dest=$work/x" || true)
contains "$out" "duplicate cache exports [local]"
echo "several caches of one build stand by themselves"
