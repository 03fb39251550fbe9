"""Q: 20 chains of 25 steps, built, exported as cache, imported into an empty daemon."""
from harness.workload import Row, Workload
from workloads.steps import base, write

CHAINS, STEPS = 20, 25


def chains(run, changed=""):
    text = base(run)
    for chain in range(CHAINS):
        text += f"FROM base AS c{chain}\n"
        for step in range(STEPS):
            last = changed if (chain, step) == (CHAINS - 1, STEPS - 1) else ""
            text += f"RUN echo {run.seed}-{chain}-{step}{last} > /f{step}\n"
    return text + "FROM base\n" + "".join(f"COPY --from=c{chain} /f{STEPS - 1} /c{chain}\n" for chain in range(CHAINS))


class Chains(Workload):
    rows = (Row("Q1", "20 chains of 25 steps, cold", "s", goal=4), Row("Q2", "its cache to a registry, mode max", "s", goal=1.5),
            Row("Q3", "exported again", "s", goal=0.3), Row("Q4", "imported into an empty daemon, nothing changed", "s", goal=0.08),
            Row("Q5", "imported, one step changed", "s", goal=0.25))
    runs_max = 3

    def once(self, run):
        ref = f"{run.registry}/cache/{run.engine.name}:{run.seed}"
        to, since = f"type=registry,ref={ref},mode=max", f"type=registry,ref={ref}"
        folder = write(run.folder, chains(run))
        out = {"Q1": run.engine.build(folder) / 1000}
        out["Q2"] = run.engine.build(folder, "--cache-to", to) / 1000
        out["Q3"] = run.engine.build(folder, "--cache-to", to) / 1000
        run.engine.prune()
        out["Q4"] = run.engine.build(folder, "--cache-from", since) / 1000
        run.engine.prune()
        write(run.folder, chains(run, changed="-changed"))
        out["Q5"] = run.engine.build(folder, "--cache-from", since) / 1000
        return out
