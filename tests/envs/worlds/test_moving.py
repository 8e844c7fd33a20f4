"""Moving is gym-hybrid's, bit for bit, and Moving-v1 mends it."""

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.replay import FOLDER
from reworld.engine.kernels import instances_of, plain
from reworld.environment import WorldEnv
from reworld.policies import scripted_policy
from reworld.vector import WorldVectorEnv
from reworld.world import World
from reworld.worlds.moving import ACCELERATE, BRAKE, TURN, V0, V1, notice, square, wrap

versions = pytest.mark.parametrize("world", [V0, V1], ids=["v0", "v1"])


def test_reset_asks_for_gym_hybrids_draws() -> None:
    recorded = dict(np.load(FOLDER / "moving.npz"))
    limits = (recorded["reset_draw_a"].reshape(-1, 6), recorded["reset_draw_b"].reshape(-1, 6))
    batch = WorldVectorEnv(V0, 4000)
    batch.reset(seed=0)
    drawn = np.array(
        [list(row) for row in batch.get_state()["state"][["target_x", "target_y", "target_radius", "x", "y", "theta"]]]
    )
    for column, (low, high) in enumerate(zip(limits[0][0], limits[1][0], strict=True)):
        assert drawn[:, column].min() == pytest.approx(low, abs=0.005 * (high - low) + 1e-15)
        assert drawn[:, column].max() == pytest.approx(high, abs=0.005 * (high - low) + 1e-15)


def place(world: World = V0, configuration: dict[str, float] | None = None, **fields: float) -> WorldEnv:
    """An agent at rest in the centre that heads for +x; the target is to its upper right."""
    env = WorldEnv(world, configuration or {})
    env.reset(seed=0)
    state = env.get_state()
    start = {
        "x": 0.0,
        "y": 0.0,
        "speed": 0.0,
        "theta": 0.0,
        "target_x": 0.6,
        "target_y": 0.8,
        "target_radius": 0.1,
        "clock": 0.0,
    }
    placed = SimpleNamespace(**{**start, **fields})
    plain(world, notice)(placed)
    for name, value in vars(placed).items():
        state["state"][name] = value
    env.set_state(state)
    return env


def act(env: WorldEnv, branch: int, parameter: float = 0.0) -> tuple[float, bool]:
    """Take one action; tell its reward and whether the episode terminated."""
    _, reward, terminated, _, _ = env.step((branch, ([parameter], [parameter], [])))
    return reward, terminated


def now(env: WorldEnv) -> dict[str, float]:
    return dict(zip(env.world.state, env.get_state()["state"].tolist(), strict=True))


