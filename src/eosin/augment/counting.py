"""Random numbers by counting: any of them at once, none after another.

Philox 4 × 32 with ten rounds, of J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2,
3" (SC'11), over a whole batch in NumPy. A key and a counter give four words; there is no state,
so what an image gets depends on nothing that was drawn before it, and a batch of images costs
little more than one (to seed a NumPy generator for each took nine times as long).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eosin.core.types import FloatArray, IntArray

Words = npt.NDArray[np.uint64]

_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(counters: Words, key: tuple[int, int]) -> Words:
    """Scramble counters; each bit of the result hangs on every bit of counter and key.

    Args:
        counters: 32-bit words, shape (..., 4).
        key: Two 32-bit words.

    Returns:
        32-bit words, shape (..., 4).
    """
    # Products of two 32-bit words need all of 64 bits.
    a, b, c, d = np.moveaxis(counters, -1, 0)
    first, second = key
    for _ in range(_ROUNDS):
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (right >> _HALF) ^ b ^ np.uint64(first),
            right & _LOW,
            (left >> _HALF) ^ d ^ np.uint64(second),
            left & _LOW,
        )
        first = (first + _KEY_STEPS[0]) & 0xFFFFFFFF
        second = (second + _KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=-1)


def uniform(seed: int, indices: IntArray, count: int) -> FloatArray:
    """Draw numbers for each index, whatever the others are.

    Args:
        seed: 64 bits, e.g. of :func:`eosin.core.seeding.derive_seed`.
        indices: At least 0, shape (B,).
        count: Numbers an index.

    Returns:
        float64, shape (B, count), above 0 and below 1 in steps of 2⁻³².
    """
    blocks = -(-count // 4)
    counters = np.zeros((len(indices), blocks, 4), dtype=np.uint64)
    counters[:, :, 0] = (indices.astype(np.uint64) & _LOW)[:, None]
    counters[:, :, 1] = (indices.astype(np.uint64) >> _HALF)[:, None]
    counters[:, :, 2] = np.arange(blocks, dtype=np.uint64)
    words = philox(counters, (seed & 0xFFFFFFFF, seed >> 32))
    return (words.reshape(len(indices), 4 * blocks)[:, :count] + 0.5) / 2.0**32
