#!/usr/bin/env bash
# A Dockerfile becomes an image in a registry; the same build again runs nothing, also after the
# daemon was killed; a change runs only what depends on it.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
mkdir "$work/ctx"
echo one > "$work/ctx/file"
cat > "$work/ctx/Dockerfile" <<D
FROM $registry/library/busybox:latest AS base
RUN echo first > /first
FROM base
COPY file /file
RUN cat /first /file > /both
D
build() { kiln build --progress plain -t "$registry/it/image:latest" --push "$work/ctx" 2>&1; }

out=$(build) || fail "the build failed: $out"
digest=$(curl -sfI -H 'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json' \
  "http://$registry/v2/it/image/manifests/latest" | tr -d '\r' | awk 'tolower($1)=="docker-content-digest:"{print $2}')
[[ $digest == sha256:* ]] || fail "the image is not in the registry"

out=$(build) || fail "the second build failed: $out"
[[ $(grep -c CACHED <<< "$out") -ge 3 ]] || fail "not everything came from the cache: $out"

kill -9 "$daemon"; wait "$daemon" 2>/dev/null || true
start_daemon
out=$(build) || fail "the build after a kill failed: $out"
[[ $(grep -c CACHED <<< "$out") -ge 3 ]] || fail "the cache did not survive a kill: $out"

echo two > "$work/ctx/file"
out=$(build) || fail "the changed build failed: $out"
contains "$(grep -A1 'RUN echo first' <<< "$out")" CACHED
out=$(kiln build --progress plain --output type=tar,dest="$work/out.tar" "$work/ctx" 2>&1) || fail "tar export: $out"
contains "$(tar -xOf "$work/out.tar" both | tr '\n' ' ')" "first two"
echo "built, pushed, cached, survived"
