"""The random numbers of a world: a counter-based generator, Philox4x32-10.

A draw is a pure function of seed, episode and the draws before it in the episode, so a trajectory depends neither on how many
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
        ("spare_first", np.int64),
        ("spare_second", np.int64),
    ],
    align=True,
)
"""Seed in two halves of 32 bits, number of the episode, its next block, and the unused half of the last one (-1: none)."""

_WORD = 0xFFFFFFFF

# The ziggurat: 256 layers of equal area under the normal density. Layer k reaches from 0 to _EDGES[k], and the density
# rises over it from _DENSITIES[k] to _DENSITIES[k + 1]; layer 0 is the base with the tail beyond _TAIL. Marsaglia, Tsang,
# "The ziggurat method for generating random variables", Journal of Statistical Software 5, 2000, as mended by Doornik (2005).
_TAIL = 3.6541528853610088


def _ziggurat() -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    density = math.exp(-0.5 * _TAIL * _TAIL)
    area = _TAIL * density + math.sqrt(0.5 * math.pi) * math.erfc(_TAIL / math.sqrt(2.0))
    edges, densities = [area / density, _TAIL], [0.0, density]
    while len(edges) < 256:
        densities.append(densities[-1] + area / edges[-1])
        edges.append(math.sqrt(-2.0 * math.log(densities[-1])))
    return np.array([*edges, 0.0]), np.array([*densities, 1.0])


_EDGES, _DENSITIES = _ziggurat()


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
    rng.spare_first = -1


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw from the uniform distribution on [low, high); rounding can give `high` itself, about once in 2**53 draws."""
    return low + (high - low) * _fraction(rng)


def normal(rng: Generator, mean: float, deviation: float) -> float:
    """Draw from the normal distribution, by the ziggurat method."""
    layer, x = _point(rng)
    if abs(x) >= _EDGES[layer + 1]:
        x = _near_the_edge(rng, layer, x)
    return mean + deviation * x


def _point(rng: Generator) -> tuple[int, float]:
    """Draw a layer of the ziggurat, and a place from the left to the right edge of it."""
    first, second = _two_words(rng)
    layer = first & 0xFF
    # 53 bits that have no part in the choice of the layer, as a number in [-1, 1).
    return layer, (((first >> 8) * 536870912 + (second >> 3)) * (1.0 / 4503599627370496.0) - 1.0) * _EDGES[layer]


def _near_the_edge(rng: Generator, layer: int, x: float) -> float:
    """Finish a draw that has met a place where a layer is not wholly under the density, as one in a hundred does."""
    while True:
        if layer == 0:
            return math.copysign(_beyond_the_tail(rng), x)
        height = _DENSITIES[layer] + (_DENSITIES[layer + 1] - _DENSITIES[layer]) * _fraction(rng)
        if height < math.exp(-0.5 * x * x):
            return x
        layer, x = _point(rng)
        if abs(x) < _EDGES[layer + 1]:
            return x


RARELY_CALLED = (_near_the_edge,)
"""What is not worth being inlined."""


def _beyond_the_tail(rng: Generator) -> float:
    """Draw from the normal distribution, given that it exceeds `_TAIL` (Marsaglia, 1964)."""
    while True:
        beyond = -math.log(1.0 - _fraction(rng)) / _TAIL
        if -2.0 * math.log(1.0 - _fraction(rng)) > beyond * beyond:
            return _TAIL + beyond


def _fraction(rng: Generator) -> float:
    """A number in [0, 1) of 53 bits."""
    first, second = _two_words(rng)
    return ((first >> 5) * 67108864 + (second >> 6)) * (1.0 / 9007199254740992.0)


def _two_words(rng: Generator) -> tuple[int, int]:
    """Two words of 32 bits: a half of the next block of the episode, or what is left of the last one."""
    if rng.spare_first >= 0:
        first, second = int(rng.spare_first), int(rng.spare_second)
        rng.spare_first = -1
        return first, second
    block, episode = int(rng.block), int(rng.episode)
    first, second, rng.spare_first, rng.spare_second = philox(
        block & _WORD, block >> 32, episode & _WORD, episode >> 32, int(rng.seed_low), int(rng.seed_high)
    )
    rng.block = block + 1
    return first, second


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
