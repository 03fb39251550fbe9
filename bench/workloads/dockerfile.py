"""The text side of a build: no daemon, no files, only a Dockerfile and an ignore file."""
import json
import subprocess

from harness import engine
from harness.workload import Row, Workload


class Text(Workload):
    rows = (Row("T1", "read and lower a Dockerfile of 2,000 lines in 200 stages", "ms", goal=20, kiln_only=True),
            Row("T2", "judge 100,000 paths by an ignore file of 500 patterns", "ms", goal=200, kiln_only=True))
    runs_max = 3

    def once(self, run):
        program = engine.BIN / "kiln-dockerfile-speed"
        if not program.exists():
            return {}
        told = json.loads(subprocess.run([program], capture_output=True, text=True, check=True).stdout)
        return {"T1": told["lowering_ms"], "T2": told["ignoring_ms"]}
