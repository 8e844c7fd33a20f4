"""The generator is Philox4x32-10, and a draw is a pure function of seed, episode and index."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reworld.engine.linking import Function, compile_linked
from reworld.generator import (
    _DENSITIES,
    _EDGES,
    _TAIL,
    GENERATOR_DTYPE,
    begin_episode,
    begin_recorded_episode,
    normal,
    philox,
    recorded_dtype,
    recorded_normal,
    recorded_uniform,
    seed_generator,
    uniform,
)

WORDS = st.integers(0, 2**32 - 1)
SEEDS = st.integers(0, 2**64 - 1)


def draw_uniforms(rngs: Any, episodes: int, out: Any) -> None:
    for _ in range(episodes):
        begin_episode(rngs[0])
    for i in range(len(out)):
        out[i] = uniform(rngs[0], -2.0, 3.0)


def draw_normals(rngs: Any, episodes: int, out: Any) -> None:
    for _ in range(episodes):
        begin_episode(rngs[0])
    for i in range(len(out)):
        out[i] = normal(rngs[0], 5.0, 2.0)


COMPILED = {draw: compile_linked(draw, {}, "test") for draw in (draw_uniforms, draw_normals)}
compiled_philox = compile_linked(philox, {}, "test")
both_draws = pytest.mark.parametrize("draw", [draw_uniforms, draw_normals], ids=["uniform", "normal"])


def seeded(seed: int) -> Any:
    """A generator that Python and Numba can both read."""
    rngs = np.zeros(1, GENERATOR_DTYPE)
    seed_generator(rngs[0], seed)
    return rngs.view(np.recarray)


def draws(draw: Function, seed: int, count: int, episode: int = 0) -> np.ndarray:
    out = np.empty(count)
    COMPILED[draw](seeded(seed).view(np.ndarray), episode + 1, out)
    return out


class TestPhilox:
    @pytest.mark.parametrize("function", [philox, compiled_philox], ids=["plain", "compiled"])
    @pytest.mark.parametrize(
        ("counter", "key", "block"),
        [
            ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
            ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
            (
                (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
                (0xA4093822, 0x299F31D0),
                (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
            ),
        ],
        ids=["zeros", "ones", "digits of pi"],
    )
    def test_known_answers_of_random123(
        self, function: Function, counter: tuple[int, ...], key: tuple[int, ...], block: tuple[int, ...]
    ) -> None:
        assert function(*counter, *key) == block

    @settings(deadline=None)
    @given(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS, WORDS))
    def test_compiled_equals_plain(self, words: tuple[int, ...]) -> None:
        assert compiled_philox(*words) == philox(*words)


class TestDraws:
    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, episode=st.integers(0, 4))
    def test_uniform_is_53_bits_of_the_block_of_seed_episode_and_index(self, seed: int, episode: int) -> None:
        words = [philox(block, 0, episode, 0, seed % 2**32, seed >> 32) for block in range(3)]
        pairs = [pair for a, b, c, d in words for pair in ((a, b), (c, d))]
        expected = [-2.0 + 5.0 * ((first // 2**5 * 2**26 + second // 2**6) / 2**53) for first, second in pairs]
        assert draws(draw_uniforms, seed, 6, episode).tolist() == expected

    @both_draws
    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, episodes=st.integers(1, 5))
    def test_compiled_equals_plain(self, draw: Function, seed: int, episodes: int) -> None:
        plain, compiled = np.empty(9), np.empty(9)
        draw(seeded(seed), episodes, plain)
        COMPILED[draw](seeded(seed).view(np.ndarray), episodes, compiled)
        np.testing.assert_array_equal(plain, compiled, strict=True)

    def test_uniform_is_uniform(self) -> None:
        sample = draws(draw_uniforms, seed=1, count=100_000)
        assert stats.kstest(sample, stats.uniform(-2.0, 5.0).cdf).pvalue > 0.01

    def test_uniform_lies_between_its_bounds(self) -> None:
        sample = draws(draw_uniforms, seed=2, count=100_000)
        assert (sample >= -2.0).all()
        assert (sample < 3.0).all()

    @given(st.floats(-1e9, 1e9), st.floats(0.0, 1e9), WORDS, WORDS)
    def test_uniform_leaves_no_bounds_by_rounding(self, low: float, width: float, first: int, second: int) -> None:
        rng = seeded(0)[0]
        rng.spare_first, rng.spare_second = first, second
        assert low <= uniform(rng, low, low + width) <= low + width

    def test_normal_is_normal(self) -> None:
        sample = draws(draw_normals, seed=3, count=1_000_000)
        assert stats.kstest(sample, stats.norm(5.0, 2.0).cdf).pvalue > 0.01

    def test_normal_is_normal_far_out(self) -> None:
        # Beyond 3.654 another method draws; 516 of two million are expected there.
        sample = np.abs((draws(draw_normals, seed=5, count=2_000_000) - 5.0) / 2.0)
        tail = sample[sample > _TAIL]
        expected = 2.0 * stats.norm.sf(_TAIL)
        assert stats.binomtest(len(tail), len(sample), expected).pvalue > 0.01
        assert stats.kstest(tail, lambda x: 1.0 - 2.0 * stats.norm.sf(x) / expected).pvalue > 0.01

    def test_the_layers_of_the_ziggurat_have_equal_areas(self) -> None:
        areas = _EDGES[1:-1] * np.diff(_DENSITIES)[1:]
        tail = stats.norm.sf(_TAIL) * math.sqrt(2.0 * math.pi)
        np.testing.assert_allclose(areas, _EDGES[1] * _DENSITIES[1] + tail, rtol=1e-10)
        np.testing.assert_allclose(_EDGES[0] * _DENSITIES[1], areas[0], rtol=1e-10)
        np.testing.assert_allclose(_DENSITIES[1:], np.exp(-0.5 * _EDGES[1:] ** 2), rtol=1e-10)

    @both_draws
    def test_successive_draws_are_uncorrelated(self, draw: Function) -> None:
        sample = draws(draw, seed=4, count=100_000)
        for lag in (1, 2, 3):
            correlation = np.corrcoef(sample[:-lag], sample[lag:])[0, 1]
            assert abs(correlation) < 4.0 / math.sqrt(len(sample))

    def test_normal_without_deviation_is_the_mean(self) -> None:
        rng = seeded(0)[0]
        begin_episode(rng)
        assert [normal(rng, 1.5, 0.0) for _ in range(3)] == [1.5] * 3

    @both_draws
    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, episode=st.integers(0, 4), wasted=st.lists(st.integers(0, 5), min_size=4, max_size=4))
    def test_depend_on_seed_episode_and_index_alone(self, draw: Function, seed: int, episode: int, wasted: list[int]) -> None:
        rngs = seeded(seed)
        for earlier in range(episode):
            draw(rngs, 1, np.empty(wasted[earlier]))
        out = np.empty(5)
        draw(rngs, 1, out)
        np.testing.assert_array_equal(out, draws(draw, seed, 7, episode)[:5], strict=True)

    @both_draws
    @settings(max_examples=30, deadline=None)
    @given(st.tuples(SEEDS, st.integers(0, 4)), st.tuples(SEEDS, st.integers(0, 4)))
    def test_differ_between_seeds_and_episodes(self, draw: Function, first: tuple[int, int], second: tuple[int, int]) -> None:
        one, other = (draws(draw, seed, 8, episode) for seed, episode in (first, second))
        assert np.array_equal(one, other) == (first == second)

    @both_draws
    def test_seeds_that_differ_in_the_upper_half_alone_differ(self, draw: Function) -> None:
        assert not np.array_equal(draws(draw, 1, 8), draws(draw, 1 + 2**32, 8))

    @both_draws
    def test_neighbouring_seeds_are_uncorrelated(self, draw: Function) -> None:
        one, other = draws(draw, 10, 50_000), draws(draw, 11, 50_000)
        assert abs(np.corrcoef(one, other)[0, 1]) < 4.0 / math.sqrt(50_000)

    def test_many_generators_are_seeded_at_once(self) -> None:
        rngs = np.zeros(2, GENERATOR_DTYPE)
        seed_generator(rngs, np.array([5, 2**64 - 1], np.uint64))
        assert rngs.tolist() == [seeded(5).tolist()[0], seeded(2**64 - 1).tolist()[0]]


class TestRecordedDraws:
    def test_come_in_their_order_whatever_is_asked_for(self) -> None:
        rngs = np.zeros(1, recorded_dtype(3)).view(np.recarray)
        rng = rngs[0]
        rng.draws[:] = [7.0, 8.0, 9.0]
        begin_recorded_episode(rng)
        assert [recorded_uniform(rng, 0.0, 1.0), recorded_normal(rng, 0.0, 1.0), recorded_uniform(rng, 0.0, 1.0)] == [7, 8, 9]

    def test_start_again_with_an_episode(self) -> None:
        rngs = np.zeros(1, recorded_dtype(2)).view(np.recarray)
        rng = rngs[0]
        rng.draws[:] = [7.0, 8.0]
        for _ in range(2):
            begin_recorded_episode(rng)
            assert recorded_normal(rng, 0.0, 1.0) == 7.0
