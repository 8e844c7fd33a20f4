"""Hard Move is HyAR's, for every number of actuators."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.replay import FOLDER
from reworld.engine.kernels import plain
from reworld.environment import WorldEnv
from reworld.errors import InvalidOption
from reworld.rendering import DANGER, WOOD
from reworld.vector import WorldVectorEnv
from reworld.worlds.catch_point import FIELD_STATE
from reworld.worlds.hard_move import hard_move


def motions(n: int) -> np.ndarray:
    return np.asarray(hard_move(n).constants["MOTIONS"])


class TestMotions:
    @pytest.mark.parametrize(("n", "tolerance"), [(4, 0.0), (6, 0.0), (8, 4e-16), (10, 4e-16)])
    def test_are_the_recorded_ones(self, n: int, tolerance: float) -> None:
        recorded = np.load(FOLDER / f"hard_move_{n}.npz")["motions"]
        np.testing.assert_allclose(motions(n), recorded, rtol=0.0, atol=tolerance, strict=True)

    @pytest.mark.parametrize(
        ("n", "different", "none"), [(4, 9, 4), (6, 19, 10), (8, 81, 16), (10, 211, 34)], ids=lambda value: str(value)
    )
    def test_are_as_redundant_as_documented(self, n: int, different: int, none: int) -> None:
        rounded = motions(n).round(9) + 0.0
        assert len(np.unique(rounded, axis=0)) == different
        assert (rounded == 0.0).all(axis=1).sum() == none

    @pytest.mark.parametrize("n", range(2, 13))
    def test_the_strongest_is_a_full_push(self, n: int) -> None:
        assert np.hypot(*motions(n).T).max() == pytest.approx(1.0, rel=1e-15)

    def test_bits_are_actuators_the_first_one_first(self) -> None:
        # East alone, north alone, west alone, south alone; and the two neighbours that make a full push.
        named = {branch.name: motions(4)[k].tolist() for k, branch in enumerate(hard_move(4).branches)}
        side = 1.0 / 2.0**0.5
        expected = {"1000": (1, 0), "0100": (0, 1), "0010": (-1, 0), "0001": (0, -1), "1100": (1, 1), "1111": (0, 0)}
        for name, direction in expected.items():
            assert named[name] == pytest.approx([side * part for part in direction], abs=1e-15)

    def test_two_actuators_push_along_a_line(self) -> None:
        assert (motions(2)[:, 1] == 0.0).all()
        assert sorted(motions(2)[:, 0].tolist()) == [-1.0, 0.0, 0.0, 1.0]


class TestFamily:
    @pytest.mark.parametrize("n", [0, 1, 13, -4, 4.0, "4", None, True])
    def test_refuses_other_numbers(self, n: Any) -> None:
        with pytest.raises(InvalidOption, match=f"n={n!r} actuators: give an integer from 2 to 12"):
            hard_move(n)

    def test_has_four_actuators_unless_told(self) -> None:
        assert gymnasium.make("reworld/HardMove-v0").unwrapped.world is hard_move(4)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("n", [3, 12])
    def test_is_made_by_its_id(self, n: int) -> None:
        env = gymnasium.make("reworld/HardMove-v0", n=n)
        assert env.action_space[0].n == 2**n  # type: ignore[index]
        assert env.spec is not None
        assert gymnasium.make(EnvSpec.from_json(env.spec.to_json())).unwrapped.world is hard_move(n)  # type: ignore[attr-defined]


def at(n: int, configuration: dict[str, float] | None = None, **fields: float) -> WorldEnv:
    """An environment with the point at rest in the centre and the target at (0.9, 0), but for what is given."""
    env = WorldEnv(hard_move(n), configuration)
    env.reset(seed=0)
    state = env.get_state()
    for name, value in ({"x": 0.0, "y": 0.0, "target_x": 0.9, "target_y": 0.0} | fields).items():
        state["state"][name] = value
    env.set_state(state)
    return env


def act(env: WorldEnv, bits: str, power: float) -> tuple[float, bool, bool]:
    """Take one action; tell its reward, whether the episode terminated, and whether that is a success."""
    row = np.zeros(len(env.world.branches))
    row[int(bits, 2)] = power
    _, reward, terminated, _, info = env.step((int(bits, 2), row))
    return reward, terminated, info["success"]


def fields(env: WorldEnv, *names: str) -> list[float]:
    return [float(env.get_state()["state"][name]) for name in names]


class TestTransitionsByHand:
    def test_two_neighbours_make_a_full_push(self) -> None:
        env = at(4)
        reward, terminated, success = act(env, "1100", 1.0)
        side = 0.2 / 2.0**0.5
        np.testing.assert_allclose(fields(env, "vx", "vy", "x", "y"), [side, side, 0.1 * side, 0.1 * side], rtol=1e-12)
        np.testing.assert_allclose(reward, -((0.9 - 0.1 * side) ** 2 + (0.1 * side) ** 2), rtol=1e-12)
        assert (terminated, success) == (False, False)

    def test_velocity_decays_by_a_quarter(self) -> None:
        env = at(4, vx=0.4)
        act(env, "0000", 1.0)
        np.testing.assert_allclose(fields(env, "vx", "x"), [0.3, 0.03], rtol=1e-12)

    def test_negative_power_pushes_backwards(self) -> None:
        env = at(4)
        act(env, "1000", -1.0)
        np.testing.assert_allclose(fields(env, "vx", "vy"), [-0.2 / 2.0**0.5, 0.0], atol=1e-12)

    def test_power_is_not_clipped(self) -> None:
        env = at(4)
        act(env, "1000", 3.0)
        np.testing.assert_allclose(fields(env, "vx"), [0.6 / 2.0**0.5], rtol=1e-12)

    def test_passing_by_in_reach_is_enough(self) -> None:
        env = at(4, x=0.65, vx=0.8)
        reward, terminated, success = act(env, "0000", 0.0)
        np.testing.assert_allclose(reward, 20.0 - 0.19**2, rtol=1e-12)
        assert (terminated, success) == (True, True)

    def test_nothing_else_terminates(self) -> None:
        envs = WorldVectorEnv(hard_move(6), 64)
        envs.action_space.seed(0)
        envs.reset(seed=0)
        for _ in range(200):
            _, rewards, terminations, truncations, _ = envs.step(envs.action_space.sample())
            np.testing.assert_array_equal(terminations, rewards > 4.0)
            assert not truncations.any()


def play(n: int, scripted: bool, episodes: int) -> tuple[float, float]:
    """The mean return and the share of successes of episodes that are cut at the registered limit."""
    env = WorldEnv(hard_move(n))
    policy, row = plain(env.world, env.world.policy), np.zeros(2**n)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    returns, successes = np.zeros(episodes), np.zeros(episodes)
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        for _ in range(30):
            branch, x = policy(observation) if scripted else (int(rng.integers(2**n)), (rng.uniform(-1.0, 1.0),))
            row[branch] = x[0]
            observation, reward, terminated, _, info = env.step((branch, row))
            returns[episode] += reward
            if terminated:
                break
        successes[episode] = info["success"]
    return float(returns.mean()), float(successes.mean())


class TestAgents:
    # Over 20,000 episodes 7.0 and 0.960 with 4 actuators, 8.4 and 0.989 with 6, 9.0 and 0.996 with 10.
    @pytest.mark.parametrize(("n", "enough", "share"), [(4, 4.5, 0.92), (6, 6.0, 0.96), (10, 6.5, 0.975)])
    def test_scripted_policy_arrives(self, n: int, enough: float, share: float) -> None:
        mean_return, success = play(n, True, 400)
        assert mean_return > enough
        assert success > share

    def test_random_agent_does_not(self) -> None:
        mean_return, success = play(4, False, 400)
        assert mean_return < -30.0
        assert success < 0.1


POWER = st.floats(-1.0, 1.0)


class TestLaws:
    @settings(deadline=None)
    @given(st.data(), st.sampled_from([4, 6, 8]))
    def test_the_opposite_actuators_backwards_do_the_same(self, data: st.DataObject, n: int) -> None:
        bits = data.draw(st.text("01", min_size=n, max_size=n))
        power = data.draw(POWER)
        env, other = at(n), at(n)
        act(env, bits, power)
        act(other, bits[n // 2 :] + bits[: n // 2], -power)
        np.testing.assert_allclose(fields(env, *FIELD_STATE), fields(other, *FIELD_STATE), rtol=0.0, atol=1e-12)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 31), POWER), min_size=1, max_size=10))
    def test_negative_powers_make_the_trajectory_reflected_in_the_centre(self, actions: list[tuple[int, float]]) -> None:
        env, reflected = at(5), at(5, target_x=-0.9)
        for branch, power in actions:
            outcome = act(env, f"{branch:05b}", power)
            assert outcome == act(reflected, f"{branch:05b}", -power)
            assert fields(env, "x", "y", "vx", "vy") == [-value for value in fields(reflected, "x", "y", "vx", "vy")]
            if outcome[1]:
                break


@pytest.mark.parametrize(
    ("power", "shown", "hidden"), [(1.0, WOOD, DANGER), (-1.0, DANGER, None)], ids=["forwards", "backwards"]
)
def test_actuators_that_are_on_are_lit(power: float, shown: Any, hidden: Any) -> None:
    env = WorldEnv(hard_move(4), render_mode="rgb_array")
    env.reset(seed=1)
    act(env, "1001", power)
    picture = env.render()
    assert (picture == shown).all(axis=2).any()
    assert hidden is None or not (picture == hidden).all(axis=2).any()
