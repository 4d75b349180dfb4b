"""whybox as a process that has loaded its network and answers commands with JSON."""

import json
import pathlib
import subprocess

from models import ROOT

PROGRAMS = ROOT / "target/release/examples"
PROGRAM = ROOT / "target/release/whybox"


class Whybox:
    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([PROGRAMS / program, *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"whybox ended: {words}")
        return json.loads(line)

    def peak_mib(self):
        """The most memory that the process has had, on Linux; elsewhere 0."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def build():
    """Builds the programs of whybox's side; cargo does nothing where they are up to date."""
    subprocess.run(["cargo", "build", "--release", "--bin", "whybox", "--example", "peer_image", "--example", "peer_table"],
                   cwd=ROOT, check=True)


def version():
    manifest = (pathlib.Path(ROOT) / "Cargo.toml").read_text()
    return manifest.split('version = "', 1)[1].split('"', 1)[0]
