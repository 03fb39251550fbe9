#!/usr/bin/env bash
# The proxy network: steps reach servers through the daemon's proxy alone, every request is logged,
# policy decides about each, and the proxy's certificate is trusted for as long as a step runs.
source "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip "needs root"
command -v openssl >/dev/null || skip "openssl is not installed"
start_registry
mkdir -p "$work/context" "$work/www" "$work/tls"
echo payload > "$work/www/file"
echo other > "$work/www/other"

free_port() { while :; do local p=$((20000 + RANDOM % 20000)); ss -Hltn "sport = :$p" | grep -q . || { echo "$p"; return; }; done; }
plain=$(free_port)
busybox httpd -f -p "127.0.0.1:$plain" -h "$work/www" & pids+=($!)
(cd "$work/tls" && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
  -addext "subjectAltName=IP:127.0.0.1,DNS:localhost" 2>/dev/null)
secure=$(free_port)
(cd "$work/www" && exec openssl s_server -accept "127.0.0.1:$secure" -key "$work/tls/key.pem" -cert "$work/tls/cert.pem" -WWW -quiet 2>/dev/null) & pids+=($!)

SSL_CERT_FILE=$work/tls/cert.pem start_daemon --proxy-network --oci-cni-config-path "$work/nowhere"
dockerfile() { printf 'FROM %s/library/busybox\n%s\n' "$registry" "$1" > "$work/context/Dockerfile"; }
build() { kiln build "$work/context" --no-cache --progress plain "$@" > "$work/log" 2>&1 || fail "$(cat "$work/log")"; }
fetch="NO_PROXY= no_proxy= wget -q -O-"  # loopback is not asked of the proxy by default

dockerfile "RUN $fetch http://127.0.0.1:$plain/file | grep payload && ! $fetch http://127.0.0.1:$plain/none
RUN $fetch https://localhost:$secure/file | grep payload"
build
contains "$(cat "$work/log")" "proxy network requests:"
contains "$(cat "$work/log")" "- GET http://127.0.0.1:$plain/file -> 200"
contains "$(cat "$work/log")" "- GET http://127.0.0.1:$plain/none -> 404"
contains "$(cat "$work/log")" "- GET https://localhost:$secure/file -> 200"

dockerfile "RUN [ \$(ls /sys/class/net | wc -l) = 1 ] && ! wget -T 2 -q -O- http://127.0.0.1:$plain/file && [ \$http_proxy ]
RUN --network=none [ -z \"\$http_proxy\" ] && ! $fetch http://127.0.0.1:$plain/file"
build

# Trusted while a step runs, and not a byte of it in what the step leaves.
dockerfile "RUN mkdir -p /etc/ssl/certs && echo mine > /etc/ssl/certs/ca-certificates.crt
RUN grep -A2 'buildkit proxy CA begin' /etc/ssl/certs/ca-certificates.crt | grep 'BEGIN CERTIFICATE' && echo more >> /etc/ssl/certs/ca-certificates.crt
RUN --network=none [ \"\$(xargs < /etc/ssl/certs/ca-certificates.crt)\" = 'mine more' ]"
build

# Policy: denied, and sent elsewhere.
cat > "$work/policy.json" <<J
{"rules": [{"action": "DENY", "selector": {"identifier": "http://127.0.0.1:$plain/file"}},
           {"action": "CONVERT", "selector": {"identifier": "http://127.0.0.1:$plain/moved"}, "updates": {"identifier": "http://127.0.0.1:$plain/other"}}]}
J
dockerfile "RUN ! $fetch http://127.0.0.1:$plain/file 2>/err; grep 403 /err
RUN $fetch http://127.0.0.1:$plain/moved | grep other"
ln -s "$bin/kiln" "$work/buildctl"
"$work/buildctl" --addr "unix://$work/s.sock" build --frontend dockerfile.v0 --local "context=$work/context" --local "dockerfile=$work/context" --no-cache --progress plain \
  --source-policy-file "$work/policy.json" > "$work/log" 2>&1 || fail "$(cat "$work/log")"
contains "$(cat "$work/log")" "- GET http://127.0.0.1:$plain/other -> 200"
