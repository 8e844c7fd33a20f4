"""CartPole is Gymnasium's, bit for bit; wind and friction do what they say."""

import math
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from reworld.environment import WorldEnv
from reworld.vector import WorldVectorEnv
from reworld.worlds.cartpole import STATE, WORLD

TOTAL_STEPS = 100_000


def started(state: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0), **configuration: Any) -> WorldEnv:
    """CartPole in a given state."""
    env = WorldEnv(WORLD, configuration)
    env.reset(seed=0)
    put(env, state)
    return env


def put(env: WorldEnv, state: Any) -> None:
    saved = env.get_state()
    saved["state"] = tuple(state)
    env.set_state(saved)


def get(env: WorldEnv) -> list[float]:
    return list(env.get_state()["state"].tolist())


@cache
def side_by_side() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What ours and Gymnasium's CartPole did from the same starts under the same actions: random ones, or balancing ones."""
    ours: Any = gymnasium.make("reworld/CartPole-v0")
    theirs: Any = gymnasium.make("CartPole-v1", disable_env_checker=True)
    rng = np.random.default_rng(0)
    parts: tuple[list[Any], ...] = ([], [], [])
    episode, running = -1, False
    for random_action in rng.integers(2, size=TOTAL_STEPS).tolist():
        if not running:
            episode += 1
            ours.reset(seed=episode)
            theirs.reset(seed=0)
            start = rng.uniform(-0.05, 0.05, size=4)
            put(ours.unwrapped, start)
            theirs.unwrapped.state = start
            balances = episode % 10 == 0
        x, x_dot, theta, theta_dot = theirs.unwrapped.state
        action = int(0.1 * x + 0.5 * x_dot + 7.0 * theta + 1.5 * theta_dot > 0.0) if balances else random_action
        mine, other = ours.step(action), theirs.step(action)
        parts[0].append((*get(ours.unwrapped), *theirs.unwrapped.state))
        parts[1].append((mine[0], other[0]))
        parts[2].append((*mine[1:4], *other[1:4]))
        running = not (other[2] or other[3])
    states, observations, outcomes = map(np.array, parts)
    return {
        "state": (states[:, :4], states[:, 4:]),
        "observation": (observations[:, 0], observations[:, 1]),
        "reward": (outcomes[:, 0], outcomes[:, 3]),
        "terminated": (outcomes[:, 1], outcomes[:, 4]),
        "truncated": (outcomes[:, 2], outcomes[:, 5]),
    }


class TestIsGymnasiums:
    @pytest.mark.parametrize("part", ["state", "observation", "reward", "terminated", "truncated"])
    def test_bit_for_bit(self, part: str) -> None:
        found, expected = side_by_side()[part]
        np.testing.assert_array_equal(found, expected, strict=True)
        assert len(found) == TOTAL_STEPS

    def test_in_both_kinds_of_endings(self) -> None:
        run = side_by_side()
        assert run["terminated"][1].sum() > 1000
        assert run["truncated"][1].sum() > 20

    def test_in_its_spaces_and_time_limit(self) -> None:
        ours, theirs = gymnasium.make("reworld/CartPole-v0"), gymnasium.make("CartPole-v1")
        assert ours.action_space == theirs.action_space
        assert ours.observation_space.shape == theirs.observation_space.shape
        assert ours.observation_space.dtype == theirs.observation_space.dtype
        assert ours.spec is not None
        assert theirs.spec is not None
        assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps
        assert ours.spec.reward_threshold == theirs.spec.reward_threshold

    def test_starts_spread_alike(self) -> None:
        batch = WorldVectorEnv(WORLD, 5000)
        starts = batch.reset(seed=0)[0]
        assert (abs(starts) <= np.float32(0.05)).all()
        # The deviation of a uniform number on [-0.05, 0.05]; five standard errors of it are less than 3 %.
        np.testing.assert_allclose(starts.std(axis=0), 0.05 / math.sqrt(3.0), rtol=0.03)


class TestDynamics:
    def test_of_an_upright_pole_by_hand(self) -> None:
        # Upright and not turning: push = F / M, alpha = -push / (l (4/3 - m/M)), x'' = push - m l alpha / M.
        env = started(
            (0.1, 0.5, 0.0, 0.0), friction=2.0, cart_mass=3.0, pole_mass=1.0, half_length=0.5, force=9.0, time_step=0.01
        )
        push = (9.0 - 2.0 * 0.5) / 4.0
        alpha = -push / (0.5 * (4.0 / 3.0 - 1.0 / 4.0))
        env.step(1)
        expected = [0.1 + 0.01 * 0.5, 0.5 + 0.01 * (push - 1.0 * 0.5 * alpha / 4.0), 0.0, 0.01 * alpha]
        np.testing.assert_allclose(get(env), expected, rtol=1e-13)

    def test_of_a_leaning_pole_by_hand(self) -> None:
        # At rest with sin = 0.6 and cos = 0.8, without friction: M = 2, F = -10, gravity 10.
        theta = math.asin(0.6)
        env = started(
            (0.0, 0.0, theta, 0.0), gravity=10.0, cart_mass=1.5, pole_mass=0.5, half_length=1.0, force=10.0, angle_limit=0.7
        )
        alpha = (10.0 * 0.6 + 0.8 * 5.0) / (4.0 / 3.0 - 0.5 * 0.64 / 2.0)
        acceleration = -5.0 - 0.5 * alpha * 0.8 / 2.0
        env.step(0)
        np.testing.assert_allclose(get(env), [0.0, 0.02 * acceleration, theta, 0.02 * alpha], rtol=1e-13)

    @pytest.mark.parametrize("action", [0, 1], ids=["left", "right"])
    def test_are_the_same_in_a_mirror(self, action: int) -> None:
        state = (0.3, -0.4, 0.05, 0.2)
        env, mirrored = started(state, friction=1.0), started(tuple(-value for value in state), friction=1.0)
        env.step(action)
        mirrored.step(1 - action)
        np.testing.assert_allclose(get(env), [-value for value in get(mirrored)], rtol=1e-14)

    def test_friction_slows_the_cart_and_nothing_else_at_rest(self) -> None:
        for velocity, slower in ((1.0, -1), (-1.0, 1), (0.0, 0)):
            smooth, rough = started((0.0, velocity, 0.0, 0.0)), started((0.0, velocity, 0.0, 0.0), friction=1.0)
            smooth.step(1)
            rough.step(1)
            assert np.sign(get(rough)[1] - get(smooth)[1]) == slower

    @pytest.mark.parametrize(
        ("field", "limit"), [("x", 2.4), ("x", -2.4), ("theta", 12 * 2 * math.pi / 360), ("theta", -12 * 2 * math.pi / 360)]
    )
    def test_episode_terminates_just_beyond_a_limit(self, field: str, limit: float) -> None:
        for beyond in (False, True):
            state = dict.fromkeys(STATE, 0.0)
            # Without velocity, a step leaves position and lean as they are.
            state[field] = np.nextafter(limit, 2.0 * limit) if beyond else limit
            env = started(tuple(state.values()))
            _, reward, terminated, _, info = env.step(1)
            assert (reward, terminated, info["success"]) == (1.0, beyond, not beyond)


