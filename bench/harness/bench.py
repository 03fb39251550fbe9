"""Engines in turn over workloads; every sample is kept."""
import os
import pathlib
import shutil
import tempfile
from dataclasses import dataclass, field

from harness.engine import BIN, TOP, Engine  # noqa: F401
from harness.registry import Registry


@dataclass
class Run:
    """What a workload is told."""
    engine: Engine
    registry: str         # host:port, plain HTTP, with library/busybox
    folder: pathlib.Path  # of this engine and workload; stays from run to run
    seed: int             # of this run; both engines get the same
    index: int            # which run this is, from 0
    scale: int = 1


@dataclass
class Result:
    row: object
    scale: int
    samples: dict = field(default_factory=dict)  # engine's name -> numbers


def measure(workloads, peer, runs, seed, scales):
    work = pathlib.Path(tempfile.mkdtemp(prefix="kiln-bench-", dir="/dev/shm"))
    registry = Registry(work, debian=any(getattr(one, "needs_debian", False) for one in workloads))
    engines = [Engine("kiln", work / "kiln", program=str(BIN / "kilnd"))]
    if peer:
        found = {"address": peer} if "://" in peer else {"program": peer}
        engines.append(Engine("peer", work / "peer", registry=registry.address, **found))
    results = []
    try:
        for one in workloads:
            for scale in scales if one.grows else [1]:
                results += measure_one(one, engines, registry.address, work, runs, seed, scale)
    finally:
        for engine in engines:
            engine.stop()
        registry.stop()
        shutil.rmtree(work, ignore_errors=True)
    return results


def measure_one(one, engines, registry, work, runs, seed, scale):
    results = {row.id: Result(row, scale) for row in one.rows}
    name = type(one).__name__
    engines = [e for e in engines if e.name == "kiln" or not all(row.kiln_only for row in one.rows)]
    plans = []
    for engine in engines:
        if one.exclusive and engine.ours:
            engine.stop()
            engine.erase()
        engine.start()
        folder = work / f"{name}-{engine.name}"
        folder.mkdir(exist_ok=True)
        plans.append(Run(engine, registry, folder, seed, 0, scale))
        one.setup(plans[-1])
    for index in range(min(runs, one.runs_max or runs)):
        for run in plans:
            run.index, run.seed = index, seed * 1000 + index
            print(f"bench: {name}{f' x{scale}' if scale > 1 else ''}, run {index + 1}, {run.engine.name}", flush=True)
            for row, value in one.once(run).items():
                results[row].samples.setdefault(run.engine.name, []).append(value)
    for run in plans:
        one.teardown(run)
        shutil.rmtree(run.folder, ignore_errors=True)
    return list(results.values())
