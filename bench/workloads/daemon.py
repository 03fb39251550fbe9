"""R, S: what the daemon itself costs."""
import time

from harness.workload import Row, Workload
from workloads.steps import sequence, wide, write


class Memory(Workload):
    rows = (Row("R", "idle daemon, just started: memory", "MB", goal=20), Row("R2", "start to first answer", "ms", goal=40))
    exclusive = True

    def once(self, run):
        if not run.engine.ours:
            return {"R": run.engine.memory_mb()}
        run.engine.stop()
        run.engine.erase()
        started = run.engine.start()
        time.sleep(2)
        return {"R": run.engine.memory_mb(), "R2": started}


class ManyBuilds(Workload):
    rows = (Row("R3", "memory after 100 builds", "MB"), Row("R4", "memory after 1,000 builds", "MB", goal=80),
            Row("R5", "peak over them", "MB", goal=80),
            Row("R6", "threads, descriptors and mounts, more after 1,000 builds than after 100", "count", goal=0))
    exclusive = True
    runs_max = 1

    def once(self, run):
        run.engine.forget_peak()
        out, held = {}, []
        for build in range(1000):
            run.engine.build(write(run.folder, sequence(run, f"{run.seed}-{build // 2}", 2)))
            if build in (99, 999):
                time.sleep(3)
                out["R3" if build == 99 else "R4"] = run.engine.memory_mb()
                held.append(run.engine.handles())
        return out | {"R5": run.engine.memory_mb("VmHWM"), "R6": max(0, held[1] - held[0])}


class StartWithRecords(Workload):
    rows = (Row("S", "start with 100,000 cache records to first answer", "ms", goal=50, kiln_only=True),)
    exclusive = True

    def setup(self, run):
        for part in range(20):
            run.engine.build(write(run.folder, wide(f"{run.seed}-{part}", 5000)))

    def once(self, run):
        run.engine.stop()
        return {"S": run.engine.start()}


class GrowingRecords(Workload):
    """How the start grows with what is kept: at x16 the 100,000 records of S."""
    rows = (Row("S2", "start with 6,250 cache records to first answer", "ms", kiln_only=True),)
    exclusive = True
    grows = True
    runs_max = 3

    def setup(self, run):
        for part in range(5 * run.scale):
            run.engine.build(write(run.folder, wide(f"{run.seed}-{part}", 1250)))

    def once(self, run):
        run.engine.stop()
        return {"S2": run.engine.start()}
