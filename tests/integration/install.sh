#!/usr/bin/env bash
# What `make install` puts in place: programs that run from there, man pages that format without a warning, units that
# systemd takes, and completions that complete in a real bash.
. "$(dirname "$0")/lib.sh"
KILN_BUILD_BIN=$bin "$top/packaging/install" "$work/d" /opt/kiln
at=$work/d/opt/kiln

for program in kiln kilnd buildctl buildkitd; do
  contains "$("$at/bin/$program" --version)" "${program:0:1}"
done
contains "$(cat "$at/lib/systemd/system/kiln.service")" 'ExecStart=/opt/kiln/bin/kilnd'
if command -v systemd-analyze > /dev/null; then
  # The program is not at its place here, which is all that may be said.
  said=$(systemd-analyze verify "$at/lib/systemd/system/kiln.socket" "$at/lib/systemd/system/kiln.service" 2>&1 | grep kiln | grep -v 'is not executable') || true
  [[ ! $said ]] || fail "systemd says: $said"
fi

# -- man pages
if command -v groff > /dev/null; then
  for page in man1/kiln.1 man8/kilnd.8; do
    said=$(groff -man -ww -Tutf8 "$at/share/man/$page" 2>&1 > "$work/page") || fail "groff fails on $page"
    [[ ! $said ]] || fail "groff says of $page: $said"
    [[ -s $work/page ]] || fail "$page is empty"
  done
fi
# Every flag of the help is in the page.
for flag in $("$bin/kilnd" --help | grep -o -- '^ *--[a-z-]*' | tr -d ' '); do
  grep -qF -- "${flag//-/\\-}" "$at/share/man/man8/kilnd.8" || fail "kilnd.8 lacks $flag"
done
for flag in $("$bin/kiln" build --help | grep -o -- ' --[a-z-]*' | tr -d ' '); do
  [[ $flag == --help ]] || grep -qF -- "${flag//-/\\-}" "$at/share/man/man1/kiln.1" || fail "kiln.1 lacks $flag"
done

# -- bash completes
cat > "$work/complete" <<'B'
. "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_kiln
printf '%s ' "${COMPREPLY[@]}"
B
completes() { bash "$work/complete" "$at/share/bash-completion/completions/kiln" "$@"; }
contains "$(completes kiln bu)" 'build '
contains "$(completes kiln build --prog)" '--progress '
contains "$(completes kiln build --progress '')" 'rawjson '
[[ $(completes kiln check --format s) == 'sarif ' ]] || fail "check --format: $(completes kiln check --format s)"
[[ $(completes kiln explain --format s) == 'svg ' ]] || fail "explain --format: $(completes kiln explain --format s)"
contains "$(completes kiln debug '')" 'histories '
contains "$(completes kiln build . --log-format '')" 'json '
touch "$work/Dockerfile.other"
contains "$(cd "$work" && completes kiln build -f Dockerfile.)" 'Dockerfile.other '
