"""An exact model is what a finite world does."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reworld.configuration import starting_configurations
from reworld.engine.kernels import instances_of
from reworld.engine.linking import link
from reworld.errors import InvalidConfiguration, InvalidOption
from reworld.finite import FiniteMDP, exact_model, optimal_actions
from reworld.generator import uniform
from reworld.vector import WorldVectorEnv
from reworld.world import World
from reworld.worlds.block_world import SLIP_LEVELS, block_world
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.tabular import tabular
from worlds.ring import ring

SMALL = block_world(["S.X", ".#S", "..G"])
END = [False, False, True]
ENDING = tabular(kernel=[[[0.2, 0.5, 0.3]], [[0.0, 0.5, 0.5]], [[0.0, 0.0, 1.0]]], rewards=[[1.0], [2.0], [0.0]], terminal=END)
WORLDS = {"BlockWorld": SMALL, "Tabular": ENDING, "RiverSwim": tabular()}
each_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())


def random_configurations(world: World, count: int, seed: int = 0) -> np.ndarray:
    low, high = (np.array([getattr(p, bound) for p in world.parameters]) for bound in ("low", "high"))
    return np.random.default_rng(seed).uniform(low, high, (count, len(low)))


def same(one: FiniteMDP, other: FiniteMDP) -> bool:
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in ("kernel", "rewards", "start", "terminal"))


@each_world
class TestModels:
    def test_shapes(self, world: World) -> None:
        states, actions = world.observation, len(world.branches)
        model = exact_model(world)
        assert model.kernel.shape == model.rewards.shape == (states, actions, states)
        assert model.start.shape == model.terminal.shape == (states,)
        assert model.expected_rewards.shape == (states, actions)

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32))
    def test_every_row_is_a_law_and_terminal_states_are_closed(self, world: World, seed: int) -> None:
        models = exact_model(world, random_configurations(world, 10, seed).round(seed % 3))
        for laws in (models.kernel, models.start):
            assert laws.min() >= 0.0
            np.testing.assert_allclose(laws.sum(axis=-1), 1.0, rtol=0.0, atol=1e-15)
        model, states = models[0], np.flatnonzero(models.terminal[0])
        assert (models.terminal == exact_model(world).terminal).all()
        assert (model.kernel[states, :, states] == 1.0).all()
        assert not model.rewards[states].any()
        assert not model.start[states].any()

    def test_a_configuration_is_given_by_name_or_as_an_array(self, world: World) -> None:
        values = random_configurations(world, 1)[0]
        by_name = {parameter.name: float(value) for parameter, value in zip(world.parameters, values, strict=True)}
        assert same(exact_model(world, values), exact_model(world, by_name))
        assert same(exact_model(world), exact_model(world, world.default_configuration))
        assert not same(exact_model(world), exact_model(world, values))

    def test_many_models_are_each_its_own(self, world: World) -> None:
        values = random_configurations(world, 4)
        models = exact_model(world, values)
        assert len(models.kernel) == 4
        for i in range(4):
            assert same(models[i], exact_model(world, values[i]))
        name = world.parameters[0].name
        models = exact_model(world, {name: values[:, 0]})
        for i in range(4):
            assert same(models[i], exact_model(world, {name: values[i, 0]}))
        assert exact_model(world, {name: values[:1, 0]}).kernel.shape[0] == 1

    def test_expected_rewards_are_what_the_kernel_makes_of_rewards(self, world: World) -> None:
        models = exact_model(world, random_configurations(world, 3))
        for i, s, a in np.ndindex(models.expected_rewards.shape):
            assert models.expected_rewards[i, s, a] == pytest.approx(
                models.kernel[i, s, a] @ models.rewards[i, s, a], rel=1e-14
            )

    @pytest.mark.parametrize("random", [False, True], ids=["default", "random"])
    def test_steps_are_drawn_from_it(self, world: World, random: bool) -> None:
        values = random_configurations(world, 1)[0] if random else world.default_configuration
        model, times = exact_model(world, values), 4000
        tried = [(s, a) for s in np.flatnonzero(~model.terminal) for a in range(len(world.branches))]
        here, actions = np.repeat(tried, times, axis=0).T
        batch = WorldVectorEnv(world, len(here), configuration=values)
        batch.reset(seed=1)
        instances = batch.get_state()
        instances["state"][world.state[0]] = here
        batch.set_state(instances)
        there, rewards, terminations, _, _ = batch.step(actions)
        np.testing.assert_array_equal(rewards, model.rewards[here, actions, there])
        np.testing.assert_array_equal(terminations, model.terminal[there])
        counts = np.zeros_like(model.kernel)
        np.add.at(counts, (here, actions, there), 1)
        assert_drawn_from(counts[tuple(np.transpose(tried))], model.kernel[tuple(np.transpose(tried))])

    def test_first_states_are_drawn_from_it(self, world: World) -> None:
        observations, _ = WorldVectorEnv(world, 4000).reset(seed=2)
        counts = np.bincount(observations, minlength=world.observation)
        assert_drawn_from(counts[None], exact_model(world).start[None])


class TestLargestDraw:
    """Probabilities whose sum is rounded to less than 1 leave a rest, which must lead nowhere else."""

    def last(self, world: World, function: Any, configuration: dict[str, float], *arguments: Any) -> int:
        instance: Any = instances_of(world, 1).view(np.recarray)[0]
        instance.configuration.values[:] = starting_configurations(world, configuration)[0, 0]
        link(function, {uniform: largest}, world.constants)(instance.state, *arguments, instance.configuration, None)
        return int(instance.state[world.state[0]])

    def test_leads_to_a_state_of_the_model(self) -> None:
        # 1 - 2⁻⁵³ less 0.3 and less 0.7 is 0, and not below.
        river = tabular()
        assert self.last(river, river.step, {"p_0_0_0": 0.3, "p_0_0_1": 0.7}, 0, None) == 1
        assert self.last(SMALL, SMALL.step, {"stay": 0.3, "slip": 1.0, "slip_left": 0.0}, 0, None) == 1

    def test_begins_in_a_state_of_the_model(self) -> None:
        world = tabular(kernel=np.full((3, 1, 3), 1 / 3), rewards=np.zeros((3, 1)), start=[0.3, 0.7, 0.0])
        assert self.last(world, world.reset, {}) == 1


def largest(rng: Any, low: float, high: float) -> float:
    return low + (high - low) * (1.0 - 2.0**-53)


def assert_drawn_from(counts: np.ndarray, laws: np.ndarray) -> None:
    """Pearson's statistic lies within four deviations of its mean, and nothing impossible has happened."""
    assert not counts[laws == 0.0].any()
    expected = counts.sum(axis=1, keepdims=True) * laws
    statistic = ((counts - expected)[laws > 0.0] ** 2 / expected[laws > 0.0]).sum()
    freedom = (laws > 0.0).sum() - len(laws)
    assert abs(statistic - freedom) <= 4.0 * np.sqrt(2.0 * freedom)


