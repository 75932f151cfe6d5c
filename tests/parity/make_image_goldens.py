#!/usr/bin/env python3
"""Writes tests/parity/golden/images: what Pillow and torchvision make of image files, resizing and random crops.

Run with an environment of `deploy/deps --bench`:  python tests/parity/make_image_goldens.py
The folder holds, all made here:
  photo.png              the picture that is resized and stored in all formats
  resize.txt, resize-N.png   a case a line: x y width height size; the whole pixels that the box touches, cut out and
                         resized by Pillow's antialiased bilinear filter
  bicubic.txt, bicubic-N.png   the same by its bicubic filter, other sizes
  blocks.png, blocks.txt, blocks-N.png   the same of a picture of black and white pixels alone
  formats.txt            a case a line: file, golden; the golden PNG is Pillow's upright convert("RGB") of the file
  random_resized_crop.txt    torchvision's RandomResizedCrop: the distribution of each number of a box (see write_crops)
"""

import io
import math
import pathlib

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms import RandomResizedCrop

OUT = pathlib.Path(__file__).parent / "golden" / "images"
WIDTH, HEIGHT = 61, 47
DRAWS = 60_000


def photo():
    """Slow colours, a fine grating and noise: what each filter treats in its own way."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.stack([np.sin(x * 0.11 + c) * np.cos(y * 0.07) for c in range(3)], axis=-1)
    grating = np.sin(x * 1.9 - y * 2.3)[..., None]
    values = 128 + 60 * waves + 25 * grating + random.uniform(-25, 25, (HEIGHT, WIDTH, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def blocks():
    """Black or white at random: a cubic overshoots nearly everywhere."""
    random = np.random.default_rng(8)
    return Image.fromarray(random.integers(0, 2, (HEIGHT, WIDTH, 3)).astype(np.uint8) * 255)


def write_resizes(image, name, filter, sizes):
    boxes = [(0, 0, WIDTH, HEIGHT), (5, 3, 30, 30), (20.5, 10.25, 33.3, 21.7), (0, 0, 7, 5), (58, 1, 3, 46), (11, 13, 40, 9)]
    lines = []
    for box in boxes:
        for size in sizes:
            x, y, width, height = box
            left, top = math.floor(x), math.floor(y)
            cut = image.crop((left, top, math.ceil(x + width), math.ceil(y + height)))
            inside = (x - left, y - top, x - left + width, y - top + height)
            # Columns first, as Pillow does; from 13 on it takes the rows first for some shapes.
            narrow = cut.resize((size, cut.height), filter, box=(inside[0], 0, inside[2], cut.height))
            small = narrow.resize((size, size), filter, box=(0, inside[1], size, inside[3]))
            small.save(OUT / f"{name}-{len(lines)}.png", optimize=True)
            lines.append(" ".join(str(number) for number in (*box, size)))
    (OUT / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_formats(image):
    """Files of Pillow's own writers, so that no encoder of the tests is between it and the decoder."""
    alpha = Image.fromarray(np.tile(np.arange(WIDTH, dtype=np.uint8) * 4, (HEIGHT, 1)))
    rgba = image.copy()
    rgba.putalpha(alpha)
    palette = image.quantize(64)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [palette, palette.transpose(Image.Transpose.ROTATE_180)]
    cases = {
        "rgb.bmp": (image, {}),
        "grey.bmp": (image.convert("L"), {}),
        "bits.bmp": (image.convert("1"), {}),
        "palette.bmp": (palette, {}),
        "alpha.bmp": (rgba, {}),
        "palette.gif": (palette, {}),
        "interlaced.gif": (palette, {"interlace": 1}),
        "grey.gif": (image.convert("L"), {"interlace": 0}),
        "frames.gif": (frames[0], {"save_all": True, "append_images": frames[1:], "duration": 100}),
        "rgb.tiff": (image, {}),
        "lzw.tiff": (image, {"compression": "tiff_lzw"}),
        "deflate.tiff": (image, {"compression": "tiff_adobe_deflate"}),
        "packbits.tiff": (image.convert("L"), {"compression": "packbits"}),
        "alpha.tiff": (rgba, {}),
        "palette.tiff": (palette, {}),
        "bits.tiff": (image.convert("1"), {}),
        "cmyk.tiff": (image.convert("CMYK"), {}),
        "jpeg.tiff": (image, {"compression": "jpeg", "quality": 90}),
        "oriented.tiff": (image, {"exif": exif}),
        "baseline.jpg": (image, {"quality": 90, "subsampling": 0}),
        "progressive.jpg": (image, {"quality": 90, "subsampling": 2, "progressive": True}),
        "cmyk.jpg": (image.convert("CMYK"), {"quality": 95}),
        "oriented.jpg": (image, {"quality": 90, "exif": exif}),
        "lossless.webp": (rgba, {"lossless": True, "exact": True}),
        "lossy.webp": (image, {"quality": 80}),
        "palette.png": (palette, {}),
    }
    lines = []
    for name, (picture, options) in cases.items():
        stored = io.BytesIO()
        picture.save(stored, Image.registered_extensions()[pathlib.Path(name).suffix], **options)
        (OUT / name).write_bytes(stored.getvalue())
        opened = Image.open(io.BytesIO(stored.getvalue()))
        ImageOps.exif_transpose(opened).convert("RGB").save(OUT / f"{name}.png", optimize=True)
        lines.append(f"{name} {name}.png")
    (OUT / "formats.txt").write_text("\n".join(lines) + "\n")


def write_crops():
    """A case a line: width height min_scale max_scale draws, then for area, log ratio, left and top 24 pairs of a
    value and the share of draws that are not above it."""
    torch.manual_seed(11)
    lines = []
    for width, height, low, high in [(500, 375, 0.14, 1.0), (500, 375, 0.05, 0.14), (640, 160, 0.14, 1.0), (96, 128, 0.3, 1.0)]:
        picture = torch.empty(3, height, width)
        boxes = torch.tensor([RandomResizedCrop.get_params(picture, (low, high), (3 / 4, 4 / 3)) for _ in range(DRAWS)]).double()
        top, left, tall, wide = boxes.unbind(1)
        words = [width, height, low, high, DRAWS]
        for numbers in (wide * tall / (width * height), torch.log(wide / tall), left, top):
            for share in np.linspace(0.02, 0.98, 24):
                value = torch.quantile(numbers, share, interpolation="nearest").item()
                words += [f"{value:.9g}", f"{(numbers <= value + 1e-9).double().mean().item():.6f}"]
        lines.append(" ".join(str(word) for word in words))
    (OUT / "random_resized_crop.txt").write_text("\n".join(lines) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    image = photo()
    image.save(OUT / "photo.png", optimize=True)
    write_resizes(image, "resize", Image.Resampling.BILINEAR, (8, 24, 64))
    write_resizes(image, "bicubic", Image.Resampling.BICUBIC, (11, 30, 96))
    blocks().save(OUT / "blocks.png", optimize=True)
    write_resizes(blocks(), "blocks", Image.Resampling.BICUBIC, (9, 31, 80))
    write_formats(image)
    write_crops()


if __name__ == "__main__":
    main()
