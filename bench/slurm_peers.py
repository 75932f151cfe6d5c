#!/usr/bin/env python3
"""Claim: submitting a job and starting it takes no longer than with Slurm.

    python3 bench/slurm_peers.py SHARD.tar [--bin build/release/bin] [--jobs 200] [--clients 4] [--single 20]

Both on this machine in turns, with their defaults, on loopback: Slurm's controller and node daemon as Debian has them (packages slurmctld,
slurmd, slurm-client, munge; run as root), and our coordinator on SQLite, data service and one agent. A job is a script that writes the time
at which it runs. Single: one job at a time on an idle cluster, from before the command line starts until the script runs. Rate: so many
command lines at once, until all have been answered. Prints the table.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from coordinator_load import ROOT, start, start_data_service

CONF = """ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmdParameters=config_overrides
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP MaxTime=INFINITE
"""


class Slurm:
    def __init__(self, folder):
        self.folder, self.processes = folder, []
        for name in ("state", "spool", "jobs"):
            (folder / name).mkdir()
        host = os.uname().nodename
        (folder / "slurm.conf").write_text(CONF.format(host=host, folder=folder))
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        folder.chmod(0o755)
        self.run("munged", "--foreground", "--force", f"--socket={folder}/munge.sock", f"--key-file={key}", f"--pid-file={folder}/munge.pid",
                 f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed")
        time.sleep(1)
        self.run("slurmctld", "-D")
        self.run("slurmd", "-D", "-N", host)
        for _ in range(100):
            state = subprocess.run(["sinfo", "-h", "-o", "%T"], env=self.env, capture_output=True, text=True).stdout.strip()
            if state == "idle":
                return
            time.sleep(0.3)
        sys.exit(f"slurm_peers: the node is '{state}', not idle; logs in {folder}")

    def run(self, *command):
        self.processes.append(subprocess.Popen(command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def submit(self, name):
        script = self.folder / "jobs" / f"{name}.sh"
        script.write_text(f"#!/bin/sh\ndate +%s.%N >{self.folder}/jobs/{name}.started\n")
        subprocess.run(["sbatch", "--parsable", "-o", "/dev/null", "-n", "1", "-J", name, script], env=self.env, check=True, capture_output=True)

    def started(self, name):
        return self.folder / "jobs" / f"{name}.started"

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


class Seer:
    def __init__(self, args, folder):
        self.args, self.folder, self.processes = args, folder, []
        (folder / "jobs").mkdir()
        bin_ = args.bin
        dataservice, data_address = start_data_service(bin_, folder, args.shard)
        coordinator, port, *_ = start([bin_ / "seer-coordinator", "--database", folder / "coordinator.db", "--storage", folder / "storage",
                                   "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--dataservice", data_address], folder / "ports")
        self.coordinator = f"127.0.0.1:{port}"
        trainer = folder / "trainer"  # takes the place of the trainer: writes when it ran, and is done
        trainer.write_text(f"#!/bin/sh\nstarted=$(date +%s.%N)\njob=$(tr -c '[:print:]' '\\n' <\"$2\" | grep -o 'peer-[a-z0-9-]*' | head -n 1)\n"
                           f"echo $started >{folder}/jobs/$job.started\n")
        trainer.chmod(0o755)
        worker = subprocess.Popen([bin_ / "seer-worker", "--coordinator", self.coordinator, "--devices", "64", "--work-dir", folder / "work",
                                   "--trainer", trainer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes = [worker, coordinator, dataservice]
        self.spec = folder / "job.yaml"
        self.spec.write_text("metadata: {name: peer}\nmodel: {trunk: {preset: regnety_200mf}, head: {hidden: [64], outputDim: 16}}\n"
                             "loss: {swav: {prototypes: 10}}\naugment: {crops: [{views: 2, size: 32}]}\n"
                             "data: {pool: load, globalBatch: 1}\noptim: {steps: 10, lr: 0.1}\ndistributed: {ranks: 1}\n")
        for _ in range(100):
            listed = subprocess.run([bin_ / "seer", "worker", "list", "-o", "name", "--coordinator", self.coordinator], capture_output=True, text=True)
            if listed.stdout.strip():
                return
            time.sleep(0.1)
        sys.exit("slurm_peers: no worker came")

    def submit(self, name):
        subprocess.run([self.args.bin / "seer", "submit", self.spec, "--name", name, "--coordinator", self.coordinator], check=True, capture_output=True)

    def started(self, name):
        return self.folder / "jobs" / f"{name}.started"

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait()


def wait_for(path, seconds=60):
    deadline = time.time() + seconds
    while not (path.exists() and path.read_text().strip()):
        if time.time() > deadline:
            sys.exit(f"slurm_peers: {path.name} never ran")
        time.sleep(0.002)
    return float(path.read_text())


def single(system, number):
    name = f"peer-single-{number}"
    begin = time.time()
    system.submit(name)
    answered = time.time()
    return answered - begin, wait_for(system.started(name)) - begin


def rate(system, args, turn):
    names = [f"peer-rate-{turn}-{i}" for i in range(args.jobs)]
    begin = time.time()
    with ThreadPoolExecutor(args.clients) as pool:
        list(pool.map(system.submit, names))
    answered = time.time() - begin
    for name in names:
        wait_for(system.started(name), 600)
    return args.jobs / answered, args.jobs / (time.time() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shard", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--single", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seer-slurm-") as name:
        folders = {what: pathlib.Path(name) / what for what in ("slurm", "seer")}
        for folder in folders.values():
            folder.mkdir()
        pathlib.Path(name).chmod(0o755)
        systems = {}
        try:
            systems["slurm"] = Slurm(folders["slurm"])
            systems["seer"] = Seer(args, folders["seer"])
            latency = {what: [] for what in systems}
            for number in range(args.single):  # in turns: a busy machine is busy for both
                for what, system in systems.items():
                    latency[what].append(single(system, number))
            rates = {what: [] for what in systems}
            for turn in range(2):
                for what, system in systems.items():
                    rates[what].append(rate(system, args, turn))
        finally:
            for system in systems.values():
                system.stop()
    print(f"{args.single} single jobs; twice {args.jobs} jobs of {args.clients} clients; load {os.getloadavg()[0]:.1f}")
    for what in systems:
        answered, ran = (statistics.median(times) for times in zip(*latency[what]))
        most = max(times[1] for times in latency[what])
        submitted, through = (max(values) for values in zip(*rates[what]))
        print(f"{what:6} answered {1000 * answered:6.0f} ms, runs after {1000 * ran:6.0f} ms (most {1000 * most:.0f}); "
              f"{submitted:6.1f} submits/s, {through:6.1f} jobs through a second")


if __name__ == "__main__":
    main()
