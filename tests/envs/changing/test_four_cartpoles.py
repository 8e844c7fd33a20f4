"""Four CartPoles with a gale, three linear policies for each, and what they return: known from an implementation of its own."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from golden.levels import known_of
from reworld.changing import Changing, Cost
from reworld.vector import WorldVectorEnv
from reworld.worlds.cartpole import WORLD

KNOWN: dict[str, Any] = known_of("cartpole4")
PARAMETERS = ("gravity", "cart_mass", "pole_mass", "half_length", "force", "wind", "friction")
CONFIGURATIONS = {name: dict(zip(PARAMETERS, values, strict=True)) for name, values in KNOWN["configs"].items()}
NAMES = list(CONFIGURATIONS)
FREE = Changing(
    mode="choose",
    configurations=CONFIGURATIONS,
    moves={name: [NAMES[end] for start, end in KNOWN["edges"] if NAMES[start] == name] for name in NAMES},
    cost=Cost(scale=0.0),
)
ROUTES: dict[str, list[str]] = {NAMES[0]: [], NAMES[1]: [NAMES[1]], NAMES[2]: [NAMES[2]], NAMES[3]: [NAMES[2], NAMES[3]]}
EPISODES, STEPS = 500, 500


def returns(start: dict[str, float] | None, route: list[str], weights: list[float], seed: int) -> np.ndarray:
    """Begin somewhere, move along a route, and then push to where a weighted sum points; one return for each episode."""
    envs = _envs()
    observations, _ = envs.reset(seed=seed, options=None if start is None else {"configuration": start})
    gained, alive = np.zeros(EPISODES), np.ones(EPISODES, np.bool_)
    for name in route:
        observations, rewards, *_ = envs.step(np.full(EPISODES, 2 + NAMES.index(name)))
        gained += rewards
    for _ in range(STEPS):
        observations, rewards, terminations, *_ = envs.step((observations[:, :4] @ weights > 0.0).astype(np.int64))
        gained += rewards * alive
        alive &= ~terminations
    return gained


@cache
def _envs() -> WorldVectorEnv:
    return WorldVectorEnv(WORLD, EPISODES, changing=FREE)


@cache
def played(name: str) -> np.ndarray:
    """By configuration: the returns of its three policies."""
    policies = [policy for policy in KNOWN["linear_policies"] if policy["cfg"] == name]
    assert len(policies) == 3
    return np.array([returns(None, ROUTES[name], policy["weights"], seed=policy["seed"] * EPISODES) for policy in policies])


@pytest.mark.parametrize("name", NAMES)
def test_each_policy_returns_what_it_is_known_to(name: str) -> None:
    for found, policy in zip(played(name), (each for each in KNOWN["linear_policies"] if each["cfg"] == name), strict=True):
        # The known mean is one of 500 episodes, too.
        assert abs(found.mean() - policy["mean500"]) <= 3.0 * found.std() * (2.0 / EPISODES) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_all_three_together(name: str) -> None:
    found = played(name)
    known = KNOWN["linear_policy_returns"][name]["mean_of_3_seeds_x_500_episodes"]
    assert abs(found.mean() - known) <= 3.0 * found.std() / found.size**0.5


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_that_begins_there_is_one_that_moves_there_at_once(name: str) -> None:
    weights = next(policy["weights"] for policy in KNOWN["linear_policies"] if policy["cfg"] == name)
    assert returns(CONFIGURATIONS[name], [], weights, seed=7).tolist() == returns(None, ROUTES[name], weights, seed=7).tolist()


def test_the_four_are_not_alike() -> None:
    means = [played(name).mean() for name in NAMES]
    assert np.argsort(means).tolist() == [1, 0, 2, 3]
    assert means[3] > 499.0
