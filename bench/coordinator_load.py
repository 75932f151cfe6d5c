#!/usr/bin/env python3
"""Claim: one coordinator on one core keeps 10,000 agents, comes back from SIGKILL, and takes jobs faster than they are submitted.

    python3 bench/coordinator_load.py SHARD.tar [--bin build/release/bin] [--agents 10000] [--seconds 60] [--jobs 2000]
                                      [--database URL]

Starts a data service with a small pool and a coordinator, bound to one core, on SQLite or the database named; plays the agents and the
clients with coordinator_bench on the others. In the middle the coordinator is killed with SIGKILL and started again. Goals: heartbeats
acknowledged within 50 ms of their arrival at p99 (its own histogram; the agents' side is shown as well), all agents back within 30 s, 1 GiB resident at most, 500 jobs a second, each on disk before it is
answered. Prints a table; exits with 1 if an agent or a job was lost, not if a goal was missed.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent


def start(command, ports, core=None):
    ports.unlink(missing_ok=True)
    pin = ["taskset", "-c", str(core)] if core is not None else []
    process = subprocess.Popen([*pin, *map(str, command), "--port-file", str(ports)], stderr=subprocess.DEVNULL)
    while not (ports.exists() and ports.read_text().split()):
        if process.poll() is not None:
            sys.exit(f"coordinator_load: {command[0]} ended with {process.returncode}")
        time.sleep(0.05)
    return process, *map(int, ports.read_text().split())


def start_data_service(bin_, folder, shard):
    """One with the pool "load" of that shard's images. Returns the process and HOST:PORT."""
    process, port, *_ = start([bin_ / "seer-dataservice", "--pools", folder / "pools", "--threads", "1", "--listen", "127.0.0.1:0",
                           "--metrics", "127.0.0.1:0"], folder / "data-ports")
    address = f"127.0.0.1:{port}"
    for words in (("create", "load"), ("ingest", "load", shard)):
        subprocess.run([bin_ / "seer", "pool", *map(str, words), "--dataservice", address], check=True, capture_output=True)
    return process, address


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def heartbeat_buckets(metrics_port):
    """Of the coordinator's own clock: seconds -> heartbeats acknowledged within as many."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
        found = re.findall(r'^seer_worker_heartbeat_seconds_bucket\{le="([^"]+)"\} (\S+)$', answer.read().decode(), re.M)
    return {float(edge): float(count) for edge, count in found}


def quantile(share, before, after):
    """As Prometheus's histogram_quantile, of what came between two looks."""
    counts = [(edge, after[edge] - before.get(edge, 0)) for edge in sorted(after)]
    wanted, low, below = share * counts[-1][1], 0.0, 0.0
    for edge, count in counts:
        if count >= wanted and count > below:
            return low if edge == float("inf") else low + (edge - low) * (wanted - below) / (count - below)
        low, below = edge, count
    return float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shard", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--agents", type=int, default=10000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--database", help="postgresql://...; default: a SQLite file")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    processes = []
    with tempfile.TemporaryDirectory(prefix="seer-load-") as name:
        folder = pathlib.Path(name)
        try:
            dataservice, data_address = start_data_service(args.bin, folder, args.shard)
            processes.append(dataservice)

            def coordinator(port):
                command = [args.bin / "seer-coordinator", "--database", args.database or folder / "coordinator.db", "--storage",
                           folder / "storage", "--logs", folder / "logs", "--listen", f"127.0.0.1:{port}", "--metrics", "127.0.0.1:0",
                           "--dataservice", data_address]
                process, port, metrics_port, *_ = start(command, folder / "ports", cores[0])
                processes.append(process)
                return process, port, metrics_port

            served, port, _ = coordinator(0)
            results, settling = {}, {}

            def play(*words):
                command = ["taskset", "-c", ",".join(map(str, cores[1:] or cores)), args.bin / "coordinator_bench"]
                return subprocess.Popen(list(map(str, command + list(words))), stdout=subprocess.PIPE, text=True)

            def note(stream):
                for line in stream:
                    said = json.loads(line)
                    if "settling" in said:
                        settling.update(said)
                    else:
                        results.update(said)

            agents = play("agents", f"127.0.0.1:{port}", f"agents={args.agents}", f"seconds={args.seconds}")
            reader = threading.Thread(target=note, args=(agents.stdout,))
            reader.start()
            time.sleep(args.seconds / 2)
            before = {"first_rss": resident_mib(served.pid)}
            served.kill()
            served.wait()
            served, _, metrics_port = coordinator(port)
            began, used = time.monotonic(), cpu_seconds(served.pid)
            time.sleep(args.seconds / 4)  # all are back
            settled = heartbeat_buckets(metrics_port)
            time.sleep(args.seconds / 4 - 2)
            handled = [1e3 * quantile(share, settled, heartbeat_buckets(metrics_port)) for share in (0.5, 0.99)]
            busy = (cpu_seconds(served.pid) - used) / (time.monotonic() - began)
            reader.join()
            lost = agents.wait() != 0
            after = {"rss": max(before["first_rss"], resident_mib(served.pid))}
            beats = dict(results)

            spec = folder / "job.yaml"
            spec.write_text("metadata: {name: load}\nmodel: {trunk: {preset: regnety_200mf}, head: {hidden: [64], outputDim: 16}}\n"
                            "loss: {swav: {prototypes: 10}}\naugment: {crops: [{views: 2, size: 32}]}\n"
                            "data: {pool: load, globalBatch: 2}\noptim: {steps: 10, lr: 0.1}\ndistributed: {ranks: 2}\n")
            worker = play("agents", f"127.0.0.1:{port}", "agents=1", "devices=2", "seconds=600")
            processes.append(worker)
            worker.stdout.readline()  # attached
            submits = play("submit", f"127.0.0.1:{port}", spec, f"jobs={args.jobs}", "clients=16")
            note(submits.stdout)
            lost = lost or submits.wait() != 0
        finally:
            for process in processes:
                process.kill()
                process.wait()
    table = [("agents attached after", f"{beats.get('attached_seconds', float('nan')):.1f} s", ""),
             ("attached again after SIGKILL", f"{beats.get('reattached_seconds', float('nan')):.1f} s", "30 s"),
             ("heartbeats handled, p50, p99", "{:.1f}, {:.1f} ms".format(*handled), "p99 50 ms"),
             ("there and back for agents, p50, p99, most", "{p50_ms:.1f}, {p99_ms:.1f}, {max_ms:.1f} ms".format(**beats), ""),
             ("those of the first 5 s after that", "{p50_ms:.1f}, {p99_ms:.1f}, {max_ms:.1f} ms".format(**settling), ""),
             ("a core's time", f"{100 * busy:.0f} %", "100 %"),
             ("peak resident memory", f"{after['rss']:.0f} MiB", "1024 MiB"),
             ("jobs a second, durable", f"{results['jobs_per_second']:.0f}", "500"),
             ("a submit, p50, p99", f"{results['p50_ms']:.1f}, {results['p99_ms']:.1f} ms", "")]
    print(f"{args.agents} agents, {'PostgreSQL' if args.database else 'SQLite'}, load {os.getloadavg()[0]:.1f}")
    for what, value, goal in table:
        print(f"{what:42} {value:28} {'goal ' + goal if goal else ''}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
