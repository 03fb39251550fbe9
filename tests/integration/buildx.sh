#!/usr/bin/env bash
# docker-buildx as the client: build, push, bake, du, prune, imagetools and the history, through the
# remote driver; and what its container driver runs beside the daemon (dial-stdio, debug workers,
# --version).
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"

find_buildx() {
  for buildx in "${KILN_BUILDX:-}" /usr/libexec/docker/cli-plugins/docker-buildx /usr/lib/docker/cli-plugins/docker-buildx; do
    [[ -x $buildx ]] && return
  done
  local reason
  reason=$("$top/tools/from-suite" sid "$work/sid" docker-buildx 2>&1) || skip "docker-buildx is not to be had: $reason"
  buildx=$(find "$work/sid" -name docker-buildx -type f | head -1)
  "$buildx" version > /dev/null 2>&1 || skip "docker-buildx does not run here"
}
find_buildx
buildx() { "$buildx" "$@"; }
export BUILDX_CONFIG=$work/buildx DOCKER_CONFIG=$work/docker BUILDX_GIT_INFO=0

start_registry
start_daemon --allow-insecure-entitlement=network.host
buildx create --name kiln --driver remote "unix://$work/s.sock" > /dev/null
export BUILDX_BUILDER=kiln

mkdir "$work/c"
echo hello > "$work/c/file"
cat > "$work/c/Dockerfile" <<D
FROM $registry/library/busybox:latest AS base
RUN echo base > /base
FROM base AS one
COPY file /one
FROM base AS two
RUN --mount=type=secret,id=s cat /run/secrets/s > /two
D
cat > "$work/c/docker-bake.hcl" <<'D'
group "default" { targets = ["one", "two", "linked"] }
variable "NAME" { default = "x" }
target "one" {
  target = "one"
  tags = ["${NAME}/one:1"]
}
target "two" {
  target = "two"
  tags = ["${NAME}/two:1"]
  secret = ["id=s,src=file"]
}
target "linked" {
  contexts = { parent = "target:one" }
  dockerfile-inline = "FROM parent\nRUN cat /one > /linked"
  tags = ["${NAME}/linked:1"]
}
D
cd "$work/c"

# -- the builder
out=$(buildx inspect)
grep -q "^Status: *running" <<< "$out" || fail "$out"
contains "$out" "GC Policy rule#0"
contains "$out" "linux/amd64"

# -- one build, its metadata
buildx build --progress plain --target one -t "$registry/it/one:1" --push --metadata-file "$work/meta.json" . > "$work/out" 2>&1 ||
  fail "$(cat "$work/out")"
digest=$(jq -r '."containerimage.digest"' "$work/meta.json")
ref=$(jq -r '."buildx.build.ref"' "$work/meta.json")
ref=${ref##*/}
[[ $digest == sha256:* && $ref ]] || fail "metadata: $(cat "$work/meta.json")"
jq -e '."buildx.build.provenance"' "$work/meta.json" > /dev/null || fail "no provenance in the metadata"
contains "$(buildx imagetools inspect "$registry/it/one:1")" "$digest"
[[ $(buildx imagetools inspect --raw "$registry/it/one:1" | jq '.manifests | length') == 2 ]] || fail "no attestation manifest"
buildx build -q --target one --load . > /dev/null 2>&1 && fail "--load without a docker daemon succeeds"
buildx build --progress plain --target one -o type=local,dest="$work/local" --metadata-file "$work/local.json" . > /dev/null 2>&1
local_ref=$(jq -r '."buildx.build.ref"' "$work/local.json")
[[ $(cat "$work/local/one") == hello ]] || fail "the local output is wrong"

# -- bake: three targets at once, one built on another
NAME=$registry/bake buildx bake --progress plain --push > "$work/out" 2>&1 || fail "$(cat "$work/out")"
for name in one two linked; do
  buildx imagetools inspect "$registry/bake/$name:1" > /dev/null || fail "bake did not push $name"
done
buildx imagetools create -t "$registry/bake/both:1" "$registry/bake/one:1" > "$work/out" 2>&1 || fail "$(cat "$work/out")"

# -- a failure says what and where
printf 'FROM %s/library/busybox:latest\nRUN echo no good && exit 7\n' "$registry" > Dockerfile.bad
code=0
buildx build --progress plain -f Dockerfile.bad . > "$work/out" 2>&1 || code=$?
((code == 1)) || fail "a failed build exits with $code: $(cat "$work/out")"
contains "$(cat "$work/out")" "exit code: 7"
contains "$(cat "$work/out")" ">>> RUN echo no good"
contains "$(buildx build --call check -f Dockerfile.bad . 2>&1)" "no warnings found"

# -- du and prune
contains "$(buildx du)" "Total:"
contains "$(buildx du --verbose)" "Description:"
buildx prune --force --filter type=source.local > "$work/out" 2>&1 || fail "$(cat "$work/out")"

# -- the history
contains "$(buildx history ls)" "Completed"
failures=$(buildx history ls --filter status=error --format json)
contains "$failures" Dockerfile.bad
[[ $(jq -r .status <<< "$failures" | sort -u) == Error ]] || fail "$failures"
contains "$(buildx history logs "$ref" 2>&1)" "RUN echo base"
contains "$(buildx history inspect "$ref")" "Build Steps:"
contains "$(buildx history inspect attachment "$ref" --type provenance)" "buildType"
contains "$(buildx history inspect --format json "$ref")" '"Status": "completed"'
buildx history export -o "$work/record.dockerbuild" "${local_ref##*/}" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ -s $work/record.dockerbuild ]] || fail "the exported record is empty"
# Asking why finalizes the record; the trace is there then.
kiln why "$ref" > /dev/null
[[ $(kiln debug logs --trace "$ref" | jq -s 'length') -gt 5 ]] || fail "the trace has too few spans"
buildx history rm "$ref" > /dev/null
! buildx history logs "$ref" > /dev/null 2>&1 || fail "a removed record is still there"

# -- what the container driver runs beside the daemon
[[ $("$bin/buildkitd" --version | wc -w) == 4 ]] || fail "buildkitd --version: $("$bin/buildkitd" --version)"
BUILDKIT_HOST=unix://$work/s.sock "$bin/buildctl" debug workers > /dev/null || fail "buildctl debug workers"
cat > "$work/carry.py" <<'P'
import os, socket, subprocess, sys, threading
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    connection, _ = listener.accept()
    subprocess.Popen(sys.argv[2:], stdin=connection.fileno(), stdout=connection.fileno())
    connection.close()
P
BUILDKIT_HOST=unix://$work/s.sock python3 "$work/carry.py" "$work/carried.sock" "$bin/buildctl" dial-stdio & pids+=($!)
for _ in $(seq 100); do [[ -S $work/carried.sock ]] && break; sleep 0.05; done
buildx create --name carried --driver remote "unix://$work/carried.sock" > /dev/null
buildx build --builder carried --progress plain --target one -t "$registry/it/carried:1" --push . > "$work/out" 2>&1 || fail "$(cat "$work/out")"
contains "$(cat "$work/out")" CACHED
echo "built, pushed, baked, looked back"
