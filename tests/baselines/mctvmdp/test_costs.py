"""What changing a row costs: values by hand, what every cost has in common, and what is refused."""

import math
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost

KERNEL = np.array([[[0.5, 0.5, 0.0]], [[0.2, 0.3, 0.5]], [[1.0, 0.0, 0.0]]])
CHANGE = np.array([[[-0.5, 0.5, 0.0]], [[0.3, 0.2, -0.5]], [[0.0, 0.0, 0.0]]])
KINDS = pytest.mark.parametrize("kind", COSTS)


def random_rows(seed: int, count: int = 8, states: int = 5) -> Any:
    return np.random.default_rng(seed).dirichlet(np.full(states, 0.7), count)


class TestValues:
    def test_exponential(self) -> None:
        by_hand = [2.0 * 2.0 * math.expm1(1.5), 2.0 * (math.expm1(0.9) + math.expm1(0.6) + math.expm1(1.5)), 0.0]
        np.testing.assert_allclose(
            RowCost("exponential", scale=2.0, rate=3.0).of_rows(CHANGE, KERNEL)[:, 0], by_hand, rtol=1e-14
        )

    def test_l1(self) -> None:
        np.testing.assert_allclose(RowCost("l1", scale=2.0).of_rows(CHANGE, KERNEL)[:, 0], [2.0, 2.0, 0.0])

    def test_quadratic(self) -> None:
        np.testing.assert_allclose(RowCost("quadratic", scale=2.0).of_rows(CHANGE, KERNEL)[:, 0], [1.0, 0.76, 0.0])

    def test_kullback_leibler(self) -> None:
        by_hand = [math.log(2.0), 0.5 * math.log(2.5) + 0.5 * math.log(5 / 3), 0.0]
        np.testing.assert_allclose(RowCost("kl").of_rows(CHANGE, KERNEL)[:, 0], by_hand, rtol=1e-14)

    def test_wasserstein_on_a_line(self) -> None:
        np.testing.assert_allclose(RowCost("wasserstein", scale=2.0).of_rows(CHANGE, KERNEL)[:, 0], [1.0, 1.6, 0.0])

    def test_wasserstein_with_a_metric(self) -> None:
        ends_meet = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
        np.testing.assert_allclose(RowCost("wasserstein", metric=ends_meet).of_rows(CHANGE, KERNEL)[:, 0], [0.5, 0.5, 0.0])

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=20, deadline=None)
    def test_the_line_is_a_metric(self, seed: int) -> None:
        kernel, other = random_rows(seed), random_rows(seed + 1)
        line = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
        of_line = RowCost("wasserstein", metric=line).of_rows(other - kernel, kernel)
        np.testing.assert_allclose(RowCost("wasserstein").of_rows(other - kernel, kernel), of_line, atol=1e-12)

    @given(st.integers(0, 2**32 - 1))
    def test_kullback_leibler_by_another_formula(self, seed: int) -> None:
        kernel, other = random_rows(seed), random_rows(seed + 1)
        divergence = rel_entr(other, kernel).sum(axis=-1)
        np.testing.assert_allclose(RowCost("kl").of_rows(other - kernel, kernel), divergence, rtol=1e-9)

    def test_small_changes_keep_their_digits(self) -> None:
        kernel = np.array([[0.5, 0.5]])
        for size in (1e-9, 1e-5, 0.99e-2 / 2, 1.01e-2 / 2):
            change = size * np.array([[1.0, -1.0]])
            by = 2.0 * size
            series = sum(by ** (2 * k) / (2 * k * (2 * k - 1)) for k in range(1, 9))
            np.testing.assert_allclose(RowCost("kl").of_rows(change, kernel), [series], rtol=1e-12)

    def test_what_was_impossible_is_infinitely_far(self) -> None:
        change = np.array([[[-0.1, 0.0, 0.1]]])
        assert RowCost("kl").of_rows(change, KERNEL[:1])[0, 0] == math.inf

    def test_what_rounding_leaves_of_a_change_moves_nothing(self) -> None:
        metric = 1.0 - np.eye(3)
        change = np.array([[1e-17, 0.0, 0.0]])
        assert RowCost("wasserstein", metric=metric).of_rows(change, np.full((1, 3), 1 / 3)) == 0.0


