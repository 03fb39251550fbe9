#!/usr/bin/env bash
# Images and archives made to break out or to break the daemon: nothing outside the tree is touched,
# what cannot be used is refused in one sentence, and the next build works.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_faulty_registry
start_marked_daemon
outside=$work/outside
mkdir "$work/ctx" "$outside"
echo untouched > "$outside/victim"
chmod 600 "$outside/victim"
facts() { (cd "$outside" && find . -printf '%p %m %u %n %s\n' | sort && cat victim); }
before=$(facts)

# check NAME LOG CODE: what a build of it may say
check() {
  local name=$1 log=$2 code=$3
  kill -0 "$daemon" 2>/dev/null || fail "$name: the daemon is gone"
  [[ $(facts) == "$before" ]] || fail "$name: touched what is outside: $(facts)"
  case $name in
    ok-*) ((code == 0)) || fail "$name: $(cat "$log")" ;;
    bad-*) ((code == 1)) || fail "$name should have been refused ($code): $(cat "$log")" ;;
    *) ((code == 0 || code == 1)) || fail "$name: exit code $code: $(cat "$log")" ;;
  esac
  ((code == 0)) || [[ $(grep -c '^error: ' "$log") == 1 ]] || fail "$name: not one sentence: $(cat "$log")"
  ((code == 0)) || ! grep -qiE '^error: .*(terminate called|std::|json.exception|internal error)' "$log" || fail "$name: $(tail -1 "$log")"
}

echo marker > "$work/ctx/marker"
for name in $("$top/tests/integration/odd_images.py" push "$faulty" "$outside"); do
  printf 'FROM %s/odd/%s:latest\nCOPY marker /marker\n' "$faulty" "$name" > "$work/ctx/Dockerfile"
  code=0
  timeout 60 "$bin/kiln" --addr "unix://$work/s.sock" build --progress plain "$work/ctx" > "$work/log" 2>&1 || code=$?
  [[ -z ${SHOW:-} ]] || echo "$name $code $(tail -1 "$work/log" | cut -c1-300)"
  check "$name" "$work/log" "$code"
done
"$top/tests/integration/odd_images.py" archives "$work/ctx" "$outside"
for archive in "$work/ctx"/*.tar; do
  name=$(basename "$archive" .tar)
  printf 'FROM scratch\nADD %s /x/\n' "$name.tar" > "$work/ctx/Dockerfile"
  code=0
  timeout 60 "$bin/kiln" --addr "unix://$work/s.sock" build --progress plain "$work/ctx" > "$work/log" 2>&1 || code=$?
  [[ -z ${SHOW:-} ]] || echo "ADD $name $code $(tail -1 "$work/log" | cut -c1-300)"
  # What is no archive is copied as the file it is.
  check "any-ADD-$name" "$work/log" "$code"
done
# A few kilobytes that unpack to more than a layer may have, in a daemon that was told so.
kill "$daemon"; wait "$daemon" 2>/dev/null || true
printf '  maxLayerSize = "8MB"\n' >> "$work/kilnd.toml"
start_daemon --config "$work/kilnd.toml"
"$top/tests/integration/odd_images.py" large "$faulty" 9 > /dev/null
printf 'FROM %s/odd/large:latest\nCOPY marker /marker\n' "$faulty" > "$work/ctx/Dockerfile"
code=0
kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || code=$?
check bad-bomb "$work/log" "$code"
contains "$(tail -1 "$work/log")" "goes beyond the 8388608 bytes that one layer may unpack to"
head -c 9437184 /dev/zero > "$work/ctx/zeros"
tar -C "$work/ctx" -czf "$work/ctx/bomb.tgz" zeros
rm "$work/ctx/zeros"
printf 'FROM scratch\nADD bomb.tgz /x/\n' > "$work/ctx/Dockerfile"
kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 && fail "an archive that unpacks to more than a layer may have is taken"
contains "$(tail -1 "$work/log")" "layer entry 'zeros' of 9437184 bytes"
printf 'FROM %s/library/busybox:latest\nRUN true\n' "$faulty" > "$work/ctx/Dockerfile"
kiln build --progress plain "$work/ctx" > "$work/log" 2>&1 || fail "the next build: $(cat "$work/log")"
kiln prune --all > /dev/null
echo "nothing came out"
