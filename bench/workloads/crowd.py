"""M, N: many builds at once."""
from harness.workload import Row, Workload
from workloads.steps import base, sequence, write


class Different(Workload):
    rows = (Row("M", "50 builds of two RUN steps at once, all different", "s", goal=1.2),)

    def once(self, run):
        folders = [write(run.folder / f"{i}", sequence(run, f"{run.seed}-{i}", 2)) for i in range(50)]
        return {"M": run.engine.builds_at_once(folders) / 1000}


class Cached(Workload):
    rows = (Row("N", "50 fully cached builds at once", "s", goal=0.4),)
    grows = True

    def setup(self, run):
        self.text = sequence(run, "cached", 2)
        run.engine.build(write(run.folder / "0", self.text))

    def once(self, run):
        folders = [write(run.folder / f"{i}", self.text) for i in range(50 * run.scale)]
        return {"N": run.engine.builds_at_once(folders) / 1000}


class Sessions(Workload):
    rows = (Row("N2", "100 sessions at once, each building 20 steps of its own", "s"),
            Row("N3", "the daemon's peak memory while they do", "MB", goal=200))
    runs_max = 2

    def once(self, run):
        folders = [write(run.folder / f"{i}", sequence(run, f"{run.seed}-{i}", 20)) for i in range(100)]
        run.engine.forget_peak()
        taken = run.engine.builds_at_once(folders) / 1000
        return {"N2": taken, "N3": run.engine.memory_mb("VmHWM")}