class TestEveryKind:
    @KINDS
    def test_nothing_costs_nothing(self, kind: str) -> None:
        np.testing.assert_array_equal(RowCost(kind).of_rows(np.zeros_like(KERNEL), KERNEL), 0.0)

    @KINDS
    def test_rows_count_by_their_weights(self, kind: str) -> None:
        weights = np.array([[0.5], [3.0], [1.0]])
        weighted = RowCost(kind, weights=weights).of_rows(CHANGE, KERNEL)
        np.testing.assert_allclose(weighted, weights * RowCost(kind).of_rows(CHANGE, KERNEL))

    @KINDS
    @given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.0, 1.0))
    def test_is_convex(self, kind: str, seed: int, share: float) -> None:
        kernel, one, other = (random_rows(seed + k) for k in range(3))
        cost = RowCost(kind)
        ends = share * cost.of_rows(one - kernel, kernel) + (1.0 - share) * cost.of_rows(other - kernel, kernel)
        assert (cost.of_rows(share * one + (1.0 - share) * other - kernel, kernel) <= ends + 1e-12).all()


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"kind": "linear"}, "'linear' is unknown"),
            ({"scale": -1.0}, "scale=-1.0"),
            ({"rate": math.inf}, "rate=inf"),
            ({"rate": "steep"}, "rate='steep': give a finite number"),
            ({"weights": [[1.0], [-2.0]]}, r"weights\[1, 0\] is -2"),
            ({"weights": "heavy"}, "weights is no array"),
            ({"metric": np.zeros((2, 2))}, "goes with the cost 'wasserstein'"),
            ({"kind": "wasserstein", "metric": [[0.0, 1.0]]}, r"shape \(1, 2\)"),
            ({"kind": "wasserstein", "metric": [[0.0, 1.0], [2.0, 0.0]]}, "the same both ways"),
            ({"kind": "wasserstein", "metric": [[1.0, 1.0], [1.0, 0.0]]}, "0 from each state to itself"),
        ],
    )
    def test_fields(self, fields: Any, says: str) -> None:
        with pytest.raises(InvalidOption, match=says):
            RowCost(**fields)

    def test_weights_of_another_kernel(self) -> None:
        with pytest.raises(InvalidOption, match=r"weights have shape \(2, 1\), and the rows of the kernel \(3, 1\)"):
            RowCost(weights=np.ones((2, 1))).check(KERNEL)

    def test_a_metric_of_another_kernel(self) -> None:
        with pytest.raises(InvalidOption, match="metric is of 2 states, and the kernel of 3"):
            RowCost("wasserstein", metric=[[0.0, 1.0], [1.0, 0.0]]).check(KERNEL)

    def test_what_fits_is_not(self) -> None:
        RowCost("wasserstein", weights=np.ones((3, 1)), metric=np.ones((3, 3)) - np.eye(3)).check(KERNEL)


class TestOwnCost:
    def test_is_priced_by_its_expression(self) -> None:
        own = OwnCost(lambda change, kernel: cp.max(cp.abs(change), axis=1))
        own.check(KERNEL)
        np.testing.assert_allclose(own.of_rows(CHANGE, KERNEL), [[0.5], [0.5], [0.0]])

    def test_knows_the_rows(self) -> None:
        own = OwnCost(lambda change, kernel: cp.sum(cp.multiply(kernel > 0.0, cp.abs(change)), axis=1))
        np.testing.assert_allclose(own.of_rows(CHANGE, KERNEL), [[1.0], [1.0], [0.0]])

    @pytest.mark.parametrize(
        ("own", "says"),
        [
            (OwnCost(lambda change, kernel: cp.sum(cp.abs(change))), r"has shape \(\)"),
            (OwnCost(lambda change, kernel: kernel.sum(axis=1)), "is of class ndarray: make it from the change"),
            (OwnCost(lambda change, kernel: cp.sum(cp.sqrt(change + 1.0), axis=1)), "is not convex"),
            (OwnCost(lambda change, kernel: cp.sum(cp.square(change), axis=1) + 1.0), "row 0 is 1.0 where nothing changes"),
            (
                OwnCost(lambda change, kernel: cp.norm1(change, axis=1), lambda change, kernel: [cp.norm(change) >= 0.0]),
                "constraint .* is not convex",
            ),
            (
                OwnCost(lambda change, kernel: cp.norm1(change, axis=1), lambda change, kernel: [change[0, 0] >= 0.1]),
                "is not met where nothing changes",
            ),
        ],
    )
    def test_refuses_what_is_no_convex_cost(self, own: OwnCost, says: str) -> None:
        with pytest.raises(InvalidOption, match=says):
            own.check(KERNEL)
