"""What noise cannot touch: system calls, bytes written, instructions.

    calls = counts.system_calls(engine, lambda: engine.build(folder))
    bytes = counts.bytes_written(engine, lambda: engine.build(folder))
    millions = counts.client_instructions(engine, folder)

Instructions are the client's: callgrind knows too few of the daemon's system calls (open_tree, mount_setattr).
"""
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from harness.engine import CLIENT


def system_calls(engine, action):
    """Of the daemon and of what it starts, while `action` runs."""
    with tempfile.NamedTemporaryFile("r") as out:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-S", "calls", "-o", out.name, "-p", str(engine.pid())],
                                  stderr=subprocess.PIPE, text=True)
        tracer.stderr.readline()  # says that it is attached
        time.sleep(0.2)           # to every thread
        action()
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        total = next((line for line in out if line.rstrip().endswith("total")), "")
    return int(total.split()[2 if "." in total.split()[2] else 3]) if total else None


def bytes_written(engine, action):
    """By the daemon's own write calls, to files and sockets."""
    before = _wchar(engine.pid())
    action()
    return _wchar(engine.pid()) - before


def _wchar(pid):
    return int(re.search(r"^wchar: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text(), re.M).group(1))


def client_instructions(engine, folder, *words):
    """Millions that the client executes for one build, counted by callgrind."""
    with tempfile.TemporaryDirectory() as work:
        _callgrind(work, [CLIENT, "--addr", engine.address, *map(str, engine.build_words(folder, *words))])
        return _total(work)


def _callgrind(work, command):
    subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={work}/out.%p", "--quiet", *command],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _total(work):
    found = [re.search(r"^(?:summary|totals): (\d+)", one.read_text(), re.M) for one in pathlib.Path(work).glob("out.*")]
    return sum(int(one.group(1)) for one in found if one) / 1e6


def available():
    return shutil.which("strace") is not None and shutil.which("valgrind") is not None
