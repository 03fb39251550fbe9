#!/usr/bin/env bash
# What leaves the daemon as asked for: compressions and media types of images and caches, provenance in its versions and
# modes and with the machine's own facts, and the words with which a file server is asked (agent, login, conditions).
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
command -v python3 >/dev/null || skip "needs python3"
start_registry
mkdir "$work/facts"
echo '{"machine": {"name": "test"}}' > "$work/facts/machine.json"
printf 'provenanceEnvDir = "%s"\n' "$work/facts" > "$work/kilnd.toml"
start_daemon --config "$work/kilnd.toml"
mkdir "$work/c"
cd "$work/c"
echo f > f
printf 'FROM %s/library/busybox:latest\nRUN echo one > /one\nCOPY f /f\n' "$registry" > Dockerfile
build() { kiln solve --progress plain --frontend dockerfile.v0 --local context=. --local dockerfile=. "$@" > "$work/out" 2>&1 || fail "'$*': $(cat "$work/out")"; }
# types FILE: media types of the layers in an archive, and of its manifest
manifest() { tar -xOf "$1" "blobs/$(tar -xOf "$1" index.json | jq -r '.manifests[0].digest' | tr : /)"; }
types() { manifest "$1" | jq -r '[.mediaType] + [.layers[].mediaType] | join(" ")'; }
oci=application/vnd.oci.image
docker=application/vnd.docker
is() { [[ $1 == "$2" ]] || fail "expected '$2', got '$1'"; }

# -- images: only what is new is compressed as asked, unless it is forced; types by name
build --output type=oci,dest=a.tar
is "$(types a.tar)" "$oci.manifest.v1+json $oci.layer.v1.tar+gzip $oci.layer.v1.tar+gzip $oci.layer.v1.tar+gzip"
build --output type=oci,dest=b.tar,compression=zstd,force-compression=true,compression-level=3
is "$(types b.tar)" "$oci.manifest.v1+json $oci.layer.v1.tar+zstd $oci.layer.v1.tar+zstd $oci.layer.v1.tar+zstd"
build --output type=oci,dest=c.tar,compression=uncompressed,force-compression=true
is "$(types c.tar)" "$oci.manifest.v1+json $oci.layer.v1.tar $oci.layer.v1.tar $oci.layer.v1.tar"
build --output type=oci,dest=d.tar,compression=estargz,force-compression=true
[[ $(manifest d.tar | jq '[.layers[].annotations["containerd.io/snapshot/stargz/toc.digest"]] | map(select(. != null)) | length') == 3 ]] || fail "$(manifest d.tar)"
build --output type=docker,dest=e.tar,oci-mediatypes=false
is "$(types e.tar)" "$docker.distribution.manifest.v2+json $docker.image.rootfs.diff.tar.gzip $docker.image.rootfs.diff.tar.gzip $docker.image.rootfs.diff.tar.gzip"
is "$(tar -xOf a.tar "blobs/$(manifest a.tar | jq -r .config.digest | tr : /)" | jq -c .rootfs.diff_ids)" \
  "$(tar -xOf b.tar "blobs/$(manifest b.tar | jq -r .config.digest | tr : /)" | jq -c .rootfs.diff_ids)"
build --output "type=image,\"name=$registry/it/b:1,$registry/it/b:2\",push=true" --metadata-file meta.json
is "$(curl -sI "http://$registry/v2/it/b/manifests/2" -H "Accept: $oci.manifest.v1+json" | tr -d '\r' | awk -F': ' 'tolower($1) == "docker-content-digest" {print $2}')" \
  "$(jq -r '."containerimage.digest"' meta.json)"
build --output "type=image,name=$registry/it/digest,push=true,push-by-digest=true" --metadata-file meta.json
curl -sf -o /dev/null "http://$registry/v2/it/digest/manifests/$(jq -r '."containerimage.digest"' meta.json)" -H "Accept: $oci.manifest.v1+json" || fail "not pushed by digest"
is "$(curl -s -o /dev/null -w '%{http_code}' "http://$registry/v2/it/digest/manifests/latest")" 404
build --output type=oci,dest=n.tar,annotation.a=b,annotation-manifest-descriptor.c=d
is "$(manifest n.tar | jq -r .annotations.a) $(tar -xOf n.tar index.json | jq -r .manifests[0].annotations.c)" "b d"

