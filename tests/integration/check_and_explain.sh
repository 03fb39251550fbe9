#!/usr/bin/env bash
# `kiln check` and `kiln explain` work without a daemon, with the exit codes that scripts rely on, and
# --fix leaves a file that the check is content with.
. "$(dirname "$0")/lib.sh"
export BUILDKIT_HOST=unix:///nonexistent
cd "$work"
# status CODE ARGS…: what it prints is in $said
status() {
  local code=0 wanted=$1; shift
  said=$("$bin/kiln" "$@" 2>&1) || code=$?
  [[ $code == "$wanted" ]] || fail "kiln $* ended with $code, not $wanted: $said"
}
status 2 check; contains "$said" "there is no Dockerfile at 'Dockerfile'"
status 2 check --format yaml; contains "$said" "text, json, sarif and github"
printf '# check=skip=FromAsCasign\nFROM scratch as a\nENV A b\nCMD /bin/a\n' > Dockerfile
status 1 check; contains "$said" "FromAsCasing"; contains "$said" "did you mean FromAsCasing?"
status 1 check --format github; contains "$said" "::warning file=Dockerfile,line=2,endLine=2,title=FromAsCasing::"
status 0 check --fix; contains "$said" "fixed 3 findings"
[[ $(tail -3 Dockerfile) == $'FROM scratch AS a\nENV A=b\nCMD ["/bin/a"]' ]] || fail "fixed: $(cat Dockerfile)"
said=$(printf 'from scratch AS a\n' | "$bin/kiln" check -f - --fix 2>/dev/null)
[[ $said == "from scratch as a" ]] || fail "a file from standard input was not fixed: $said"
printf 'FROM scratch\nCOPY --form=a b /\n' > Dockerfile
status 1 check; contains "$said" "unknown flag: --form (did you mean from?)"; contains "$said" '^^^^^^'
printf 'FROM scratch\nCOPY go.mod /\nFROM scratch\nCOPY --from=0 /go.mod /\nCOPY x /\n' > Dockerfile
printf 'ignored\n' > .dockerignore; printf 12345 > go.mod; printf 1 > x; printf 1 > ignored
status 0 explain --if-changed go.mod --if-changed ignored
contains "$said" "2 files, 6 B of"; contains "$said" "COPY go.mod / (concerned itself)"; contains "$said" "the ignore file keeps it away"
for format in json dot svg; do status 0 explain --format "$format"; contains "$said" "go.mod"; done
echo "checked, fixed and explained"
