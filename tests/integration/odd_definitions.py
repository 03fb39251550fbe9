#!/usr/bin/python3
"""Build graphs that no frontend makes.

    odd_definitions.py NAME     writes the definition of that name (without NAME: lists the names)

Names that begin with "bad-" must be refused, "ok-" ones must work, "any-" ones may do either.
"""
import hashlib, os, sys


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def put(op, index=0):
    """Input of an op: another op's bytes or a digest's text."""
    return field(1, field(1, digest(op) if isinstance(op, bytes) else op) + field(2, index))


def definition(*ops):
    return b"".join(field(1, op) for op in ops)


def last(op, index=0):
    return put(op, index)


def mkdir(inputs, path="/d", on=0, output=0, secondary=-1):
    action = field(1, on) + field(2, secondary) + field(3, output) + field(5, field(1, path) + field(2, 0o755))
    return b"".join(inputs) + field(4, field(2, action))


def copy_action(on, secondary, output, source="/", dest="/c"):
    return field(2, field(1, on) + field(2, secondary) + field(3, output) + field(4, field(1, source) + field(2, dest)))


def chain(length, start=None):
    op, ops = start or mkdir([], on=-1), []
    for _ in range(length):
        ops.append(op)
        op = mkdir([put(op)])
    return definition(*ops, op, last(op))


def wide(width):
    leaves = [mkdir([], path=f"/d{i}", on=-1) for i in range(width)]
    merge = b"".join(put(leaf) for leaf in leaves) + field(6, b"".join(field(1, field(1, i)) for i in range(width)))
    return definition(*leaves, merge, last(merge))


def doubling(depth):
    """2^depth paths through depth vertices."""
    op, ops = mkdir([], on=-1), []
    for i in range(depth):
        ops.append(op)
        op = put(op) + put(op) + field(4, field(2, field(1, 0) + field(2, 1) + field(3, 0) + field(4, field(1, "/d") + field(2, f"/e{i}"))))
    return definition(*ops, op, last(op))


A = mkdir([], on=-1)
MISSING = "sha256:" + "0" * 64
META = field(1, "/bin/true") + field(3, "/")


def execution(inputs, mounts, meta=META):
    return b"".join(inputs) + field(2, field(1, meta) + b"".join(field(2, m) for m in mounts))


def mount(input=0, dest="/", output=0, kind=0):
    return field(1, input) + field(3, dest) + field(4, output) + field(6, kind)


def one(op, *before):
    return definition(*before, op, last(op))


