#!/usr/bin/env bash
# Files of a client on the same machine go to the daemon and come back as they were, whichever way they travel: small
# and large ones, links, modes, times; changes alone travel again; a client in another network namespace, which the
# daemon cannot reach directly, is served all the same; equal trees give equal digests in a fresh daemon.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
context=$work/context
mkdir -p "$context"/{many,deep/er/still,empty}
for i in $(seq 300); do echo "file $i" > "$context/many/$i"; done
head -c 5000000 /dev/urandom > "$context/large"
head -c 200000 /dev/zero > "$context/deep/er/still/zeros"
: > "$context/nothing"
ln "$context/large" "$context/hard"
ln -s ../nothing "$context/deep/soft"
mkfifo "$context/pipe"
chmod 4711 "$context/many/7"; chmod 1777 "$context/empty"; chmod 0 "$context/many/8"; touch -d @1234567890 "$context/many/9"
printf 'FROM scratch\nCOPY . /\n' > "$context/Dockerfile"

# listing DIR: what each entry is, with its contents' digest. Of directories and links no times.
listing() {
  (cd "$1" && find . -mindepth 1 \( -type f -printf '%P f %m %s %T@ %n\n' -o -type d -printf '%P d %m\n' -o -printf '%P %y %l\n' \) | sort
   find . -type f -print0 | sort -z | xargs -0 sha256sum)
}
# A directory that differs in its time alone is not sent again, as with BuildKit: here all have one time.
still() { find "$context" -type d -exec touch -d @1234567890 {} +; }
returns() {
  rm -rf "$work/out"
  still
  "$@" build --progress plain --output "type=local,dest=$work/out" "$context" > "$work/log" 2>&1 || fail "$(cat "$work/log")"
  diff <(listing "$context") <(listing "$work/out") || fail "the tree came back changed"
}
digest() {
  still
  kiln build --progress quiet --output type=image --metadata-file "$work/meta" "$context" > "$work/log" 2>&1 || fail "$(cat "$work/log")"
  sed -n 's/.*"containerimage.config.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$work/meta"
}

start_daemon
returns kiln
echo changed >> "$context/many/12"; rm "$context/many/13"; head -c 3000000 /dev/urandom > "$context/large"
rm -r "$context/deep/er"; echo "no directory any more" > "$context/deep/er"
returns kiln

# Out of reach of the direct way.
elsewhere() { unshare --net "$bin/kiln" --addr "unix://$work/s.sock" "$@"; }
echo "from elsewhere" > "$context/many/14"
returns elsewhere

# The same bytes in a daemon that has never seen them.
export SOURCE_DATE_EPOCH=1700000000
first=$(digest)
[[ $first ]] || fail "no digest in $(cat "$work/meta")"
kill "$daemon"; wait "$daemon" 2>/dev/null || true
rm -rf "$work/root" "$work/s.sock"
start_daemon
[[ $(digest) = "$first" ]] || fail "the same tree gave another digest"
