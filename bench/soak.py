#!/usr/bin/env python3
"""Claim: hours of streaming, with faults and pools that change, leave the data service and its readers as large as they were.

    python3 bench/soak.py SHARD.tar... [--bin build/release/bin] [--minutes 30] [--warm-up 5] [--nice 0]

Two replicas; one reader stays at the first, one reads from both, and a third opens and closes streams all the time. Every
minute the second replica is killed with SIGKILL and started again; every two minutes images come into another pool of the same
store and one is taken down. The resident memory of the first replica and of the long-lived readers is
sampled every second; after the warm-up, the median of the last third must be within 2 % of that of the first third. Both readers
must still read at the end. Prints a table and, last, a JSON object; exits with 1 if a bound is broken.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOUND = 0.02


class Replica:
    def __init__(self, args, folder, number):
        self.args, self.folder, self.number, self.port = args, folder, number, 0
        self.start()

    def start(self):
        ports = self.folder / f"ports-{self.number}"
        ports.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["nice", "-n", str(self.args.nice), self.args.bin / "seer-dataservice", "--pools", self.folder / "pools", "--threads", "1",
             "--listen", f"127.0.0.1:{self.port}", "--metrics", "127.0.0.1:0", "--port-file", ports], stderr=subprocess.DEVNULL)
        while not (ports.exists() and ports.read_text().split()):
            if self.process.poll() is not None:
                sys.exit(f"soak: replica {self.number} ended with {self.process.returncode}")
            time.sleep(0.05)
        self.port = int(ports.read_text().split()[0])

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def resident_bytes(pid):
    """Without pages that are shared with other processes: the readers' shared memory is theirs alone to count."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--warm-up", type=float, default=5, help="minutes, part of --minutes")
    parser.add_argument("--nice", type=int, default=0)
    args = parser.parse_args()
    processes = []
    with tempfile.TemporaryDirectory(prefix="seer-soak-") as name:
        folder = pathlib.Path(name)
        replicas = [Replica(args, folder, number) for number in range(2)]

        def seer(*words):
            return subprocess.run([args.bin / "seer", *map(str, words), "--dataservice", replicas[0].address], check=True,
                                  capture_output=True, text=True).stdout

        def reader(*addresses, batches):
            command = ["nice", "-n", str(args.nice), args.bin / "stream_bench", "--pool", "soak", "--batch", "32", "--batches", str(batches)]
            for address in addresses:
                command += ["--replica", address]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            processes.append(process)
            return process

        try:
            for pool in ("soak", "other"):
                seer("pool", "create", pool)
            seer("pool", "ingest", "soak", *args.shards)
            watched = {"replica 0": replicas[0].process, "reader at one": reader(replicas[0].address, batches=1_000_000),
                       "reader at both": reader(*[r.address for r in replicas], batches=1_000_000)}
            samples = {what: [] for what in watched}
            start, faults, changes, opened = time.monotonic(), 0, 0, 0
            brief = None
            while (passed := (time.monotonic() - start) / 60) < args.minutes:
                for what, process in watched.items():
                    if process.poll() is not None:
                        sys.exit(f"soak: {what} ended: {process.stderr.read().decode() if process.stderr else ''}")
                    if passed >= args.warm_up:
                        samples[what].append(resident_bytes(process.pid))
                if brief is None or brief.poll() is not None:
                    if brief is not None and brief.returncode != 0:
                        sys.exit(f"soak: a brief reader failed: {brief.stderr.read().decode()}")
                    brief, opened = reader(replicas[0].address, batches=10), opened + 1
                if passed > faults + 1:
                    replicas[1].kill()
                    replicas[1].start()
                    faults += 1
                if passed > 2 * changes + 1.5:
                    seer("pool", "ingest", "other", args.shards[changes % len(args.shards)])
                    image = seer("pool", "order", "other", "--step", changes, "--global-batch", "1", "-o", "name").split()[0]
                    (folder / "ids").write_text(image + "\n")
                    seer("pool", "takedown", "other", "--ids", folder / "ids", "--reason", "soak", "--yes")
                    changes += 1
                time.sleep(1)
        finally:
            for process in processes:
                process.kill()
            for replica in replicas:
                replica.kill()
    rows, broken = {}, False
    print(f"{args.minutes:g} minutes: {faults} replicas killed, {changes} changes of the other pool, {opened} brief streams")
    print(f"{'':<16} {'first third':>12} {'last third':>12} {'most':>8} {'change':>8}  private memory, MiB")
    for what, values in samples.items():
        third = len(values) // 3
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        change = last / first - 1
        broken = broken or abs(change) > BOUND
        rows[what] = {"first_mib": first / 2**20, "last_mib": last / 2**20, "most_mib": max(values) / 2**20, "change": change}
        print(f"{what:<16} {first / 2**20:>12.1f} {last / 2**20:>12.1f} {max(values) / 2**20:>8.1f} {100 * change:>7.2f}%")
    print(json.dumps({"minutes": args.minutes, "killed": faults, "changes": changes, "brief_streams": opened, "memory": rows}))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
