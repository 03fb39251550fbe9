#!/usr/bin/env bash
# docker buildx build --load: what a remote builder of ours makes becomes an image of a docker engine (Debian's, see
# peer.sh), which shows its config and runs nothing but holds every layer; and a builder of two nodes, whose images for
# two platforms are joined into one index.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/peer.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
[[ -z ${KILN_TEST_PEER:-} ]] || skip "needs a docker engine, and KILN_TEST_PEER names something else"
start_registry
start_daemon
start_peer
docker() { "$peer_home/usr/bin/docker" "$@"; }
docker buildx create --name ours --driver remote "unix://$work/s.sock" > /dev/null
mkdir "$work/c"
cd "$work/c"
echo hello > file
printf 'FROM %s/library/busybox:latest\nLABEL a.b=c\nCOPY file /file\nRUN echo ran > /ran\nENTRYPOINT ["/bin/cat", "/file"]\n' "$registry" > Dockerfile
docker buildx build --builder ours --progress plain --load -t it/loaded:1 . > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(docker image inspect it/loaded:1 --format '{{index .Config.Labels "a.b"}} {{json .Config.Entrypoint}}') == 'c ["/bin/cat","/file"]' ]] ||
  fail "$(docker image inspect it/loaded:1)"
docker save it/loaded:1 -o "$work/saved.tar"
[[ $(tar -xOf "$work/saved.tar" manifest.json | jq '.[0].Layers | length') == 3 ]] || fail "$(tar -xOf "$work/saved.tar" manifest.json)"
docker buildx build --builder ours --progress plain -o type=docker -t it/again:1 . > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(docker image inspect it/again:1 --format '{{json .RootFS.Layers}}') == "$(docker image inspect it/loaded:1 --format '{{json .RootFS.Layers}}')" ]] ||
  fail "the same build loads other layers"

# -- two nodes
"$bin/kilnd" --root "$work/second" --addr "unix://$work/second.sock" --otel-socket-path "$work/second-otel.sock" --oci-worker-platform linux/arm64 \
  >> "$work/kilnd.log" 2>&1 & pids+=($!)
eventually 20 test -S "$work/second.sock" || fail "the second daemon does not start"
docker buildx create --name both --driver remote --platform linux/amd64 "unix://$work/s.sock" > /dev/null
docker buildx create --name both --append --driver remote --platform linux/arm64 "unix://$work/second.sock" > /dev/null
[[ $(docker buildx inspect both --bootstrap | grep -c '^Status: *running') == 2 ]] || fail "$(docker buildx inspect both)"
printf 'FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\n' > Dockerfile
docker buildx build --builder both --progress plain --platform linux/amd64,linux/arm64 -t "$registry/it/nodes:1" --push . > "$work/out" 2>&1 ||
  fail "$(cat "$work/out")"
[[ $(docker buildx imagetools inspect --raw "$registry/it/nodes:1" | jq -r '[.manifests[].platform | select(.os == "linux") | .architecture] | sort | join(" ")') == "amd64 arm64" ]] ||
  fail "$(docker buildx imagetools inspect --raw "$registry/it/nodes:1")"
contains "$(docker buildx du --builder both --verbose 2>&1)" "Reclaimable"
echo "loaded, and built on two nodes"
