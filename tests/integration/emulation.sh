#!/usr/bin/env bash
# A step of a foreign platform runs under an emulator from PATH when the kernel has no interpreter for
# it, and fails with the kernel's own words when there is none.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
[[ $(uname -m) = x86_64 ]] || skip "needs a machine that does not run arm64 by itself"
qemu=$(command -v qemu-aarch64-static || true)
[[ $qemu ]] || skip "qemu-aarch64-static is not installed"
! grep -qs enabled /proc/sys/fs/binfmt_misc/qemu-aarch64 || skip "an interpreter for arm64 is registered"
mkdir -p "$work/context" "$work/path"
cp "$qemu" "$work/path/buildkit-qemu-aarch64"
# exit(0) in the machine's code
base64 -d <<< "H4sIAAAAAAACA6t39XFjYmRkgAEmhu0MIF4FgwOY78CACRwYLBhgOkA0K5osMt0C5bXA5WE6Gy6t4G64BORdAQDCZAUVhAAAAA==" | gzip -d > "$work/context/program"
chmod +x "$work/context/program"
cat > "$work/context/Dockerfile" <<'D'
FROM scratch
COPY program /program
RUN ["/program"]
D

PATH=$work/path:$PATH start_daemon
kiln build "$work/context" --platform linux/arm64 --progress plain > "$work/log" 2>&1 || fail "$(cat "$work/log")"
kill "$daemon"; wait "$daemon" || true
start_daemon
contains "$(kiln build "$work/context" --platform linux/arm64 --no-cache --progress plain 2>&1 || true)" "exec format error"
