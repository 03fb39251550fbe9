#!/usr/bin/env bash
# A daemon killed in any phase of a build comes back with its cache: the client hears it in one
# sentence, no process, mount, half-written blob or nameless tree stays, and the same build then
# succeeds with what was done before taken from the cache.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
export TMPDIR=$work/tmp
mkdir "$TMPDIR"
start_marked_daemon
mark=sleep.$$.${work##*.}
ctx=$work/ctx
mkdir "$ctx"
base=$faulty/library/busybox:latest
image=$faulty/it/killed

# in_background ARGS…: a build whose output goes to build.log
in_background() { kiln build --progress plain "$@" "$ctx" > "$work/build.log" 2>&1 & client=$!; }
build() { kiln build --progress plain "$@" "$ctx" > "$work/again.log" 2>&1 || fail "$phase: the build after the kill failed: $(cat "$work/again.log")"; }
root_bytes() { du -sB1 "$work/root" 2>/dev/null | cut -f1; }
grown() { (($(root_bytes) > $1)); }

# Kills the daemon, hears what the client says, starts it again and looks for what was left.
kill_and_restart() {
  kill_daemon
  kill -CONT "$client" 2>/dev/null || true
  if wait "$client"; then fail "$phase: the client of a killed daemon reported success"; fi
  contains "$(tail -1 "$work/build.log")" "lost"
  eventually 10 no_process "$mark" || fail "$phase: a step outlived its daemon"
  clear_faults
  start_marked_daemon
  eventually 10 no_mount || fail "$phase: mounts left: $(grep -F "$work/root" /proc/self/mountinfo)"
  eventually 10 swept || fail "$phase: left over: $(left_over)"
}
# Trees without a record, blobs half written.
left_over() {
  find "$work/root/content/ingest" "$work/root/history/content/ingest" -type f
  local known; known=$(kiln du -v | awk '/^ID:/{print $2}' | wc -l)
  local held; held=$(find "$work/root/trees/snapshots" -mindepth 2 -maxdepth 2 -type d ! -name empty | wc -l)
  ((held <= known)) || echo "$held trees on disk, $known in the records"
}
swept() { [[ -z $(left_over) ]]; }
cached() { contains "$(grep -A1 "$1" "$work/again.log")" CACHED; }

dockerfile() { printf 'FROM %s\nRUN echo one > /one\nCOPY . /ctx\nRUN %s\n' "$base" "$1" > "$ctx/Dockerfile"; }

phase=run
dockerfile "test -e /ctx/go || sh -c 'sleep 1000; : $mark'"
in_background
eventually 30 some_process "$mark" || fail "the step did not start: $(cat "$work/build.log")"
kill_and_restart
touch "$ctx/go"
build
cached "RUN echo one"

phase=mount
cp "$ctx/Dockerfile" "$work/before"
printf 'FROM %s AS base\nFROM base\nRUN --mount=type=cache,from=base,target=/kept sh -c "sleep 1000; : %s"\n' "$base" "$mark" > "$ctx/Dockerfile"
in_background
eventually 30 some_process "$mark" || fail "the step did not start: $(cat "$work/build.log")"
grep -qF "$TMPDIR/" /proc/self/mountinfo || fail "$phase: nothing is mounted that could be left"
mkdir "$TMPDIR/kiln-of-somebody-else"
kill_and_restart
[[ -z $(find "$TMPDIR" -mindepth 2) && -d $TMPDIR/kiln-of-somebody-else ]] || fail "$phase: left over: $(find "$TMPDIR")"
mv "$work/before" "$ctx/Dockerfile"

phase=context
truncate -s 400M "$ctx/large"
before=$(root_bytes)
in_background
eventually 30 grown $((before + 8000000)) || fail "no context arrived"
kill -STOP "$client"
kill_and_restart
truncate -s 1M "$ctx/large"
build
cached "RUN echo one"

phase=pull
kiln prune --all >/dev/null
fault GET /blobs/ drip 300000
in_background
fault_was_hit
kill_and_restart
build

phase=commit
dockerfile "mkdir /many; for i in \$(seq 3000); do echo \$i > /many/\$i; done; dd if=/dev/zero of=/many/large bs=1M count=64 2>/dev/null"
for delay in 0.02 0.1 0.3; do
  before=$(root_bytes)
  in_background --no-cache
  eventually 30 grown $((before + 60000000)) || fail "the step wrote nothing: $(cat "$work/build.log")"
  sleep "$delay"
  kill -0 "$client" 2>/dev/null || continue  # faster than we
  kill_daemon; wait "$client" || true
  start_marked_daemon
  eventually 10 swept || fail "$phase: left over: $(left_over)"
done
build
cached "RUN echo one"

phase=push
fault "*" "/blobs/uploads/" stall
in_background -t "$image:latest" --push
fault_was_hit
kill_and_restart
build -t "$image:latest" --push
cached "RUN mkdir"

phase=export
mkfifo "$work/slow"
sleep 1000 < "$work/slow" & reader=$!
kiln build --progress plain --output type=tar,dest=- "$ctx" > "$work/slow" 2> "$work/build.log" & client=$!
eventually 30 grep -q "tarball" "$work/build.log" || fail "no export began: $(cat "$work/build.log")"
kill_daemon
kill "$reader"; wait "$reader" 2>/dev/null || true
if wait "$client"; then fail "$phase: success after a kill"; fi
start_marked_daemon
eventually 10 swept || fail "$phase: left over: $(left_over)"
build --output "type=tar,dest=$work/out.tar"
tar -tf "$work/out.tar" many/3000 >/dev/null || fail "$phase: the archive is incomplete"

phase=cache
fault PUT /manifests/ stall
in_background --cache-to "type=registry,ref=$image:cache,mode=max"
fault_was_hit
kill_and_restart
build --cache-to "type=registry,ref=$image:cache,mode=max"
cached "RUN mkdir"

phase=prune
for delay in 0 0.01 0.03; do
  kiln prune --all > "$work/build.log" 2>&1 & client=$!
  sleep "$delay"
  kill_daemon; wait "$client" || true
  start_marked_daemon
  eventually 10 swept || fail "$phase: left over: $(left_over)"
  build
done
kiln prune --all >/dev/null
contains "$(kiln du | grep Total: | tr -d '[:space:]')" "Total:0B"
[[ -z $(find "$work/root/content/blobs" -type f) ]] || fail "blobs that nobody holds: $(find "$work/root/content/blobs" -type f)"
eventually 10 no_busy_cgroup || fail "processes in cgroups of ended steps"
echo "killed in every phase, nothing lost, nothing left"