CASES = {
    "any-empty": b"",
    "bad-garbage": os.urandom(1000),
    "bad-garbage-op": definition(b"\xff" * 50, last(b"\xff" * 50)),
    "any-one-empty-op": definition(b""),
    "bad-truncated": one(mkdir([], on=-1))[:-20],
    "bad-missing-input": one(mkdir([put(MISSING)])),
    "bad-digest-text": one(mkdir([put("no digest")])),
    "bad-digest-path": one(mkdir([put("sha256:../../../../etc/passwd")])),
    "bad-last-missing": definition(A, last(MISSING)),
    "any-last-with-op": definition(A, put(A) + A),
    "any-last-two-inputs": definition(A, put(A) + put(A)),
    "bad-last-index": definition(A, last(A, 5)),
    "bad-last-index-negative": definition(A, last(A, -1)),
    "bad-last-index-huge": definition(A, last(A, 1 << 62)),
    "bad-input-index": one(mkdir([put(A, 7)]), A),
    "bad-input-index-negative": one(mkdir([put(A, -7)]), A),
    "bad-no-type": one(put(A), A),
    "any-unknown-type": one(put(A) + field(77, b"x"), A),
    "any-two-types": one(A + field(3, field(1, "docker-image://x"))),
    "bad-source-empty": one(field(3, b"")),
    "bad-source-scheme": one(field(3, field(1, "gopher://x"))),
    "bad-source-text": one(field(3, field(1, "\x00\xff".encode("latin1")))),
    "bad-source-image": one(field(3, field(1, "docker-image://UPPER/:::"))),
    "bad-source-git": one(field(3, field(1, "git://--upload-pack=touch/x#--x"))),
    "bad-source-http": one(field(3, field(1, "https://[::1"))),
    "bad-source-local": one(field(3, field(1, "local://../../etc"))),
    "bad-exec-nothing": one(field(2, b"")),
    "bad-exec-no-mounts": one(execution([], [])),
    "bad-exec-no-args": one(execution([put(A)], [mount()], meta=field(3, "/")), A),
    "bad-exec-mount-input": one(execution([put(A)], [mount(3)]), A),
    "bad-exec-mount-input-negative": one(execution([put(A)], [mount(-9)]), A),
    "bad-exec-mount-input-huge": one(execution([put(A)], [mount(1 << 60)]), A),
    "bad-exec-output-huge": one(execution([put(A)], [mount(0, "/", 1 << 40)]), A),
    "bad-exec-mount-kind": one(execution([put(A)], [mount(0, "/", 0, 99)]), A),
    "bad-exec-two-roots": one(execution([put(A)], [mount(), mount()]), A),
    "any-exec-dest": one(execution([put(A)], [mount(), mount(-1, "../../..", 1, 4)]), A),
    "bad-file-nothing": one(put(A) + field(4, b""), A),
    "bad-file-no-kind": one(put(A) + field(4, field(2, field(1, 0))), A),
    "bad-file-input": one(mkdir([put(A)], on=9), A),
    "bad-file-itself": one(mkdir([put(A)], on=1), A),
    "bad-file-secondary": one(put(A) + field(4, copy_action(0, 44, 0)), A),
    "bad-file-circle": one(put(A) + field(4, copy_action(2, 1, -1) + copy_action(1, 2, 0)), A),
    "bad-file-output-twice": one(put(A) + field(4, copy_action(0, 0, 0) + copy_action(0, 0, 0)), A),
    "any-file-output-huge": one(mkdir([], on=-1, output=1 << 50)),
    "any-file-output-none": one(mkdir([], on=-1, output=-1)),
    "any-file-dotdot": one(mkdir([], on=-1, path="/../../../../tmp/kiln-escaped")),
    "any-file-name": one(mkdir([], on=-1, path="/a\x00b")),
    "any-file-long": one(mkdir([], on=-1, path="/" + "x" * 100000)),
    "bad-merge-index": one(put(A) + put(A) + field(6, field(1, field(1, 0)) + field(1, field(1, 9))), A),
    "any-merge-one": one(put(A) + field(6, field(1, field(1, 0))), A),
    "bad-diff-index": one(put(A) + field(7, field(1, field(1, 8)) + field(2, field(1, -5))), A),
    "any-diff-nothing": one(field(7, b"")),
    "bad-build-nothing": one(field(5, b"")),
    "bad-build-input": one(put(A) + field(5, field(1, 0) + field(2, field(1, "x") + field(2, field(1, 77)))), A),
    "ok-chain-300": lambda: chain(300),
    "any-chain-3000": lambda: chain(3000),
    "any-chain-2000": lambda: chain(2000),
    # Loaded whole before the fault at its bottom shows.
    "bad-chain-20000": lambda: chain(20000, start=mkdir([put(b"an op that is not there")])),
    "ok-wide-500": lambda: wide(500),
    "any-wide-2000": lambda: wide(2000),
    "ok-doubling-60": lambda: doubling(60),
    "ok-same-op-twice": definition(A, A, last(A)),
    "ok-unused": definition(A, mkdir([], on=-1, path="/unused"), last(A)),
}

if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("\n".join(CASES))
    else:
        case = CASES[sys.argv[1]]
        sys.stdout.buffer.write(case() if callable(case) else case)
