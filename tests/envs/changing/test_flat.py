"""A finite changeable world is the flat Markov decision process that `flat_model` writes down."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden.levels import matrix, solve_flat, values_of
from reworld.changing import ChangeableWorld, Changing, Cost, change
from reworld.changing.flat import FlatMDP, flat_model
from reworld.errors import InvalidOption
from reworld.finite import exact_model
from reworld.vector import WorldVectorEnv
from reworld.worlds import cartpole
from reworld.worlds.block_world import block_world
from reworld.worlds.tabular import tabular
from uncompiled import PlainEnv

GRAIN = 10
"""All probabilities of the small world are whole multiples of 1 / GRAIN, so that as many draws tell its laws exactly."""

KERNEL = np.array([[[0.1, 0.6, 0.3], [0.0, 1.0, 0.0]], [[0.2, 0.2, 0.6], [0.1, 0.0, 0.9]], [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
REWARDS = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[-1.0, 0.5, 7.0], [2.0, 2.0, 8.0]], [[0.0] * 3, [0.0] * 3]])
SMALL = tabular(kernel=KERNEL, rewards=REWARDS, start=[1.0, 0.0, 0.0], terminal=np.array([False, False, True]))
ENDLESS = tabular(kernel=KERNEL, rewards=REWARDS, start=[0.5, 0.5, 0.0])

NAMED: dict[str, dict[str, float]] = {
    "plain": {},
    "slow": {"p_0_0_0": 0.6, "p_0_0_1": 0.1, "p_1_1_0": 0.0, "p_1_1_1": 0.1},
    "fast": {"p_0_0_0": 0.0, "p_0_0_1": 0.2, "p_0_0_2": 0.8},
}


def offer(**named: Any) -> Changing:
    return Changing(mode="choose", configurations=NAMED, **named)


OFFERS = {
    "at once": offer(),
    "failing": offer(failure=0.3, moves={"plain": ["slow"], "slow": ["fast"], "fast": ["plain"]}),
    "next epoch": offer(takes_effect="next_epoch", failure=0.2),
    "epochs of 2": offer(epoch=2, cost=Cost(kind="wasserstein", measured_from="nominal")),
    "next epoch of 3": offer(epoch=3, takes_effect="next_epoch", cost_in_reward=False),
    "before an episode": offer(epoch="episode", moves={"plain": {"slow": 1.0, "fast": 2.0}}),
    "for the next episode": offer(epoch="episode", takes_effect="next_epoch"),
    "per use": offer(budget_per="use", cost=Cost(kind="quadratic", scale=2.0), epoch=2, takes_effect="next_epoch"),
    "per change": offer(budget=1.1, budget_per="change"),
    "divergence": offer(cost=Cost(kind="kl")),
}


def reached(env: PlainEnv) -> dict[int, np.void]:
    """A saved state for each observation that can be made."""
    found: dict[int, np.void] = {}
    frontier = []
    for _ in range(20):
        observation, _ = env.reset()
        frontier.append((observation, env.get_state()))
    while frontier:
        observation, state = frontier.pop()
        if int(observation) in found:
            continue
        found[int(observation)] = state
        for branch in range(len(env.world.branches)) if not state["ended"] else ():
            for _ in range(GRAIN):
                env.set_state(state)
                frontier.append((env.step(branch)[0], env.get_state()))
    return found


def rows_of(flat: FlatMDP, state: int) -> dict[int, tuple[float, dict[int, float]]]:
    """By action: the expected reward, and the weight of each successor."""
    rows = {}
    for k in range(flat.first[state], flat.first[state + 1]):
        part = slice(flat.indptr[k], flat.indptr[k + 1])
        rows[int(flat.actions[k])] = (
            flat.rewards[k],
            dict(zip(flat.successors[part].tolist(), flat.weights[part].tolist(), strict=True)),
        )
    return rows


class TestTheEnvironmentIsTheFlatModel:
    """Each state that can be reached, each action, each draw: one draw decides a step, or whether a change fails."""

    @pytest.mark.parametrize("name", OFFERS)
    def test_exactly(self, name: str) -> None:
        draws: Iterator[float] = itertools.cycle((k + 0.5) / GRAIN for k in range(GRAIN))
        env = PlainEnv(SMALL, OFFERS[name], lambda rng, low, high: next(draws))
        assert isinstance(env.world, ChangeableWorld)
        flat = flat_model(env.world)
        env.reset(seed=0)
        states = reached(env)
        assert len(states) >= 6
        assert len(flat.states) == env.observation_space.n  # type: ignore[attr-defined]
        for number, state in states.items():
            rows = rows_of(flat, number)
            if state["ended"]:
                assert rows == {0: (0.0, {})}
                continue
            _, info = env.set_state(state)
            assert list(rows) == np.flatnonzero(info["action_mask"]).tolist()
            for action, (reward, following) in rows.items():
                gained, seen = 0.0, dict.fromkeys(following, 0.0)
                for _ in range(GRAIN):
                    env.set_state(state)
                    observation, gain, *_ = env.step(action)
                    gained += gain / GRAIN
                    seen[int(observation)] = seen.get(int(observation), 0.0) + 1.0 / GRAIN
                assert seen == pytest.approx(following, abs=1e-12)
                assert gained == pytest.approx(reward, abs=1e-12)

    @pytest.mark.parametrize("name", OFFERS)
    def test_whose_states_say_what_they_stand_for(self, name: str) -> None:
        env = PlainEnv(SMALL, OFFERS[name])
        assert isinstance(env.world, ChangeableWorld)
        states = flat_model(env.world).states
        env.reset(seed=0)
        names = list(NAMED)
        for number, state in reached(env).items():
            meant = states[number]
            values = {**{p.name: p.default for p in SMALL.parameters}, **NAMED[names[meant["configuration"]]]}
            assert state["configuration"]["values"].tolist() == list(values.values())
            assert state["state"]["s"] == meant["state"]
            assert min(int(state["state"]["changes"]["age"]), OFFERS[name].phases - 1) == meant["phase"]
            if OFFERS[name].takes_effect == "next_epoch":
                assert state["state"]["changes"]["waiting_place"] == meant["waiting"]

    def test_in_distribution(self) -> None:
        # As above with chance itself, on another world: 4.5 standard deviations for each successor.
        named = {f"slip_{k}": {"slip": k / 10.0} for k in (2, 5, 9)}
        changing = Changing(mode="choose", configurations=named, failure=0.25, epoch=2, takes_effect="next_epoch")
        world = change(block_world(map=["S.X", "..G"]), changing)
        flat, count = flat_model(world), 20_000
        envs = WorldVectorEnv(block_world(map=["S.X", "..G"]), count, changing=changing)
        envs.reset(seed=0)
        envs.action_space.seed(0)
        checked = set()
        for _ in range(6):
            before = envs.step(envs.action_space.sample())[0]
            running = envs.get_state()["ended"] == 0
            actions = envs.action_space.sample()
            after = envs.step(actions)[0]
            for state in np.unique(before[running]).tolist():
                for action, (_, following) in rows_of(flat, state).items():
                    ends = after[running & (before == state) & (actions == action)]
                    if len(ends) < 50:
                        continue
                    checked.add((state, action))
                    assert set(ends.tolist()) <= set(following)
                    for end, p in following.items():
                        assert abs(np.sum(ends == end) - len(ends) * p) <= 4.5 * (len(ends) * p * (1.0 - p)) ** 0.5 + 1e-9
        assert len(checked) > 100


class TestValues:
    def test_of_a_policy_are_what_it_gets(self) -> None:
        changing, steps, count = offer(failure=0.2, epoch=2, cost=Cost(scale=0.5)), 12, 20_000
        flat = flat_model(change(ENDLESS, changing))
        rng = np.random.default_rng(0)
        rows = np.array([rng.integers(*flat.first[s : s + 2]) for s in range(len(flat.states))])
        values = np.zeros(len(rows))
        for _ in range(steps):
            values = flat.rewards[rows] + matrix(flat)[rows] @ values
        envs = WorldVectorEnv(ENDLESS, count, changing=changing)
        observations, _ = envs.reset(seed=0)
        returns = np.zeros(count)
        for _ in range(steps):
            observations, rewards, *_ = envs.step(flat.actions[rows][observations])
            returns += rewards
        assert abs(returns.mean() - flat.start @ values) < 4.5 * returns.std() / count**0.5
        assert returns.std() > 1.0

    def test_of_the_best_policy_are_those_of_two_levels_solved_together(self) -> None:
        # At once, and never failing: a change is worth the values where it leads, at its price.
        discount, world = 0.9, change(ENDLESS, offer(cost=Cost(scale=3.0)))
        flat = flat_model(world, discount)
        models = exact_model(
            ENDLESS, np.array([[v.get(p.name, p.default) for p in ENDLESS.parameters] for v in NAMED.values()])
        )
        values = np.zeros((3, 3))
        prices = world.constants["PRICES"] + np.diag([np.inf] * 3)
        for _ in range(2000):
            act = models.expected_rewards + discount * np.einsum("ksat,kt->ksa", models.kernel, values)
            choose = discount * values[None] - prices[:, :, None]
            values = np.maximum(act.max(axis=2), choose.max(axis=1))
        np.testing.assert_allclose(solve_flat(flat), values.ravel(), rtol=1e-9, atol=1e-12)

    def test_where_nothing_is_changed_are_the_worlds_own(self) -> None:
        flat = flat_model(change(ENDLESS, offer(epoch=2, takes_effect="next_epoch")), 0.9)
        stay = np.flatnonzero(flat.actions == 0)
        assert len(stay) == len(flat.states)
        model = exact_model(ENDLESS)
        own = np.linalg.solve(np.eye(3) - 0.9 * model.kernel[:, 0], model.expected_rewards[:, 0])
        np.testing.assert_allclose(
            values_of(flat, stay)[flat.find(waiting=0, configuration=0)], np.tile(own, 2), rtol=1e-12, atol=1e-12
        )


class TestArrays:
    FLAT = flat_model(change(SMALL, OFFERS["next epoch of 3"]), 0.5)

    def test_have_the_shapes_they_are_said_to_have(self) -> None:
        flat, states = self.FLAT, 3 * 3 * 3 * 3
        assert flat.states.shape == flat.start.shape == (states,)
        assert flat.first.shape == (states + 1,)
        assert flat.actions.shape == flat.rewards.shape == (flat.first[-1],) == (len(flat.indptr) - 1,)
        assert flat.successors.shape == flat.weights.shape == (flat.indptr[-1],)

    def test_hold_laws_times_the_discount(self) -> None:
        sums = self.FLAT.to_dense().sum(axis=1)
        terminal = np.repeat(self.FLAT.states["state"] == 2, np.diff(self.FLAT.first))
        np.testing.assert_allclose(sums, np.where(terminal, 0.0, 0.5), rtol=1e-12)
        assert (self.FLAT.weights > 0.0).all()

    def test_dense_and_sparse_agree(self) -> None:
        assert np.array_equal(self.FLAT.to_dense(), matrix(self.FLAT).toarray())

    def test_begin_where_the_world_begins(self) -> None:
        flat = flat_model(change(ENDLESS, offer(epoch=2)))
        assert flat.start.sum() == 1.0
        assert np.flatnonzero(flat.start).tolist() == flat.find(configuration=0, phase=0)[:2].tolist()

    def test_find(self) -> None:
        found = self.FLAT.find(waiting=2, configuration=1, state=0)
        assert self.FLAT.states[found].tolist() == [(2, 1, phase, 0) for phase in range(3)]


class TestRefusals:
    @pytest.mark.parametrize(
        ("world", "changing", "said"),
        [
            (cartpole.WORLD, Changing(parameters=("wind",)), "it takes a finite world"),
            (ENDLESS, Changing(parameters=("p_0_0_0",)), "a Changing with mode='choose'"),
            (ENDLESS, offer(budget=1.0), r"Leave out budget=1, or give it per change"),
            (ENDLESS, offer(budget=1.0, budget_per="use"), "depends on what is left of the budget"),
            (replace(ENDLESS, tabulate=None), offer(), "it takes a finite world"),
        ],
    )
    def test_worlds_without_one(self, world: Any, changing: Changing, said: str) -> None:
        with pytest.raises(InvalidOption, match=said):
            flat_model(change(world, changing))

    @pytest.mark.parametrize("discount", [-0.1, 1.1, float("nan")])
    def test_discounts(self, discount: float) -> None:
        with pytest.raises(InvalidOption, match=r"give a number in \[0, 1\]"):
            flat_model(change(ENDLESS, offer()), discount)
