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

# The same in a registry, whose cache manifest still stands: its bytes for a step, for files, and for a push.
ref=$registry/it/lost-cache:latest
lose_in_registry() {
  local lost
  lost=$(find "$work/registry/docker/registry/v2/repositories/it/lost-cache/_layers" -name link)
  [[ $lost ]] || fail "the registry has no layers of the cache"
  while read -r link; do
    local digest data
    digest=$(sed 's/sha256://' "$link")
    data=$work/registry/docker/registry/v2/blobs/sha256/${digest:0:2}/$digest/data
    grep -q '"records"' "$data" || rm -f "$link"
  done <<< "$lost"
}
for wanted in step "tar --output type=tar,dest=$work/d.tar" "push --output type=image,name=$registry/it/from-lost:latest,push=true"; do
  forget
  write_dockerfile "${wanted%% *}"
  out=$(kiln build --progress plain --cache-to "type=registry,ref=$ref,mode=max" "$work/ctx" 2>&1) || fail "cache of $wanted: $out"
  forget
  lose_in_registry
  if [[ $wanted == step ]]; then write_dockerfile another; fi
  output=()
  [[ $wanted == *" "* ]] && read -ra output <<< "${wanted#* }"
  out=$(kiln build --progress plain --cache-from "type=registry,ref=$ref" "${output[@]}" "$work/ctx" 2>&1) || fail "${wanted%% *} on lost layers: $out"
done
contains "$(tar -xOf "$work/d.tar" both version | tr '\n' ' ')" "one two tar"

# Nobody looked into what was found, until a later build without that cache wants it all at the end: for a push of
# what it knows itself, for a layout, and for another cache.
for wanted in "push --output type=image,name=$registry/it/from-known:latest,push=true" \
  "layout --output type=oci,dest=$work/e.tar" "cache --cache-to type=local,dest=$work/other,mode=max"; do
  forget
  write_dockerfile "late ${wanted%% *}"
  out=$(kiln build --progress plain --cache-to "type=registry,ref=$ref,mode=max" "$work/ctx" 2>&1) || fail "cache of $wanted: $out"
  forget
  out=$(kiln build --progress plain --cache-from "type=registry,ref=$ref" "$work/ctx" 2>&1) || fail "the import of $wanted: $out"
  lose_in_registry
  read -ra output <<< "${wanted#* }"
  out=$(kiln build --progress plain "${output[@]}" "$work/ctx" 2>&1) || fail "late ${wanted%% *} of lost layers: $out"
done
contains "$(tar -tf "$work/e.tar")" blobs/sha256/
out=$(kiln build --progress plain --output type=tar,dest="$work/f.tar" "$work/ctx" 2>&1) || fail "the last build: $out"
contains "$(tar -xOf "$work/f.tar" both version | tr '\n' ' ')" "one two late cache"

# A layer that answers when it is asked for, and is gone, or damaged, when it is wanted while the result leaves.
start_faulty_registry
faulty_ref=$faulty/it/cache:latest
write_on_faulty() {
  cat > "$work/ctx/Dockerfile" <<D
FROM scratch AS base
COPY --from=$registry/library/busybox:latest / /
RUN echo one > /one
FROM base
RUN echo $1 > /version
D
}
for fault in "status 404" "status 403" flip; do
  forget
  write_on_faulty "$fault"
  out=$(kiln build --progress plain --cache-to "type=registry,ref=$faulty_ref,mode=max" "$work/ctx" 2>&1) || fail "cache for '$fault': $out"
  forget
  # The cache's configuration is no layer.
  config=$(curl -sf "http://$faulty/v2/it/cache/manifests/latest" | grep -o '"config":{[^}]*' | grep -o 'sha256:[0-9a-f]*')
  [[ $config ]] || fail "the cache has no manifest"
  fault GET "/v2/it/cache/blobs/(?!$config)" $fault
  out=$(kiln build --progress plain --cache-from "type=registry,ref=$faulty_ref" \
    --output "type=image,name=$registry/it/in-flight:1,push=true" --output "type=oci,dest=$work/g.tar" "$work/ctx" 2>&1) ||
    fail "'$fault' while it leaves: $out"
  clear_faults
  forget
  printf 'FROM %s/it/in-flight:1\nRUN cat /one /version > /all\n' "$registry" > "$work/ctx/Dockerfile"
  out=$(kiln build --progress plain --output "type=tar,dest=$work/h.tar" "$work/ctx" 2>&1) || fail "the pushed image: $out"
  contains "$(tar -xOf "$work/h.tar" all | tr '\n' ' ')" "one $fault"
  contains "$(tar -tf "$work/g.tar")" index.json
done
echo "lost layers were made again"
