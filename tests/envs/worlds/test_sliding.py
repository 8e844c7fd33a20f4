"""Sliding is gym-hybrid's, bit for bit, and Sliding-v1 mends it. What it shares with Moving is tested there."""

import math
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reworld.engine.kernels import instances_of, plain
from reworld.environment import WorldEnv
from reworld.policies import scripted_policy
from reworld.vector import WorldVectorEnv
from reworld.world import World
from reworld.worlds.moving import ACCELERATE, BRAKE, TURN
from reworld.worlds.sliding import V0, V1, notice

versions = pytest.mark.parametrize("world", [V0, V1], ids=["v0", "v1"])


def place(world: World = V0, phi: float = 0.0, **fields: float) -> WorldEnv:
    """A craft at rest in the centre that heads for +x, and travels in the direction `phi`; the target is to its upper right."""
    env = WorldEnv(world)
    env.reset(seed=0)
    state = env.get_state()
    start = {"x": 0.0, "y": 0.0, "theta": 0.0, "target_x": 0.6, "target_y": 0.8}
    placed = SimpleNamespace(**{**start, **fields}, **travel(world, phi))
    plain(world, notice)(placed)
    for name, value in vars(placed).items():
        state["state"][name] = value
    env.set_state(state)
    return env


def travel(world: World, phi: float) -> dict[str, float]:
    """The fields from which the direction of travel follows."""
    return {"phi": phi} if "phi" in world.state else {"travel_cosine": math.cos(phi), "travel_sine": math.sin(phi)}


def act(env: WorldEnv, branch: int, parameter: float = 0.0) -> Any:
    """Take one action; give the observation."""
    return env.step((branch, ([parameter], [parameter], [])))[0]


def now(env: WorldEnv) -> dict[str, float]:
    return dict(zip(env.world.state, env.get_state()["state"].tolist(), strict=True))


def direction(env: WorldEnv) -> float:
    """Of travel, an angle in (-π, π]."""
    return math.atan2(now(env)["travel_sine"], now(env)["travel_cosine"])


@versions
class TestTransitionsByHand:
    def test_a_push_adds_to_the_velocity(self, world: World) -> None:
        env = place(world, speed=0.3, phi=0.5 * math.pi)
        act(env, ACCELERATE, 0.8)
        # (0, 0.3) and a push of (0.4, 0) are (0.4, 0.3), of length 0.5.
        assert now(env)["speed"] == pytest.approx(0.5, abs=1e-15)
        assert direction(env) == pytest.approx(math.atan2(0.3, 0.4), abs=1e-15)
        assert (now(env)["x"], now(env)["y"]) == pytest.approx((0.002, 0.0015), abs=1e-15)

    def test_turning_changes_the_heading_alone(self, world: World) -> None:
        env = place(world, speed=2.0, phi=0.0)
        act(env, TURN, 1.0)
        assert (now(env)["theta"], direction(env), now(env)["speed"]) == (0.5 * math.pi, 0.0, 2.0)
        assert (now(env)["x"], now(env)["y"]) == (0.01, 0.0)

    def test_braking_slows_the_travel_whatever_the_heading(self, world: World) -> None:
        env = place(world, speed=2.0, phi=0.5 * math.pi)
        act(env, BRAKE)
        assert (now(env)["speed"], direction(env)) == (1.9, 0.5 * math.pi)
        assert (now(env)["x"], now(env)["y"]) == pytest.approx((0.0, 0.0095), abs=1e-15)

    def test_stopping_forgets_the_direction_of_travel(self, world: World) -> None:
        env = place(world, speed=0.05, phi=1.0, theta=2.0)
        act(env, BRAKE)
        assert (now(env)["speed"], direction(env)) == (0.0, 2.0)

    def test_a_push_against_the_travel_that_cancels_it_leaves_no_speed(self, world: World) -> None:
        # The square of the speed is -2.8e-17 by rounding; gym-hybrid takes its root, which is NaN.
        env = place(world, speed=0.34227642416954035, phi=math.pi)
        act(env, ACCELERATE, 0.6845528483390808)
        assert now(env)["speed"] == pytest.approx(0.0, abs=1e-8)

    def test_direction_of_travel_that_an_episode_begins_with_changes_nothing(self, world: World) -> None:
        taken = [(TURN, 0.3), (ACCELERATE, 0.0), (BRAKE, 0.0), (TURN, -1.0), (ACCELERATE, 1.0), (TURN, 0.5), (ACCELERATE, 0.7)]
        trajectories = []
        for phi in (0.0, 2.5):
            env = place(world, phi=phi)
            trajectories.append([act(env, branch, parameter) for branch, parameter in taken])
        np.testing.assert_array_equal(*trajectories)


