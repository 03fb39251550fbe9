"""L: an image pulled, unpacked and used. O: many layers compressed and pushed, and pushed again."""
import random

from harness.workload import Row, Workload


class PullAndRun(Workload):
    rows = (Row("L", "pull a 65 MB Debian image and run one step", "s", goal=0.9),)
    needs_debian = True

    def once(self, run):
        run.engine.prune()  # with the image of the run before
        run.folder.mkdir(exist_ok=True)
        (run.folder / "Dockerfile").write_text(f"FROM {run.registry}/library/debian:bookworm\nRUN echo {run.seed} > /f\n")
        return {"L": run.engine.build(run.folder) / 1000}


class Push(Workload):
    rows = (Row("O", "push of 20 layers, 500 MB of noise, compression included", "s", goal=0.9),
            Row("O2", "the same again", "s", goal=0.03))
    LAYERS, BYTES = 20, 25_000_000

    def once(self, run):
        dice = random.Random(run.seed)
        for i in range(self.LAYERS):
            (run.folder / f"noise{i}").write_bytes(dice.randbytes(self.BYTES))
        (run.folder / "Dockerfile").write_text("FROM scratch\n" + "".join(f"COPY noise{i} /\n" for i in range(self.LAYERS)))
        run.engine.build(run.folder)  # the layers' trees are there; what is measured begins with compressing
        target = f"type=image,name={run.registry}/bench/{run.engine.name}{run.seed}:latest,push=true"
        first = run.engine.build(run.folder, "--output", target)
        again = run.engine.build(run.folder, "--output", target)
        run.engine.prune()
        return {"O": first / 1000, "O2": again / 1000}
