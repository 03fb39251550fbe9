"""A registry on loopback, with the base images that Debian packages make."""
import subprocess
import time

from harness.engine import TOP


class Registry:
    def __init__(self, work, debian=False):
        config = work / "registry.yml"
        config.write_text("version: 0.1\nlog: {level: error}\n"
                          f"storage: {{filesystem: {{rootdirectory: {work}/registry}}, delete: {{enabled: true}}}}\n"
                          "http: {addr: '127.0.0.1:0'}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.address = self._address()
        subprocess.run([TOP / "tools/base-images", self.address, *(["--debian"] if debian else [])], check=True)

    def _address(self):
        for _ in range(200):
            for line in subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout.splitlines():
                if f"pid={self.process.pid}," in line:
                    return line.split()[3]
            time.sleep(0.05)
        raise SystemExit("bench: the registry did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()
