#!/usr/bin/env bash
# What scripts take from buildctl: exit codes, files it writes, tables and templates it prints, and the words that
# BuildKit's own client and daemon say to the same command line, as far as clients match on them.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
ln -s "$bin/kiln" "$work/buildctl"
ctl() { "$work/buildctl" --addr "unix://$work/s.sock" "$@"; }
mkdir "$work/c"
cd "$work/c"
printf 'FROM %s/library/busybox:latest\nRUN echo one > /one\nRUN --mount=type=cache,target=/c echo > /c/x\nCOPY f /f\n' "$registry" > Dockerfile
echo f > f
build=(build --frontend dockerfile.v0 --local context=. --local dockerfile=. --progress plain)
# refuses WORDS ARGS…: exit code 1, and the words in the one line that begins with "error:"
refuses() {
  local want=$1 code=0 out; shift
  out=$(ctl "$@" 2>&1 < /dev/null) || code=$?
  ((code == 1)) || fail "'$*': exit code $code: $out"
  [[ $(grep -c '^error: ' <<< "$out") == 1 ]] || fail "'$*': not one sentence: $out"
  contains "$(grep '^error: ' <<< "$out")" "$want"
}

# -- what is wrong with a command line is said before anything is built
refuses "please specify --frontend or pipe LLB" build
refuses "requires type=<type>" build --frontend x --output foo=bar
refuses "output directory is required for local exporter" build --frontend x --output type=local
refuses "not supported for --output, you meant dest=x?" build --frontend x --output type=local,output=x
refuses "destination file is a directory" build --frontend x --output type=tar,dest=/tmp
refuses "invalid output option: output" "${build[@]}" --output type=tar,dest=no/such/folder
refuses "only one output can go to standard output" "${build[@]}" --output type=tar --output type=oci,dest=-
refuses "output x is not supported by image exporter" build --frontend x --output type=image,dest=x
refuses "secret missing ID" build --frontend x --secret src=f
refuses "unsupported secret type \"foo\"" build --frontend x --secret id=a,type=foo
refuses "raw mode must supply exactly one socket path" build --frontend x --ssh default=a,b,raw=true
refuses "unknown entitlement foo" build --frontend x --allow foo
refuses "unknown entitlement network.host=x" build --frontend x --allow network.host=x
refuses "invalid opt: invalid value target" build --frontend x --opt target
refuses "oci-layout option must be 'id=path/to/layout'" build --frontend x --oci-layout foo
refuses "--registry-auth-tlscontext requires host=<host>" build --frontend x --registry-auth-tlscontext ca=x
refuses "failed to unmarshal source-policy-file" "${build[@]}" --source-policy-file Dockerfile
printf '{"rules":[{"action":"DENNY","selector":{"identifier":"docker-image://*"}}]}' > denny.json
refuses 'unrecognized enum action value "DENNY"' "${build[@]}" --source-policy-file denny.json
refuses "failed to parse registry.insecure" "${build[@]}" --export-cache type=registry,ref=x,registry.insecure=maybe
refuses "secret_access_key of the azblob cache is no base64" "${build[@]}" --export-cache type=azblob,account_url=http://x,account_name=y,secret_access_key=%
code=0; ctl no-such-command > /dev/null 2>&1 || code=$?
((code == 3)) || fail "an unknown command: exit code $code"
[[ $(ctl debug workers --format '{{range .}}{{.BuildkitVersion.DockerfileVersion}}{{end}}') == 1.* ]] || fail "the worker has no version of Dockerfiles"
refuses "no/such" "${build[@]}" --debug-json-cache-metrics no/such/folder
refuses "no/such" "${build[@]}" --trace no/such/folder
refuses "invalid progress mode" "${build[@]}" --progress nonsense
refuses "unknown cache exporter: \"x\"" "${build[@]}" --export-cache type=x
refuses "failed to configure registry cache exporter: invalid reference format" "${build[@]}" --export-cache type=registry,ref=UPPER
refuses "failed to configure local cache exporter: unsupported compression type x" "${build[@]}" --export-cache type=local,dest=c,compression=x
refuses "unsupported cache export mode: x" "${build[@]}" --export-cache type=local,dest=c,mode=x
refuses "exporter \"x\" could not be found" "${build[@]}" --output type=x
refuses "unsupported compression type x" "${build[@]}" --output type=oci,dest=o.tar,compression=x
refuses "security.insecure" "${build[@]}" --allow security.insecure
refuses "build ref must be specified" debug logs
refuses "must specify one of --pin, --unpin, --delete" debug ctl x
refuses "not found" debug ctl --delete no-such-build
refuses "no such job" debug logs no-such-build
refuses "failed to parse diskusage filters [==]" du --filter '=='
refuses "failed to parse prune filters [==]" prune --filter '=='
printf 'FROM %s/library/busybox:latest\nRUN --network=host true\n' "$registry" > host
refuses "failed to load LLB: network.host is not allowed" "${build[@]}" --opt filename=host
printf 'FROM %s/library/none:1\n' "$registry" > none
refuses "failed to resolve source metadata for $registry/library/none:1: $registry/library/none:1: not found" "${build[@]}" --opt filename=none
refuses "the client offers no such service" "${build[@]}" --opt filename=layout --opt "context:x=oci-layout://x@sha256:$(printf '0%.0s' {1..64})" \
  < <(printf 'FROM x\n' > layout)
