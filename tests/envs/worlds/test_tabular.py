"""Tabular: any finite Markov decision process is a world, and its kernel is the configuration."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import reworld  # noqa: F401
from golden.levels import INSTANCES
from reworld.environment import WorldEnv
from reworld.errors import InvalidOption
from reworld.finite import exact_model, optimal_actions
from reworld.world import World
from reworld.worlds.tabular import tabular

KERNEL = [[[0.2, 0.5, 0.3]], [[0.0, 0.5, 0.5]], [[0.0, 0.0, 1.0]]]
REWARDS = [[1.0], [2.0], [3.0]]
LAST = [False, False, True]


def best_start_value(world: World, discount: float) -> float:
    """The value of an optimal policy, by solving for it."""
    model = exact_model(world)
    rows = np.arange(len(model.start)), optimal_actions(model, discount)
    values = np.linalg.solve(np.eye(len(model.start)) - discount * model.kernel[rows], model.expected_rewards[rows])
    return float(model.start @ values)


class TestRiverSwim:
    def test_is_strehl_and_littmans(self) -> None:
        model = exact_model(tabular())
        left, right = model.kernel[:, 0], model.kernel[:, 1]
        np.testing.assert_array_equal(left, np.eye(6)[[0, 0, 1, 2, 3, 4]])
        np.testing.assert_allclose(np.diag(right), [0.7, 0.6, 0.6, 0.6, 0.6, 0.3], rtol=1e-15)
        np.testing.assert_allclose(np.diag(right, 1), 0.3, rtol=1e-15)
        np.testing.assert_allclose(np.diag(right, -1), [0.1, 0.1, 0.1, 0.1, 0.7], rtol=1e-15)
        assert {tuple(index): model.rewards[tuple(index)] for index in np.argwhere(model.rewards)} == {
            (0, 0, 0): 5,
            (5, 1, 5): 10000,
        }
        assert not model.terminal.any()
        np.testing.assert_allclose(model.start, 1 / 6)

    def test_is_solved_by_swimming_against_the_current(self) -> None:
        rules = tabular().policy
        assert rules is not None
        assert tabular().constants["PLAN"].tolist() == [1] * 6
        assert [branch.name for branch in tabular().branches] == ["left", "right"]

    def test_pays_for_the_transition(self) -> None:
        env = WorldEnv(tabular(), {"p_5_1_4": 0.0})
        env.reset(seed=0)
        state = env.get_state()
        state["state"]["s"] = 5
        env.set_state(state)
        assert env.step(1)[:3] == (5, 10000.0, False)
        assert env.step(0)[:3] == (4, 0.0, False)


class TestKnownValues:
    @pytest.mark.parametrize(
        ("file", "discount", "value"),
        [("random_s6a2.npz", 0.95, 13.001787367557107), ("two_doors.npz", 0.9, 1.801478691218018)],
    )
    def test_of_an_optimal_policy(self, file: str, discount: float, value: float) -> None:
        assert best_start_value(tabular(INSTANCES / file), discount) == pytest.approx(value, rel=0.0, abs=1e-9)

    def test_a_file_holds_what_the_arrays_are(self, tmp_path: Path) -> None:
        recorded = np.load(INSTANCES / "random_s6a2.npz")
        world = tabular(kernel=recorded["P"], rewards=recorded["r"], start=recorded["mu"])
        assert world == tabular(str(INSTANCES / "random_s6a2.npz"))
        np.savez(tmp_path / "mine.npz", kernel=KERNEL, rewards=REWARDS, terminal=LAST, remark="hello")
        assert tabular(tmp_path / "mine.npz") == tabular(kernel=KERNEL, rewards=REWARDS, terminal=LAST)


def test_sums_that_miss_one_by_rounding_are_mended() -> None:
    kernel = [[[1.0 + 5e-10, 0.0]], [[0.5, 0.5 - 5e-10]]]
    model = exact_model(tabular(kernel=kernel, rewards=[[0.0], [1.0]], start=[0.5, 0.5 + 5e-10]))
    for laws in (model.kernel, model.start):
        np.testing.assert_allclose(laws.sum(axis=-1), 1.0, rtol=0.0, atol=1e-15)


class TestConfiguration:
    def test_is_the_kernel(self) -> None:
        world = tabular()
        np.testing.assert_array_equal(world.default_configuration.reshape(6, 2, 6), exact_model(world).kernel)
        assert world.parameters[(2 * 2 + 1) * 6 + 3].name == "p_2_1_3"

    @settings(max_examples=50, deadline=None)
    @given(weights=arrays(np.float64, (6, 2, 6), elements=st.floats(0.0, 1.0)))
    def test_is_read_as_weights(self, weights: np.ndarray) -> None:
        sums = weights.sum(axis=-1, keepdims=True)
        expected = np.where(sums > 0.0, weights / np.where(sums > 0.0, sums, 1.0), 1 / 6)
        np.testing.assert_allclose(exact_model(tabular(), weights.ravel()).kernel, expected, rtol=1e-12, atol=1e-15)

    def test_steps_follow_it(self) -> None:
        env = WorldEnv(tabular())
        weights = np.zeros((6, 2, 6))
        weights[:, 0, 3], weights[:, 1, 2] = 0.1, 0.9
        env.reset(seed=0, options={"configuration": weights.ravel()})
        assert [env.step(action)[0] for action in (0, 1, 1, 0)] == [3, 2, 2, 3]


class TestTerminalStates:
    def test_end_an_episode_and_are_no_success(self) -> None:
        env = WorldEnv(tabular(kernel=KERNEL, rewards=REWARDS, terminal=LAST), {"p_1_0_1": 0.0, "p_0_0_0": 0.0, "p_0_0_1": 0.0})
        env.reset(seed=0)
        observation, reward, terminated, _, info = env.step(0)
        assert (observation, terminated, info["success"]) == (2, True, False)
        assert reward in {1.0, 2.0}

    def test_are_absorbing_whatever_their_rows_say(self) -> None:
        broken = [*KERNEL[:2], [[7.0, 0.0, 0.0]]]
        assert tabular(kernel=broken, rewards=REWARDS, terminal=LAST) == tabular(kernel=KERNEL, rewards=REWARDS, terminal=LAST)

    def test_begin_no_episode(self) -> None:
        assert exact_model(tabular(kernel=KERNEL, rewards=REWARDS, terminal=LAST)).start.tolist() == [0.5, 0.5, 0.0]
        assert exact_model(tabular(kernel=KERNEL, rewards=REWARDS)).start.tolist() == [1 / 3] * 3


def changed(where: tuple[int, ...], value: float) -> np.ndarray:
    kernel = np.array(KERNEL)
    kernel[where] = value
    return kernel


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"kernel": np.ones((2, 3)), "rewards": REWARDS}, r"kernel has shape \(2, 3\): give kernel\[s, a, s'\]"),
            ({"kernel": np.ones((3, 1, 2)), "rewards": REWARDS}, r"kernel has shape \(3, 1, 2\)"),
            ({"kernel": np.ones((0, 1, 0)), "rewards": REWARDS}, r"kernel has shape \(0, 1, 0\)"),
            ({"kernel": changed((0, 0, 1), 0.4), "rewards": REWARDS}, r"kernel\[0, 0\] is \[0.2, 0.4, 0.3\], of sum 0.9"),
            ({"kernel": changed((1, 0), -0.5), "rewards": REWARDS}, r"kernel\[1, 0\] is \[-0.5"),
            ({"kernel": changed((1, 0, 2), np.nan), "rewards": REWARDS}, r"kernel\[1, 0, 2\] is nan: give finite numbers"),
            ({"kernel": "P", "rewards": REWARDS}, "kernel is no array of numbers"),
            ({"kernel": KERNEL}, "rewards is missing"),
            ({"rewards": REWARDS}, "kernel is missing"),
            ({"kernel": KERNEL, "rewards": [1.0, 2.0]}, r"rewards has shape \(2,\): give \(3, 1, 3\) or \(3, 1\)"),
            ({"kernel": KERNEL, "rewards": [[1.0], [np.inf], [0.0]]}, r"rewards\[1, 0\] is inf"),
            ({"kernel": KERNEL, "rewards": REWARDS, "start": [0.5, 0.5]}, r"start has shape \(2,\)"),
            ({"kernel": KERNEL, "rewards": REWARDS, "start": [0.5, 0.6, 0.0]}, r"start is \[0.5, 0.6, 0.0\], of sum 1.1"),
            ({"kernel": KERNEL, "rewards": REWARDS, "start": [0, 0, 1], "terminal": LAST}, "cannot begin at its end"),
            ({"kernel": KERNEL, "rewards": REWARDS, "terminal": [2]}, r"terminal=\[2\]: give 3 bools"),
            ({"kernel": KERNEL, "rewards": REWARDS, "terminal": [True] * 3}, "not all of them true"),
            ({"path": INSTANCES / "two_doors.npz", "kernel": KERNEL}, "Both a file and kernel were given"),
            ({"path": INSTANCES / "none.npz"}, r"is no \.npz file"),
            ({"path": INSTANCES / "blockworld10.npz"}, "kernel is missing"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_no_decision_process(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            tabular(**given)

    def test_pickles_are_not_read(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "objects.npz", kernel=np.array([{}], dtype=object), rewards=REWARDS)
        with pytest.raises(InvalidOption, match=r"no \.npz file of arrays of numbers"):
            tabular(tmp_path / "objects.npz")

    def test_other_files_are_not_read(self, tmp_path: Path) -> None:
        np.save(tmp_path / "one.npy", KERNEL)
        (tmp_path / "text.npz").write_text("P")
        (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
        for name in ("one.npy", "text.npz", "broken.npz"):
            with pytest.raises(InvalidOption, match=r"no \.npz file of arrays of numbers"):
                tabular(tmp_path / name)


def test_pictures_show_the_probabilities_of_the_action() -> None:
    def picture(weight: float) -> np.ndarray:
        env = WorldEnv(tabular(), {"p_0_0_0": 0.0, "p_0_0_1": 1.0, "p_0_0_2": weight}, render_mode="rgb_array")
        env.reset(seed=0)
        state = env.get_state()
        state["state"]["s"] = 0
        env.set_state(state)
        assert env.step(0)[0] == 1
        return env.render()[48:]  # type: ignore[no-any-return]

    assert (picture(0.0) != picture(0.1)).any()


def test_lists_of_numbers_reach_gymnasium() -> None:
    env = gymnasium.make("reworld/Tabular-v0", kernel=KERNEL, rewards=REWARDS)
    assert env.observation_space.n == 3
    assert gymnasium.make(env.spec.from_json(env.spec.to_json())).unwrapped.world == env.unwrapped.world
