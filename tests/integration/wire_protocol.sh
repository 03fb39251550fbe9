#!/usr/bin/env bash
# Our .proto files say the same as BuildKit's own, which a Debian package carries: numbers, types and
# names. KILN_PROTO_DIR: where such files lie already.
source "$(dirname "$0")/lib.sh"

theirs=${KILN_PROTO_DIR:-}
if [[ -z $theirs ]]; then
  reason=$("$top/tools/from-suite" sid "$work/sid" golang-github-docker-docker-dev 2>&1) ||
    skip "the package with BuildKit's protocol is not to be had: $reason"
  theirs=$work/sid/usr/share/gocode/src/github.com/moby/buildkit
fi
python3 "$top/tests/integration/wire_protocol.py" "$top/proto" "$theirs"
