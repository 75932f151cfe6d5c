#!/usr/bin/env python3
"""Claim: one core of the data service gives more images a second than one worker of webdataset or MosaicML streaming
set up as their users do, starts sooner, and resumes in the middle of an epoch with the same images.

    python3 bench/data_peers.py SHARD.tar... [--bin build/release/bin] [--batches 12] [--batch 32] [--rounds 2]

Same JPEGs (WebDataset tar shards), same crops: 2 x 224 and 4 x 96, RandomResizedCrop and flips, uint8. The peers decode
with PIL and cut with torchvision in one worker process of a DataLoader, pinned to one core; the service has one
decoding thread on that core; what reads runs on another core. Each measurement is a process of its own and counts from
its start, imports not counted. Resume: the time until the batch after the middle is there again, and whether the
images are those of the run that was not interrupted. Needs torch, torchvision, webdataset and
mosaicml-streaming, in an environment of their own as the last wants another numpy than the tests. Prints a table and, last, one JSON object.
"""
import argparse
import hashlib
import json
import multiprocessing
import os
import pathlib
import resource
import subprocess
import sys
import tarfile
import tempfile
import time

CROPS = ((2, 224, 0.14, 1.0), (4, 96, 0.05, 0.14))
ROOT = pathlib.Path(__file__).resolve().parent.parent


def make_crops():
    """PIL image -> list of uint8 tensors, as the transforms of main_swav.py without colour."""
    import torch
    from torchvision import transforms
    kinds = [(views, transforms.Compose([transforms.RandomResizedCrop(size, scale=(low, high)),
                                         transforms.RandomHorizontalFlip(), transforms.PILToTensor()]))
             for views, size, low, high in CROPS]
    torch.set_num_threads(1)
    return lambda image: [kind(image.convert("RGB")) for views, kind in kinds for _ in range(views)]


def name_of(jpeg):
    return hashlib.sha256(jpeg).digest()


def collate(samples):
    """[(crops, id)] -> (ids, stacked crops): MosaicML streaming counts what it gave by the length of the first."""
    import torch
    return [name for _, name in samples], [torch.stack(views) for views in zip(*(crops for crops, _ in samples))]


def pin_worker(_):
    os.sched_setaffinity(0, {0})


def webdataset_loader(shards, batch, seed):
    import io

    import webdataset
    from PIL import Image
    crops = make_crops()

    def decode(sample):
        return crops(Image.open(io.BytesIO(sample["jpg"]))), name_of(sample["jpg"])

    data = (webdataset.WebDataset(shards, shardshuffle=len(shards), seed=seed).repeat().shuffle(1000)
            .map(decode).batched(batch, collation_fn=collate))
    return webdataset.WebLoader(data, batch_size=None, num_workers=1, worker_init_fn=pin_worker, prefetch_factor=4)


def streaming_loader(folder, batch, seed):
    import io

    from PIL import Image
    from streaming import StreamingDataLoader, StreamingDataset
    crops = make_crops()

    class Images(StreamingDataset):
        def __getitem__(self, index):
            jpeg = super().__getitem__(index)["jpg"]
            return crops(Image.open(io.BytesIO(jpeg))), name_of(jpeg)

    data = Images(local=folder, shuffle=True, shuffle_seed=seed, batch_size=batch)
    return StreamingDataLoader(data, batch_size=batch, num_workers=1, collate_fn=collate, worker_init_fn=pin_worker,
                               prefetch_factor=4, drop_last=True)


def forever(loader):
    while True:
        yield from loader


def measure_peer(kind, source, args, resume, out):
    """In a process of its own: the numbers of one run, from the middle on if `resume`."""
    os.sched_setaffinity(0, {1})
    multiprocessing.set_start_method("fork", force=True)  # of the loaders' workers
    if kind == "webdataset":
        import webdataset  # noqa: F401
    else:
        import streaming  # noqa: F401
    import torchvision  # noqa: F401
    middle = args.batches // 2
    start = time.monotonic()
    loader = webdataset_loader(source, args.batch, 7) if kind == "webdataset" else streaming_loader(source, args.batch, 7)
    skip = middle if resume else 0
    if resume and kind == "streaming":
        loader.load_state_dict({**resume, "num_canonical_nodes": resume.get("num_canonical_nodes", -1)})
        skip = 0
    batches, ids, first, images, bytes_ = forever(loader), [], None, 0, 0
    for _ in range(skip):  # webdataset keeps no place: what was seen is read again
        next(batches)
    count, state = args.batches - (middle if resume else 0), None
    for i in range(count):
        names, crops = next(batches)
        ids.append(hashlib.sha256(b"".join(names)).hexdigest())
        if first is None:
            first = time.monotonic() - start
        else:
            images += len(names)
            bytes_ += sum(c.numel() for c in crops)
        if kind == "streaming" and not resume and i + 1 == middle:
            state = loader.state_dict()
    seconds = time.monotonic() - start - first
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    workers = sum(int(line.split()[1]) for child in multiprocessing.active_children()
                  for line in open(f"/proc/{child.pid}/status") if line.startswith("VmHWM"))
    out.put({"first_seconds": first, "images_per_second": images / seconds, "megabytes_per_second": bytes_ / seconds / 1e6,
             "peak_mib": (peak + workers) / 1024, "ids": ids, "state": state})
    out.close()
    out.join_thread()
    os._exit(0)  # the loaders' threads do not end by themselves


