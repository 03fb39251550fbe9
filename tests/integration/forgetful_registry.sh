#!/usr/bin/env bash
# A registry loses what was pushed to it, blob by blob or with its whole folder, within the minutes in which the daemon
# remembers its pushes: the next push of an image, and of a cache, is complete again.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
mkdir "$work/ctx"
push() { # VERSION
  printf 'FROM scratch\nCOPY Dockerfile /f\nCOPY <<E /g\n%s\nE\n' "$1" > "$work/ctx/Dockerfile.$1"
  echo same > "$work/ctx/Dockerfile"
  local out
  out=$(kiln build --progress plain -f "$work/ctx/Dockerfile.$1" --output "type=image,name=$registry/it/forgetful:1,push=true" \
    --cache-to "type=registry,ref=$registry/it/forgetful:cache,mode=max" "$work/ctx" 2>&1) || fail "push of $1: $out"
}
is_complete() { # NAME
  local digest
  for digest in $(curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$registry/v2/it/forgetful/manifests/$1" |
    grep -o '"digest":"sha256:[0-9a-f]*' | cut -d'"' -f4 | sort -u); do
    curl -sf -o /dev/null "http://$registry/v2/it/forgetful/blobs/$digest" || fail "$2: $1 lacks $digest"
  done
}
both_complete() { is_complete 1 "$1"; is_complete cache "$1"; }
repository=$work/registry/docker/registry/v2/repositories/it/forgetful

push one
both_complete "the first push"
# The manifests stand, a blob has gone.
rm -r "$repository/_layers/sha256"/*
push two
both_complete "after blobs were lost"
# All has gone, and the registry, whose memory outlives its folder, begins anew.
kill "$registry_pid"; wait "$registry_pid" 2>/dev/null || true
rm -rf "$work/registry"
sed -i "s/127.0.0.1:0/$registry/" "$work/registry.yml"
docker-registry serve "$work/registry.yml" > "$work/registry.log" 2>&1 & pids+=($!)
eventually 20 curl -sf -o /dev/null "http://$registry/v2/" || fail "the registry did not come back"
push two
both_complete "after the folder was lost"
echo "a registry that forgets is given everything again"
