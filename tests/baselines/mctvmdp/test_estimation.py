"""Estimates are what was counted, their bounds hold, and what was never tried is feared."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reworld.errors import InvalidOption
from reworld_baselines.benchmark import estimation as study
from reworld_baselines.mctvmdp.estimation import (
    Counts,
    Transitions,
    certainty_equivalent,
    collect,
    confidence,
    count,
    estimate,
    estimate_kernel,
    hoeffding_radius,
    level_error_bounds,
    value_error_bounds,
    weissman_radius,
)
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tabular import evaluate, policy_iteration

BLOCK_WORLD = "reworld.worlds.block_world:block_world"


def transitions(*steps: tuple[int, int, float, int, bool], starts: Any = (0,)) -> Transitions:
    s, a, rewards, following, ends = map(np.array, zip(*steps, strict=True))
    return Transitions(s, a, rewards.astype(np.float64), following, ends, np.array(starts, np.int64))


SOME = transitions((0, 0, 1.0, 0, False), (0, 0, 3.0, 1, False), (0, 1, -1.0, 2, True), (1, 0, 5.0, 0, False), starts=(0, 0, 1))


class TestCount:
    def test_is_of_what_was_observed(self) -> None:
        counts = count(SOME, 3, 2)
        assert counts.transitions.sum() == 4
        np.testing.assert_array_equal(counts.transitions[0], [[1, 1, 0], [0, 0, 1]])
        np.testing.assert_array_equal(counts.rewards, [[4.0, -1.0], [5.0, 0.0], [0.0, 0.0]])
        np.testing.assert_array_equal(counts.starts, [2, 1, 0])
        np.testing.assert_array_equal(counts.terminal, [False, False, True])
        assert counts.reward_range == (-1.0, 5.0)

    def test_nothing_is_paid_after_an_end(self) -> None:
        gone_on, ended = (transitions((0, 0, 1.0, 1, end), (0, 0, 2.0, 0, False)) for end in (False, True))
        assert count(gone_on, 2, 1).reward_range == (1.0, 2.0)
        assert count(ended, 2, 1).reward_range == (0.0, 2.0)
        assert count(ended, 2, 1, (1.0, 3.0)).reward_range == (0.0, 3.0)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"observations": np.array([0, 3])}, "observations: give integers from 0 to 2"),
            ({"actions": np.array([0.0, 1.0])}, "actions: give integers from 0 to 1"),
            ({"next_observations": np.array([-1, 0])}, "next_observations: give integers"),
            ({"starts": np.array([7])}, "starts: give integers"),
            ({"rewards": np.array([1.0])}, "have different lengths"),
        ],
    )
    def test_refuses_what_is_none(self, change: dict[str, Any], message: str) -> None:
        two = transitions((0, 0, 1.0, 0, False), (0, 0, 3.0, 1, False))
        with pytest.raises(InvalidOption, match=message):
            count(two._replace(**change), 3, 2)

    def test_refuses_an_end_that_is_none(self) -> None:
        with pytest.raises(InvalidOption, match="The world ended in state 1, and went on from there"):
            count(transitions((0, 0, 1.0, 1, True), (1, 0, 2.0, 0, False)), 2, 1)

    def test_refuses_rewards_that_cannot_be(self) -> None:
        with pytest.raises(InvalidOption, match=r"reward_range=\(0.0, 1.0\): rewards from -1 to 5 were observed"):
            count(SOME, 3, 2, (0.0, 1.0))


class TestEstimate:
    def test_is_what_is_most_likely(self) -> None:
        found = estimate(count(SOME, 3, 2), 0.5)
        np.testing.assert_array_equal(found.mdp.kernel[0], [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
        np.testing.assert_array_equal(found.mdp.rewards[0], [2.0, -1.0])
        np.testing.assert_allclose(found.mdp.start, [2 / 3, 1 / 3, 0.0])
        np.testing.assert_array_equal(found.visits, [[2, 1], [1, 0], [0, 0]])

    def test_fears_what_was_never_tried(self) -> None:
        found = estimate(count(SOME, 3, 2), 0.5)
        np.testing.assert_array_equal(found.unvisited, [[False, False], [False, True], [False, False]])
        np.testing.assert_array_equal(found.mdp.kernel[1, 1], [0.0, 1.0, 0.0])
        assert found.mdp.rewards[1, 1] == -1.0

    def test_ends_where_the_world_did(self) -> None:
        found = estimate(count(SOME, 3, 2), 0.5)
        np.testing.assert_array_equal(found.mdp.kernel[2], [[0.0, 0.0, 1.0]] * 2)
        np.testing.assert_array_equal(found.mdp.rewards[2], [0.0, 0.0])

    @settings(max_examples=50, deadline=None)
    @given(seed=st.integers(0, 2**32))
    def test_never_overestimates_for_what_was_never_tried(self, seed: int) -> None:
        """With the true laws of what was tried, no value is too large."""
        rng = np.random.default_rng(seed)
        truth = random_mdp(rng)
        tried = rng.random((4, 3)) < 0.6
        exact = np.round(truth.kernel * 2**20).astype(np.int64) * tried[..., None]
        rewards = truth.rewards * exact.sum(axis=-1)
        counts = Counts(exact, rewards, np.zeros(4, np.int64), np.zeros(4, np.bool_), (0.0, 1.0))
        found = estimate(counts, 0.9)
        assert (policy_iteration(found.mdp).values <= policy_iteration(truth).values + 1e-4).all()

    def test_of_a_stack_is_each_of_them(self) -> None:
        one, two = count(SOME, 3, 2), count(SOME._replace(rewards=2.0 * SOME.rewards), 3, 2, (-10.0, 10.0))
        both = Counts(*map(np.stack, zip(one[:4], two[:4], strict=True)), (-10.0, 10.0))
        found = estimate(both, 0.5)
        for i, alone in enumerate((one, two)):
            expected = estimate(alone._replace(reward_range=(-10.0, 10.0)), 0.5)
            for name in ("kernel", "rewards", "start"):
                np.testing.assert_array_equal(getattr(found.mdp, name)[i], getattr(expected.mdp, name))

    def test_of_a_level_changes_nothing_where_nothing_was_tried(self) -> None:
        kernel, visits = estimate_kernel(np.array([[[3, 1]], [[0, 0]]]))
        np.testing.assert_array_equal(kernel, [[[0.75, 0.25]], [[0.0, 1.0]]])
        np.testing.assert_array_equal(visits, [[4], [0]])

    @pytest.mark.parametrize("counts", [np.ones((2, 3)), np.ones((2, 1, 3)), np.array([[[-1]]])])
    def test_refuses_what_is_no_count(self, counts: Any) -> None:
        with pytest.raises(InvalidOption, match="give counts of shape"):
            estimate_kernel(counts)


class TestCollect:
    def test_many_samples_give_the_true_model(self) -> None:
        truth = MDP.of_world(BLOCK_WORLD, 0.99)
        found = estimate(count(collect("reworld/BlockWorld-v0", 200_000, seed=0), 73, 4), 0.99)
        much = found.visits >= 1000
        assert much.sum() >= 50
        radius = weissman_radius(found.visits, 73, 1e-6)
        assert (np.abs(found.mdp.kernel - truth.kernel).sum(axis=-1)[much] <= radius[much]).all()
        np.testing.assert_array_equal(found.mdp.start, truth.start)
        # A step that was counted leads to where the world says it can.
        tried = found.visits > 0
        assert (truth.kernel[tried][found.mdp.kernel[tried] > 0.0] > 0.0).all()

    def test_the_same_seed_gives_the_same_steps(self) -> None:
        for one, two in zip(*(collect(BLOCK_WORLD, 1000, seed=3, num_envs=8) for _ in range(2)), strict=True):
            np.testing.assert_array_equal(one, two)
        assert len(one) >= 8

    def test_a_policy_is_followed(self) -> None:
        policy = np.arange(73) % 4
        steps = collect(BLOCK_WORLD, 500, seed=0, policy=policy, max_episode_steps=20)
        np.testing.assert_array_equal(steps.actions, policy[steps.observations])
        laws = np.zeros((73, 4))
        laws[:, 1:3] = 0.25, 0.75
        actions = collect(BLOCK_WORLD, 4000, seed=0, policy=laws, max_episode_steps=20).actions
        assert set(actions) == {1, 2}
        assert (actions == 2).mean() == pytest.approx(0.75, abs=0.05)

    def test_steps_follow_one_another(self) -> None:
        steps = collect(BLOCK_WORLD, 300, seed=0, num_envs=1, configuration={"slip": 0.0}, max_episode_steps=7)
        begins = np.flatnonzero(steps.observations[1:] != steps.next_observations[:-1]) + 1
        assert set(steps.observations[begins]) <= {0}
        assert len(steps.starts) >= 300 // 7

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"world": "reworld/CartPole-v0"}, "CartPole observes Box.* give a world of which both are Discrete"),
            ({"steps": 0}, "steps=0: give at least 1"),
            ({"policy": np.zeros(5, np.int64)}, "policy: give an action for each of 73 states"),
            ({"policy": np.full((73, 4), 0.3)}, r"or laws of shape \(73, 4\)"),
        ],
    )
    def test_refuses(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            collect(**{"world": BLOCK_WORLD, "steps": 10, "seed": 0, **arguments})


def random_mdp(rng: np.random.Generator) -> MDP:
    return MDP(rng.dirichlet(np.ones(4), (4, 3)), rng.random((4, 3)), 0.9, rng.dirichlet(np.ones(4)))


class TestBounds:
    @settings(max_examples=100, deadline=None)
    @given(seed=st.integers(0, 2**32), size=st.floats(1e-4, 1.0))
    def test_errors_and_regret_are_within_them(self, seed: int, size: float) -> None:
        rng = np.random.default_rng(seed)
        truth, other = random_mdp(rng), random_mdp(rng)
        kernel = (1.0 - size) * truth.kernel + size * other.kernel
        wrong = MDP(kernel, (1.0 - size) * truth.rewards + size * other.rewards, 0.9, truth.start)
        true, found = policy_iteration(truth), policy_iteration(wrong)
        bounds = value_error_bounds(wrong, truth, true.values)
        assert np.abs(true.values - found.values).max() <= bounds.tight + 1e-12
        assert bounds.tight <= bounds.coarse + 1e-12
        assert bounds.distance == pytest.approx(np.abs(kernel - truth.kernel).sum(axis=-1).max())
        regret = true.values - evaluate(truth, found.policy)
        assert regret.max() <= bounds.tight + value_error_bounds(wrong, truth, found.values).tight + 1e-12

    @settings(max_examples=100, deadline=None)
    @given(seed=st.integers(0, 2**32))
    def test_those_of_a_level(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        truth, wrong = rng.dirichlet(np.ones(5), (2, 5, 3))
        worth, noise, costs = rng.random(5), 0.1 * rng.normal(size=5), rng.random((5, 3))
        true = policy_iteration(MDP(truth, truth @ worth - costs, 0.8)).values
        found = policy_iteration(MDP(wrong, wrong @ (worth + noise) - costs, 0.8)).values
        bounds = level_error_bounds(wrong, truth, worth, true, 0.8, np.abs(noise).max())
        assert np.abs(true - found).max() <= bounds.tight + 1e-12
        assert bounds.tight <= bounds.coarse + 1e-12

    def test_radii_are_those_of_the_theorems(self) -> None:
        visits = np.array([[8, 0, 1_000_000]])
        np.testing.assert_allclose(
            hoeffding_radius(visits, 2.0, 0.1)[0],
            [2.0 * math.sqrt(math.log(60.0) / 16.0), 2.0, 2.0 * math.sqrt(math.log(60.0) / 2e6)],
        )
        expected = math.sqrt(2.0 * (4.0 * math.log(2.0) + math.log(30.0)) / 1e6)
        np.testing.assert_allclose(
            weissman_radius(visits, 4, 0.1)[0], [min(2.0, 1000.0 * expected / math.sqrt(8.0)), 2.0, expected]
        )

    def test_confidence_is_kept(self) -> None:
        """Samples of the rewards are noisy, too."""
        rng, delta, failed = np.random.default_rng(0), 0.2, 0
        truth = random_mdp(rng)
        true = policy_iteration(truth)
        for _ in range(100):
            drawn = rng.multinomial(200, truth.kernel)
            paid = rng.binomial(200, truth.rewards).astype(np.float64)
            found = estimate(Counts(drawn, paid, np.zeros(4, np.int64), np.zeros(4, np.bool_), (0.0, 1.0)), 0.9)
            bounds, solved = confidence(found, delta), policy_iteration(found.mdp)
            regret = (true.values - evaluate(truth, solved.policy)).max()
            failed += np.abs(solved.values - true.values).max() > bounds.error or regret > bounds.regret
        assert failed <= delta * 100

    def test_nothing_is_uncertain_after_an_end(self) -> None:
        ended = confidence(estimate(count(SOME, 3, 2), 0.5))
        assert (ended.radius[2] == 0.0).all()
        assert ended.radius[1, 1] == pytest.approx(6.0 / 0.5)
        assert ended.error == pytest.approx(6.0 / 0.5)

    @pytest.mark.parametrize("delta", [0.0, 1.0])
    def test_a_bound_that_never_or_always_fails_is_refused(self, delta: float) -> None:
        with pytest.raises(InvalidOption, match="delta="):
            hoeffding_radius(np.array([1]), 1.0, delta)


class TestCertaintyEquivalent:
    def test_promises_too_much_and_is_judged_on_fresh_data(self) -> None:
        rng, promised, fresh, true = np.random.default_rng(0), [], [], []
        # The more actions are much the same, the luckier is the best of them.
        rewards = np.repeat(rng.random((4, 1)), 8, axis=1)
        truth = MDP(rng.dirichlet(np.full(4, 9.0), (4, 8)), rewards, 0.9, np.full(4, 0.25))

        def draw() -> Any:
            drawn = rng.multinomial(10, truth.kernel)
            counts = Counts(drawn, 10.0 * truth.rewards, np.zeros(4, np.int64), np.zeros(4, np.bool_), (0.0, 1.0))
            found = estimate(counts, 0.9)
            return dataclasses.replace(found, mdp=dataclasses.replace(found.mdp, start=truth.start))

        for _ in range(100):
            problem = draw()
            result = certainty_equivalent(problem, Search("", quiet=True), fresh=draw())
            promised.append(result.predicted)
            fresh.append(result.value)
            true.append(certainty_equivalent(problem, Search("", quiet=True), fresh=truth).value)
        judged, hoped = np.subtract(fresh, true), np.subtract(promised, true)
        assert abs(judged.mean()) <= 4.0 * judged.std() / 10.0
        assert hoped.mean() > 10.0 * hoped.std() / 10.0

    @pytest.mark.parametrize("fresh", [None, MDP([[[1.0]]], [[1.0]], 0.5)])
    def test_what_is_fresh_is_of_the_same_size(self, fresh: Any) -> None:
        problem = estimate(count(SOME, 3, 2), 0.5)
        with pytest.raises(InvalidOption, match="the true process, of 3 states and 2 actions"):
            certainty_equivalent(problem, Search("", quiet=True), fresh=fresh)

    def test_reports_its_bounds(self) -> None:
        problem = estimate(count(SOME, 3, 2), 0.5)
        result = certainty_equivalent(problem, Search("", quiet=True), fresh=problem, delta=0.1)
        assert result.value == result.predicted
        assert "with a probability of at least 0.9 each" in result.certificate.notes[0]
        assert "1 of 6 actions were never tried" in result.certificate.notes[1]


class TestStudy:
    def test_errors_fall_with_the_root_of_samples_and_within_bounds(self, tmp_path: Path) -> None:
        outcome = study.measure(tmp_path / "estimation.json", replicates=40)
        assert all(-0.6 <= slope <= -0.4 for slope in outcome["slopes"].values())
        for row in outcome["rows"]:
            assert row["exceeded"]["tight"] == row["exceeded"]["coarse"] == row["regret_exceeded"] == 0
            assert row["exceeded"]["hoeffding"] <= outcome["delta"] * 40
            assert row["exceeded"]["weissman"] <= outcome["delta"] * 40
            assert row["error"] <= row["bounds"]["tight"] <= row["bounds"]["coarse"]
        assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".md", ".png"}
        assert "The error falls with n to the power of" in (tmp_path / "estimation.md").read_text()
