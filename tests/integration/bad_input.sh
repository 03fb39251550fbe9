#!/usr/bin/env bash
# What users do wrong gives one clear sentence and a failing exit code, and the next build works.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
mkdir "$work/ctx"
refused() { # refused PART ARGS…: the build fails and says PART
  local part=$1 out; shift
  if out=$(kiln build --progress plain "$@" "$work/ctx" 2>&1); then fail "should have failed: $part"; fi
  contains "$out" "$part"
}
good() {
  printf 'FROM %s/library/busybox:latest\nRUN true\n' "$registry" > "$work/ctx/Dockerfile"
  kiln build --progress plain "$work/ctx" > "$work/good.log" 2>&1 || fail "the next build failed: $(cat "$work/good.log")"
}

refused "Dockerfile" ; good
printf 'FROM scratch\nRUNN true\n' > "$work/ctx/Dockerfile"; refused "unknown instruction: RUNN"; good
printf 'FROM scratch\nCOPY --form=x a /\n' > "$work/ctx/Dockerfile"; refused "unknown flag: --form"; good
printf 'FROM 127.0.0.1:1/none:latest\nRUN true\n' > "$work/ctx/Dockerfile"; refused "127.0.0.1:1"; good
printf 'FROM %s/library/busybox@sha256:%064d\n' "$registry" 0 > "$work/ctx/Dockerfile"; refused "not found"; good
printf 'FROM %s/library/busybox:latest\nRUN exit 7\n' "$registry" > "$work/ctx/Dockerfile"; refused "exit code: 7"; good
printf 'FROM scratch\nCOPY missing /\n' > "$work/ctx/Dockerfile"; refused "not found"; good
echo "refused well"
