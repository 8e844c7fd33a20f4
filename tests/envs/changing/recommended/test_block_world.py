"""Block-world, on ice."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.block_world import CHANGING, SET_UP
from reworld.finite import exact_model
from reworld.worlds.block_world import MAP, block_world

ID = "reworld/BlockWorld-v0"
STEPS = 200
SLIPS = [values["slip"] for values in CHANGING.configurations.values()]
COSTS = [0.04 * (slip - 0.6) ** 2 for slip in SLIPS]

Array = np.ndarray[Any, np.dtype[np.float64]]


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, 500)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, 500)


@cache
def flat(levels: int) -> tuple[Array, Array, Array]:
    """The first so many levels as one model: kernel, expected rewards and costs, by pair of level and cell, and action."""
    models = exact_model(block_world(), {"slip": np.array(SLIPS[:levels])})
    cells = models.start.shape[1]
    kernel = np.zeros((levels, cells, 4 + levels, levels, cells))
    rewards, costs = np.zeros(kernel.shape[:3]), np.zeros(kernel.shape[:3])
    for level in range(levels):
        kernel[level, :, :4, level] = models.kernel[level]
        costs[level, :, :4] = COSTS[level]
        rewards[level, :, :4] = models.expected_rewards[level] - COSTS[level]
        for other in range(levels):
            adjacent = np.isclose(abs(SLIPS[level] - SLIPS[other]), 0.2)
            kernel[level, np.arange(cells), 4 + other, other if adjacent else level, np.arange(cells)] = 1.0
    ended = models.terminal[0]
    rewards[:, ended], costs[:, ended] = 0.0, 0.0
    states = levels * cells
    return kernel.reshape(states, 4 + levels, states), rewards.reshape(states, -1), costs.reshape(states, -1)


def optimum(levels: int) -> float:
    """What the best of all policies returns within the time limit, those included that look at the time."""
    kernel, rewards, _ = flat(levels)
    values = np.zeros(len(rewards))
    for _ in range(STEPS):
        values = (rewards + kernel @ values).max(axis=1)
    return float(values[start()])


def expected(policy: Any) -> tuple[float, float]:
    """Return and cost of a policy."""
    kernel, rewards, costs = flat(len(SLIPS))
    own = np.arange(len(rewards)), np.array([policy(state)[0] for state in range(len(rewards))])
    values, paid = np.zeros(len(rewards)), np.zeros(len(rewards))
    for _ in range(STEPS):
        values, paid = rewards[own] + kernel[own] @ values, costs[own] + kernel[own] @ paid
    return float(values[start()]), float(paid[start()])


def start() -> int:
    assert "".join(MAP).index("S") == 0
    return 0


@pytest.mark.parametrize(
    ("policy", "levels", "value"),
    [(SET_UP.without, 1, 0.2109), (SET_UP.configuring, 6, 0.5719)],
    ids=["without", "configuring"],
)
def test_nobody_does_better(policy: Any, levels: int, value: float) -> None:
    assert optimum(levels) == pytest.approx(value, abs=5e-5)
    assert expected(policy)[0] == pytest.approx(optimum(levels), abs=5e-5)


def test_configuring_is_worth_it_and_paid_for() -> None:
    (before, nothing), (after, cost) = expected(SET_UP.without), expected(SET_UP.configuring)
    assert nothing == 0.0
    assert after - before > 0.6 * after
    assert 0.2 * (after + cost - before) < cost < 0.3 * (after + cost - before)


@pytest.mark.parametrize(("policy", "episodes"), [(SET_UP.without, without), (SET_UP.configuring, configuring)])
def test_episodes_return_what_is_computed(policy: Any, episodes: Any) -> None:
    value, cost = expected(policy)
    assert episodes().low < value < episodes().high
    assert episodes().costs.mean() == pytest.approx(cost, abs=4.0 * episodes().costs.std() / 500**0.5 + 1e-12)


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 500).high < 0.6 * configuring().low


def test_a_dry_floor_all_the_way_costs_more_than_it_is_worth() -> None:
    def policy(state: int) -> tuple[int, tuple[float, ...]]:
        level, cell = divmod(state, len(flat(1)[0]))
        drier = {0: 3, 1: 2, 2: 0, 3: 4, 4: 5}
        if level in drier:
            return 4 + drier[level], ()
        return int(best_when_dry()[cell]), ()

    assert 1.05 * expected(policy)[0] < expected(SET_UP.configuring)[0]


@cache
def best_when_dry() -> Array:
    model = exact_model(block_world(), {"slip": 0.0})
    values = np.zeros(len(model.start))
    for _ in range(STEPS):
        values = (model.expected_rewards + model.kernel @ values).max(axis=1)
    best: Array = (model.expected_rewards + model.kernel @ values).argmax(axis=1)
    return best


def test_every_level_but_the_iciest_is_used() -> None:
    """Expected number of moves at each level."""
    kernel, rewards, _ = flat(len(SLIPS))
    own = np.arange(len(kernel)), np.array([SET_UP.configuring(state)[0] for state in range(len(kernel))])
    law, visits = np.eye(len(kernel))[start()], np.zeros(len(kernel))
    for _ in range(STEPS):
        visits += np.where((own[1] < 4) & rewards.any(axis=1), law, 0.0)
        law = law @ kernel[own]
    by_level = dict(zip(SLIPS, visits.reshape(len(SLIPS), -1).sum(axis=1), strict=True))
    assert {slip for slip, moves in by_level.items() if moves > 0.1} == {0.0, 0.2, 0.4, 0.6, 0.8}
