"""One level is a Gymnasium environment, whose returns are the values of that level, and on which agents learn."""

import dataclasses
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from golden.levels import bilevel, known_of, optimum, solve_level, three
from reworld.changing.levels import Levels
from reworld.changing.levels.games import cartpole_levels, river_swim_levels
from reworld.changing.levels.one_level import OneLevel
from reworld.errors import InvalidOption
from reworld.finite import exact_model, optimal_actions


def best_below(levels: Levels) -> Callable[[Any], int]:
    """Level 0's optimal policy."""
    plan = np.concatenate([optimal_actions(exact_model(levels.world, values), levels.discount) for values in levels.values])
    return lambda seen: int(plan[seen])


def lean(observation: Any) -> int:
    """Push CartPole to where its pole leans."""
    return int(0.5 * observation[1] + 6.0 * observation[2] + 1.5 * observation[3] > 0.0)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_is_a_gymnasium_environment(level: int, persistent: bool) -> None:
    policies = {k: lambda _: 0 for k in range(3) if k != level}
    env = OneLevel(river_swim_levels, level, policies, render_mode="rgb_array", persistent=persistent)
    check_env(env, skip_render_check=True)
    env.reset(seed=0)
    assert env.render().shape == (648, 480, 3)
    pickle.dumps(env._play)
    env.close()


def episode(env: OneLevel, act: Callable[[Any], Any]) -> tuple[float, bool, bool]:
    """Play an episode; tell its return, and how it ended."""
    observation, _ = env.reset()
    gained, terminated, truncated = 0.0, False, False
    while not (terminated or truncated):
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        gained += reward
    return gained, terminated, truncated


class TestReturns:
    def test_of_the_middle_level_are_its_values(self) -> None:
        levels = dataclasses.replace(three(), discount=0.8)
        models = [exact_model(levels.world, values) for values in levels.values]
        worth = np.array([m.start @ optimum(m.kernel, m.expected_rewards, levels.discount) for m in models])
        level, turns = levels.levels[0], itertools.cycle((0, 1))
        env = OneLevel(levels, 1, {0: best_below(levels), 2: lambda _: next(turns)})
        env.reset(seed=0)
        gained: list[list[float]] = [[], []]
        for _ in range(600):
            _, info = env.reset()
            over, total = False, 0.0
            while not over:
                _, reward, over, _, _ = env.step(4)
                total += reward
            gained[info["kernel"]].append(total)
        for kernel, returns in zip(level.kernel, gained, strict=True):
            # Always to the last configuration: its value by a system of linear equations.
            reached = kernel[4]
            values = np.linalg.solve(np.eye(5) - level.discount * reached, reached @ worth - level.costs[:, 4])
            assert len(returns) > 100
            assert abs(np.mean(returns) - level.start @ values) < 4.0 * np.std(returns) / np.sqrt(len(returns))

    def test_of_level_0_are_those_of_its_world(self) -> None:
        levels = bilevel()
        env = OneLevel(levels, 0, {1: lambda _: 0}, discount=0.8)
        model = exact_model(levels.world, levels.values[0])
        rows = np.arange(6), np.zeros(6, np.int64)
        expected = model.start @ np.linalg.solve(np.eye(6) - 0.8 * model.kernel[rows], model.expected_rewards[rows])
        env.reset(seed=0)
        gained = [episode(env, lambda _: 0)[0] for _ in range(2000)]
        assert abs(np.mean(gained) - expected) < 4.0 * np.std(gained) / np.sqrt(len(gained))


class TestEpisodes:
    def test_end_as_their_level_says(self) -> None:
        env = OneLevel(cartpole_levels, 0, {1: lambda _: 0}, steps=5)
        env.reset(seed=0)
        assert episode(env, lean) == (5.0, False, True)
        env = OneLevel(cartpole_levels, 0, {1: lambda _: 0})
        env.reset(seed=0)
        gained, terminated, truncated = episode(env, lambda _: 0)
        assert (terminated, truncated) == (True, False)
        assert gained < 12.0

    def test_go_on_in_what_the_level_above_has_made_of_the_world(self) -> None:
        env = OneLevel(cartpole_levels, 0, {1: lambda seen: 2 if seen == 0 else 3})
        env.reset(seed=3)
        seen = set()
        for _ in range(60):
            seen.add(env._play.kernels[0])
            episode(env, lambda _: 0)
        assert seen >= {0, 2, 3}

    def test_a_reset_in_mid_episode_begins_a_new_game(self) -> None:
        env = OneLevel(cartpole_levels, 0, {1: lambda seen: 2 if seen == 0 else 3})
        _, info = env.reset(seed=3)
        while info["kernel"] != 3:
            episode(env, lambda _: 0)
            _, info = env.reset()
            env.step(0) if info["kernel"] == 3 else None
        _, info = env.reset()
        assert info["kernel"] in {0, 2}

    def test_step_needs_a_reset(self) -> None:
        env = OneLevel(cartpole_levels, 1, {0: lean}, discount=0.0)
        with pytest.raises(ResetNeeded):
            env.step(0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("level", "policies", "message"),
        [
            (3, {0: lean}, "level=3: these levels are 0 to 1"),
            (1, {}, r"policies are given for the levels \[\]: give one for each of \[0\]"),
            (1, {0: lean, 1: lean}, r"for the levels \[0, 1\]: give one for each of \[0\]"),
        ],
    )
    def test_of_levels_and_policies(self, level: int, policies: dict[int, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            OneLevel(cartpole_levels, level, policies)

    def test_of_options(self) -> None:
        with pytest.raises(InvalidOption, match="reset has no option 'x'"):
            OneLevel(cartpole_levels, 1, {0: lean}).reset(options={"x": 1})


@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
@pytest.mark.parametrize("level", [0, 1])
def test_stable_baselines3_trains_on_it(algorithm: str, level: int) -> None:
    import stable_baselines3

    env = OneLevel(cartpole_levels, level, {1 - level: lean if level else lambda seen: 3 if seen else 2})
    options: dict[str, Any] = {"n_steps": 32, "batch_size": 32} if algorithm == "PPO" else {"learning_starts": 16}
    model = getattr(stable_baselines3, algorithm)("MlpPolicy", env, seed=0, device="cpu", **options)
    model.learn(64)
    assert env.action_space.contains(model.predict(env.reset()[0])[0])


@pytest.mark.slow
def test_q_learning_finds_the_way_through_the_valley() -> None:
    levels, known = bilevel(), known_of("bilevel_6state")
    env = OneLevel(levels, 1, {0: best_below(levels)})
    rng, values, visits = np.random.default_rng(0), np.zeros((5, 5)), np.zeros((5, 5))
    here, _ = env.reset(seed=0)
    for _ in range(20_000):
        action = int(rng.integers(5) if rng.random() < 0.3 else values[here].argmax())
        there, reward, terminated, _, _ = env.step(action)
        visits[here, action] += 1.0
        rate = visits[here, action] ** -0.7
        # An episode ends by chance, and by the discount: what it would have gone on with is 0.
        values[here, action] += rate * (reward + (0.0 if terminated else values[there].max()) - values[here, action])
        here = env.reset()[0] if terminated else there
    models = [exact_model(levels.world, each) for each in levels.values]
    worth = np.array([m.start @ optimum(m.kernel, m.expected_rewards, levels.discount) for m in models])
    learned = dataclasses.replace(levels.levels[0], allowed=values == values.max(axis=1, keepdims=True))
    gained = solve_level(learned, worth)[0, 0]
    assert known["myopic"] < gained
    assert gained == pytest.approx(known["top_value"][0], rel=0.05)
