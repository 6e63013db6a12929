#!/usr/bin/env python3
"""Makes tiff.json: TIFF files as Pillow (libtiff) writes them, for the reader's tests. Needs numpy and pillow.

Pixel (x, y) of a picture has the value (x * x * 7 + y * 31 + x * y * 3) mod 251, times 257 where it has 16 bits; of one bit, that
value mod 2.
"""
import base64
import io
import json
import pathlib

import numpy as np
from PIL import Image


def values(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return ((x * x * 7 + y * 31 + x * y * 3) % 251).astype(np.uint8)


def tiff(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", **options)
    return base64.b64encode(buffer.getvalue()).decode()


small, large = values(13, 9), values(70, 61)
grey16 = Image.fromarray(small.astype(np.uint16) * 257)
palette = Image.fromarray(small % 3, "P")
palette.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 255] + [0] * 759)
colour = Image.fromarray(np.stack([small, small // 2, 250 - small], 2))
files = {
    "plain": tiff(Image.fromarray(small)),
    "lzw": tiff(Image.fromarray(large), compression="tiff_lzw"),
    "lzw predictor": tiff(Image.fromarray(large), compression="tiff_lzw", tiffinfo={317: 2}),
    "deflate 16": tiff(grey16, compression="tiff_adobe_deflate"),
    "packbits": tiff(Image.fromarray(large), compression="packbits"),
    "strips": tiff(Image.fromarray(large), compression="tiff_lzw", strip_size=700),
    "bits": tiff(Image.fromarray(small % 2 * 255).convert("1")),
    "palette": tiff(palette),
    "colour": tiff(colour, compression="tiff_lzw"),
    "jpeg": tiff(Image.fromarray(large), compression="jpeg"),
    "pages": tiff(Image.fromarray(small), save_all=True, append_images=[Image.fromarray(small)]),
}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(files, indent=1) + "\n")
