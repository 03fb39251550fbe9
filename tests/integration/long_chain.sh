#!/usr/bin/env bash
# A thousand steps in one chain build, though the kernel stacks no more than 500 directories: what each step
# wrote, overwrote or took away is right in the result, everything is found the next time, and a daemon that was
# started anew builds on top of it.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_daemon
ctx=$work/ctx
mkdir "$ctx"

steps() {
  echo "FROM scratch"
  for i in $(seq "$1"); do
    printf 'COPY <<E /d%d/f%d\n%d\nE\nCOPY <<E /last\n%d\nE\n' $((i % 7)) "$i" "$i" "$i"
  done
}
build() { kiln build --progress plain --output "type=tar,dest=$work/out.tar" "$ctx" > "$work/build.log" 2>&1 || fail "$(tail -20 "$work/build.log")"; }
file() { tar -xOf "$work/out.tar" "$1"; }

steps 500 > "$ctx/Dockerfile"
build
[[ $(tar -tf "$work/out.tar" | grep -c '/f[0-9]*$') == 500 ]] || fail "files are missing: $(tar -tf "$work/out.tar" | wc -l)"
for i in 1 99 100 101 250 499 500; do [[ $(file "d$((i % 7))/f$i") == "$i" ]] || fail "f$i holds '$(file "d$((i % 7))/f$i")'"; done
[[ $(file last) == 500 ]] || fail "the last of 500 writes is not seen: '$(file last)'"

build
[[ $(grep -c CACHED "$work/build.log") -ge 1 ]] || fail "nothing was found: $(tail -5 "$work/build.log")"
grep -q '\[1000/1000\]' "$work/build.log" || fail "not a thousand steps: $(tail -5 "$work/build.log")"

kill_daemon
start_daemon
steps 510 > "$ctx/Dockerfile"
build
[[ $(file last) == 510 && $(file d1/f1) == 1 ]] || fail "on top of what was there: '$(file last)' '$(file d1/f1)'"
echo "a thousand steps, found, and built upon"
