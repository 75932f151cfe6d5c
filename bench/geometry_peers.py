#!/usr/bin/env python3
"""Claim: a core cuts the six views of a multi-crop out of JPEGs at least 3.3 times as fast as torchvision on PIL images
does the same geometry, 9 times as fast as the whole PIL recipe of the original SwAV script (whose colour part our
trainer does on its device), and large photographs 4 times as fast.

    python3 bench/geometry_peers.py PATH... [--bin build/release/bin] [--rounds 3] [--megapixels 12]

PATH: WebDataset tar shards, JPEG files or folders of them. --megapixels: also the photographs of
/usr/share/backgrounds/mate (Debian's mate-backgrounds), each scaled to that size and saved as JPEG of quality 90 first.
One core (core 0), sides in turns, the best round of each. Needs torch, torchvision and Pillow. Prints a table and, last,
a JSON object.
"""
import argparse
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PHOTOGRAPHS = pathlib.Path("/usr/share/backgrounds/mate")
CROPS = ((2, 224, 0.14, 1.0), (4, 96, 0.05, 0.14))
JPEGS = (".jpg", ".jpeg")


def jpegs_of(path):
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in JPEGS:
                yield file.read_bytes()
    elif path.suffix == ".tar":
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.lower().endswith(JPEGS):
                    yield tar.extractfile(member).read()
    else:
        yield path.read_bytes()


def write_large(folder, megapixels):
    from PIL import Image
    for number, jpeg in enumerate(jpegs_of(PHOTOGRAPHS)):
        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        image.resize((round(image.width * scale), round(image.height * scale)), Image.LANCZOS).save(
            folder / f"{number:03}.jpg", quality=90)


def recipes():
    """Per view, of PIL images: geometry alone, and the whole recipe of SwAV's multi-crop."""
    from torchvision import transforms
    colour = transforms.Compose([transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
                                 transforms.RandomGrayscale(p=0.2)])

    class Blur:
        def __call__(self, image):
            from PIL import ImageFilter
            if random.random() < 0.5:
                return image
            return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))

    geometry, whole = [], []
    for views, size, low, high in CROPS:
        cut = [transforms.RandomResizedCrop(size, scale=(low, high)), transforms.RandomHorizontalFlip()]
        normalise = [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.228, 0.224, 0.225])]
        geometry += [transforms.Compose(cut)] * views
        whole += [transforms.Compose([*cut, colour, Blur(), *normalise])] * views
    return {"geometry": geometry, "whole recipe": whole}


def rate(jpegs, views, seconds):
    """Images a second, whole passes."""
    from PIL import Image
    done, start = 0, time.perf_counter()
    while True:
        for jpeg in jpegs:
            image = Image.open(io.BytesIO(jpeg)).convert("RGB")
            for view in views:
                view(image)
        done += len(jpegs)
        passed = time.perf_counter() - start
        if passed >= seconds:
            return done / passed


def measure(name, paths, args):
    jpegs = [jpeg for path in paths for jpeg in jpegs_of(path)]
    best = {"set": name, "images": len(jpegs)}
    for _ in range(args.rounds):
        command = [str(args.bin / "decode_bench"), "--rounds", "1", "--seconds", str(args.seconds), *map(str, paths)]
        ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        found = {"bare": ours["bare_images_per_second"], "seer": ours["crops_images_per_second"]}
        for kind, views in recipes().items():
            found[kind] = rate(jpegs, views, args.seconds)
        for key, value in found.items():
            best[key] = max(best.get(key, 0), value)
        best["megapixels"] = ours["megapixels"]
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--megapixels", type=float, default=0)
    args = parser.parse_args()
    if not args.paths and not args.megapixels:
        sys.exit("geometry_peers: name JPEGs, or --megapixels")
    import torch
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    if args.paths:
        rows.append(measure("given", args.paths, args))
    if args.megapixels:
        with tempfile.TemporaryDirectory(prefix="seer-geometry-") as name:
            write_large(pathlib.Path(name), args.megapixels)
            rows.append(measure(f"{args.megapixels:g}-megapixel photographs", [pathlib.Path(name)], args))
    print(f"{'images a second, one core':<36} {'seer':>8} {'bare':>8} {'PIL geometry':>13} {'PIL recipe':>11}")
    for row in rows:
        label = f"{row['images']} {row['set']}, {row['megapixels']:.2f} Mpx"
        print(f"{label:<36} {row['seer']:>8.1f} {row['bare']:>8.1f} {row['geometry']:>13.1f} {row['whole recipe']:>11.1f}")
        print(f"{'':<36} {'':>8} {row['seer'] / row['bare']:>8.2f} {row['seer'] / row['geometry']:>13.2f} "
              f"{row['seer'] / row['whole recipe']:>11.2f}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
