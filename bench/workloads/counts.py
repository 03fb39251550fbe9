"""A, C and E in numbers that do not depend on the machine's mood."""
import shutil

from harness import counts
from harness.workload import Row, Workload
from workloads.contexts import FILES, write_tree
from workloads.steps import sequence, write


class StepCounts(Workload):
    rows = (Row("A3", "system calls of the daemon for 40 new steps", "calls"),
            Row("A4", "bytes it writes for them", "bytes"),
            Row("C3", "system calls of the daemon for the 40 steps, nothing changed", "calls"),
            Row("C4", "bytes it writes for them", "bytes"))
    runs_max = 2

    def once(self, run):
        if not counts.available() or run.engine.pid() is None:
            return {}
        build = lambda: run.engine.build(folder)
        folder = write(run.folder, sequence(run, f"{run.seed}-calls", 40))
        out = {"A3": counts.system_calls(run.engine, build), "C3": counts.system_calls(run.engine, build)}
        write(run.folder, sequence(run, f"{run.seed}-bytes", 40))
        return out | {"A4": counts.bytes_written(run.engine, build), "C4": counts.bytes_written(run.engine, build)}


class Instructions(Workload):
    rows = (Row("C5", "instructions of the client, nothing changed", "Minstr"),)
    runs_max = 1

    def once(self, run):
        if not counts.available():
            return {}
        folder = write(run.folder, sequence(run, f"{run.seed}-instructions", 40))
        run.engine.build(folder)
        return {"C5": counts.client_instructions(run.engine, folder)}


class ContextCounts(Workload):
    """E at a tenth of its size: callgrind is slow."""
    rows = (Row("E3", "system calls of the daemon for a context of 5,000 files, nothing changed", "calls"),
            Row("E4", "bytes it writes for it", "bytes"),
            Row("E5", "instructions of the client for it", "Minstr"))
    runs_max = 1

    def once(self, run):
        if not counts.available() or run.engine.pid() is None:
            return {}
        context = write_tree(run.folder / f"tree{run.seed}", run.seed, FILES // 10)
        build = lambda: run.engine.build(context)
        build()
        out = {"E3": counts.system_calls(run.engine, build), "E4": counts.bytes_written(run.engine, build),
               "E5": counts.client_instructions(run.engine, context)}
        shutil.rmtree(context)
        return out
