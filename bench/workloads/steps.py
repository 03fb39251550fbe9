"""A, B, C: what a step costs, and what it costs to find that nothing is to be done."""
from harness.workload import Row, Workload


def write(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(text)
    return folder


def base(run):
    return f"FROM {run.registry}/library/busybox:latest AS base\n"


def sequence(run, name, count):
    return base(run) + "".join(f"RUN echo {name}-{i} > /f{i}\n" for i in range(count))


def independent(run, name, count, command):
    text = base(run) + "".join(f"FROM base AS s{i}\nRUN {command} && echo {name}-{i} > /f{i}\n" for i in range(count))
    return text + "FROM base\n" + "".join(f"COPY --from=s{i} /f{i} /\n" for i in range(count))


def wide(name, count, depth=100):
    """Many steps that do next to nothing: chains of `depth` steps, joined at the end. (One chain of thousands would be
    an image of thousands of layers, more than an overlay mount takes.)"""
    text, last = "", []
    for i in range(count):
        if i % depth == 0:
            last.append(f"c{i // depth}")
            text += f"FROM scratch AS {last[-1]}\n"
        text += f"COPY <<E /{name}/f{i}\nE\n"
    return text + "FROM scratch\n" + "".join(f"COPY --from={one} / /{one}/\n" for one in last)


class Sequential(Workload):
    rows = (Row("A", "40 RUN steps in sequence, a step", "ms", goal=15),
            Row("C", "the 40 steps again, nothing changed, client start to exit", "ms", goal=12))

    def once(self, run):
        folder = write(run.folder, sequence(run, f"{run.seed}", 40))
        first = run.engine.build(folder)
        return {"A": first / 40, "C": run.engine.build(folder)}


class Independent(Workload):
    rows = (Row("B", "40 independent RUN steps, a step", "ms", goal=9),)

    def once(self, run):
        return {"B": run.engine.build(write(run.folder, independent(run, f"{run.seed}", 40, "true"))) / 40}


class Sleeping(Workload):
    rows = (Row("B2", "20 independent steps that sleep a second", "s", goal=1.3),)
    runs_max = 3

    def once(self, run):
        folder = write(run.folder, independent(run, f"{run.seed}", 20, "sleep 1"))
        return {"B2": run.engine.build(folder) / 1000}


class Long(Workload):
    """Cost of a build as its steps become more: 100; 1,000 and 10,000 with --scale 1,10,100."""
    rows = (Row("U", "100 steps that write an empty file, together", "ms"), Row("U2", "the same again, nothing changed", "ms"))
    grows = True
    runs_max = 3

    def once(self, run):
        folder = write(run.folder, wide(f"{run.seed}", 100 * run.scale))
        return {"U": run.engine.build(folder), "U2": run.engine.build(folder)}