@versions
class TestTransitionsByHand:
    def test_accelerating_moves_at_the_speed_gained(self, world: World) -> None:
        env = place(world)
        reward, terminated = act(env, ACCELERATE, 0.5)
        # The speed is 0.5 · 0.5, the way 0.005 · 0.25; of a distance of 1 it gains 1 - √(0.59875² + 0.8²).
        assert (now(env)["speed"], now(env)["x"], now(env)["y"]) == (0.25, 0.00125, 0.0)
        assert reward == pytest.approx(1.0 - math.sqrt(0.59875**2 + 0.8**2) - 0.001, abs=1e-15)
        assert not terminated

    def test_turning_carries_on_in_the_new_direction(self, world: World) -> None:
        env = place(world, speed=2.0)
        act(env, TURN, 1.0)
        assert now(env)["theta"] == math.pi / 2
        assert (now(env)["x"], now(env)["y"]) == pytest.approx((0.0, 0.01), abs=1e-15)

    def test_turning_to_the_right_of_0_comes_round_the_circle(self, world: World) -> None:
        env = place(world)
        act(env, TURN, -0.5)
        assert now(env)["theta"] == 2.0 * math.pi - math.pi / 4

    def test_braking_takes_a_tenth_and_stops_below_it(self, world: World) -> None:
        env = place(world, speed=0.15)
        act(env, BRAKE)
        assert now(env)["speed"] == pytest.approx(0.05, abs=1e-15)
        act(env, BRAKE)
        assert now(env)["speed"] == 0.0
        assert now(env)["x"] == pytest.approx(0.005 * 0.05, abs=1e-15)

    @pytest.mark.parametrize(("branch", "beyond", "bound"), [(0, 1.5, 1.0), (0, -1.0, 0.0), (1, 3.0, 1.0), (1, -3.0, -1.0)])
    def test_parameters_are_clipped(self, world: World, branch: int, beyond: float, bound: float) -> None:
        env, other = place(world, speed=1.0), place(world, speed=1.0)
        assert act(env, branch, beyond) == act(other, branch, bound)
        assert now(env) == now(other)

    def test_stopping_inside_the_target_is_a_success(self, world: World) -> None:
        env = place(world, x=0.55, y=0.8, speed=0.05)
        _, reward, terminated, _, info = env.step((BRAKE, ([0.0], [0.0], [])))
        assert (terminated, info["success"]) == (True, True)
        assert reward == pytest.approx(1.0 - 0.001, abs=1e-15)

    def test_passing_through_the_target_is_none(self, world: World) -> None:
        env = place(world, x=0.55, y=0.8, speed=0.5)
        observation, _, terminated, _, info = env.step((BRAKE, ([0.0], [0.0], [])))
        assert (terminated, info["success"], observation[8]) == (False, False, 1.0)

    def test_leaving_the_field_costs_1_instead_of_the_gain(self, world: World) -> None:
        env = place(world, x=0.995, speed=2.0)
        assert act(env, TURN, 0.0) == (-1.0, True)

    def test_friction_and_current(self, world: World) -> None:
        env = place(world, {"friction": 10.0, "current_x": -0.5, "current_y": 1.0}, speed=2.0)
        act(env, TURN, 0.0)
        # A step of 0.005 s leaves 0.95 of the speed; it makes 0.005 · 1.9 forwards and 0.005 · (-0.5, 1) with the current.
        assert now(env)["speed"] == pytest.approx(1.9, abs=1e-15)
        assert (now(env)["x"], now(env)["y"]) == pytest.approx((0.007, 0.005), abs=1e-15)

    def test_top_speed(self, world: World) -> None:
        env = place(world, {"top_speed": 0.6}, speed=0.5)
        act(env, ACCELERATE, 1.0)
        assert now(env)["speed"] == 0.6

    def test_heading_noise_turns_at_random(self, world: World) -> None:
        env = place(world, {"heading_noise": 0.1})
        angles = []
        for _ in range(400):
            before = now(env)["theta"]
            act(place_clock(env), TURN, 0.0)
            angles.append(math.remainder(now(env)["theta"] - before, 2.0 * math.pi))
        assert np.std(angles) == pytest.approx(0.1, rel=0.2)
        assert abs(np.mean(angles)) < 0.02


def place_clock(env: WorldEnv) -> WorldEnv:
    """Give an episode all its time again."""
    state = env.get_state()
    state["state"]["clock"] = 0.0
    env.set_state(state)
    return env


class TestVersions:
    def test_v0_terminates_in_step_201_with_reward_minus_1(self) -> None:
        env = gymnasium.make("reworld/Moving-v0", configuration={"start_margin": 0.1})
        env.reset(seed=0)
        steps = [env.step((TURN, ([0.0], [0.0], [])))[1:4] for _ in range(201)]
        assert set(steps[:200]) == {(-0.001, False, False)}
        assert steps[200] == (-1.0, True, False)

    def test_v1_truncates_after_step_200_with_the_steps_own_reward(self) -> None:
        env = gymnasium.make("reworld/Moving-v1", configuration={"start_margin": 0.1})
        env.reset(seed=0)
        steps = [env.step((TURN, ([0.0], [0.0], [])))[1:4] for _ in range(200)]
        assert set(steps[:199]) == {(-0.001, False, False)}
        assert steps[199] == (-0.001, False, True)

    def test_v0_prefers_success_to_the_end_of_time(self) -> None:
        env = place(x=0.55, y=0.8, speed=0.05, clock=200.0)
        assert act(env, BRAKE) == pytest.approx((0.999, True), abs=1e-15)

    @pytest.mark.parametrize(("world", "share"), [(V0, 0.0079), (V1, 0.0)], ids=["v0", "v1"])
    def test_starts_inside_the_target(self, world: World, share: float) -> None:
        batch = WorldVectorEnv(world, 20_000)
        _, info = batch.reset(seed=0)
        assert info["success"].mean() == pytest.approx(share, abs=0.0015)
        assert info["success"].any() == (share > 0.0)

    @pytest.mark.parametrize(("world", "left"), [(V0, 1e-17), (V1, 0.0)], ids=["v0", "v1"])
    def test_braking_that_rounding_keeps_from_stopping(self, world: World, left: float) -> None:
        env = place(world)
        act(env, ACCELERATE, 1.0)
        for _ in range(5):
            act(env, BRAKE)
        assert left <= now(env)["speed"] <= 10.0 * left

    @pytest.mark.parametrize(("world", "published"), [(V0, True), (V1, False)], ids=["v0", "v1"])
    def test_v0_squares_as_the_c_library_does(self, world: World, published: bool) -> None:
        rng = np.random.default_rng(0)
        numbers = [*rng.uniform(-2.0, 2.0, 50_000).tolist(), *(10.0 ** rng.uniform(-38.0, 38.0, 50_000)).tolist()]
        squares = list(map(plain(world, square), numbers))
        powers, products = [math.pow(x, 2.0) for x in numbers], [x * x for x in numbers]
        assert powers != products
        assert squares == (powers if published else products)


