#!/usr/bin/env bash
# The progress view on a terminal, looked at as a terminal sees it: redrawn in place, never wider than the screen,
# nothing cleared as a whole, the cursor back at the end; and the plain view where there is no terminal.
. "$(dirname "$0")/lib.sh"
[[ $(id -u) == 0 ]] || skip "needs root"
start_registry
start_daemon
mkdir "$work/c"
cat > "$work/c/Dockerfile" <<D
FROM $registry/library/busybox:latest AS one
RUN for i in 1 2 3 4 5 6 7 8 9; do printf '\033[31mred %s\033[0m\tand a long line that no screen of this width can show as a whole, so it is cut somewhere\n' \$i; sleep 0.1; done
FROM $registry/library/busybox:latest AS two
RUN for i in 1 2 3 4 5 6 7 8 9; do echo "字幅の広い文字が並ぶ行は二列ずつ取るので切らなければ画面からはみ出してしまうはずである 🙂🙂🙂 \$i"; sleep 0.1; done
FROM $registry/library/busybox:latest
COPY --from=one /etc/passwd /a
COPY --from=two /etc/passwd /b
RUN printf 'no newline at the end\b\b\a'
D
look() { "$top/tests/integration/terminal.py" "$@" > "$work/seen.json"; }
seen() { jq -r "$1" "$work/seen.json"; }
check() { [[ $(seen "$2") == true ]] || fail "$1: $(seen .)"; }

judge() {
  check "a line is wider than the screen" '.wrapped == 0'
  check "something was cleared whole" '.cleared | not'
  check "the cursor stays hidden" .visible
  check "a sequence that not every terminal knows" '.unknown == []'
  # In one line, of all that was ever visible.
  check "no end" '[.gone + .screen | .[] | select(test("\\[\\+\\] Building .* FINISH"))] | length == 1'
}

for size in "100 40" "60 12" "30 8"; do
  look $size "$bin/kiln" --addr "unix://$work/s.sock" build --no-cache "$work/c"
  check "the build fails" '.code == 0'
  judge
  check "frames" '.frames > 5'
  check "a step is shown once" '[.gone + .screen | .[] | select(test("COPY --from=two|two 2/2"))] | length <= 2'
done
# Nothing scrolls away where there is room for all.
look 120 60 "$bin/kiln" --addr "unix://$work/s.sock" build "$work/c"
judge
check "something scrolled away" '.gone == []'
check "a cached step does not say so" '[.screen[] | select(test("CACHED"))] | length > 0'

# A failure: the step's last lines, the Dockerfile's line, the error in the last line.
printf 'FROM %s/library/busybox:latest\nRUN echo shown; exit 3\n' "$registry" > "$work/c/bad"
look 100 40 "$bin/kiln" --addr "unix://$work/s.sock" build -f "$work/c/bad" "$work/c"
check "a failing build's code" '.code == 1'
check "nothing is marked" '[.screen[] | select(test("ERROR .*RUN echo shown"))] | length > 0'
check "no line of the Dockerfile" '[.screen[] | select(test(">>> RUN echo shown"))] | length == 1'
check "the log" '[.screen[] | select(test("^ *> \\[|shown"))] | length > 1'
check "wrapped" '.visible'

# No terminal: the plain view.
"$bin/kiln" --addr "unix://$work/s.sock" build "$work/c" > "$work/plain" 2>&1
! grep -q $'\x1b' "$work/plain" || fail "escape sequences without a terminal"
contains "$(cat "$work/plain")" '#1 '