def peer(kind, source, args, resume=None):
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=measure_peer, args=(kind, source, args, resume, out))
    process.start()
    result = out.get(timeout=600)
    process.join()
    return result


class Service:
    """seer-dataservice with one decoding thread on core 0, and the pool of the shards."""

    def __init__(self, args, folder, shards):
        self.bin, self.args = pathlib.Path(args.bin), args
        ports = folder / "ports"
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", self.bin / "seer-dataservice", "--pools", str(folder / "pools"), "--threads", "1",
             "--listen", "127.0.0.1:0", "--port-file", str(ports)], stderr=subprocess.DEVNULL)
        while not (ports.exists() and ports.read_text().split()):
            time.sleep(0.05)
        self.address = f"127.0.0.1:{ports.read_text().split()[0]}"
        for words in (["pool", "create", "bench"], ["pool", "ingest", "bench", *map(str, shards)]):
            subprocess.run([self.bin / "seer", *words, "--dataservice", self.address], check=True, capture_output=True)

    def stream(self, first_step, batches):
        command = ["taskset", "-c", "1", self.bin / "stream_bench", "--replica", self.address, "--pool", "bench",
                   "--batch", str(self.args.batch), "--first-step", str(first_step), "--batches", str(batches)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def peak_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def write_mds(shards, folder):
    from streaming import MDSWriter
    with MDSWriter(out=str(folder), columns={"jpg": "bytes"}) as out:
        for shard in shards:
            with tarfile.open(shard) as tar:
                for member in tar:
                    if member.name.endswith((".jpg", ".jpeg")):
                        out.write({"jpg": tar.extractfile(member).read()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", type=pathlib.Path)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("data_peers: needs two cores, one that decodes and one that reads")
    shards = [str(shard.resolve()) for shard in args.shards]
    middle = args.batches // 2
    rows = {}
    with tempfile.TemporaryDirectory(prefix="seer-data-peers-") as name:
        folder = pathlib.Path(name)
        write_mds(shards, folder / "mds")
        service = Service(args, folder, shards)
        try:
            for _ in range(args.rounds):
                whole = service.stream(0, args.batches)
                again = service.stream(middle, args.batches - middle)
                ours = {**whole, "peak_mib": whole["peak_mib"] + service.peak_mib(), "resume_seconds": again["first_seconds"],
                        "same_images": again["ids"] == whole["ids"][middle:]}
                runs = {"seer": ours}
                for kind, source in (("webdataset", shards), ("streaming", str(folder / "mds"))):
                    first = peer(kind, source, args)
                    resumed = peer(kind, source, args, resume=first["state"] or {"skip": True})
                    runs[kind] = {**first, "resume_seconds": resumed["first_seconds"],
                                  "same_images": resumed["ids"] == first["ids"][middle:]}
                for kind, run in runs.items():
                    best = rows.setdefault(kind, run)
                    if run["images_per_second"] > best["images_per_second"]:
                        rows[kind] = run
        finally:
            service.stop()
    print("loader      images/s  MB/s of crops  first batch s  resume s  same images  peak MiB")
    for kind, r in rows.items():
        r.pop("state", None)
        r.pop("ids", None)
        print(f"{kind:<11} {r['images_per_second']:>8.1f} {r['megabytes_per_second']:>14.1f} {r['first_seconds']:>14.2f} "
              f"{r['resume_seconds']:>9.2f} {'yes' if r['same_images'] else 'no':>12} {r['peak_mib']:>9.0f}")
    for kind in ("webdataset", "streaming"):
        print(f"seer / {kind}: {rows['seer']['images_per_second'] / rows[kind]['images_per_second']:.2f} times the images a second")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
