"""A coordinator and a data service with the labelled pool "digits", in a folder of their own, and the command line that talks to them."""
import json
import os
import pathlib
import random
import struct
import subprocess
import time

from manifests import BIN, ROOT


def wait_for(done, seconds=120, what="it"):
    """Polls what only another process can tell."""
    deadline = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.1)
    return value


def write_images(folder, classes=4, each=50, side=16):
    """Labelled BMP files that differ."""
    draw = random.Random(1)
    for label in range(classes):
        (folder / str(label)).mkdir(parents=True)
        for i in range(each):
            pixels = bytes(draw.randrange(256) if (j // 3) % (label + 2) else 40 * label for j in range(side * side * 3))
            head = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(pixels), 0, 0, 0, 0)
            (folder / str(label) / f"{i}.bmp").write_bytes(head + pixels)


class Cluster:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.processes = []
        self.environment = {**os.environ, "SEER_CONFIG": str(self.folder / "config.yaml"), "SEER_RECIPES": str(ROOT / "recipes")}
        data_port = self.start("seer-dataservice", "--pools", self.folder / "pools", "--threads", "1", "--listen", "127.0.0.1:0")
        self.dataservice = f"127.0.0.1:{data_port}"
        port = self.start("seer-coordinator", "--database", self.folder / "coordinator.db", "--storage", self.folder / "storage", "--listen",
                          "127.0.0.1:0", "--dataservice", self.dataservice)
        self.coordinator = f"127.0.0.1:{port}"
        self.environment |= {"SEER_COORDINATOR": self.coordinator, "SEER_DATASERVICE": self.dataservice}

    def start(self, program, *arguments):
        """Its gRPC port, once it serves."""
        ports = self.folder / f"{program}.ports"
        with open(self.folder / f"{program}.log", "w") as log:
            self.processes.append(subprocess.Popen([BIN / program, *arguments, "--port-file", ports], stderr=log))
        text = wait_for(lambda: ports.exists() and ports.read_text() or self.processes[-1].poll() is not None, what=f"{program} serves")
        assert isinstance(text, str), (self.folder / f"{program}.log").read_text()
        return text.split()[0]

    def add_digits(self):
        write_images(self.folder / "images")
        self.seer("pool", "create", "digits")
        self.seer("pool", "ingest", "digits", self.folder / "images", "--labels-from-folders")

    def seer(self, *arguments, code=0, env=()):
        """stdout of `seer`, which must exit with `code`; with another one, stderr is shown."""
        done = self.run(*arguments, env=env)
        assert done.returncode == code, f"seer {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run(self, *arguments, env=()):
        return subprocess.run([BIN / "seer", *map(str, arguments)], env={**self.environment, **dict(env)}, capture_output=True, text=True)

    def json(self, *arguments):
        return json.loads(self.seer(*arguments, "-o", "json"))

    def workers(self):
        """{name: worker} of those that are up."""
        return {w["name"].removeprefix("workers/"): w for w in self.json("worker", "list") if w["state"] == "WORKER_STATE_UP"}

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
