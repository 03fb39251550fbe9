"""A daemon that is measured: Kiln's own, or another BuildKit."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("KILN_BIN", TOP / "build/release/bin"))
CLIENT = os.environ.get("KILN_BENCH_CLIENT", str(BIN / "kiln"))


class Engine:
    """name, address, and what one does with a daemon. Starts and stops only what it started itself."""

    def __init__(self, name, work, program=None, address=None, registry=None):
        self.name = name
        self.work = pathlib.Path(work)
        self.program = program
        self.address = address or f"unix://{self.work}/daemon.sock"
        self.registry = registry
        self.process = None
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def ours(self):
        """Whether it can be started and stopped here."""
        return self.program is not None

    def command(self):
        root = str(self.work / "root")
        if self.name == "kiln":
            return [self.program, "--root", root, "--addr", self.address]
        config = self.work / "buildkitd.toml"
        config.write_text(f'[registry."{self.registry}"]\n  http = true\n  insecure = true\n')
        return [self.program, "--config", str(config), "--root", root, "--addr", self.address,
                "--oci-worker=true", "--containerd-worker=false"]

    def start(self):
        """Starts the daemon; gives the milliseconds to its first answer, as a connecting client sees them."""
        if not self.ours or self.process:
            return None
        started = time.perf_counter()
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=open(self.work / "log", "ab"))
        while not answers(self.address):
            time.sleep(0.0005)
            if self.process.poll() is not None:
                raise SystemExit(f"bench: {self.name} ended:\n" + (self.work / "log").read_text(errors="replace")[-2000:])
        return (time.perf_counter() - started) * 1000

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def erase(self):
        """Empties the state of a stopped daemon."""
        assert not self.process
        shutil.rmtree(self.work / "root", ignore_errors=True)

    def prune(self):
        self.client("prune", "--all")

    def client(self, *words, **more):
        done = subprocess.run([CLIENT, "--addr", self.address, *map(str, words)], capture_output=True, text=True, **more)
        if done.returncode:
            raise SystemExit(f"bench: '{' '.join(map(str, words))}' failed at {self.name}: {done.stderr[-3000:]}")
        return done.stdout

    def build(self, folder, *words):
        """One build by the client; gives milliseconds from its start to its exit."""
        started = time.perf_counter()
        self.client(*self.build_words(folder, *words))
        return (time.perf_counter() - started) * 1000

    def build_words(self, folder, *words):
        return ["build", "--progress", "quiet", *words, folder]

    def builds_at_once(self, folders, *words):
        """All together; gives milliseconds until the last is done."""
        started = time.perf_counter()
        running = [subprocess.Popen([CLIENT, "--addr", self.address, *map(str, self.build_words(folder, *words))],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for folder in folders]
        failed = [said for said in (one.communicate()[1] for one in running) if said]
        taken = (time.perf_counter() - started) * 1000
        if any(one.returncode for one in running):
            raise SystemExit(f"bench: a build failed at {self.name}: {failed[:1]}")
        return taken

    def pid(self):
        if self.process:
            return self.process.pid
        if not self.address.startswith("unix://"):
            return None
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(self.address[len("unix://"):])
            raw = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return struct.unpack("3i", raw)[0] or None

    def memory_mb(self, field="VmRSS"):
        """VmRSS, or VmHWM for the peak since forget_peak()."""
        for line in pathlib.Path(f"/proc/{self.pid()}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        return None

    def handles(self):
        """Threads, open descriptors and mounts of the daemon, together."""
        process = pathlib.Path(f"/proc/{self.pid()}")
        return (len(list((process / "task").iterdir())) + len(list((process / "fd").iterdir()))
                + len((process / "mounts").read_text().splitlines()))

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.pid()}/clear_refs").write_text("5")


def answers(address):
    """Whether a gRPC server is there: it greets a connection with its HTTP/2 settings."""
    if not address.startswith("unix://"):
        return True
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(5)
            end.connect(address[len("unix://"):])
            end.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            return len(end.recv(9)) == 9
    except OSError:
        return False
