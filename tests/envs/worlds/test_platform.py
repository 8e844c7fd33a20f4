"""Platform is gym-platform, bit for bit."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from golden.recordings import PLATFORM
from reworld.engine.kernels import instances_of
from reworld.engine.linking import link
from reworld.environment import WorldEnv
from reworld.generator import normal, uniform
from reworld.vector import WorldVectorEnv
from reworld.worlds.platform import HOP, LEAP, RUN, WORLD


class TestRandomRequests:
    """The draws themselves, not only their use: kind, mean and deviation are gym-platform's, in its order."""

    @pytest.mark.parametrize("episode", range(0, 170, 17))
    def test_are_gym_platforms(self, episode: int) -> None:
        recorded = PLATFORM.arrays
        requests: list[tuple[float, float]] = []
        answers: list[float] = []

        def recorded_normal(rng: Any, mean: float, deviation: float) -> float:
            requests.append((float(mean), float(deviation)))
            return answers[len(requests) - 1]

        def no_uniform(rng: Any, low: float, high: float) -> float:
            raise AssertionError("gym-platform asks for normal numbers only")

        step = link(WORLD.step, {normal: recorded_normal, uniform: no_uniform})
        instance: Any = instances_of(WORLD, 1).view(np.recarray)[0]
        instance.configuration.values[:] = WORLD.default_configuration
        columns = list(recorded["state_names"])
        for column, field in PLATFORM.fields.items():
            instance.state[field] = recorded["init_state"][episode][columns.index(column)]
        for t in range(*recorded["ep_start"][episode : episode + 2]):
            draws = slice(*recorded["draw_start"][t : t + 2])
            requests.clear()
            answers[:] = recorded["draw_value"][draws].tolist()
            branch = int(recorded["action_id"][t])
            reward, terminated = step(
                instance.state, branch, recorded["action_params"][t][branch : branch + 1], instance.configuration, None
            )
            assert (recorded["draw_kind"][draws] == 0).all()
            assert requests == list(zip(recorded["draw_a"][draws].tolist(), recorded["draw_b"][draws].tolist(), strict=True))
            assert (reward, terminated) == (recorded["reward"][t], recorded["done"][t])


def calm(**configuration: float) -> WorldEnv:
    """Platform at its start, without noise."""
    env = WorldEnv(WORLD, {"player_noise": 0.0, "enemy_noise": 0.0, "takeoff_noise": 0.0, **configuration})
    env.reset(seed=0)
    return env


def act(env: WorldEnv, branch: int, parameter: float) -> tuple[float, bool]:
    """Take one action; tell its reward and whether the episode terminated."""
    own = [[0.0], [0.0], [0.0]]
    own[branch] = [parameter]
    _, reward, terminated, _, _ = env.step((branch, own))
    return reward, terminated


def fields(env: WorldEnv) -> dict[str, float]:
    return dict(zip(WORLD.state, env.get_state()["state"].tolist(), strict=True))


