#!/usr/bin/env bash
# What one BuildKit solved another finds: caches travel from a peer's daemon to ours and back, as a directory, in a
# registry, in places without manifests and inside an image, in both modes, and every step of the build is found there. The steps are those whose
# keys are hard to get right: wildcards, links, mounts, other stages, http and git sources.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/peer.sh"
. "$(dirname "$0")/places.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
command -v python3 >/dev/null && command -v git >/dev/null || skip "needs python3 and git"
start_registry
start_daemon
start_peer

# A file server and a git server, each on a port of its own choice.
mkdir -p "$work/www" "$work/git"
echo remote > "$work/www/remote.txt"
touch -d 2026-01-02T03:04:05Z "$work/www/remote.txt"
python3 -c '
import functools, http.server, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1]))
print(server.server_address[1], flush=True)
server.serve_forever()' "$work/www" > "$work/www.port" 2>/dev/null & pids+=($!)
git init -q -b main "$work/src"
echo versioned > "$work/src/versioned.txt"
git -C "$work/src" add . && git -C "$work/src" -c user.name=t -c user.email=t@t commit -q -m first
git clone -q --bare "$work/src" "$work/git/repo.git"
port=$((20000 + RANDOM % 20000))
git daemon --listen=127.0.0.1 --port=$port --base-path="$work/git" --export-all "$work/git" > "$work/git.log" 2>&1 & pids+=($!)
for _ in $(seq 100); do [[ -s $work/www.port ]] && git ls-remote -q "git://127.0.0.1:$port/repo.git" >/dev/null 2>&1 && break; sleep 0.1; done
www=127.0.0.1:$(cat "$work/www.port")

mkdir -p "$work/ctx/sub" "$work/ctx/deep/er"
echo one > "$work/ctx/file"; echo a > "$work/ctx/sub/a.txt"; echo b > "$work/ctx/sub/b.txt"; echo no > "$work/ctx/sub/c.bin"
echo d > "$work/ctx/deep/er/d.txt"
ln -s sub/a.txt "$work/ctx/pointer"
(cd "$work/ctx" && tar -cf packed.tar file)
cat > "$work/ctx/Dockerfile" <<D
FROM $registry/library/busybox:latest AS base
RUN echo first > /first
WORKDIR /w
FROM base AS tool
RUN --mount=type=cache,target=/c echo x > /tool && echo y > /c/y
RUN --mount=type=bind,source=sub,target=/s cat /s/* > /got
FROM base AS last
COPY file /file
COPY --link file /linked
COPY --chown=1:1 deep pointer /several/
COPY --from=tool /tool /got /tools/
COPY --link --from=tool /tool /linked-tool
ADD packed.tar /unpacked/
ADD http://$www/remote.txt /remote/
ADD git://127.0.0.1:$port/repo.git#main /repo/
COPY <<EOF /written
words
EOF
COPY sub/*.txt /wild/
RUN --mount=type=bind,from=tool,source=/got,target=/g cat /g /file > /both
D
ours() { kiln build --progress plain --network none "${@:2}" "$1" 2>&1; }
ours_prune() { kiln prune --all >/dev/null; }

# all_found WHO TEXT WHAT: every RUN, COPY, ADD and WORKDIR in a build's progress came from a cache; the layers of a
# found step may be unpacked under its name, and then nobody calls it cached. What ADD fetches is
# a step of the same name, and is looked up each time. A step that mounts another stage, or a text, BuildKit does not always
# find, in its own caches neither: of a peer it is not asked. Older ones (dockerd's) write wildcards another way, which is
# why the wildcard stands last.
all_found() {
  local missed spared=^$
  [[ $1 == ours ]] || spared='RUN --mount=type=bind,from=tool|COPY <<EOF'
  [[ $peer_kind != dockerd ]] || spared='COPY sub|RUN --mount=type=bind,from=tool|COPY <<EOF|[[]tool'
  missed=$(awk -v spared="$spared" '/^#[0-9]+ \[.*\] (RUN|COPY|ADD|WORKDIR)/ {id=$1; $1=""; name[id]=$0; told[$0]=1} /^#[0-9]+ (CACHED|extracting sha256:)/ {hit[name[$1]]=1}
    END {n=0; for (i in told) {n++; if (!hit[i] && i !~ spared) print i} if (n < 10) print "only " n " steps were told"}' <<< "$2")
  [[ -z $missed ]] || fail "$3: these steps were not found: $missed"$'\n'"$2"
}

cross() { # FROM TO EXPORT IMPORT WHAT
  ours_prune; peer_prune
  local out
  out=$("$1" "$work/ctx" --cache-to "$3" "${@:6}") || fail "$5: the first build failed: $out"
  rm -f "$work/got.tar"
  out=$("$2" "$work/ctx" --cache-from "$4" --output type=tar,dest="$work/got.tar") || fail "$5: the second build failed: $out"
  all_found "$2" "$out" "$5"
  contains "$(tar -xOf "$work/got.tar" both remote/remote.txt repo/versioned.txt written linked | sort | tr '\n' ' ')" "a b no one one remote versioned words"
  echo "ok: $5"
}
s3_attributes; azblob_attributes; gha_attributes
for way in "ours peer_build" "peer_build ours"; do
  read -r from to <<< "$way"
  for mode in max min; do
    dir=$work/cache-$from-$mode
    cross "$from" "$to" "type=local,dest=$dir,mode=$mode" "type=local,src=$dir" "$from to $to, local, mode=$mode"
    ref=$registry/cache/$from:$mode; ref=${ref/peer_build/peer}
    cross "$from" "$to" "type=registry,ref=$ref,mode=$mode" "type=registry,ref=$ref" "$from to $to, registry, mode=$mode"
  done
  # dockerd knows no such places.
  [[ $peer_kind == dockerd ]] || for place in "$s3,name=$from" "$azblob,name=$from" "$gha_old,scope=$from" "$gha_new,scope=$from"; do
    cross "$from" "$to" "$place,mode=max" "$place" "$from to $to, ${place:5:14}"
  done
  ref=$registry/image/${from/peer_build/peer}:latest
  cross "$from" "$to" type=inline "type=registry,ref=$ref" "$from to $to, inline" --output "type=image,name=$ref,push=true"
done
