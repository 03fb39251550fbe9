#!/usr/bin/env bash
# Why a step was not found: an argument, a file, another base, no-cache and a pruned result are each
# named, in the build's own log when asked and from the history afterwards; nothing is said of hits.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
mkdir "$work/c"
echo one > "$work/c/a.txt"
mkdir "$work/c/src"
echo two > "$work/c/src/b.txt"
cat > "$work/c/Dockerfile" <<D
FROM $registry/library/busybox:latest
ARG VERSION=1
RUN echo \$VERSION > /v
COPY . /src
RUN ls -R /src
D
build() { kiln build --progress plain "$@" "$work/c" > "$work/out" 2>&1 || { cat "$work/out"; fail "the build failed"; }; }

build
contains "$(kiln why)" "no step like this ran before"
build
contains "$(kiln why)" "every step of build"

build --build-arg VERSION=2 --explain
contains "$(cat "$work/out")" "cache miss: the variable or build argument 'VERSION' changed from '1' to '2'"
why=$(kiln why)
contains "$why" "'VERSION' changed from '1' to '2'"
contains "$why" "which ran anew"

echo changed > "$work/c/src/b.txt"
echo new > "$work/c/new.txt"
build
why=$(kiln why "COPY . /src")
contains "$why" "'/src/b.txt' changed"
contains "$why" "'/new.txt' was added"
[[ $why != *a.txt* ]] || fail "a file that did not change is named: $why"

build --no-cache
contains "$(kiln why)" "asked to run it anew"

build --build-arg VERSION=3
ref=$(kiln debug histories --format '{{.Record.Ref}}' | tail -1)
[[ $(kiln why --format json "$ref" | jq -r '.steps[0].reasons[0].name') == "env VERSION" ]] || fail "$(kiln why --format json)"

kiln prune --all > /dev/null
build --build-arg VERSION=3
contains "$(kiln why)" "was removed from the cache"
! kiln why no-such-build step > "$work/out" 2>&1 || fail "a build that never was is explained"
echo "explained"