@cache
def gusts(action: int, wind: float) -> np.ndarray:
    """The force of the wind on an upright pole's cart in many environments, from how the cart's velocity changed."""
    batch = WorldVectorEnv(WORLD, 20_000, configuration={"wind": wind, "start_spread": 0.0})
    batch.reset(seed=1)
    batch.step(np.full(20_000, action))
    acceleration = batch.get_state()["state"]["x_dot"] / 0.02
    # As in the first transition by hand above: x'' = push (1 + (m/M) / (4/3 - m/M)) with m/M = 0.1 / 1.1.
    push = acceleration / (1.0 + 0.1 / 1.1 / (4.0 / 3.0 - 0.1 / 1.1))
    forces: np.ndarray = 1.1 * push - (10.0 if action == 1 else -10.0)
    return forces


class TestWind:
    @pytest.mark.parametrize("action", [0, 1], ids=["left", "right"])
    @pytest.mark.parametrize("wind", [1.0, 15.0])
    def test_has_no_mean(self, action: int, wind: float) -> None:
        forces = gusts(action, wind)
        assert abs(forces.mean()) < 4.0 * wind / math.sqrt(len(forces))

    @pytest.mark.parametrize("action", [0, 1], ids=["left", "right"])
    @pytest.mark.parametrize("wind", [1.0, 15.0])
    def test_has_the_deviation_that_the_configuration_says(self, action: int, wind: float) -> None:
        forces = gusts(action, wind)
        assert abs(forces.std() - wind) < 4.0 * wind / math.sqrt(2.0 * len(forces))

    def test_is_drawn_anew_in_every_step(self) -> None:
        env = started(wind=15.0)
        changes = []
        for _ in range(4):
            put(env, (0.0, 0.0, 0.0, 0.0))
            env.step(1)
            changes.append(get(env)[1])
        assert len(set(changes)) == 4


# From instances/cartpole4.json: configurations, linear policies (push right where weights · state > 0), and their mean
# returns over 500 episodes of at most 500 steps in an independent implementation.
INSTANCES = {
    "gale": ({"wind": 15.0}, (0.12410395868145614, 0.46124368136971083, 6.739095914399799, 1.5078504868795186), 180.292),
    "high gravity": (
        {"wind": 15.0, "gravity": 20.0},
        (-0.06388600591892078, 0.47987429782456575, 7.154769962644981, 1.5186724623040742),
        127.56,
    ),
    "long pole": (
        {"wind": 15.0, "half_length": 1.0},
        (0.028702521578327624, 0.4246561631103356, 5.360069186541971, 1.8263880416460438),
        398.932,
    ),
    "long pole, ballast, windbreak": (
        {"wind": 10.0, "half_length": 1.0, "cart_mass": 2.0, "friction": 0.5},
        (0.3869038891212393, 0.8059224140463763, 6.456597190668084, 3.853715202819269),
        500.0,
    ),
}


def returns(configuration: dict[str, float], weights: tuple[float, ...], episodes: int) -> np.ndarray:
    """The return of the first episode of each environment."""
    batch = WorldVectorEnv(WORLD, episodes, 500, configuration=configuration)
    batch.reset(seed=0)
    total, running = np.zeros(episodes), np.ones(episodes, bool)
    while running.any():
        states = batch.get_state()["state"]
        score = sum(weight * states[field] for weight, field in zip(weights, STATE, strict=True))
        _, rewards, terminations, truncations, _ = batch.step((np.asarray(score) > 0.0).astype(int))
        total += rewards * running
        running &= ~(terminations | truncations)
    return total


@pytest.mark.parametrize(("configuration", "weights", "recorded"), INSTANCES.values(), ids=INSTANCES.keys())
def test_linear_policies_return_what_was_recorded(
    configuration: dict[str, float], weights: tuple[float, ...], recorded: float
) -> None:
    found = returns(configuration, weights, episodes=500)
    # Both means are of 500 episodes, so the deviation of their difference is the square root of two standard errors.
    assert abs(found.mean() - recorded) <= 4.0 * math.sqrt(2.0 / 500) * found.std()
