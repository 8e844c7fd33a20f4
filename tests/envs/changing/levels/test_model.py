"""Levels are what they say, and their flat form has the values of MDPs solved one after the other."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.levels import arrays_of, bilevel, known_of, optimum, solve_flat, solve_level, solve_levels, three
from reworld.changing.levels import Level, Levels, find_levels, flat_levels
from reworld.changing.levels.games import cartpole_levels, river_swim_levels
from reworld.errors import InvalidConfiguration, InvalidOption
from reworld.finite import FiniteMDP, exact_model
from reworld.vector import WorldVectorEnv
from reworld.worlds.block_world import SLIP_LEVELS, block_world
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.tabular import tabular


def models_of(levels: Levels) -> list[FiniteMDP]:
    return [exact_model(levels.world, values) for values in levels.values]


class TestInstances:
    """Values of instances that were computed elsewhere."""

    def test_two_levels(self) -> None:
        flat = bilevel().flat()
        expected = known_of("bilevel_6state")["top_value"]
        np.testing.assert_allclose(solve_flat(flat)[flat.find(due=1)], expected, rtol=1e-12)
        assert len(flat.states) == 5 * 6 + 5

    def test_three_levels(self) -> None:
        flat = three().flat()
        expected = known_of("three_level")["top_value"]
        np.testing.assert_allclose(solve_flat(flat)[flat.find(due=2)], expected, rtol=1e-12)
        assert len(flat.states) == 2 * 5 * 6 + 2 * 5 + 2

    def test_a_state_that_persists_is_worth_more_to_who_sees_it(self) -> None:
        arrays, known = arrays_of("persistent_gap"), known_of("persistent_gap")
        models = [
            FiniteMDP(kernel, np.repeat(rewards[:, :, None], 5, axis=2), arrays["mu"], np.zeros(5, np.bool_))
            for kernel, rewards in zip(arrays["P"], arrays["r"], strict=True)
        ]
        level = Level(arrays["T"], arrays["c"], discount=known["lam"])
        for persistent, value in ((True, known["flat_persistent"]), (False, known["reset_model_value"])):
            flat = flat_levels(models, [level], known["gamma"], persistent=persistent)
            assert flat.start @ solve_flat(flat) == pytest.approx(value, rel=1e-12)


def slippery(count: int) -> Levels:
    """Block-world with `count` degrees of slip, and a level that shifts it against a drift."""
    arrays, known = arrays_of("blockworld10"), known_of("blockworld10")
    world = block_world(known["map"])
    here = np.arange(count)
    kernel = np.zeros((len(arrays["deltas"]), count, count))
    for u, delta in enumerate(arrays["deltas"]):
        for drift, probability in known["drift"]:
            np.add.at(kernel[u], (here, np.clip(here + delta + drift, 0, count - 1)), probability)
    configurations = np.tile(world.default_configuration, (count, 1))
    configurations[:, 0] = SLIP_LEVELS if count == 1000 else here / (count - 1)
    costs, start = np.tile(arrays["cost"], (count, 1)), np.eye(count)[known["i0"] * count // 1000]
    return Levels(world, configurations, [Level(kernel, costs, start, known["lam"])], known["gamma"])


class TestBlockWorld:
    def test_of_few_degrees_of_slip_is_worth_the_same_flat(self) -> None:
        levels = slippery(20)
        flat = levels.flat()
        values = solve_levels(models_of(levels), levels.levels, levels.discount)
        np.testing.assert_allclose(solve_flat(flat)[flat.find(due=1)], values, rtol=1e-9)

    def test_of_a_thousand_has_the_known_values(self) -> None:
        arrays, known = arrays_of("blockworld10"), known_of("blockworld10")
        flat = slippery(1000).flat()
        values = solve_flat(flat)
        assert flat.start @ values == pytest.approx(known["bilevel"], abs=1e-9)
        np.testing.assert_allclose(values[flat.find(due=1)], arrays["V_upper"], rtol=0.0, atol=1e-9)


def random_laws(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Laws of which some entries are 0."""
    laws = rng.random(shape) * (rng.random(shape) < 0.6)
    laws[..., 0] += laws.sum(axis=-1) == 0.0
    return laws / laws.sum(axis=-1, keepdims=True)


