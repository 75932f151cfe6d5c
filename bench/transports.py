#!/usr/bin/env python3
"""Claim: what a batch's way from the data service to a trainer costs beyond decoding, on each side, for messages,
shared memory and decoding in the trainer: one core of the service feeds at least 300 MB/s of crops by messages and
1 GB/s by shared memory, and the reader spends under 2 % of a core at 300 images a second by shared memory.

    python3 bench/transports.py SHARD.tar... [--bin build/release/bin] [--before BIN] [--batches 40] [--batch 64] [--rounds 3]

JPEGs (WebDataset tar shards), crops 2 x 224 and 4 x 96. The service has one decoding thread and runs on core 0, the
reader on core 1. CPU time is the kernel's (/proc): that of `decode` threads is
decoding and cutting, all other is the way. `--before`: the programs of an earlier build, measured in the same rounds.
The best round of each counts. Prints a table and, last, one JSON object.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICE_CORE, READER_CORE = "0", "1"


def is_decode(task):
    try:
        return (task / "comm").read_text().strip() == "decode"
    except OSError:  # it has ended
        return False


def cpu_seconds(pid):
    """(of the threads that decode, of all others, dead ones too)"""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    whole = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    decode = sum(int((task / "schedstat").read_text().split()[0]) / 1e9
                 for task in pathlib.Path(f"/proc/{pid}/task").iterdir() if is_decode(task))
    return decode, whole - decode


class Service:
    def __init__(self, bin_, pools, ports):
        self.process = subprocess.Popen(
            ["taskset", "-c", SERVICE_CORE, bin_ / "seer-dataservice", "--pools", str(pools), "--threads", "1",
             "--listen", "127.0.0.1:0", "--port-file", str(ports)], stderr=subprocess.DEVNULL)
        while not (ports.exists() and ports.read_text().split()):
            time.sleep(0.05)
        self.address = f"127.0.0.1:{ports.read_text().split()[0]}"

    def stop(self):
        self.process.terminate()
        self.process.wait()


def read(bin_, args, words):
    command = ["taskset", "-c", READER_CORE, bin_ / "stream_bench", "--pool", "bench", "--batch", str(args.batch),
               "--batches", str(args.batches), *words]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def stream(bin_, args, service, words):
    before = cpu_seconds(service.process.pid)
    run = read(bin_, args, ["--replica", service.address, *words])
    after = cpu_seconds(service.process.pid)
    images = args.batches * args.batch
    return {**run, "service_decode": (after[0] - before[0]) / images, "service_way": (after[1] - before[1]) / images}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--before", type=pathlib.Path)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("transports: needs two cores, one for the service and one for the reader")
    rows = {}
    with tempfile.TemporaryDirectory(prefix="seer-transports-") as name:
        folder = pathlib.Path(name)
        services = {"now": Service(args.bin, folder / "pools", folder / "ports")}
        try:
            if args.before:
                services["before"] = Service(args.before, folder / "pools", folder / "ports-before")
            for words in (["pool", "create", "bench"], ["pool", "ingest", "bench", *map(str, args.shards)]):
                subprocess.run([args.bin / "seer", *words, "--dataservice", services["now"].address], check=True,
                               capture_output=True)
            for _ in range(args.rounds):
                runs = {}
                if args.before:
                    runs["messages, before"] = stream(args.before, args, services["before"], [])
                runs["messages"] = stream(args.bin, args, services["now"], ["--messages"])
                runs["shared memory"] = stream(args.bin, args, services["now"], [])
                runs["in the trainer"] = read(args.bin, args, ["--pools", str(folder / "pools")])
                for kind, run in runs.items():
                    best = rows.setdefault(kind, run)
                    if run["cpu_seconds_per_image"] < best["cpu_seconds_per_image"]:
                        rows[kind] = run
        finally:
            for service in services.values():
                service.stop()
    size = rows["messages"]["bytes_per_image"]
    print("way               images/s  reader us/image  reader % of a core at 300/s  reader MB/s a core  "
          "service's way us/image  service MB/s a core  decoding us/image")
    for kind, run in rows.items():
        run.pop("ids")
        reader, way = run["cpu_seconds_per_image"], run.get("service_way")
        decode = run.get("service_decode") or run["decode_seconds_per_image"]
        print(f"{kind:<17} {run['images_per_second']:>8.1f} {1e6 * reader:>16.1f} {30000 * reader:>28.2f} "
              f"{size / reader / 1e6:>19.0f} {1e6 * way if way else 0:>23.1f} {size / way / 1e6 if way else 0:>20.0f} "
              f"{1e6 * decode:>18.0f}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
