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

# -- flags, as users give them
printf 'FROM %s/library/busybox:latest AS first\nARG A\nRUN echo "$A" > /a && cat /etc/hosts > /hosts && df /dev/shm | tail -1 > /shm && ulimit -n > /n\nFROM first\nCOPY --from=extra /file /extra\nCOPY --from=img /bin/busybox /bb\nRUN --mount=type=secret,id=t,env=T echo "$T" > /t\n' \
  "$registry" > Dockerfile.flags
mkdir -p "$work/extra" && echo extra > "$work/extra/file"
T=secret buildx build --progress plain -f Dockerfile.flags --build-arg A=arg --add-host some.host:10.1.2.3 --shm-size 8m --ulimit nofile=123:124 \
  --network host --allow network.host --build-context "extra=$work/extra" --build-context "img=docker-image://$registry/library/busybox:latest" \
  --secret id=t,env=T --label a.b=c --annotation manifest:x.y=z --annotation index:i=j --no-cache-filter first --pull \
  --provenance mode=max --iidfile "$work/iid" --cache-to type=inline -t "$registry/it/flags:1" -o type=registry . > "$work/out" 2>&1 || fail "$(cat "$work/out")"
buildx build --progress plain -f Dockerfile.flags --build-arg A=arg --add-host some.host:10.1.2.3 --shm-size 8m --ulimit nofile=123:124 --network host \
  --allow network.host --build-context "extra=$work/extra" --build-context "img=docker-image://$registry/library/busybox:latest" \
  --secret id=t,src=file --provenance=false -o type=tar,dest="$work/flags.tar" . > "$work/out2" 2>&1 || fail "$(cat "$work/out2")"
raw=$(buildx imagetools inspect --raw "$registry/it/flags:1")
[[ $(jq -r .annotations.i <<< "$raw") == j ]] || fail "$raw"
[[ $(cat "$work/iid") == sha256:* ]] || fail "no image id"
contains "$(buildx imagetools inspect "$registry/it/flags:1" --format '{{json .Provenance}}')" '"resolvedDependencies"' ||
  contains "$(buildx imagetools inspect "$registry/it/flags:1" --format '{{json .Provenance}}')" materials
[[ $(buildx imagetools inspect "$registry/it/flags:1" --format '{{json .Image}}' | jq -r '.config.Labels["a.b"]') == c ]] || fail "no label"
for file in "a arg" "n 123" "extra extra" "t secret"; do
  [[ $(tar -xOf "$work/flags.tar" "${file% *}") == "${file#* }" ]] || fail "$file: $(tar -xOf "$work/flags.tar" "${file% *}")"
done
contains "$(tar -xOf "$work/flags.tar" hosts)" some.host
contains "$(tar -xOf "$work/flags.tar" shm)" 8192
tar -c file Dockerfile | buildx build --progress plain --target one -o type=local,dest="$work/piped" - > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(cat "$work/piped/one") == hello ]] || fail "a context on standard input"
buildx build --progress plain -f - -o type=local,dest="$work/inline" . < <(printf 'FROM scratch\nCOPY file /x\n') > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(cat "$work/inline/x") == hello ]] || fail "a Dockerfile on standard input"
contains "$(buildx build --call outline -f Dockerfile.flags --build-context "extra=$work/extra" --build-context "img=docker-image://$registry/library/busybox:latest" . 2>&1)" "BUILD ARG"
contains "$(buildx build --call targets -f Dockerfile.flags . 2>&1)" "first"
buildx build --progress plain --target one --cache-to type=local,dest="$work/cache" --cache-to "type=registry,ref=$registry/it/cache:1,mode=max" . > "$work/out" 2>&1 ||
  fail "$(cat "$work/out")"
buildx build --progress plain --platform linux/amd64,linux/arm64 --target files -f - -t "$registry/it/multi:1" --push . > "$work/out" 2>&1 \
  < <(printf 'FROM scratch AS files\nCOPY file /x\n') || fail "$(cat "$work/out")"
[[ $(buildx imagetools inspect --raw "$registry/it/multi:1" | jq '[.manifests[] | select(.platform.os == "linux")] | length') == 2 ]] || fail "two platforms"
buildx imagetools create -t "$registry/it/joined:1" --annotation index:k=v "$registry/it/multi:1" "$registry/it/one:1" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
cat > matrix.hcl <<'D'
group "default" { targets = ["each"] }
target "each" {
  name = "each-${item}"
  matrix = { item = ["x", "y"] }
  args = { ITEM = item }
  dockerfile-inline = "FROM scratch\nARG ITEM\nCOPY file /$${ITEM}"
  output = ["type=local,dest=${OUT}/${item}"]
}
variable "OUT" {}
D
OUT=$work/matrix buildx bake -f matrix.hcl --allow "fs.write=$work" --progress plain > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(cat "$work/matrix/x/x" "$work/matrix/y/y") == $'hello\nhello' ]] || fail "bake's matrix: $(find "$work/matrix")"

# -- looking into what failed: a shell in the tree of the failed step
out=$(printf '%s\n' 'exec /bin/cat /etc/group' exit |
  BUILDX_EXPERIMENTAL=1 "$top/tests/integration/typist.py" '(buildx)' 60 "$buildx" debug --invoke /bin/not-there --on error build --progress plain -f Dockerfile.bad . || true)
contains "$out" "exit code: 7"
contains "$out" "/bin/not-there: no such file or directory"
contains "$out" "ERROR: invoke: exit code:"
contains "$out" "nobody:x:65534:"

# -- a debugger: stops at a line, shows the tree before each step, and stops again where a step fails
printf 'FROM %s/library/busybox:latest\nRUN echo one > /one\nRUN echo two > /two\nRUN exit 3\n' "$registry" > Dockerfile.steps
out=$(BUILDX_EXPERIMENTAL=1 timeout 60 "$top/tests/integration/debugger.py" "$PWD" Dockerfile.steps 3 "$buildx" dap build) || fail "$out"
[[ $(cut -d'|' -f1,2 <<< "$out") == $'breakpoint | [3/4] RUN echo two > /two \nstep | [4/4] RUN exit 3 \nexception | [4/4] RUN exit 3 ' ]] || fail "$out"
files=$(cut -d'|' -f3 <<< "$out")
[[ $(head -1 <<< "$files") == *" one "* && $(head -1 <<< "$files") != *" two "* && $(tail -1 <<< "$files") == *" two "* ]] || fail "$out"

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
# Records travel: the image's index is kept with its record, also when the image itself is gone.
kiln prune --all > /dev/null
for one in "$ref" "${local_ref##*/}"; do
  buildx history export -o "$work/record.dockerbuild" "$one" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
  [[ $(tar -xzOf "$work/record.dockerbuild" index.json | jq '.manifests | length') == 1 ]] || fail "the exported record is empty"
done
for kind in index manifest provenance; do
  buildx history inspect attachment "$ref" --type "$kind" > "$work/out" 2>&1 || fail "attachment $kind: $(cat "$work/out")"
  jq -e . "$work/out" > /dev/null || fail "attachment $kind: $(cat "$work/out")"
done
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
buildx build --progress plain --target one . > "$work/out" 2>&1 || fail "$(cat "$work/out")"
buildx build --builder carried --progress plain --target one -t "$registry/it/carried:1" --push . > "$work/out" 2>&1 || fail "$(cat "$work/out")"
contains "$(cat "$work/out")" CACHED
echo "built, pushed, baked, looked back"
