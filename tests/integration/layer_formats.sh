#!/usr/bin/env bash
# Layers of text and noise mixed, in every compression: the system's own gzip and zstd find nothing wrong
# with them, tar reads the same files out of all, the same build has the same bytes, and another compression
# of a layer has the same diff id.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
command -v zstd >/dev/null || skip "zstd is not installed"
start_daemon
ctx=$work/ctx
mkdir -p "$ctx/many"
# 5 MB each of text, noise, and both in turn, so that stored and compressed parts meet in a chunk.
seq 1 750000 > "$work/lines" && head -c 5000000 "$work/lines" > "$ctx/text"
head -c 5000000 /dev/zero | openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 0 > "$ctx/noise" 2>/dev/null
for i in 0 1 2 3 4 5 6; do
  dd if="$ctx/text" bs=100000 skip=$((i * 7)) count=3 status=none
  dd if="$ctx/noise" bs=100000 skip=$((i * 7)) count=4 status=none
done > "$ctx/mixed"
for i in $(seq 40); do dd if="$ctx/mixed" bs=$((i * 31)) skip=$i count=1 status=none of="$ctx/many/f$i"; done
: > "$ctx/empty"
printf 'FROM scratch\nCOPY . /\n' > "$ctx/Dockerfile"

# export NAME ATTRIBUTES: an OCI layout, unpacked to $work/NAME
export_as() {
  kiln build --output "type=oci,dest=$work/$1.tar$2" "$ctx" > "$work/out" 2>&1 || fail "export $1: $(cat "$work/out")"
  mkdir "$work/$1" && tar -xf "$work/$1.tar" -C "$work/$1"
}
layer_of() {
  local manifest
  manifest=$(jq -r '.manifests[0].digest' "$work/$1/index.json")
  echo "$work/$1/blobs/sha256/$(jq -r '.layers[0].digest' "$work/$1/blobs/sha256/${manifest#sha256:}" | cut -d: -f2)"
}
# NAME PROGRAM: the layer is sound, and holds the context
check() {
  local layer plain=$work/plain-$1
  layer=$(layer_of "$1")
  "$2" -t -q "$layer" || fail "$2 does not like the layer of $1"
  "$2" -dc "$layer" > "$plain" || fail "$2 cannot read the layer of $1"
  mkdir "$work/tree-$1" && tar -xf "$plain" -C "$work/tree-$1" || fail "tar cannot read the layer of $1"
  diff -r "$ctx" "$work/tree-$1" || fail "the layer of $1 holds something else"
  sha256sum < "$plain" | cut -d' ' -f1
}

export_as gzip ""
export_as gzip9 ",compression=gzip,compression-level=9,force-compression=true"
export_as zstd ",compression=zstd,force-compression=true"
export_as zstd9 ",compression=zstd,compression-level=9,force-compression=true"
gzip_id=$(check gzip gzip)
for other in "gzip9 gzip" "zstd zstd" "zstd9 zstd"; do
  [[ $(check $other) == "$gzip_id" ]] || fail "the diff id of ${other% *} differs from gzip's"
done

# Noise is not made larger, text is made smaller.
size=$(stat -c %s "$(layer_of zstd)")
((size < 9000000)) || fail "the zstd layer has $size bytes"
size=$(stat -c %s "$(layer_of gzip)")
((size < 10000000)) || fail "the gzip layer has $size bytes"

# The same bytes when all is made anew, from a layer in the other compression as well as from the files.
kiln prune --all > /dev/null
export_as zstd-again ",compression=zstd"
[[ $(basename "$(layer_of zstd-again)") == "$(basename "$(layer_of zstd)")" ]] || fail "the same zstd layer has other bytes"
export_as gzip-again ",compression=gzip,force-compression=true"
[[ $(basename "$(layer_of gzip-again)") == "$(basename "$(layer_of gzip)")" ]] || fail "the same gzip layer has other bytes"
echo "sound in every compression, the same files, the same bytes again"
