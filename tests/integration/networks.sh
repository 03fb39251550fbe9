#!/usr/bin/env bash
# Networks of steps: the bridge of our own (reach, concurrency, a killed daemon), CNI plug-ins, the
# host's, none; and which one is chosen.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
start_registry
bridge=kilnit$((RANDOM % 100)) subnet=10.$((RANDOM % 50 + 150)).$((RANDOM % 250))
mkdir -p "$work/context"

dockerfile() { printf 'FROM %s/library/busybox\n%s\n' "$registry" "$1" > "$work/context/Dockerfile"; }
build() { kiln build "$work/context" --no-cache --progress plain "$@" > "$work/log" 2>&1 || fail "$(cat "$work/log")"; }
stop_daemon() { kill "$1" "$daemon"; wait "$daemon" 2>/dev/null || true; }
with_config() { printf '%s\n' "$1" > "$work/kilnd.toml"; start_daemon --config "$work/kilnd.toml"; }

label() { kiln debug workers -v | sed -n 's/.*worker.network:\s*//p'; }

# The bridge.
bridge_config() { printf '[worker.oci]\nnetworkMode = "bridge"\nbridgeName = "%s"\nbridgeSubnet = "%s.0/24"\n' "$bridge" "$subnet"; }
with_config "$(bridge_config)"
[[ $(label) = cni ]] || fail "the label says $(label)"
dockerfile "RUN ip -4 addr show eth0 | grep 'inet $subnet.' && ping -c 1 -W 2 $subnet.1 && cat /etc/resolv.conf | grep -v 'nameserver 127.'"
build
uplink=$(ip route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -1)
if [[ $uplink ]]; then
  host=$(ip -4 addr show "$uplink" | sed -n 's/.*inet \([0-9.]*\).*/\1/p' | head -1) mtu=$(cat "/sys/class/net/$uplink/mtu")
  dockerfile "RUN [ \$(cat /sys/class/net/eth0/mtu) = $mtu ] && wget -q -O- http://$host:${registry#*:}/ 2>&1 | grep refused"
  build  # the registry listens on loopback alone: the host answers, nothing of its loopback does
fi
{ printf 'FROM %s/library/busybox AS base\n' "$registry"
  for i in $(seq 8); do echo "FROM base AS s$i"; echo "RUN : $i; ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/' > /address && sleep 0.3"; done
  echo "FROM scratch"
  for i in $(seq 8); do echo "COPY --from=s$i /address /a$i"; done
} > "$work/context/Dockerfile"
build --output "type=local,dest=$work/out"
[[ $(cat "$work"/out/a* | sort -u | wc -l) = 8 ]] || fail "steps at once share an address: $(cat "$work"/out/a*)"

# A killed daemon leaves its bridge; the next takes it over, and away at its end.
stop_daemon -KILL
[[ -e /sys/class/net/$bridge ]] || fail "the bridge went with a killed daemon"
rm -f "$work/s.sock"
with_config "$(bridge_config)"
dockerfile "RUN ping -c 1 -W 2 $subnet.1"
build
stop_daemon -TERM
[[ ! -e /sys/class/net/$bridge ]] || fail "the bridge is left behind"
! nft list tables 2>/dev/null | grep -q "$bridge" || fail "a table of rules is left behind"

# CNI plug-ins: by mode, and because the configuration file is there.
if [[ -e /usr/lib/cni/bridge ]]; then
  cat > "$work/cni.json" <<J
{"cniVersion": "1.0.0", "name": "$bridge", "type": "bridge", "bridge": "$bridge", "isDefaultGateway": true, "ipMasq": true,
 "ipam": {"type": "host-local", "dataDir": "$work/ipam", "ranges": [[{"subnet": "$subnet.0/24"}]]}}
J
  start_daemon --oci-cni-config-path "$work/cni.json" --oci-cni-binary-dir /usr/lib/cni
  [[ $(label) = cni ]] || fail "the label says $(label)"
  dockerfile "RUN ip -4 addr show eth0 | grep 'inet $subnet.' && ping -c 1 -W 2 $subnet.1"
  build
  stop_daemon -KILL
  rm -f "$work/s.sock"
  start_daemon --oci-worker-net cni --oci-cni-config-path "$work/cni.json" --oci-cni-binary-dir /usr/lib/cni
  build
  stop_daemon -TERM
  ! ls "$work/ipam/$bridge" | grep -q '^10\.' || fail "addresses are still leased: $(ls "$work/ipam/$bridge")"
  ip link delete "$bridge"
fi

# The host's network, by default where nothing is configured; none for a step that wants none.
start_daemon --oci-cni-config-path "$work/nowhere.json"
[[ $(label) = host ]] || fail "the label says $(label)"
dockerfile "RUN wget -q -O- http://$registry/v2/ && [ \"\$(cat /sys/class/net/lo/ifindex)\" ]
RUN --network=none [ \$(ls /sys/class/net | wc -l) = 1 ] && ! wget -T 1 -q -O- http://$registry/v2/"
build
stop_daemon -TERM

error() { "$bin/kilnd" --root "$work/other" --addr "unix://$work/o.sock" "$@" 2>&1 || true; }
contains "$(error --oci-worker-net nonsense)" 'invalid network mode: "nonsense"'
contains "$(error --oci-worker-net cni --oci-cni-config-path "$work/nowhere.json")" "failed to read cni config"
