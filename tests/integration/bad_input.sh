#!/usr/bin/env bash
# What users do wrong gives one clear sentence with its place, a failing exit code and, from the daemon, no
# gRPC code, as with BuildKit; and the next build works. Full disks, killed steps, odd contexts and
# unreliable registries have scripts of their own.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
start_daemon
mkdir "$work/ctx"
# refused CODE PART PLACE: the build fails with that code, its one sentence has PART, and PLACE is marked
# in the excerpt (none when empty)
refused() {
  local code=0
  kiln --debug build --progress plain "$work/ctx" > "$work/log" 2>&1 || code=$?
  ((code == 1)) || fail "'$2': exit code $code: $(cat "$work/log")"
  [[ $(grep -ac '^error: ' "$work/log") == 1 ]] || fail "'$2': not one sentence: $(cat "$work/log")"
  contains "$(grep -a '^error: ' "$work/log")" "$2"
  contains "$(grep -a '^code: ' "$work/log")" "code: $1"
  [[ -z $3 ]] || contains "$(cat "$work/log")" ">>> $3"
  good
}
good() {
  rm -rf "$work/ctx/Dockerfile"
  printf 'FROM %s/library/busybox:latest\nRUN true\n' "$faulty" > "$work/ctx/Dockerfile"
  kiln build --progress plain "$work/ctx" > "$work/good.log" 2>&1 || fail "the next build failed: $(cat "$work/good.log")"
  rm "$work/ctx/Dockerfile"
}
dockerfile() { printf "$@" > "$work/ctx/Dockerfile"; }
busybox=$faulty/library/busybox

refused NOT_FOUND "there is no Dockerfile at '$work/ctx/Dockerfile'" ""
mkdir "$work/ctx/Dockerfile"; refused INVALID_ARGUMENT "is a directory" ""
dockerfile ''; refused UNKNOWN "the Dockerfile cannot be empty" ""
dockerfile 'FROM scratch\nRUNN true\n'; refused UNKNOWN "line 2: unknown instruction: RUNN" "RUNN true"
dockerfile 'FROM scratch\nCOPY --form=x a /\n'; refused UNKNOWN "line 2: unknown flag: --form" "COPY --form=x"
dockerfile 'FROM scratch\nCOPY a\n'; refused UNKNOWN "COPY requires at least two arguments" "COPY a"
dockerfile 'FROM scratch AS a\nCOPY --from=b x /\nFROM a AS b\n'; refused UNKNOWN 'cannot copy from stage "b"' "COPY --from=b"
dockerfile 'FROM 127.0.0.1:1/none:latest\nRUN true\n'; refused UNKNOWN "127.0.0.1:1" "FROM 127.0.0.1:1"
dockerfile 'FROM registry.invalid/none:latest\nRUN true\n'; refused UNKNOWN "registry.invalid" "FROM registry.invalid"
dockerfile 'FROM %s:missing\n' "$busybox"; refused UNKNOWN "busybox:missing: not found" "FROM $faulty"
dockerfile 'FROM %s@sha256:%064d\n' "$busybox" 0; refused UNKNOWN "not found" "FROM $faulty"
dockerfile 'FROM %s@sha256:12\n' "$busybox"; refused UNKNOWN "invalid" "FROM $faulty"
dockerfile 'FROM %s:latest\nRUN exit 7\n' "$busybox"; refused UNKNOWN "exit code: 7" "RUN exit 7"
dockerfile 'FROM %s:latest\nRUN ["/no/such/program"]\n' "$busybox"; refused UNKNOWN "/no/such/program" 'RUN ["/no/such'
dockerfile 'FROM %s:latest\nUSER nobody-of-that-name\nRUN true\n' "$busybox"; refused UNKNOWN "nobody-of-that-name" "RUN true"
dockerfile 'FROM scratch\nCOPY missing /\n'; refused "" '"/missing": not found' "COPY missing /"
contains "$(grep -a 'ERROR: ' "$work/log")" 'ERROR: failed to calculate checksum of ref'
head -c 2000 /dev/urandom > "$work/ctx/Dockerfile"; refused UNKNOWN "" ""
/usr/bin/python3 -c 'print("FROM scratch\n" + "#" * 50000 + "\n" * 2000 + "NOPE x")' > "$work/ctx/Dockerfile"
refused UNKNOWN "unknown instruction: NOPE" "NOPE x"

# The client's own mistakes.
told() { # told PART ARGS…
  local part=$1 out code=0; shift
  out=$("$bin/kiln" "$@" 2>&1) || code=$?
  ((code == 1)) || fail "'$*': exit code $code"
  contains "$out" "$part"
}
told "context '/nonexistent' is not a directory" --addr "unix://$work/s.sock" build /nonexistent
told "unknown flag --nope" build --nope .
dockerfile 'FROM scratch\n'
told "make sure the daemon is running there" --addr "unix://$work/nobody.sock" build --progress plain "$work/ctx"
told "invalid address" --addr "nonsense" build "$work/ctx"
echo "refused well"