class TestTransitionsByHand:
    def test_run_gains_its_power_and_loses_a_hundredth_in_every_substep(self) -> None:
        env = calm()
        act(env, RUN, 2.0)
        # Before the loss, the speed in sub-step k is v(k) = 2 + 0.99 v(k - 1) = 200 (1 - 0.99^k).
        speeds = [200.0 * (1.0 - 0.99**k) for k in range(1, 21)]
        state = fields(env)
        assert state["substeps"] == 20
        np.testing.assert_allclose(state["x"], 0.05 * sum(speeds), rtol=1e-12)
        np.testing.assert_allclose(state["vx"], 0.99 * speeds[-1], rtol=1e-12)
        assert (state["y"], state["vy"]) == (40.0, 0.0)

    def test_run_is_no_faster_than_the_ground_allows(self) -> None:
        env = calm()
        act(env, RUN, 30.0)
        # 30, 59.7, and from then on 70, which the sub-step's loss of 0.7 and gain of 30 restore.
        np.testing.assert_allclose(fields(env)["x"], 0.05 * (30.0 + 59.7 + 18 * 70.0), rtol=1e-12)

    @pytest.mark.parametrize(
        ("branch", "speed", "distance", "substeps"),
        [(HOP, 35.0, 100.0, 144), (HOP, 35.0, 244.0, 144), (LEAP, 25.0, 100.0, 104), (LEAP, 25.0, 183.0, 104)],
        ids=["short hop", "long hop", "short leap", "long leap"],
    )
    def test_jump_flies_a_parabola_until_it_lands(self, branch: int, speed: float, distance: float, substeps: int) -> None:
        # In sub-step k it rises by 0.05 (speed - 0.49 (k - 1)); the sum of n of them is negative from
        # n = 1 + speed / 0.245 on. Forwards it starts with distance / (time of flight + 1), and loses a hundredth each.
        assert substeps == 2 + int(speed / 0.245)
        start = distance / (2.0 * speed / 9.8 + 1.0)
        env = calm(enemy_speed=0.0)
        reward, terminated = act(env, branch, distance)
        state = fields(env)
        expected = 0.05 * start * (1.0 - 0.99**substeps) / 0.01
        assert state["substeps"] == substeps
        np.testing.assert_allclose(state["x"], expected, rtol=1e-12)
        np.testing.assert_allclose(reward, expected / 1035.0, rtol=1e-12)
        assert (state["y"], state["vx"], state["vy"], terminated) == (40.0, 0.0, 0.0, False)

    @pytest.mark.parametrize(
        ("branch", "most", "as_far", "flown"), [(HOP, 720.0, 360.0, 114.7), (LEAP, 430.0, 215.0, 97.3)], ids=["hop", "leap"]
    )
    def test_jump_from_rest_saturates(self, branch: int, most: float, as_far: float, flown: float) -> None:
        env, other = calm(enemy_speed=0.0), calm(enemy_speed=0.0)
        act(env, branch, most)
        act(other, branch, as_far)
        assert fields(env) == fields(other)
        assert fields(env)["x"] == pytest.approx(flown, abs=0.05)

    def test_enemy_patrols_its_platform(self) -> None:
        env = calm()
        act(env, RUN, 0.0)
        # It starts at the right end, turns to the right there for one sub-step, and then walks to the left.
        assert fields(env)["enemy1_x"] == pytest.approx(230.0 - 19 * 0.05 * 30.0, rel=1e-12)
        assert fields(env)["enemy2_x"] == 730.0

    def test_enemy_is_deadly(self) -> None:
        env = calm(enemy_speed=0.0)
        rewards = [act(env, RUN, 30.0) for _ in range(4)]
        assert [terminated for _, terminated in rewards] == [False, False, False, True]
        assert 210.0 < fields(env)["x"] < 250.0

    def test_gap_is_deadly(self) -> None:
        env = calm(enemy_height=5.0, enemy_width=5.0, width1=100.0, gap1=400.0)
        terminated = False
        for _ in range(5):
            _, terminated = act(env, LEAP, 430.0)
            if terminated:
                break
        assert terminated
        assert fields(env)["y"] < 40.0
        assert 100.0 < fields(env)["x"] < 500.0


@cache
def expedition(configuration: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Many players at random, who again and again continue from where the best of them are, until one succeeds.

    Returns:
        All observations on the way, and the returns of those that succeeded.
    """
    rng = np.random.default_rng(0)
    batch = WorldVectorEnv(WORLD, 1000, configuration=configuration)
    batch.action_space.seed(0)
    observations = [batch.reset(seed=0)[0]]
    returns = np.zeros(1000)
    for _ in range(100):
        observed, rewards, terminations, _, info = batch.step(batch.action_space.sample())
        observations.append(observed)
        returns += rewards
        if info["success"].any():
            assert terminations[info["success"]].all()
            return np.concatenate(observations), returns[info["success"]]
        alive = np.flatnonzero(~terminations)
        best = alive[np.argsort(-returns[alive])][: max(1, len(alive) // 2)]
        chosen = rng.choice(best, 1000)
        batch.set_state(batch.get_state()[chosen])
        returns = returns[chosen]
    raise AssertionError("nobody reached the far end")


class TestEpisodes:
    @pytest.mark.parametrize("configuration", [None, "random"], ids=["default", "random"])
    def test_success_at_the_far_end_returns_one(self, configuration: str | None) -> None:
        _, returns = expedition(configuration)
        np.testing.assert_allclose(returns, 1.0, rtol=0.0, atol=1e-12)

    def test_observations_at_the_default_configuration_lie_in_the_unit_interval(self) -> None:
        observations, _ = expedition(None)
        assert observations.min() == 0.0
        assert observations.max() == 1.0
        assert observations[:, 0].max() == 1.0