def random_problem(seed: int, depth: int, limited: bool) -> tuple[list[FiniteMDP], list[Level], float, int | None]:
    """Some models that may end, and levels above them; with limits of steps if asked for."""
    rng = np.random.default_rng(seed)

    def time() -> tuple[float, int | None]:
        return rng.uniform(0.0, 0.9), int(rng.integers(1, 4)) if limited and rng.random() < 0.7 else None

    states, actions, below = rng.integers(1, 5), rng.integers(1, 3), rng.integers(1, 4)
    models = []
    for _ in range(below):
        terminal = np.arange(states) >= rng.integers(1, states + 1)
        kernel = random_laws(rng, states, actions, states)
        kernel[terminal] = np.eye(states)[terminal][:, None]
        rewards = np.where(terminal[:, None, None], 0.0, rng.normal(size=kernel.shape))
        running = int((~terminal).sum())
        start = np.append(random_laws(rng, running), np.zeros(states - running))
        models.append(FiniteMDP(kernel, rewards, start, terminal))
    levels = []
    for k in range(depth):
        kernels, choices = 1 if k == depth - 1 else rng.integers(1, 3), rng.integers(1, 4)
        allowed = rng.random((below, choices)) < 0.7
        allowed[:, 0] = True
        levels.append(
            Level(
                random_laws(rng, kernels, choices, below, below),
                rng.uniform(0.0, 1.0, (below, choices)),
                random_laws(rng, below),
                *time(),
                allowed,
            )
        )
        below = kernels
    return models, levels, *time()


class TestFlat:
    @settings(max_examples=200, deadline=None)
    @given(seed=st.integers(0, 2**32), depth=st.integers(1, 3), limited=st.booleans())
    def test_has_the_values_of_levels_solved_one_after_the_other(self, seed: int, depth: int, limited: bool) -> None:
        models, levels, discount, steps = random_problem(seed, depth, limited)
        flat = flat_levels(models, levels, discount, steps)
        values, top = solve_flat(flat), levels[-1]
        expected = solve_levels(models, levels, discount, steps)
        found = [values[flat.find(due=depth, kernels=[-1] * (depth - 1) + [i, 0], ages=0)] for i in range(top.states)]
        np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-9, atol=1e-9)
        assert flat.start @ values == pytest.approx(top.start @ expected, rel=1e-9, abs=1e-9)

    @settings(max_examples=100, deadline=None)
    @given(seed=st.integers(0, 2**32), depth=st.integers(1, 2), limited=st.booleans(), persistent=st.booleans())
    def test_is_a_markov_decision_process(self, seed: int, depth: int, limited: bool, persistent: bool) -> None:
        flat = flat_levels(*random_problem(seed, depth, limited), persistent=persistent)
        dense = flat.to_dense()
        assert dense.min() >= 0.0
        assert dense.sum(axis=1).max() <= 1.0 + 1e-12
        assert flat.start.sum() == pytest.approx(1.0)
        assert (np.diff(flat.first) > 0).all()
        assert flat.first[-1] == len(flat.actions) == len(flat.rewards) == len(dense)
        keys = {(int(s["due"]), *s["kernels"], *s["ages"], int(s["state"])) for s in flat.states}
        assert len(keys) == len(flat.states)

    def test_has_the_possible_actions_only(self) -> None:
        flat = Levels(tabular(), {"a": {}, "b": {}, "c": {}}, [line()], 0.9).flat()
        first = flat.find(due=1, kernels=(0, 0))[0]
        assert flat.actions[flat.first[first] : flat.first[first + 1]].tolist() == [0, 1]

    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_with_epochs_of_some_steps(self, steps: int) -> None:
        levels = dataclasses.replace(bilevel(), persistent=True, discount=1.0, steps=steps)
        flat, level, models = levels.flat(), levels.levels[0], models_of(levels)
        values = np.zeros((5, 6))  # of deciding in configuration i, the world in state s
        for _ in range(1000):
            lasting = level.discount * values
            for _ in range(steps):
                lasting = np.array(
                    [(m.expected_rewards + m.kernel @ v).max(axis=1) for m, v in zip(models, lasting, strict=True)]
                )
            values = (np.einsum("uij,js->ius", level.kernel[0], lasting) - level.costs[:, :, None]).max(axis=1)
        np.testing.assert_allclose(solve_flat(flat)[flat.find(due=1)], values.ravel(), rtol=1e-9)

    def test_ends_when_a_persistent_world_does(self) -> None:
        world = tabular(kernel=[[[0.0, 1.0]], [[0.0, 1.0]]], rewards=[[1.0], [0.0]], start=[1.0, 0.0], terminal=[False, True])
        level = Level(np.ones((1, 1, 1)), [[0.25]], discount=0.5)
        for persistent, value in ((True, 0.75), (False, 1.5)):
            flat = Levels(world, {"it": {}}, [level], 0.9, persistent=persistent).flat()
            assert flat.start @ solve_flat(flat) == pytest.approx(value, rel=1e-12)


def line(**options: Any) -> Level:
    """Three configurations in a row."""
    return Level.graph(
        {"a": ["b"], "b": {"a": 3.0, "c": 4.0}, "c": ["b"]}, price=2.0, success=0.75, **{"discount": 0.9, **options}
    )


