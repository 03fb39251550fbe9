"""What a workload is, and how the files in bench/workloads are found.

A file holds one or more classes:

    class Sequential(Workload):
        rows = (Row("A", "40 RUN steps in sequence, a step", "ms", goal=15), ...)

        def setup(self, run): ...            # once an engine: what need not be measured
        def once(self, run): return {"A": 12.3, ...}    # one sample a row

`run` (harness/bench.py) says everything: run.engine (build, start, address), run.registry, run.folder
(a scratch directory of this engine and workload), run.seed (differs from run to run and is the same
for both engines), run.scale (1, or what --scale asks, for workloads whose `grows` is true).
"""
import importlib
import pathlib
import pkgutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    id: str               # "A", "H", "Q2": the letter groups what belongs together
    title: str
    unit: str             # "ms", "MB", "%"; smaller is better
    goal: float | None = None   # what Kiln is to reach, in the same unit
    kiln_only: bool = False     # makes no sense for the peer


class Workload:
    rows: tuple[Row, ...] = ()
    grows = False         # measured at each --scale
    runs_max = None       # for slow ones: at most so many runs
    exclusive = False     # wants an engine of its own, freshly started with an empty state

    def setup(self, run):
        pass

    def once(self, run):
        raise NotImplementedError

    def teardown(self, run):
        pass


def load(letters):
    """All workloads, in the order of their rows; only those of which a row is named, when any is. A letter that is
    no row's id names all rows that begin with it."""
    found = []
    package = pathlib.Path(__file__).resolve().parent.parent / "workloads"
    for module in pkgutil.iter_modules([str(package)]):
        loaded = importlib.import_module(f"workloads.{module.name}")
        for value in vars(loaded).values():
            if isinstance(value, type) and issubclass(value, Workload) and value.rows and value.__module__ == loaded.__name__:
                found.append(value())
    found.sort(key=lambda one: one.rows[0].id)
    ids = {row.id for one in found for row in one.rows}
    chosen = {id for letter in letters for id in ids if id == letter or letter not in ids and id.startswith(letter)}
    wanted = [one for one in found if not letters or any(row.id in chosen for row in one.rows)]
    unknown = {letter for letter in letters if not any(id.startswith(letter) for id in ids)}
    if unknown:
        raise SystemExit(f"bench: no row is called {', '.join(sorted(unknown))}; bench/run --list shows all")
    return wanted
