#!/usr/bin/env python3
"""Claim: a job of two ranks trains again within 5 s (median) after one of them was killed.

    python3 bench/recovery.py SHARD.tar [--bin build/release/bin] [--kills 20] [--database postgresql://...]

A coordinator, a data service, two agents of one device and a job of two ranks (a very small trunk, a checkpoint every 10 steps). Again and
again one trainer, taken in turns, gets SIGKILL: the time from there to the first step that the next attempt reports, and to the first
checkpoint that is committed after it. Asked with `seer job describe`, so that a result is late by the time of one call, which is printed.
"""
import argparse
import datetime
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from coordinator_load import ROOT, start, start_data_service

SPEC = """metadata: {name: recovery}
model: {trunk: {regnet: {depth: 4, w_0: 16, w_a: 8, w_m: 2, groupWidth: 8, seRatio: 0.25}, stemStride: 1}, head: {hidden: [32], outputDim: 16}}
loss: {swav: {prototypes: 10, freezePrototypesSteps: 0}}
augment: {crops: [{views: 2, size: 16, minScale: 0.5, maxScale: 1.0}]}
data: {pool: load, globalBatch: 16}
optim: {steps: 100000000, lr: 0.1}
distributed: {ranks: 2}
checkpoint: {everySteps: 10, keepLast: 2}
failure: {maxRestarts: 1000}
"""


def moment(text):
    """Of "2026-01-31T12:00:00.123456789Z"."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    at = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return at + datetime.timedelta(seconds=float(f"0.{fraction or 0}"))


def child_of(agent):
    """The trainer that runs under it."""
    children = pathlib.Path(f"/proc/{agent}/task").glob("*/children")
    pids = [int(pid) for task in children for pid in task.read_text().split()]
    return pids[0] if pids else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shard", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--database", help="postgresql://...; default: a SQLite file")
    args = parser.parse_args()
    processes = []
    with tempfile.TemporaryDirectory(prefix="seer-recovery-") as name:
        folder = pathlib.Path(name)
        try:
            dataservice, data_address = start_data_service(args.bin, folder, args.shard)
            processes.append(dataservice)
            coordinator, port, *_ = start([args.bin / "seer-coordinator", "--database", args.database or folder / "coordinator.db", "--storage",
                                       folder / "storage", "--logs", folder / "logs", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
                                       "--dataservice", data_address, "--cordon-after", "0"], folder / "ports")
            processes.append(coordinator)
            address = f"127.0.0.1:{port}"
            agents = []
            for i in range(2):
                agent = subprocess.Popen([args.bin / "seer-worker", "--coordinator", address, "--name", f"worker-{i}", "--work-dir",
                                          folder / f"work-{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                processes.append(agent)
                agents.append(agent.pid)

            def seer(*words):
                return subprocess.run([args.bin / "seer", *map(str, words), "--coordinator", address], check=True, capture_output=True, text=True).stdout

            spec = folder / "job.yaml"
            spec.write_text(SPEC)
            while len(seer("worker", "list", "-o", "name").split()) < 2:
                time.sleep(0.1)
            job = seer("submit", spec, "-o", "name").split("/")[-1].strip()

            def look():
                return json.loads(seer("job", "describe", job, "-o", "json"))

            def wait(done):
                end = time.monotonic() + 120
                while time.monotonic() < end:
                    now = look()
                    if done(now):
                        return time.monotonic(), now
                sys.exit(f"recovery: waited for too long\n{seer('job', 'events', job)}")

            calls, to_step, to_checkpoint = [], [], []
            for kill in range(args.kills):
                step = int(look().get("progress", {}).get("step", 0))
                attempt = kill + 1
                wait(lambda j: j["attempt"] == attempt and int(j.get("progress", {}).get("step", 0)) > step + 15)
                begun = time.monotonic()
                before = look()
                calls.append(time.monotonic() - begun)
                killed, killed_at = time.monotonic(), datetime.datetime.now(datetime.timezone.utc)
                os.kill(child_of(agents[kill % 2]), signal.SIGKILL)
                # The attempt before reports nothing any more.
                at, _ = wait(lambda j: j["attempt"] == attempt + 1 and moment(j["progress"]["updateTime"]) > killed_at)
                to_step.append(at - killed)
                newest = int(before.get("lastCheckpointStep", 0))
                at, _ = wait(lambda j: int(j.get("lastCheckpointStep", 0)) > newest)
                to_checkpoint.append(at - killed)
            print(f"{args.kills} kills, load average {os.getloadavg()[0]:.1f}, a call takes {statistics.median(calls):.3f} s")
            for what, times in (("first step", to_step), ("next committed checkpoint", to_checkpoint)):
                times.sort()
                print(f"{what}: median {statistics.median(times):.2f} s, p90 {times[int(0.9 * (len(times) - 1))]:.2f}, max {times[-1]:.2f}")
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
