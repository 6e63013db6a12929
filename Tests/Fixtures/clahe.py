"""OpenCV's CLAHE of the pictures that AugmentationTests draws: prints an FNV-1a of each result's bytes, and its first ones.

Needs numpy and opencv-python-headless.
"""

import cv2
import numpy as np


def picture(width, height):
    index = np.arange(width * height, dtype=np.int64)
    values = index % width * 7 + index // width * 13 + index * index % 11
    return (values % 256).astype(np.uint8).reshape(height, width)


def digest(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


for width, height, tiles, limit in [(64, 64, 8, 2.0), (64, 64, 4, 1.0), (40, 28, 4, 3.75), (37, 53, 8, 2.5), (5, 3, 8, 40.0)]:
    result = cv2.createCLAHE(clipLimit=limit, tileGridSize=(tiles, tiles)).apply(picture(width, height)).reshape(-1)
    print(f"({width}, {height}, {tiles}, {limit}, {digest(result.tolist())}),  {result[:8].tolist()}")
