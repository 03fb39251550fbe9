"""Tables and JSON of results."""
import datetime
import json
import os
import platform
import statistics
import subprocess

from harness.engine import TOP


def spread(values):
    return f"{min(values):.4g}–{max(values):.4g}"


def median(result, engine):
    values = result.samples.get(engine)
    return statistics.median(values) if values else None


def print_table(results):
    peer = any("peer" in result.samples for result in results)
    print(f"\n{'':4} {'workload':58} {'unit':4} {'kiln':>9} {'spread':>15} {'goal':>8}" + (f" {'peer':>9} {'ratio':>7}" if peer else ""))
    for result in results:
        kiln, other, row = median(result, "kiln"), median(result, "peer"), result.row
        if kiln is None:
            continue
        title = row.title + (f" (x{result.scale})" if result.scale > 1 else "")
        line = f"{row.id:4} {title:58} {row.unit:4} {kiln:9.4g} {spread(result.samples['kiln']):>15}"
        line += f" {row.goal if row.goal is not None and result.scale == 1 else '':>8}"
        if other is not None:
            line += f" {other:9.4g} " + (f"{other / kiln:6.1f}x" if kiln else "")
        print(line)


def write_json(results, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": r.row.id, "title": r.row.title, "unit": r.row.unit, "goal": r.row.goal, "scale": r.scale,
             "samples": r.samples} for r in results]
    path.write_text(json.dumps({"when": datetime.datetime.now().isoformat(timespec="seconds"), "machine": machine(),
                                "commit": commit(), "rows": rows}, indent=1) + "\n")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cores": os.cpu_count(), "cpu": model, "kernel": platform.release(), "load": os.getloadavg()[0]}


def commit():
    done = subprocess.run(["git", "-C", str(TOP), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip()