class TestGraph:
    def test_moves_succeed_and_cost_as_said(self) -> None:
        level = line(start="b")
        assert level.actions == ("a", "b", "c")
        np.testing.assert_array_equal(level.allowed, [[True, True, False], [True, True, True], [False, True, True]])
        np.testing.assert_array_equal(level.costs, [[0.0, 2.0, 0.0], [3.0, 0.0, 4.0], [0.0, 2.0, 0.0]])
        np.testing.assert_array_equal(level.kernel[0, 1], [[0.25, 0.75, 0.0], [0.0, 1.0, 0.0], [0.0, 0.75, 0.25]])
        np.testing.assert_array_equal(level.start, [0.0, 1.0, 0.0])

    def test_what_is_not_possible_changes_nothing(self) -> None:
        np.testing.assert_array_equal(line().kernel[0, 2, 0], [1.0, 0.0, 0.0])
        given = Level(np.full((1, 2, 2), 0.5), [[1.0], [2.0]], discount=0.5, allowed=np.array([[True], [True]]))
        np.testing.assert_array_equal(given.kernel[0, 0], np.full((2, 2), 0.5))
        two = Level(np.full((2, 2, 2), 0.5), np.ones((2, 2)), discount=0.5, allowed=np.array([[True, False], [True, True]]))
        np.testing.assert_array_equal(two.kernel[0, 1], [[1.0, 0.0], [0.5, 0.5]])
        np.testing.assert_array_equal(two.costs, [[1.0, 0.0], [1.0, 1.0]])


class TestGames:
    def test_cartpoles_are_those_of_the_instance(self) -> None:
        levels, known = cartpole_levels(), known_of("cartpole4")
        names = ("gravity", "cart_mass", "pole_mass", "half_length", "force", "wind", "friction")
        columns = [[parameter.name for parameter in CARTPOLE.parameters].index(name) for name in names]
        np.testing.assert_array_equal(levels.values[:, columns], list(known["configs"].values()))
        rest = np.setdiff1d(np.arange(len(CARTPOLE.parameters)), columns)
        np.testing.assert_array_equal(levels.values[:, rest], np.tile(CARTPOLE.default_configuration[rest], (4, 1)))
        (level,) = levels.levels
        edges = {(i, j) for i, j in np.argwhere(level.allowed).tolist() if i < j}
        assert edges == set(map(tuple, known["edges"]))
        assert (level.allowed == level.allowed.T).all()
        expected = known["upper"]
        np.testing.assert_allclose(solve_level(level, np.array(expected["W"]))[0, 0], expected["bilevel"], rtol=1e-12)

    def test_cartpoles_last_as_long_as_in_the_instance(self) -> None:
        levels, known = cartpole_levels(), known_of("cartpole4")
        for values, name in zip(levels.values, known["configs"], strict=True):
            for policy in known["linear_policies"]:
                if policy["cfg"] == name:
                    lengths = balance(values, np.array(policy["weights"]))
                    # The file's mean is of 500 episodes, too.
                    error = np.sqrt(2.0 * lengths.var() / len(lengths))
                    assert abs(lengths.mean() - policy["mean500"]) <= 3.0 * error, (name, policy["seed"])

    def test_a_dam_is_worth_its_price_and_a_machine_too(self) -> None:
        levels = river_swim_levels()
        best = solve_levels(models_of(levels), levels.levels, levels.discount)[0]
        crew, top = levels.levels
        by_hand = solve_levels(
            models_of(levels), [dataclasses.replace(crew, kernel=crew.kernel[:1], names=())], levels.discount
        )[0]
        wild = optimum(models_of(levels)[0].kernel, models_of(levels)[0].expected_rewards, levels.discount).mean()
        without, with_hands = wild / (1.0 - crew.discount) / (1.0 - top.discount), by_hand / (1.0 - top.discount)
        assert 1.5 * without < with_hands
        assert 1.5 * with_hands < best

    def test_river_is_riverswims_where_it_is_wild(self) -> None:
        np.testing.assert_array_equal(river_swim_levels().values[0], tabular().default_configuration)


def balance(configuration: np.ndarray, weights: np.ndarray, episodes: int = 500) -> np.ndarray:
    """How long a linear policy keeps each of many poles upright, at most 500 steps."""
    batch = WorldVectorEnv(CARTPOLE, episodes, configuration=configuration)
    observations, _ = batch.reset(seed=1)
    alive, lengths = np.ones(episodes, np.bool_), np.zeros(episodes)
    for _ in range(500):
        observations, _, terminations, _, _ = batch.step((observations @ weights > 0.0).astype(np.int64))
        lengths += alive
        alive &= ~terminations
    return lengths


