"""The random numbers of a world: a counter-based generator, Philox4x32-10.

A draw is a pure function of (seed, episode, index of the draw in the episode), so a trajectory depends neither on how many
environments run beside it nor on how many threads run them. Salmon, Moraes, Dror, Shaw: "Parallel random numbers:
as easy as 1, 2, 3", SC 2011. The source runs compiled and as plain Python, with the same bits.

A world may instead be linked with `recorded_uniform` and `recorded_normal`, which return recorded draws in their order.
"""

import math
from typing import Any

import numpy as np

Generator = Any
"""A record of dtype `GENERATOR_DTYPE`, or of `recorded_dtype`."""

GENERATOR_DTYPE: np.dtype[np.void] = np.dtype(
    [
        ("seed_low", np.int64),
        ("seed_high", np.int64),
        ("episode", np.int64),
        ("block", np.int64),
        ("spare_uniform", np.float64),
        ("spare_normal", np.float64),
    ],
    align=True,
)
"""Seed in two halves of 32 bits, number of the episode, its next block, and the unused half of the last pair (NaN: none)."""

_WORD = 0xFFFFFFFF


def seed_generator(rng: Generator, seed: Any) -> None:
    """Start the generator anew, before its first episode.

    Args:
        rng: Record of dtype `GENERATOR_DTYPE`, or an array of them, overwritten.
        seed: In [0, 2**64), or an array of such, uint64.
    """
    rng["seed_low"] = seed & _WORD
    rng["seed_high"] = seed >> 32
    rng["episode"] = -1


def begin_episode(rng: Generator) -> None:
    """Move on to the first draw of the next episode."""
    rng.episode += 1
    rng.block = 0
    rng.spare_uniform = math.nan
    rng.spare_normal = math.nan


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw from the uniform distribution on [low, high); rounding can give `high` itself, about once in 2**53 draws."""
    fraction = rng.spare_uniform
    if math.isnan(fraction):
        fraction, rng.spare_uniform = _two_fractions(rng)
    else:
        rng.spare_uniform = math.nan
    return low + (high - low) * fraction


def normal(rng: Generator, mean: float, deviation: float) -> float:
    """Draw from the normal distribution, by Box and Muller's pairs."""
    standard = rng.spare_normal
    if math.isnan(standard):
        first, second = _two_fractions(rng)
        radius = math.sqrt(-2.0 * math.log(1.0 - first))
        angle = 2.0 * math.pi * second
        standard = radius * math.cos(angle)
        rng.spare_normal = radius * math.sin(angle)
    else:
        rng.spare_normal = math.nan
    return mean + deviation * standard


def _two_fractions(rng: Generator) -> tuple[float, float]:
    """Two numbers in [0, 1) of 53 bits each, from the next block of the episode."""
    block, episode = int(rng.block), int(rng.episode)
    a, b, c, d = philox(block & _WORD, block >> 32, episode & _WORD, episode >> 32, int(rng.seed_low), int(rng.seed_high))
    rng.block = block + 1
    unit = 1.0 / 9007199254740992.0
    return ((a >> 5) * 67108864 + (b >> 6)) * unit, ((c >> 5) * 67108864 + (d >> 6)) * unit


def philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int, int, int]:
    """Philox4x32-10: a block of four random 32-bit words.

    Products are masked after the shift, so that they are right in Python's integers and in wrapping 64-bit ones alike.

    Args:
        c0: First of the four 32-bit words of the counter.
        c1: Second word.
        c2: Third word.
        c3: Fourth word.
        k0: First of the two 32-bit words of the key.
        k1: Second word.

    Returns:
        Four words in [0, 2**32).
    """
    for _ in range(10):
        p0 = 0xD2511F53 * c0
        p1 = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = ((p1 >> 32) & _WORD) ^ c1 ^ k0, p1 & _WORD, ((p0 >> 32) & _WORD) ^ c3 ^ k1, p0 & _WORD
        k0 = (k0 + 0x9E3779B9) & _WORD
        k1 = (k1 + 0xBB67AE85) & _WORD
    return c0, c1, c2, c3


def recorded_dtype(capacity: int) -> np.dtype[np.void]:
    """A record that holds recorded draws in place of a generator.

    Args:
        capacity: How many draws it can hold.
    """
    return np.dtype([("position", np.int64), ("draws", np.float64, (capacity,))], align=True)


def begin_recorded_episode(rng: Generator) -> None:
    """Start again at the first recorded draw."""
    rng.position = 0


def recorded_uniform(rng: Generator, low: float, high: float) -> float:
    """Return the next recorded draw, as it was drawn from [low, high)."""
    rng.position += 1
    return rng.draws[rng.position - 1]


def recorded_normal(rng: Generator, mean: float, deviation: float) -> float:
    """Return the next recorded draw, as it was drawn with this mean and deviation."""
    rng.position += 1
    return rng.draws[rng.position - 1]
