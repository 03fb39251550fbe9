"""D, E, F, J, K: a context of many small files, its way in and out. G, H, I: one large file."""
import functools
import random
import shutil
import time

from harness.workload import Row, Workload

FILES, FILE_BYTES = 50_000, 3_960     # 198 MB
BIG_BYTES = 527_000_000


@functools.cache
def prose(size, seed):
    """Words of a made-up language: compresses as text does, and does not repeat itself."""
    dice = random.Random(seed)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 10))) for _ in range(2000)]
    text = []
    while size > 0:
        line = " ".join(dice.choices(words, k=200)) + "\n"
        text.append(line)
        size -= len(line)
    return "".join(text).encode()


def write_tree(folder, seed, files=FILES):
    dice, text = random.Random(seed), prose(4 << 20, seed)
    for i in range(files):
        place = folder / f"d{i // 1000:04}" / f"s{i // 50 % 20:02}"
        if i % 50 == 0:
            place.mkdir(parents=True)
        size = dice.randrange(2 * FILE_BYTES)
        start = dice.randrange(len(text) - size)
        (place / f"file{i:06}.txt").write_bytes(text[start:start + size])
    return write_dockerfile(folder)


def write_big(folder, seed, size=BIG_BYTES):
    """Megabyte by megabyte random and text in turn."""
    folder.mkdir(parents=True)
    dice = random.Random(seed)
    with open(folder / "big", "wb") as out:
        for number, at in enumerate(range(0, size, 1 << 20)):
            piece = dice.randbytes(1 << 20) if number % 2 else prose(1 << 20, seed * 1000 + number)
            out.write(piece[:size - at])
    prose.cache_clear()
    return write_dockerfile(folder)


def write_dockerfile(folder):
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return folder


def timed_out(run, context, spec, dest):
    """A build whose result goes to `dest`, which is removed again; milliseconds and bytes."""
    taken = run.engine.build(context, "--output", spec + f",dest={dest}")
    size = dest.stat().st_size if dest.is_file() else 0
    shutil.rmtree(dest) if dest.is_dir() else dest.unlink()
    return taken, size


class ManyFiles(Workload):
    rows = (Row("D", "context of 50,000 files, 198 MB, first time", "s", goal=3.0),
            Row("E", "the same, nothing changed", "s", goal=0.3),
            Row("F", "the same, one file changed", "s", goal=0.4),
            Row("J", "the 50,000 files to an OCI tar", "s", goal=2.0),
            Row("K", "the 50,000 files to a local folder", "s", goal=2.6))

    def once(self, run):
        context = write_tree(run.folder / f"tree{run.seed}", run.seed)
        first = run.engine.build(context)
        again = run.engine.build(context)
        (context / "d0000/s00/file000007.txt").write_text(f"changed {time.time_ns()}")
        changed = run.engine.build(context)
        archive, _ = timed_out(run, context, "type=oci", run.folder / "out.tar")
        local, _ = timed_out(run, context, "type=local", run.folder / "out")
        shutil.rmtree(context)
        run.engine.prune()
        return {"D": first / 1000, "E": again / 1000, "F": changed / 1000, "J": archive / 1000, "K": local / 1000}


class GrowingTree(Workload):
    """How the cost of a file grows with their number: at x16 the table's 50,000."""
    rows = (Row("D2", "context of 3,125 files, first time, a thousand files", "ms"),
            Row("J2", "the 3,125 files to an OCI tar, a thousand files", "ms"))
    grows = True
    runs_max = 3

    def once(self, run):
        files = FILES // 16 * run.scale
        context = write_tree(run.folder / f"tree{run.seed}", run.seed, files)
        first = run.engine.build(context)
        archive, _ = timed_out(run, context, "type=oci", run.folder / "out.tar")
        shutil.rmtree(context)
        run.engine.prune()
        return {"D2": first * 1000 / files, "J2": archive * 1000 / files}


class OneBigFile(Workload):
    rows = (Row("G", "context of one 527 MB file, first time", "s", goal=1.0),
            Row("H", "that layer, half of it random, to an OCI tar with gzip", "s", goal=1.2),
            Row("H2", "size of that tar", "MB"),
            Row("I", "the same with zstd", "s", goal=1.2),
            Row("I2", "size of that tar", "MB"))

    def once(self, run):
        context = write_big(run.folder / f"big{run.seed}", run.seed)
        first = run.engine.build(context)
        gzip, gzip_bytes = timed_out(run, context, "type=oci", run.folder / "out.tar")
        zstd, zstd_bytes = timed_out(run, context, "type=oci,compression=zstd,force-compression=true", run.folder / "out.tar")
        shutil.rmtree(context)
        run.engine.prune()
        return {"G": first / 1000, "H": gzip / 1000, "H2": gzip_bytes / 1e6, "I": zstd / 1000, "I2": zstd_bytes / 1e6}
