# A BuildKit that is not ours, to exchange caches with. Sourced after lib.sh; `start_peer` makes
# `peer_build ARGS…`, `peer_prune` and `peer_name`. KILN_TEST_PEER names a buildkitd (a path, started here) or the
# address of one that runs; without it, Debian's dockerd of the unstable suite is fetched into a folder of our
# own (nothing is installed), from wherever this machine's apt gets its packages.
peer_packages=(docker.io docker-cli docker-buildx containerd tini-static)
peer_home=${XDG_CACHE_HOME:-$HOME/.cache}/kiln-test-peer

start_peer() {
  case ${KILN_TEST_PEER:-} in
    "") fetch_dockerd; start_dockerd ;;
    *://*) peer_address=$KILN_TEST_PEER; peer_kind=buildkit ;;
    *) [[ -x $KILN_TEST_PEER ]] || fail "KILN_TEST_PEER is no program and no address: $KILN_TEST_PEER"; start_buildkitd ;;
  esac
}

# Asks apt, with folders of its own, for the packages of the unstable suite and unpacks them.
fetch_dockerd() {
  [[ -x $peer_home/usr/sbin/dockerd ]] && return
  command -v runc >/dev/null || skip "no peer BuildKit: runc is not installed"
  local uri signed apt=$work/apt
  read -r uri signed < <(apt-get indextargets --format '$(REPO_URI) $(SIGNED_BY)' 'Created-By: Packages' 2>/dev/null |
    grep -v security | sort -u) || skip "no peer BuildKit: apt has no package sources here"
  [[ $signed == /* ]] || signed=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,debs}
  echo "deb [signed-by=$signed] $uri sid main" > "$apt/sources.list"
  local options=(-qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::Etc::PreferencesParts=-
    -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
  timeout 120 apt-get "${options[@]}" update >/dev/null 2>&1 || skip "no peer BuildKit: the unstable suite is not to be had here"
  (cd "$apt/debs" && timeout 180 apt-get "${options[@]}" download "${peer_packages[@]}" >/dev/null 2>&1) ||
    skip "no peer BuildKit: the unstable suite's dockerd is not to be had here"
  mkdir -p "$peer_home"
  for deb in "$apt"/debs/*.deb; do dpkg -x "$deb" "$peer_home"; done
}

start_dockerd() {
  peer_kind=dockerd
  mkdir -p "$work/peer"/{data,exec,config/cli-plugins}
  ln -s "$peer_home/usr/libexec/docker/cli-plugins/docker-buildx" "$work/peer/config/cli-plugins/"
  cat > "$work/peer/daemon.json" <<J
{"data-root":"$work/peer/data","exec-root":"$work/peer/exec","pidfile":"$work/peer/pid","bridge":"none","iptables":false,
 "ip6tables":false,"features":{"containerd-snapshotter":true},"insecure-registries":["127.0.0.0/8"]}
J
  export DOCKER_HOST=unix://$work/peer/docker.sock DOCKER_CONFIG=$work/peer/config
  PATH=$peer_home/usr/bin:$peer_home/usr/sbin:$PATH dockerd --config-file "$work/peer/daemon.json" -H "$DOCKER_HOST" \
    > "$work/peer.log" 2>&1 & pids+=($!)
  for _ in $(seq 300); do "$peer_home/usr/bin/docker" version >/dev/null 2>&1 && return; sleep 0.1; done
  tail -5 "$work/peer.log"
  skip "no peer BuildKit: dockerd does not start here"
}

start_buildkitd() {
  peer_kind=buildkit
  peer_address=unix://$work/peer.sock
  cat > "$work/peer.toml" <<T
[worker.oci]
  networkMode = "host"
T
  PATH=$PATH:/usr/sbin "$KILN_TEST_PEER" --config "$work/peer.toml" --root "$work/peer" --addr "$peer_address" \
    --oci-worker-binary runc > "$work/peer.log" 2>&1 & pids+=($!)
  for _ in $(seq 300); do "$bin/kiln" --addr "$peer_address" debug info >/dev/null 2>&1 && return; sleep 0.1; done
  tail -5 "$work/peer.log"
  fail "the peer did not answer"
}

# peer_build CONTEXT [--cache-to X] [--cache-from Y] [--output Z]
peer_build() {
  if [[ $peer_kind == buildkit ]]; then
    "$bin/kiln" --addr "$peer_address" build --progress plain --network none "${@:2}" "$1" 2>&1
  else
    "$peer_home/usr/bin/docker" buildx build --progress plain --provenance=false --network none "${@:2}" "$1" 2>&1
  fi
}

peer_prune() {
  if [[ $peer_kind == buildkit ]]; then
    "$bin/kiln" --addr "$peer_address" prune --all >/dev/null
  else
    "$peer_home/usr/bin/docker" buildx prune --all --force >/dev/null
  fi
}
