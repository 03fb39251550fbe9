#!/usr/bin/env bash
# Container devices (CDI) from the files of the machine's owner to the step that uses one: listed with
# the worker, injected by RUN --device, refused without entitlement, renamed by the client.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
start_registry

mkdir -p "$work/cdi" "$work/context"
cat > "$work/cdi/gpu.yaml" <<'Y'
cdiVersion: "0.6.0"
kind: "vendor.example/gpu"
devices:
- name: free
  annotations:
    org.mobyproject.buildkit.device.autoallow: true
  containerEdits:
    env: ["GPU=free"]
    deviceNodes:
    - path: /dev/gpu0
      hostPath: /dev/zero
- name: guarded
  annotations:
    org.mobyproject.buildkit.device.class: fast
  containerEdits:
    env: ["GPU=guarded"]
Y
start_daemon --cdi-spec-dir "$work/cdi"

dockerfile() { printf 'FROM %s/library/busybox\n%s\n' "$registry" "$1" > "$work/context/Dockerfile"; }
build() { kiln build "$work/context" --no-cache --progress plain "$@" 2>&1; }

contains "$(kiln debug workers -v)" "vendor.example/gpu=guarded"

dockerfile 'RUN --device=vendor.example/gpu=free,required [ $GPU = free ] && head -c 3 /dev/gpu0 | wc -c | grep 3'
build > "$work/log" || fail "a device that needs no entitlement: $(cat "$work/log")"

dockerfile 'RUN [ ! -e /dev/gpu0 ] && mknod /tmp/x c 1 1 && ! head -c 1 /tmp/x'
build > "$work/log" || fail "a step without devices sees some: $(cat "$work/log")"

dockerfile 'RUN --device=fast,required [ $GPU = guarded ]'
contains "$(build || true)" "device vendor.example/gpu=guarded is requested by the build but not allowed"
build --allow device=vendor.example/gpu=guarded > "$work/log" || fail "an allowed device: $(cat "$work/log")"
build --allow device > "$work/log" || fail "all devices allowed: $(cat "$work/log")"

dockerfile 'RUN --device=docker.com/gpu,required [ $GPU = guarded ]'
contains "$(build || true)" 'required device "docker.com/gpu" is not registered'
build --allow device=vendor.example/gpu=guarded,alias=docker.com/gpu > "$work/log" || fail "an alias: $(cat "$work/log")"

dockerfile 'RUN --device=docker.com/none [ -z "$GPU" ]'
build > "$work/log" || fail "an optional device that is not there: $(cat "$work/log")"
