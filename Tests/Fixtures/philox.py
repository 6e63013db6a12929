"""Philox4x32-10 and Pleura's rule of initialisation, in numpy: the same bits as Sources/Numerics/Philox.swift.

Run as a program it prints known words and the first values of a few parameters, which NetworksTests compares.
"""

import json

import numpy as np

INITIALIZATION, DROPOUT = 1, 5


def block(key, counter):
    """The 128 bits at each counter: `counter` is a tuple of four uint32 arrays, `key` an integer of 64 bits."""
    c = [np.asarray(word, dtype=np.uint64) for word in np.broadcast_arrays(*counter)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c[0]
        p1 = np.uint64(0xCD9E8D57) * c[2]
        c = [
            (p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            p1 & mask,
            (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            p0 & mask,
        ]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [word.astype(np.uint32) for word in c]


def words(seed, purpose, epoch, position, count, first=0):
    """Words first ..< first + count of the sequence (seed, purpose, epoch, position)."""
    blocks = np.arange(first // 4, (first + count + 3) // 4, dtype=np.uint64)
    lanes = block(seed, (blocks, np.uint32(position), np.uint32(epoch), np.uint32(purpose)))
    start = first - first // 4 * 4
    return np.stack(lanes, axis=1).reshape(-1)[start : start + count]


def uniforms(seed, purpose, epoch, position, count, first=0):
    """Uniform numbers in [0, 1), multiples of 2^-24, exact in float32."""
    bits = words(seed, purpose, epoch, position, count, first) >> np.uint32(8)
    return bits.astype(np.float32) * np.float32(2.0**-24)


def kaiming_bound(fan_in, gain=1.0):
    return np.float32(np.sqrt(6.0 / fan_in)) * np.float32(gain)


def initial_weight(seed, rank, shape, gain=1.0):
    """The initial value of the convolution weight with this rank among the parameters in name order."""
    fan_in = int(np.prod(shape[1:]))
    u = uniforms(seed, INITIALIZATION, 0, rank, int(np.prod(shape)))
    return ((np.float32(2) * u - np.float32(1)) * kaiming_bound(fan_in, gain)).reshape(shape)


if __name__ == "__main__":
    known = [int(w[0]) for w in block(0, ([0], [0], [0], [0]))]
    weight = initial_weight(42, 7, (8, 3, 3, 3)).reshape(-1)
    print(
        json.dumps(
            {
                "zero_block": known,
                "weight_bits": [int(b) for b in weight[:8].view(np.uint32)] + [int(weight[-1:].view(np.uint32)[0])],
            }
        )
    )
