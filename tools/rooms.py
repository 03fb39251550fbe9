#!/usr/bin/env python3
"""Checks the house against its map (src/ROOMS). One line a fault, exit 1 when there is any.

order     a room uses only rooms that stand above it, so no knots are possible
include   every "room/…" include is of a room that the map allows, directly
inside    room/internal/* is included by its own room alone
wire      generated headers (*.pb.h) appear in .cc files only, never in a header
dotdot    no include climbs with ..
dead      every .cc is named in a CMake list of its room
size      no source over 600 lines without a reason in tools/size-allowed
readme    src/README.md is what --readme prints from the map

rooms.py [--readme] [--prose] [TOP]    --prose: share of comment lines in public headers, by room
"""
import pathlib
import re
import sys

LIMIT = 600


def load(path):
    rooms, band, order = {}, "", []
    for line in path.read_text().splitlines():
        if m := re.match(r"\[(\w+)\]", line):
            band = m[1]
        elif m := re.match(r"([a-z][a-z0-9_]*) *\|([^|]*)\|\s*(.*)", line):
            rooms[m[1]] = (m[2].split(), m[3], band)
            order.append(m[1])
    return rooms, order


def readme(rooms, order):
    out = ["# The house", "", "Printed from `ROOMS` by `tools/rooms.py --readme`; do not edit.", "",
           "A room may use only rooms that stand above it. Data flows the other way: `docs/life-of-a-build.md`."]
    band = None
    for room in order:
        uses, job, in_band = rooms[room]
        if in_band != band:
            band = in_band
            out += ["", f"## {band}", "", "| room | its one job | may use |", "| --- | --- | --- |"]
        out.append(f"| {room} | {job} | {', '.join(uses) or '–'} |")
    return "\n".join(out) + "\n"


def prose(src, order):
    for room in order:
        lines = comments = 0
        for header in (src / room).rglob("*.h"):
            if "internal" in header.parts:
                continue
            for line in header.read_text().splitlines():
                lines += bool(line.strip())
                comments += line.lstrip().startswith("//")
        if lines:
            print(f"{room:12} {100 * comments // lines:3} % of {lines} lines")


def check_file(path, src, rooms, cmake_text, allowed, faults):
    rel = path.relative_to(src)
    room = rel.parts[0]
    text = path.read_text(errors="replace")
    if room not in rooms:
        if len(rel.parts) > 1:
            faults.append(f"{rel}: no such room in ROOMS")
        return
    test = path.name.endswith(("_test.cc", "_fixture.h"))
    may = set(rooms[room][0]) | {room} | ({"testing"} if test else set())
    for number, line in enumerate(text.splitlines(), 1):
        m = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
        if not m:
            continue
        include = m[1]
        head = include.split("/")[0]
        where = f"{rel}:{number}"
        if ".." in include.split("/"):
            faults.append(f"{where}: dotdot: {include}")
        if head in rooms and "/" in include and head not in may:
            faults.append(f"{where}: include: {room} may not use {head}")
        if head in rooms and head != room and "/internal/" in include:
            faults.append(f"{where}: inside: {include} is private to {head}")
        if path.suffix == ".h" and not test and include.endswith(".pb.h"):
            faults.append(f"{where}: wire: {include} in a header")
    lines = text.count("\n")
    if lines > LIMIT and str(rel) not in allowed:
        faults.append(f"{rel}: size: {lines} lines, limit {LIMIT}")
    # Fakes are compiled into the tests that use them, wherever these are.
    listed = "".join(cmake_text.values()) if room == "testing" else cmake_text.get(room, "")
    if path.suffix == ".cc" and path.name not in listed:
        faults.append(f"{rel}: dead: not named in a CMake list of {room}")


def main(argv):
    names = [a for a in argv[1:] if not a.startswith("-")]
    top = pathlib.Path(names[0]) if names else pathlib.Path(__file__).resolve().parent.parent
    src = top / "src"
    rooms, order = load(src / "ROOMS")
    if "--readme" in argv:
        print(readme(rooms, order), end="")
        return 0
    if "--prose" in argv:
        prose(src, order)
        return 0
    faults = []
    for i, room in enumerate(order):
        for use in rooms[room][0]:
            if use not in order[:i]:
                faults.append(f"ROOMS: order: {room} uses {use}, which does not stand above it")
    size_allowed = top / "tools/size-allowed"
    allowed = set()
    if size_allowed.exists():
        allowed = {l.split()[0] for l in size_allowed.read_text().splitlines() if l.strip() and not l.startswith("#")}
    cmake_text = {}
    for listing in [*src.rglob("CMakeLists.txt"), *src.rglob("*.cmake")]:
        room = listing.relative_to(src).parts[0]
        cmake_text[room] = cmake_text.get(room, "") + listing.read_text()
    for path in sorted(src.rglob("*")):
        if path.suffix in (".h", ".cc"):
            check_file(path, src, rooms, cmake_text, allowed, faults)
    page = src / "README.md"
    if not page.exists() or page.read_text() != readme(rooms, order):
        faults.append("src/README.md: readme: not what the map says; run tools/rooms.py --readme > src/README.md")
    print("\n".join(faults) if faults else f"{len(order)} rooms, no fault", file=sys.stderr if faults else sys.stdout)
    return bool(faults)


sys.exit(main(sys.argv))