printf '{"rules":[{"action":"DENY","selector":{"identifier":"docker-image://*"}}]}' > deny.json
refuses "could not resolve image due to policy" "${build[@]}" --source-policy-file deny.json

# -- files that a build writes
ctl "${build[@]}" --output "type=image,name=$registry/it/commands:1,push=true" --metadata-file meta.json --ref-file ref --trace trace \
  --debug-json-cache-metrics metrics --export-cache "type=local,dest=cache" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
ref=$(cat ref)
[[ $(jq -r '."containerimage.descriptor".digest' meta.json) == "$(jq -r '."containerimage.digest"' meta.json)" ]] || fail "$(cat meta.json)"
[[ $(jq -r '."cache.manifest" | fromjson.digest' meta.json) == "$(jq -r '.manifests[0].digest' cache/index.json)" ]] || fail "$(cat meta.json)"
! grep -rq distribution.source cache/blobs || fail "a cache's manifest tells where its layers came from"
jq -e '.vertexes' trace > /dev/null || fail "the trace has no vertexes"
[[ $(tail -1 metrics | jq .user_total) -gt 2 ]] || fail "$(cat metrics)"
[[ $(jq -r ".vertexes[]?.name" trace | sort -u | grep -cF "[stage-0 2/4] RUN echo one") == 1 ]] || fail "$(jq -r ".vertexes[]?.name" trace)"

# -- several outputs, layouts as directories, stages and arguments
ctl "${build[@]}" --output type=oci,dest=o.tar --output type=oci,dest=layout.d,tar=false --output type=local,dest=l --output type=tar,dest=t.tar \
  --output type=docker,dest=d.tar,name=it/x:1 > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(cat l/one) == one && $(tar -xOf t.tar one) == one ]] || fail "the files are not there"
