#!/usr/bin/env bash
# Caches in places without manifests (s3, azblob, gha in both versions): what one build leaves there a fresh daemon
# finds, large layers travel in parts, and no fault of such a place ends a build. The places are servers of the tests'
# own that check signatures (tests/servers/object_places.py); KILN_TEST_S3 and KILN_TEST_AZBLOB name real ones, as
# attributes of a cache ("endpoint_url=…,bucket=…,…").
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/places.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
command -v python3 >/dev/null || skip "needs python3"
start_registry
start_daemon

mkdir "$work/ctx"
echo one > "$work/ctx/file"
cat > "$work/ctx/Dockerfile" <<D
FROM $registry/library/busybox:latest AS tool
RUN echo tool > /tool
RUN head -c 80000000 /dev/urandom > /large
FROM $registry/library/busybox:latest
COPY file /file
COPY --from=tool /tool /tool
RUN --mount=from=tool,target=/t cat /file /tool > /both && stat -c %s /t/large >> /both
D
build() { kiln build --progress plain --output type=tar,dest="$work/out.tar" "$@" "$work/ctx" 2>&1; }

there_and_back() { # WHAT ATTRIBUTES
  local out
  kiln prune --all >/dev/null
  out=$(build --cache-to "$2,mode=max") || fail "$1: the first build failed: $out"
  kiln prune --all >/dev/null
  out=$(build --cache-from "$2") || fail "$1: the second build failed: $out"
  [[ $(grep -c CACHED <<< "$out") -ge 5 ]] || fail "$1: not everything was found: $out"
  contains "$(tar -xOf "$work/out.tar" both | tr '\n' ' ')" "one tool 80000000"
  # A step that is new needs a tree that lies there.
  echo two > "$work/ctx/file"
  kiln prune --all >/dev/null
  out=$(build --cache-from "$2") || fail "$1: the changed build failed: $out"
  contains "$(tar -xOf "$work/out.tar" both | tr '\n' ' ')" "two tool 80000000"
  contains "$(grep -A1 'RUN echo tool' <<< "$out")" CACHED
  echo one > "$work/ctx/file"
  echo "ok: $1"
}

s3_attributes
there_and_back "s3, a server of the tests" "$s3,prefix=some/where/,name=one;two"
grep -q 'partNumber=2' "$work/s3.log" || fail "the large layer was not sent in parts"
# What is there is only refreshed.
sent=$(grep -c '^PUT' "$work/s3.log")
build --cache-to "$s3,prefix=some/where/,mode=max" >/dev/null || fail "the export of what is there failed"
(($(grep -c '^PUT' "$work/s3.log") > sent)) || fail "nothing was refreshed"
[[ ${KILN_TEST_S3:-} ]] && there_and_back "s3, $KILN_TEST_S3" "type=s3,$KILN_TEST_S3"

azblob_attributes
there_and_back "azblob, a server of the tests" "$azblob,prefix=some/where"
grep -q 'comp=blocklist' "$work/azure.log" || fail "the large layer was not sent in blocks"
[[ ${KILN_TEST_AZBLOB:-} ]] && there_and_back "azblob, $KILN_TEST_AZBLOB" "type=azblob,$KILN_TEST_AZBLOB"

gha_attributes
there_and_back "gha, version 1, a server of the tests" "$gha_old,scope=old"
there_and_back "gha, version 2, a server of the tests" "$gha_new,scope=new"

# Nothing that goes wrong there ends a build, unless it is asked to export there.
wrong=${s3/secret_access_key=secret/secret_access_key=wrong}
nobody=$(sed 's|127.0.0.1:[0-9]*|127.0.0.1:1|' <<< "$s3")
kiln prune --all >/dev/null
out=$(build --cache-from "$wrong,retry_max_attempts=1") || fail "a refused import ended the build: $out"
out=$(build --cache-from "$nobody,retry_max_attempts=1") || fail "an import from nowhere ended the build: $out"
out=$(build --cache-to "$wrong,ignore-error=true,retry_max_attempts=1") || fail "an export that may fail ended the build: $out"
out=$(build --cache-to "$wrong,retry_max_attempts=1") && fail "a refused export was not told"
contains "$out" "HTTP status 403"
out=$(build --cache-to type=s3,region=r1) && fail "a bucket is needed"
contains "$out" 'bucket ($AWS_BUCKET) not set for s3 cache'
echo "ok: faults"
