#!/usr/bin/env bash
# The same Dockerfile gives the same root file system, whoever builds it: each case of tests/trees is built by
# a peer's BuildKit and by ours with every time rewritten to one epoch, and the images must then be the same, layer by
# layer and byte by byte (modes, owners, links, devices, attributes, times, order), as their configs must. Set CASES to
# choose some; SHOW=1 prints every difference of all.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/peer.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
command -v python3 >/dev/null || skip "needs python3"
start_registry
start_daemon
start_peer
base=$registry/library/busybox:latest
tools=

make_tools() {
  if command -v mmdebstrap >/dev/null && timeout 240 "$top/tools/base-images" "$registry" --tools > "$work/tools.log" 2>&1; then
    tools=$registry/library/tools:latest
  else
    tools=none
    echo "without the cases that need Debian's compiler: $(tail -1 "$work/tools.log" 2>/dev/null)"
  fi
}

# The same as a tar of the files and as a directory at the client.
compare_files() {
  local who
  ! grep -q TOOLS "$folder/Dockerfile" || return 0
  for who in kiln_build peer_build; do
    "$who" "$work/$name" "${arguments[@]}" --output "type=tar,dest=$work/$name.$who.tar" --output "type=local,dest=$work/$name.$who" \
      > "$work/log" 2>&1 || fail "$name as files, $who: $(cat "$work/log")"
    (cd "$work/$name.$who" && find . -mindepth 1 \( -type l -printf '%p %M %U:%G %l\n' -o -type f -printf '%p %M %U:%G %s %n\n' -o -printf '%p %M %U:%G\n' \) |
      LC_ALL=C sort) > "$work/$name.$who.list"
  done
  found=$("$top/tests/integration/compare_images.py" "$work/$name.kiln_build.tar" "$work/$name.peer_build.tar" --files) || true
  [[ $found ]] || found=$(diff "$work/$name.kiln_build.list" "$work/$name.peer_build.list" | head -20) || true
  rm -rf "$work/$name".{kiln,peer}_build*
}
kiln_build() { kiln build --progress plain --network none "${@:2}" "$1"; }

epoch=1700000000
differing=
for folder in "$top/tests/trees"/*/; do
  name=$(basename "$folder")
  [[ -z ${CASES:-} || " $CASES " == *" $name "* ]] || continue
  if grep -q TOOLS "$folder/Dockerfile"; then
    [[ $tools ]] || make_tools
    [[ $tools != none ]] || continue
  fi
  cp -r "$folder" "$work/$name"
  [[ ! -f $work/$name/prepare.sh ]] || (cd "$work/$name" && sh ./prepare.sh && rm prepare.sh)
  arguments=(--build-arg "BASE=$base" --build-arg "TOOLS=$tools" --build-arg "SOURCE_DATE_EPOCH=$epoch")
  output=type=oci,rewrite-timestamp=true,dest=$work/$name
  kiln build --progress plain --network none "${arguments[@]}" --output "$output.ours.tar" "$work/$name" > "$work/log" 2>&1 ||
    fail "$name: $(cat "$work/log")"
  if ! peer_build "$work/$name" "${arguments[@]}" --output "$output.theirs.tar" > "$work/log" 2>&1; then
    # An older BuildKit does not know every flag.
    grep -q "unknown flag" "$work/log" || fail "$name, by the peer: $(cat "$work/log")"
    echo "$name: $(grep -o "unknown flag.*" "$work/log" | tail -1), at the peer"
    continue
  fi
  found=$("$top/tests/integration/compare_images.py" "$work/$name.ours.tar" "$work/$name.theirs.tar" --exact) || true
  [[ $found ]] || compare_files
  if [[ $found ]]; then
    differing+=" $name"
    printf '%s:\n%s\n' "$name" "$found" >&2
    [[ ${SHOW:-} ]] || break
  fi
  rm -rf "$work/$name" "$work/$name".*.tar
done
[[ -z $differing ]] || fail "these differ:$differing"
echo "the same images"
