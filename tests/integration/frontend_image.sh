#!/usr/bin/env bash
# The frontend packed as an image makes the same image, byte for byte, as the one inside the daemon,
# and the same errors; with KILN_PEER=<address of a BuildKit daemon> the peer makes that image too.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
[[ -x $bin/kiln-frontend ]] || skip "kiln-frontend is not built"
start_registry
start_daemon
export SOURCE_DATE_EPOCH=1700000000

mkdir "$work/image" "$work/ctx"
strip -o "$work/image/kiln-frontend" "$bin/kiln-frontend"
frontend=$registry/kiln-frontend:test
kiln build --progress plain --provenance=false -f "$top/packaging/frontend/Dockerfile" -t "$frontend" --push "$work/image" > "$work/pack.log" 2>&1 ||
  fail "the image of the frontend is not built: $(cat "$work/pack.log")"

cat > "$work/body" <<D
FROM $registry/library/busybox:latest AS base
ARG WHO=nobody
ENV GREETING="hello \${WHO}"
RUN echo "\$GREETING" > /greeting
FROM base AS other
RUN --mount=type=bind,source=note.txt,target=/note cat /note > /copied
FROM base
COPY --from=other /copied /copied
COPY --link note.txt /linked
COPY <<EOF /inline
for \$WHO
EOF
WORKDIR /srv
EXPOSE 80
LABEL a=b
CMD ["cat", "/greeting"]
D
echo note > "$work/ctx/note.txt"
# digest ADDRESS CLIENT-ARGS…: of an image made of the context
digest() {
  local address=$1; shift
  "$bin/kiln" --addr "$address" build --progress plain --provenance=false --build-arg WHO=world \
    -o "type=oci,dest=$work/out.tar,rewrite-timestamp=true,compression=uncompressed,force-compression=true" --metadata-file "$work/meta.json" "$@" "$work/ctx" > "$work/build.log" 2>&1 ||
    fail "the build failed: $(tail -20 "$work/build.log")"
  grep -o '"containerimage.digest": *"[^"]*"' "$work/meta.json" | head -1 | grep -o 'sha256:[0-9a-f]*'
}
here=unix://$work/s.sock
cp "$work/body" "$work/ctx/Dockerfile"
inside=$(digest "$here")
(echo "# syntax=$frontend"; cat "$work/body") > "$work/ctx/Dockerfile"
packed=$(digest "$here" --no-cache)
[[ $inside && $inside == "$packed" ]] || fail "the daemon's frontend makes $inside, the image $packed"

# An error keeps its place in the file on the way through the container.
printf '# syntax=%s\nFROM scratch\nCOPY --form=x a /\n' "$frontend" > "$work/ctx/Dockerfile"
if said=$(kiln build --progress plain "$work/ctx" 2>&1); then fail "a wrong flag should have failed"; fi
contains "$said" "unknown flag: --form"
contains "$said" "Dockerfile:3:6"

# Questions are answered there, too.
printf '# syntax=%s\nFROM scratch AS one\nFROM one AS two\n' "$frontend" > "$work/ctx/Dockerfile"
contains "$(kiln build --progress quiet --call targets "$work/ctx")" "two (default)"

if [[ ${KILN_PEER:-} ]]; then
  (echo "# syntax=$frontend"; cat "$work/body") > "$work/ctx/Dockerfile"
  peer=$(digest "$KILN_PEER")
  [[ $peer == "$inside" ]] || fail "the peer makes $peer of the same, not $inside"
  echo "the peer makes the same image"
fi
echo "the frontend's image makes the same image: $inside"
