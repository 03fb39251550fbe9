#!/usr/bin/env bash
# Proves that the three locks of the house hold: in a copy of the sources a fault is planted, and the
# lock that is to catch it must, naming it. Without a fault each lock must let the copy pass.
#   configure  cmake stops at a map with a knot
#   compile    what is not linked cannot be included
#   check      tools/rooms.py finds what the compiler lets pass
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d /tmp/kiln-locks.XXXXXX); trap 'rm -rf "$work"' EXIT
copy=$work/copy
fail() { echo "FAILED: $*" >&2; exit 1; }
fresh() { rm -rf "$copy"; mkdir "$copy"; cp -r "$top/src" "$top/cmake" "$top/tools" "$top/proto" "$top/CMakeLists.txt" "$copy/"; }

# --- configure: the map alone, in a project without languages
configure() {
  rm -rf "$work/map"; mkdir "$work/map"
  printf 'cmake_minimum_required(VERSION 3.25)\nproject(map NONE)\ninclude("%s/cmake/Rooms.cmake")\nkiln_rooms("%s/src/ROOMS")\n' \
    "$copy" "$copy" > "$work/map/CMakeLists.txt"
  cmake -S "$work/map" -B "$work/map/build" > "$work/log" 2>&1
}
fresh
configure || fail "configure stops at the map as it is: $(cat "$work/log")"
sed -i -E 's/^content( *)\| base/content\1| solve base/' "$copy/src/ROOMS"
if configure; then fail "configure took a map in which content uses solve"; fi
grep -q "'content' may not use 'solve'" "$work/log" || fail "configure does not name the knot: $(cat "$work/log")"
echo "configure: a knot in the map stops it"

# --- compile: one file of a low room, with the include roots that its room has
fresh
compile() {
  local room=$1 file=$2 roots=() use
  mkdir -p "$work/roots"
  for use in "$room" $(sed -nE "s/^$room *\|([^|]*)\|.*/\1/p" "$copy/src/ROOMS"); do
    mkdir -p "$work/roots/$use"; ln -sfn "$copy/src/$use" "$work/roots/$use/$use"
    roots+=(-I "$work/roots/$use")
  done
  g++ -std=c++20 -fsyntax-only "${roots[@]}" "$copy/src/$room/$file" > "$work/log" 2>&1
}
compile content blob_provider.cc || fail "a clean file does not compile: $(cat "$work/log")"
echo '#include "solve/solver.h"' >> "$copy/src/content/blob_provider.cc"
if compile content blob_provider.cc; then fail "content could include solve, which stands above it"; fi
grep -q "solve/solver.h: No such file" "$work/log" || fail "not for the include: $(cat "$work/log")"
# The roots are those that CMake gives: one a room, passed on by linking only.
grep -q 'target_include_directories(kiln_${room} PUBLIC "${root}")' "$copy/cmake/Rooms.cmake" || fail "rooms have other include roots"
if grep -rnE 'include_directories\(.*(CMAKE_SOURCE_DIR|src)' "$copy/CMakeLists.txt" "$copy/src" --include=CMakeLists.txt; then
  fail "a CMake list opens all rooms to each other"
fi
echo "compile: an include upward is no such file"

# --- check: one fault at a time
check() { /usr/bin/python3 "$copy/tools/rooms.py" "$copy" > "$work/log" 2>&1; }
fresh
check || fail "rooms.py finds fault with the tree as it is: $(cat "$work/log")"
# planted NAME FILE LINE: the line at the end of the file must be found under that name
planted() {
  local name=$1 file=$copy/src/$2 line=$3
  [[ -e $file ]] && cp "$file" "$work/kept" || : > "$work/kept.new"
  echo "$line" >> "$file"
  if check; then fail "rooms.py overlooks: $2: $line"; fi
  grep -q "$2.*$name" "$work/log" || fail "rooms.py does not name '$name' in $2: $(cat "$work/log")"
  if [[ -e $work/kept ]]; then mv "$work/kept" "$file"; else rm -f "$file"; fi
  rm -f "$work/kept.new"
}
planted include: content/blob_provider.cc '#include "solve/solver.h"'
planted include: sandbox/user.cc '#include "store/trees.h"'
planted include: op/merge.cc '#include "policy/policy.h"'
planted dotdot: content/blob_provider.cc '#include "../base/status.h"'
planted inside: op/merge.cc '#include "store/internal/state.h"'
planted wire: graph/op.h '#include "wire/ops.pb.h"'
planted dead: content/nobody_builds_me.cc '// nothing'
planted size: content/blob_provider.cc "$(yes '// one more line' | head -700)"
echo "<!-- edited by hand -->" >> "$copy/src/README.md"
if check; then fail "rooms.py overlooks an edited README"; fi
echo "check: eight planted faults found"