TWO = {"a": {}, "b": {}}
STAY = np.eye(2)[None]


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"kernel": np.ones((2, 2))}, r"kernel has shape \(2, 2\): give kernel\[v, u, i, j\]"),
            (
                {"kernel": [[[0.5, 0.4], [0.0, 1.0]]]},
                r"kernel\[0, 0, 0\] is \[0.5, 0.4\], of sum 0.9: give probabilities of sum 1",
            ),
            ({"kernel": [[["a", 0.4], [0.0, 1.0]]]}, "kernel is no array of numbers"),
            ({"costs": [[1.0, 0.0]]}, r"costs has shape \(1, 2\): give costs\[i, u\], here of shape \(2, 1\)"),
            ({"costs": [[np.nan], [0.0]]}, r"costs\[0, 0\] is nan: give finite numbers"),
            ({"start": [1.0]}, r"start has shape \(1,\): give 2 probabilities"),
            ({"start": [1.5, -0.5]}, r"start is \[1.5, -0.5\], of sum 1: give probabilities of sum 1"),
            ({"discount": 1.2}, "discount=1.2: give the probability that an episode goes on"),
            ({"steps": 0}, "steps=0: give an integer of at least 1"),
            ({"allowed": np.zeros((2, 1), np.bool_)}, r"allowed: give bools of shape \(2, 1\), with at least one true"),
            ({"actions": ("x", "y")}, "2 actions are named, and there are 1"),
            ({"names": ("x", "y")}, "2 kernels are named, and there are 1"),
        ],
    )
    def test_of_a_level(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            Level(**{"kernel": STAY, "costs": np.zeros((2, 1)), "discount": 0.5, **arguments})

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"moves": {"dry": ["wett"], "wet": ["dry"]}}, r"The graph has no configuration 'wett'. Did you mean 'wet'\?"),
            ({"moves": {"a": []}, "start": "b"}, "The graph has no configuration 'b'. Known names: a."),
            ({"moves": {"a": []}, "success": 1.5}, "success=1.5: give a probability"),
        ],
    )
    def test_of_a_graph(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            Level.graph(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"levels": []}, InvalidOption, "There is no level above the world"),
            ({"configurations": {"a": {}}}, InvalidOption, "Level 1 has 2 states, and there are 1 configurations of the world"),
            (
                {"levels": [Level(np.stack([STAY, STAY]), np.zeros((2, 1)), discount=0.5)]},
                InvalidOption,
                "Level 1, the highest, has 2 kernels",
            ),
            ({"levels": [Level(STAY, np.zeros((2, 1)))]}, InvalidOption, "Level 1 never ends: give it a discount below 1"),
            (
                {"levels": [Level.graph({"b": ["a"], "a": []}, discount=0.5)]},
                InvalidOption,
                r"Level 1 names its actions \('b', 'a'\), and what they lead to \('a', 'b'\): use one order",
            ),
            ({"discount": -0.1}, InvalidOption, "discount=-0.1"),
            ({"steps": 2.5}, InvalidOption, "steps=2.5"),
            ({"configurations": {"a": {}, "b": {"p_0_0_": 1.0}}}, InvalidConfiguration, "Did you mean 'p_0_0_"),
            ({"configurations": {"a": {}, "b": {"p_0_0_0": [0, 1]}}}, InvalidConfiguration, "'b' leaves values to chance"),
            ({"configurations": {}}, InvalidConfiguration, "There is no configuration"),
        ],
    )
    def test_of_levels(self, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
        level = Level(STAY, np.zeros((2, 1)), discount=0.5)
        with pytest.raises(error, match=message):
            Levels(**{"world": tabular(), "configurations": TWO, "levels": [level], **arguments})

    def test_of_a_flat_form_without_a_model(self) -> None:
        with pytest.raises(InvalidOption, match="CartPole has no exact model"):
            cartpole_levels().flat()

    @pytest.mark.parametrize(
        ("levels", "changes", "message"),
        [
            (
                "reworld.changing.levels.games:cart",
                {},
                "There are no levels 'reworld.changing.levels.games:cart': name them as",
            ),
            ("reworld.worlds.cartpole:WORLD", {}, "gives a World, not reworld.changing.levels.Levels"),
            (cartpole_levels, {"persistant": True}, "Levels have no 'persistant'. Did you mean 'persistent'?"),
        ],
    )
    def test_of_what_is_not_found(self, levels: Any, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            find_levels(levels, **changes)

    def test_levels_are_changed_where_they_are_found(self) -> None:
        changed = find_levels("reworld.changing.levels.games:cartpole_levels", persistent=True, steps=10)
        assert (changed.persistent, changed.steps, changed.names) == (True, 10, cartpole_levels().names)