@versions
def test_what_a_state_keeps_follows_from_the_rest(world: World) -> None:
    batch = WorldVectorEnv(world, 64)
    batch.reset(seed=0)
    batch.action_space.seed(0)
    for _ in range(100):
        batch.step(batch.action_space.sample())
    kept = batch.get_state()["state"].view(np.recarray)
    noticed = kept.copy()
    for state in noticed:
        plain(world, notice)(state)
    np.testing.assert_array_equal(kept, noticed, strict=True)


class TestVersions:
    @pytest.mark.parametrize(("world", "shown"), [(V0, False), (V1, True)], ids=["v0", "v1"])
    def test_direction_of_travel_is_observed(self, world: World, shown: bool) -> None:
        env, other = place(world, speed=2.0, phi=0.0), place(world, speed=2.0, phi=1.0)
        assert (env.set_state(env.get_state())[0].tolist() != other.set_state(other.get_state())[0].tolist()) == shown

    def test_v1_observes_the_velocity(self) -> None:
        env = place(V1, speed=2.0, phi=1.0)
        observation, _ = env.set_state(env.get_state())
        assert observation[10:] == pytest.approx((2.0 * math.cos(1.0), 2.0 * math.sin(1.0)), rel=1e-6)

    @pytest.mark.parametrize(("world", "same"), [(V0, False), (V1, True)], ids=["v0", "v1"])
    def test_one_direction_of_travel_has_one_state(self, world: World, same: bool) -> None:
        # Neither a push of no strength nor a turn by no angle changes anything.
        env, other = place(world, speed=1.0, theta=6.0, phi=0.5), place(world, speed=1.0, theta=6.0, phi=0.5)
        act(env, ACCELERATE, 0.0)
        act(other, TURN, 0.0)
        assert (now(env) == pytest.approx(now(other), abs=1e-12)) == same

    @pytest.mark.parametrize(("world", "least", "most"), [(V0, 1e-9, 1e-8), (V1, 0.0, 1e-15)], ids=["v0", "v1"])
    def test_velocities_that_cancel(self, world: World, least: float, most: float) -> None:
        env = place(world, speed=0.4975233211076293, phi=math.pi)
        act(env, ACCELERATE, 2.0 * 0.4975233211076294)
        assert least <= now(env)["speed"] <= most

    @pytest.mark.parametrize(("world", "left"), [(V0, 1e-17), (V1, 0.0)], ids=["v0", "v1"])
    def test_braking_that_rounding_keeps_from_stopping(self, world: World, left: float) -> None:
        env = place(world)
        act(env, ACCELERATE, 1.0)
        for _ in range(5):
            act(env, BRAKE)
        assert left <= now(env)["speed"] <= 10.0 * left

    @pytest.mark.parametrize(("world", "inside"), [(V0, True), (V1, False)], ids=["v0", "v1"])
    def test_starts_inside_the_target(self, world: World, inside: bool) -> None:
        _, info = WorldVectorEnv(world, 5_000).reset(seed=0)
        assert info["success"].any() == inside

    @pytest.mark.parametrize(("version", "steps", "end"), [(0, 201, (-1.0, True, False)), (1, 200, (-0.001, False, True))])
    def test_time_that_is_up(self, version: int, steps: int, end: tuple[float, bool, bool]) -> None:
        env = gymnasium.make(f"reworld/Sliding-v{version}")
        env.reset(seed=0)
        taken = [env.step((TURN, ([0.0], [0.0], [])))[1:4] for _ in range(steps)]
        assert set(taken[:-1]) == {(-0.001, False, False)}
        assert taken[-1] == end


angles = st.floats(0.0, 6.28)


@versions
@given(speed=st.floats(0.0, 10.0), phi=angles, theta=angles, power=st.floats(0.0, 1.0))
def test_velocities_add(world: World, speed: float, phi: float, theta: float, power: float) -> None:
    instance: Any = instances_of(world, 1).view(np.recarray)[0]
    instance.configuration.values[:] = world.default_configuration
    for name, value in {"speed": speed, "theta": theta, **travel(world, phi)}.items():
        instance.state[name] = value
    plain(world, notice)(instance.state)
    plain(world, world.step)(instance.state, ACCELERATE, (power,), instance.configuration, None)
    state = instance.state
    expected = [speed * f(phi) + 0.5 * power * f(theta) for f in (math.cos, math.sin)]
    assert [state.speed * state.travel_cosine, state.speed * state.travel_sine] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("id", ["reworld/Sliding-v0", "reworld/Sliding-v1"])
def test_scripted_policy_succeeds_always(id: str) -> None:
    env = gymnasium.make(id)
    policy = scripted_policy(env.unwrapped.world)  # type: ignore[attr-defined]
    returns = []
    for seed in range(100):
        observation, info = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, info = env.step(policy(observation))
            total, ended = total + float(reward), terminated or truncated
        assert info["success"]
        returns.append(total)
    assert np.mean(returns) > 1.8