# -- caches: two at once, with compressions and types of their own
build --export-cache type=local,dest=zstd,mode=max,compression=zstd,force-compression=true --export-cache "type=registry,ref=$registry/it/cache:1"
build --export-cache type=local,dest=list,mode=max,image-manifest=false
curl -sf -o /dev/null "http://$registry/v2/it/cache/manifests/1" -H "Accept: $oci.manifest.v1+json" || fail "the second cache is not there"
cached() { cat "$1/blobs/$(jq -r '.manifests[0].digest' "$1/index.json" | tr : /)"; }
is "$(cached zstd | jq -r '[.layers[].mediaType] | unique | join(" ")')" "$oci.layer.v1.tar+zstd"
is "$(cached list | jq -r .mediaType)" "$oci.index.v1+json"
is "$(cached zstd | jq -r .config.mediaType)" "application/vnd.buildkit.cacheconfig.v0"

# -- provenance
build --opt attest:provenance=mode=max,builder-id=https://builder.example,filename=p.json,reproducible=true --output type=local,dest=max
predicate=$(jq .predicate max/p.json)
is "$(jq -r '.predicateType' max/p.json)" "https://slsa.dev/provenance/v1"
is "$(jq -r '.runDetails.builder.id' <<< "$predicate")" "https://builder.example"
is "$(jq -r '.buildDefinition.internalParameters.machine.name' <<< "$predicate")" test
is "$(jq -r '.buildDefinition.internalParameters.buildConfig.llbDefinition | length > 2' <<< "$predicate")" true
is "$(jq -r '.runDetails.metadata.buildkit_reproducible' <<< "$predicate")" true
contains "$(jq -r '.buildDefinition.resolvedDependencies[].uri' <<< "$predicate")" "pkg:docker/"
build --opt attest:provenance=mode=min --opt build-arg:SECRET=hidden --output type=local,dest=min
[[ $(cat min/provenance.json) != *hidden* && $(jq '.predicate.buildDefinition.internalParameters.buildConfig' min/provenance.json) == null ]] || fail "mode=min tells too much"
build --opt attest:provenance=version=v0.2 --output type=local,dest=old
is "$(jq -r '.predicateType + " " + .predicate.buildType' old/provenance.json)" "https://slsa.dev/provenance/v0.2 https://mobyproject.org/buildkit@v1"
build --opt attest:provenance=inline-only=true --output type=local,dest=inline
[[ ! -e inline/provenance.json ]] || fail "inline-only stands beside files"

# -- a file server that wants a login, and is asked again only whether something changed
cat > "$work/server.py" <<'P'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def answer(self):
        print(self.command, self.path, self.headers.get("User-Agent"), self.headers.get("Authorization"), self.headers.get("If-None-Match"), file=sys.stderr, flush=True)
        if self.path == "/private" and self.headers.get("Authorization") != "Bearer t0ken":
            self.send_response(401); self.end_headers(); return
        if self.headers.get("If-None-Match") == '"tag"':
            self.send_response(304); self.send_header("ETag", '"tag"'); self.end_headers(); return
        self.send_response(200); self.send_header("ETag", '"tag"'); self.send_header("Content-Length", "5"); self.end_headers()
        if self.command == "GET": self.wfile.write(b"bytes")
    do_GET = do_HEAD = answer
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
P
python3 "$work/server.py" > "$work/server.port" 2> "$work/server.log" & pids+=($!)
eventually 20 test -s "$work/server.port" || fail "the file server did not start"
www=127.0.0.1:$(cat "$work/server.port")
printf 'FROM scratch\nADD http://%s/private /got\n' "$www" > Dockerfile
! kiln solve --frontend dockerfile.v0 --local context=. --local dockerfile=. > "$work/out" 2>&1 || fail "a file that needs a login is had without"
contains "$(cat "$work/out")" "invalid response status 401"
for _ in 1 2; do
  TOKEN=t0ken build --secret "id=HTTP_AUTH_TOKEN_127.0.0.1,env=TOKEN" --output type=local,dest=got
done
is "$(cat got/got)" bytes
contains "$(cat "$work/server.log")" " buildkit/"
contains "$(tail -1 "$work/server.log")" '"tag"'
echo "as asked for"