[[ $(tar -xOf o.tar index.json | jq -r .manifests[0].digest) == "$(jq -r .manifests[0].digest layout.d/index.json)" ]] || fail "two layouts of one image"
[[ $(tar -xOf d.tar manifest.json | jq -r '.[0].RepoTags[0]') == it/x:1 ]] || fail "$(tar -xOf d.tar manifest.json)"
[[ $(ls layout.d/blobs) == sha256 ]] || fail "other things than blobs: $(ls layout.d/blobs)"
mkdir -p mirror/old; touch mirror/stale
ctl "${build[@]}" --output type=local,dest=mirror,mode=delete > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ -e mirror/one && ! -e mirror/stale && ! -e mirror/old ]] || fail "mode=delete: $(ls mirror)"
printf 'FROM scratch\nCOPY f /\n' > two
ctl "${build[@]}" --opt filename=two --opt platform=linux/amd64,linux/arm64 --opt attest:provenance=mode=min --output type=local,dest=both,attestation-prefix=p. \
  > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(cd both && echo */*) == "linux_amd64/f linux_amd64/p.provenance.json linux_arm64/f linux_arm64/p.provenance.json" ]] || fail "$(ls both/*)"
refuses "when split option is disabled" "${build[@]}" --opt filename=two --opt platform=linux/amd64,linux/arm64 --output type=local,dest=b2,platform-split=false
refuses "docker exporter does not currently support exporting manifest lists" "${build[@]}" --opt filename=two --opt platform=linux/amd64,linux/arm64 --output type=docker,dest=d2.tar
refuses "index annotations not supported for single platform export" "${build[@]}" --output type=oci,dest=o2.tar,annotation-index.a=b
printf 'FROM own\nRUN cat /one > /two\n' > own
ctl "${build[@]}" --opt filename=own --oci-layout "x=layout.d" --opt "context:own=oci-layout://x@$(jq -r .manifests[0].digest layout.d/index.json)" \
  --output type=tar,dest=own.tar > "$work/out" 2>&1 || fail "$(cat "$work/out")"
[[ $(tar -xOf own.tar two) == one ]] || fail "a layout as a context"
printf '{"rules":[{"action":"CONVERT","selector":{"identifier":"docker-image://%s/library/none:1"},"updates":{"identifier":"docker-image://%s/library/busybox:latest"}}]}' \
  "$registry" "$registry" > convert.json
ctl "${build[@]}" --opt filename=none --source-policy-file convert.json > "$work/out" 2>&1 || fail "$(cat "$work/out")"
ctl "${build[@]}" --opt requestid=frontend.convertllb > llb 2> "$work/out" || fail "$(cat "$work/out")"
[[ $(head -1 llb) == result.json ]] && tail -n +2 llb | jq -e . > /dev/null || fail "no graph: $(cat llb)"

# -- triggers of a base image are seen when it is looked up
printf 'FROM %s/library/busybox:latest\nONBUILD RUN echo from the base\nENV FROM_BASE=1\n' "$registry" > trigger
ctl "${build[@]}" --opt filename=trigger --output "type=image,name=$registry/it/trigger:1,push=true" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
printf 'FROM %s/it/trigger:1\nRUN echo own\n' "$registry" > triggered
out=$("$bin/kiln" explain -f triggered .)
[[ $out != *"from the base"* ]] || fail "$out"
contains "$out" "--with-images asks for them"
out=$("$bin/kiln" explain --with-images -f triggered .)
contains "$out" "ONBUILD RUN echo from the base"
contains "$out" "environment FROM_BASE=1"

# -- what the daemon holds
du=$(ctl du)
contains "$du" "ID"
contains "$du" "Reclaimable:"
contains "$du" "Total:"
[[ $(ctl du --filter type==exec.cachemount --format '{{range .}}{{.Description}}|{{.Mutable}}|{{.InUse}}{{end}}') == 'cached mount /c from exec /bin/sh -c echo > /c/x with id "//c"|true|false' ]] ||
  fail "$(ctl du --filter type==exec.cachemount --format json)"
contains "$(ctl du -v --filter description~=one)" "mount / from exec /bin/sh -c echo one > /one"
[[ $(ctl du --format '{{range $i, $e := .}}{{if eq $e.RecordType "source.local"}}{{$e.Description}};{{end}}{{end}}' | tr ';' '\n' | sort -u | tr '\n' ';') == ";local source for context;local source for dockerfile;" ]] ||
  fail "$(ctl du --format '{{range $i, $e := .}}{{if eq $e.RecordType "source.local"}}{{$e.Description}};{{end}}{{end}}')"
[[ $(ctl prune --filter type==exec.cachemount --format '{{.RecordType}}') == exec.cachemount ]] || fail "prune by type"
[[ -z $(ctl prune --filter type==exec.cachemount --format '{{.ID}}') ]] || fail "pruned twice"
[[ $(ctl prune --keep-duration 1h) == "Total:"*0B ]] || fail "prune --keep-duration: $(ctl prune --keep-duration 1h)"
[[ $(ctl debug workers --format '{{range .}}{{(index .Labels "org.mobyproject.buildkit.worker.executor")}}{{end}}') == oci ]] || fail "workers by template"
contains "$(ctl debug workers -v)" "GC Policy rule#3:"
[[ $(ctl debug info --format '{{json .}}' | jq -r '.buildkitVersion.package') != null ]] || fail "$(ctl debug info --format json)"

# -- records of builds
record=$(ctl debug histories --format '{{.Record.Ref}} {{.Type}} {{.Record.FrontendAttrs}} {{.Record.NumTotalSteps}} {{.Record.Pinned}}' | grep "^$ref ")
contains "$record" "$ref COMPLETE map["
contains "$record" " false"
contains "$(ctl debug logs "$ref")" "[stage-0 2/4] RUN echo one"
contains "$(ctl debug logs --progress rawjson "$ref")" '"vertexes":'
ctl debug ctl --pin "$ref"
ctl prune-histories > "$work/out" || fail "$(cat "$work/out")"
contains "$(head -1 "$work/out")" "TYPE"
[[ $(ctl debug histories --format '{{.Record.Ref}}') == "$ref" ]] || fail "a pinned record went"
contains "$(timeout 2 "$work/buildctl" --addr "unix://$work/s.sock" debug monitor --completed || true)" 'annotations:{key:"in-toto.io/predicate-type"'
digest=$(ctl debug histories --format '{{json .}}' | jq -r '.record.Result.Results["0"].digest')
ctl debug get "$digest" | jq -e .layers > /dev/null || fail "the image's manifest is not readable"
ctl debug ctl --unpin "$ref"
ctl debug ctl --delete "$ref"
[[ -z $(ctl debug histories --format '{{.Record.Ref}}') ]] || fail "a record that was deleted is there"
echo "said, written, printed and kept as expected"
