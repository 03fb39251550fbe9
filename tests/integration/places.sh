# Places without manifests for caches, stood in for by servers of the tests' own that check signatures. Sourced after
# lib.sh.

place() { # KIND: starts one; its port in $port, its requests in $work/KIND.log
  python3 "$top/tests/servers/object_places.py" "$1" > "$work/$1.port" 2> "$work/$1.log" & pids+=($!)
  for _ in $(seq 100); do [[ -s $work/$1.port ]] && break; sleep 0.05; done
  port=$(cat "$work/$1.port")
}

token() { # of a workflow that may write refs/heads/main
  python3 -c 'import base64, json, time
part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
scopes = json.dumps([{"Scope": "refs/heads/main", "Permission": 3}])
now = int(time.time())
print(part({"alg": "HS256", "typ": "JWT"}) + "." + part({"ac": scopes, "exp": now + 3600, "nbf": now - 60}) + ".eHh4")'
}

# The attributes of a cache there.
s3_attributes() { place s3; s3=type=s3,region=r1,bucket=b,endpoint_url=http://127.0.0.1:$port,use_path_style=true,access_key_id=id,secret_access_key=secret; }
azblob_attributes() { place azure; azblob=type=azblob,account_url=http://127.0.0.1:$port,account_name=acc,secret_access_key=$(printf key | base64); }
gha_attributes() {
  place gha
  gha_old="type=gha,version=1,url=http://127.0.0.1:$port/,token=$(token)"
  gha_new="type=gha,version=2,url_v2=http://127.0.0.1:$port/,url=http://none/,token=$(token)"
}
