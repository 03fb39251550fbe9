#!/usr/bin/env bash
# A step in sandbox mode sees and may do no more than BuildKit's: capabilities, system calls, devices,
# masked and sealed paths, namespaces. A privileged one may, when both sides allow it.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
start_registry
start_daemon --allow-insecure-entitlement security.insecure
mkdir -p "$work/context"
cat > "$work/context/probe.sh" <<'P'
check() { if eval "$2"; then echo "ok $1"; else echo "BAD $1"; bad=1; fi; }
status() { sed -n "s/^$1:\s*//p" /proc/self/status; }
empty() { if [ -d "$1" ]; then [ -z "$(ls -A "$1" 2>/dev/null)" ]; else [ "$(head -c 1 "$1" 2>/dev/null | wc -c)" = 0 ]; fi; }
option() { awk -v at="$1" '$5 == at { found = $6 } END { print found }' /proc/self/mountinfo; }

check "effective capabilities" '[ $(status CapEff) = 00000000a80425fb ]'
check "bounding capabilities" '[ $(status CapBnd) = 00000000a80425fb ]'
check "no ambient or inheritable capabilities" '[ $(status CapAmb)$(status CapInh) = 00000000000000000000000000000000 ]'
check "a system call filter" '[ $(status Seccomp) = 2 ]'
for path in /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug \
            /proc/scsi /sys/firmware /sys/devices/virtual/powercap /sys/kernel/debug /sys/kernel/security; do
  check "$path shows nothing" "empty $path"
done
for path in /proc/bus /proc/fs /proc/irq /proc/sys; do
  [ -e $path ] && check "$path is sealed" "option $path | grep -q '^ro'"
done
check "/sys is sealed" 'option /sys | grep -q "^ro,nosuid,nodev,noexec"'
check "/proc is quiet" 'option /proc | grep -q "nosuid,nodev,noexec"'
check "/proc/sys cannot be written" '! (echo x > /proc/sys/kernel/domainname) 2>/dev/null'
check "/proc/sysrq-trigger cannot be written" '! (echo h > /proc/sysrq-trigger) 2>/dev/null'
check "/sys cannot be written" '! (echo 1 > /sys/kernel/mm/ksm/run) 2>/dev/null'
check "control groups cannot be made" '! mkdir /sys/fs/cgroup/memory/x 2>/dev/null && ! mkdir /sys/fs/cgroup/x/y 2>/dev/null'
check "no other processes" '[ $(ls /proc | grep -c "^[0-9]") -lt 8 ]'
check "its own host name" '[ $(hostname) = buildkitsandbox ]'
check "the usual devices alone" '[ "$(ls /dev | grep -vE "^(console|core|fd|full|mqueue|null|ptmx|pts|random|shm|stderr|stdin|stdout|tty|urandom|zero|otel-grpc.sock)$")" = "" ]'
check "memory cannot be read by a device" 'mknod /tmp/mem c 1 1 && ! head -c 1 /tmp/mem >/dev/null 2>&1'
for number in 7:0 254:0 8:0 253:0; do
  check "disk $number cannot be read by a device" "rm -f /tmp/disk; mknod /tmp/disk b ${number%:*} ${number#*:} && ! head -c 1 /tmp/disk >/dev/null 2>&1"
done
check "the kernel's log cannot be read" '! dmesg >/dev/null 2>&1'
check "no mounts" '! mount -t tmpfs none /mnt 2>/dev/null'
check "no new user namespace" '! unshare -U true 2>/dev/null'
check "no new mount namespace" '! unshare -m true 2>/dev/null'
check "no change of the host name" '! hostname other 2>/dev/null'
check "no change of the clock" 'date -s 2000-01-01 2>&1 | grep -q "not permitted"'
check "no new network interface" '! ip link add x type dummy 2>/dev/null'
check "no host path in what it may read of its mounts" "! awk '\$5 != \"/\"' /proc/self/mountinfo | grep -q upperdir"
check "a user's program keeps no capabilities" '[ $(cat /user-caps) = 0000000000000000 ]'
exit ${bad:-0}
P
cat > "$work/context/Dockerfile" <<D
FROM $registry/library/busybox
USER nobody
RUN sed -n 's/^CapEff:\s*//p' /proc/self/status > /tmp/caps
USER root
RUN mv /tmp/caps /user-caps
COPY probe.sh /
RUN sh /probe.sh
D
kiln build "$work/context" --progress plain > "$work/log" 2>&1 || fail "$(grep BAD "$work/log" || cat "$work/log")"
contains "$(cat "$work/log")" "ok a system call filter"

printf 'FROM %s/library/busybox\nRUN --security=insecure mount -t tmpfs none /tmp && grep "Seccomp:.0" /proc/self/status && mkdir /sys/fs/cgroup/memory/kilntest && rmdir /sys/fs/cgroup/memory/kilntest && [ -e /dev/fuse ]\n' \
  "$registry" > "$work/context/Dockerfile"
contains "$(kiln build "$work/context" --progress plain 2>&1 || true)" "security.insecure is not allowed"
[[ -d /sys/fs/cgroup/memory ]] || skip "the privileged step is checked with version 1 control groups"
kiln build "$work/context" --progress plain --allow security.insecure > "$work/log" 2>&1 || fail "$(cat "$work/log")"
