#!/usr/bin/env bash
# A registry that stumbles is asked again; one that lies, loops or refuses is named in one sentence.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
start_marked_daemon
mkdir "$work/ctx"
base=$faulty/library/busybox:latest
printf 'FROM %s\nRUN true\n' "$base" > "$work/ctx/Dockerfile"
pull() { kiln prune --all > /dev/null; kiln build --progress plain "$@" "$work/ctx" > "$work/log" 2>&1; }
survives() { fault "$@"; pull || fail "gave up at '$*': $(tail -5 "$work/log")"; fault_was_hit; clear_faults; }
# told PART FAULT…
told() {
  local part=$1; shift
  fault "$@"
  if pull; then fail "took no notice of '$*'"; fi
  [[ $(grep -c '^error: ' "$work/log") == 1 ]] || fail "'$*': not one sentence: $(cat "$work/log")"
  contains "$(grep '^error: ' "$work/log")" "$part"
  contains "$(grep '^error: ' "$work/log")" "$faulty"
  clear_faults
}
for what in manifests blobs; do
  survives GET "/$what/" status 503 times=1
  survives GET "/$what/" status 429 times=1
  survives GET "/$what/" cut 200 times=1
  told "403 Forbidden" GET "/$what/" status 403
  told "stopped after 10 redirects" GET "/$what/" loop
  told "digest" GET "/$what/" flip
done
survives HEAD /manifests/ status 500 times=1
told "not found" HEAD /manifests/ header Docker-Content-Digest=sha256:0000000000000000000000000000000000000000000000000000000000000000
told "digest" GET /manifests/ body "{}"
pull || fail "the next build: $(cat "$work/log")"

push() { kiln build --progress plain -t "$faulty/it/push:latest" --push "$work/ctx" > "$work/log" 2>&1; }
printf 'FROM %s\nRUN echo pushed > /pushed\n' "$base" > "$work/ctx/Dockerfile"
for kind in "POST /blobs/uploads/ status 503 times=1" "PUT /blobs/uploads/ status 500 times=1" "PUT /manifests/ status 429 times=1"; do
  # shellcheck disable=SC2086
  fault $kind
  push || fail "gave up pushing at '$kind': $(tail -5 "$work/log")"
  clear_faults
done
# Another image: what the registry has already under that name is not sent again.
echo "LABEL refused=yes" >> "$work/ctx/Dockerfile"
fault PUT /manifests/ status 403
if push; then fail "pushed what was refused"; fi
contains "$(grep '^error: ' "$work/log")" "403 Forbidden"
clear_faults
push || fail "the next push: $(cat "$work/log")"
echo "asked again where it helps, named where not"