class TestRefusals:
    @pytest.mark.parametrize("world", [CARTPOLE, ring()], ids=["infinite", "without tabulate"])
    def test_a_world_without_a_model(self, world: World) -> None:
        with pytest.raises(InvalidOption, match=f"{world.name} has no exact model: give a world with a finite number"):
            exact_model(world)

    @pytest.mark.parametrize("configuration", ["random", {"slip": [0.1, 0.2]}], ids=str)
    def test_a_configuration_that_is_drawn(self, configuration: Any) -> None:
        with pytest.raises(InvalidConfiguration, match="an exact model of BlockWorld needs one number for each parameter"):
            exact_model(SMALL, configuration)

    @pytest.mark.parametrize(
        ("configuration", "message"),
        [
            ({"slipp": 0.1}, "Did you mean 'slip'"),
            ({"slip": 1.1}, "outside"),
            ({"slip": np.zeros(3), "stay": np.zeros(2)}, "one number for each of 3 environments"),
            (np.zeros(5), "An array of shape"),
            (np.zeros((4, 5)), "An array of shape"),
        ],
    )
    def test_what_is_no_configuration(self, configuration: Any, message: str) -> None:
        with pytest.raises(InvalidConfiguration, match=message):
            exact_model(SMALL, configuration)


class TestOptimalActions:
    @pytest.mark.parametrize("seed", range(5))
    def test_no_other_plan_is_better_anywhere(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        kernel = rng.dirichlet(np.full(4, 0.5), (4, 2))
        model = FiniteMDP(kernel, rng.normal(size=(4, 2, 4)), np.full(4, 0.25), np.zeros(4, bool))

        def values(actions: Any) -> np.ndarray:
            rows = np.arange(4), np.asarray(actions)
            return np.linalg.solve(np.eye(4) - 0.9 * kernel[rows], model.expected_rewards[rows])

        best = values(optimal_actions(model, 0.9))
        for actions in itertools.product(range(2), repeat=4):
            assert (values(actions) <= best + 1e-9).all()

    def test_of_equals_the_first_is_chosen(self) -> None:
        model = exact_model(block_world(["S..", "...", "..G"]), {"slip": 0.0})
        # East and south lead to the goal alike, up to the eastern border and down to the southern one.
        assert optimal_actions(model, 0.9)[:8].tolist() == [1, 1, 2, 1, 1, 2, 1, 1]


def test_a_thousand_block_worlds() -> None:
    models = exact_model(block_world(), {"slip": SLIP_LEVELS})
    assert models.kernel.shape == (1000, 73, 4, 73)
    assert models.kernel[0].max() == 1.0
    assert models.kernel[999, 0, 1, 0] == 0.5