finite = st.floats(-1.0, 1.0)
angles = st.floats(0.0, 6.28)
actions = st.tuples(st.sampled_from([ACCELERATE, TURN, BRAKE]), finite)


def run(world: World, fields: dict[str, float], taken: list[tuple[int, float]]) -> list[tuple[Any, float]]:
    """States, and rewards, of what follows from a state; in plain Python."""
    instance: Any = instances_of(world, 1).view(np.recarray)[0]
    instance.configuration.values[:] = world.default_configuration
    for name, value in fields.items():
        instance.state[name] = value
    plain(world, notice)(instance.state)
    steps = []
    for branch, parameter in taken:
        reward, _ = plain(world, world.step)(instance.state, branch, (parameter,), instance.configuration, None)
        steps.append((instance.state.copy(), reward))
    return steps


def start(x: float, y: float, speed: float, theta: float) -> dict[str, float]:
    return {"x": x, "y": y, "speed": speed, "theta": theta, "target_x": 0.3, "target_y": -0.4, "target_radius": 0.1}


@versions
class TestLaws:
    @given(x=finite, y=finite, theta=angles, share=finite)
    def test_turning_at_rest_moves_nothing(self, world: World, x: float, y: float, theta: float, share: float) -> None:
        ((state, _),) = run(world, start(x, y, 0.0, theta), [(TURN, share)])
        assert (state.x, state.y, state.speed) == (x, y, 0.0)

    @given(speed=st.floats(0.0, 20.0), theta=angles)
    def test_braking_never_gains_speed_and_always_stops(self, world: World, speed: float, theta: float) -> None:
        steps = run(world, start(0.0, 0.0, speed, theta), [(BRAKE, 0.0)] * (int(10.0 * speed) + 2))
        speeds = [speed, *(state.speed for state, _ in steps)]
        assert all(0.0 <= after < before or after == before == 0.0 for before, after in pairwise(speeds))
        assert speeds[-1] == 0.0

    @settings(max_examples=50)
    @given(x=finite, y=finite, speed=st.floats(0.0, 5.0), theta=angles, taken=st.lists(actions, max_size=20))
    def test_the_world_is_the_same_from_every_side(
        self, world: World, x: float, y: float, speed: float, theta: float, taken: list[tuple[int, float]]
    ) -> None:
        turned = {**start(-y, x, speed, theta + 0.5 * math.pi), "target_x": 0.4, "target_y": 0.3}
        pairs = zip(run(world, start(x, y, speed, theta), taken), run(world, turned, taken), strict=True)
        for (one, reward), (other, reward_turned) in pairs:
            assert (other.x, other.y) == pytest.approx((-one.y, one.x), abs=1e-9)
            success = one.speed == 0.0 and abs(math.hypot(one.x - 0.3, one.y + 0.4) - 0.1) < 1e-9
            border = min(abs(abs(one.x) - 1.0), abs(abs(one.y) - 1.0)) < 1e-9
            assert success or border or reward_turned == pytest.approx(reward, abs=1e-9)


@versions
def test_what_a_state_keeps_follows_from_the_rest(world: World) -> None:
    batch = WorldVectorEnv(world, 64, configuration={"heading_noise": 0.1, "current_x": 0.5})
    batch.reset(seed=0)
    batch.action_space.seed(0)
    for _ in range(100):
        batch.step(batch.action_space.sample())
    kept = batch.get_state()["state"].view(np.recarray)
    noticed = kept.copy()
    for state in noticed:
        plain(world, notice)(state)
    np.testing.assert_array_equal(kept, noticed, strict=True)


@given(theta=st.floats(0.0, 2.0 * math.pi), turned=st.floats(-math.pi, math.pi))
def test_wrapping_is_pythons_modulo(theta: float, turned: float) -> None:
    assert wrap(theta + turned) == (theta + turned) % (2.0 * math.pi)


@pytest.mark.parametrize("id", ["reworld/Moving-v0", "reworld/Moving-v1"])
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
