"""Levels have the values that are known of them, solved one after the other or at once, and what cannot be is refused."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.levels import bilevel, optimum, solve_levels, three
from reworld.changing.levels import Level, Levels
from reworld.changing.levels.games import cartpole_levels, river_swim_levels
from reworld.errors import InvalidOption
from reworld.finite import exact_model
from reworld_baselines.mctvmdp import multi_level
from reworld_baselines.mctvmdp.configurable import SolverFailed
from reworld_baselines.mctvmdp.instances import arrays_of, load, settings_of
from reworld_baselines.mctvmdp.mdp import MDP, SparseKernel
from reworld_baselines.mctvmdp.multi_level import MultiLevelMDP
from reworld_baselines.mctvmdp.results import Result, Search

BASELINES = ("none", "random", "myopic", "reachable")


def found(problem: MultiLevelMDP, method: str = "levels", **options: Any) -> Result:
    return getattr(multi_level, method)(problem, Search(method, quiet=True), **options)


def beginning_with(problem: MultiLevelMDP, i: int) -> MultiLevelMDP:
    *lower, top = problem.levels
    return dataclasses.replace(problem, levels=[*lower, dataclasses.replace(top, start=np.eye(top.states)[i])])


def sweeps(result: Result) -> list[int]:
    return [int(number) for number in re.findall(r"(\d+) sweeps", " ".join(result.certificate.notes))]


class TestInstances:
    @pytest.mark.parametrize("name", ["bilevel_6state", "three_level"])
    @pytest.mark.parametrize("method", ["levels", "flat"])
    def test_of_two_and_three_levels(self, name: str, method: str) -> None:
        problem = dataclasses.replace(load(name).problem, allow_unreachable=True)
        for i, value in enumerate(settings_of(name)["top_value"]):
            result = found(beginning_with(problem, i), method)
            assert result.value == pytest.approx(value, rel=1e-12)
            assert result.certificate.kind == "optimal"
            assert result.certificate.gap == pytest.approx(0.0, abs=1e-9 * value)

    @pytest.mark.parametrize(
        ("method", "key"), [("none", "no_config"), ("random", "random"), ("myopic", "myopic"), ("oracle", "oracle")]
    )
    def test_baselines_of_two_levels(self, method: str, key: str) -> None:
        known = settings_of("bilevel_6state")
        result = found(load("bilevel_6state").problem, method)
        assert result.value == pytest.approx(known[key], rel=1e-12)
        assert result.nominal_value == pytest.approx(known["no_config"], rel=1e-12)

    def test_a_state_that_persists_is_worth_more_to_who_sees_it(self) -> None:
        problem, known = load("persistent_gap").problem, settings_of("persistent_gap")
        result = found(problem)
        assert result.value == pytest.approx(known["hierarchical_executed"], rel=1e-12)
        assert result.predicted == pytest.approx(known["reset_model_value"], rel=1e-12)
        assert result.certificate.kind == "none"
        assert found(problem, "flat").value == pytest.approx(known["flat_persistent"], rel=1e-12)

    def test_cartpoles(self) -> None:
        problem, known = load("cartpole4").problem, settings_of("cartpole4")["upper"]
        for method, key in {"levels": "bilevel", "flat": "bilevel", "none": "no_config", "myopic": "myopic"}.items():
            assert found(problem, method).value == pytest.approx(known[key], rel=1e-12)
        assert found(problem, "oracle").certificate.upper_bound == pytest.approx(known["oracle"], rel=1e-12)
        assert found(problem, "reachable").value == pytest.approx(known["bilevel"], rel=1e-12)
        # The instance's random agent pays for impossible moves, too: they fail.
        (level,) = problem.levels
        paid = Level(level.kernel, 60.0 * (1.0 - np.eye(4)), level.start, level.discount)
        assert found(dataclasses.replace(problem, levels=[paid]), "random").value == pytest.approx(known["random"])


@pytest.fixture(scope="module")
def block_worlds() -> MultiLevelMDP:
    """A thousand of them, which are solved faster if they are sparse."""
    problem = load("blockworld10").problem
    kernel = problem.worlds.kernel
    sparse = kernel if isinstance(kernel, SparseKernel) else SparseKernel.of(kernel)
    return dataclasses.replace(problem, worlds=problem.worlds.with_kernel(sparse))


class TestBlockWorld:
    def test_is_worth_what_is_known(self, block_worlds: MultiLevelMDP) -> None:
        result, known = found(block_worlds), settings_of("blockworld10")
        assert result.value == pytest.approx(known["bilevel"], abs=1e-11)
        np.testing.assert_array_equal(result.policies[1][0], arrays_of("blockworld10")["policy"])
        assert result.nominal_value == pytest.approx(known["no_config"], abs=1e-11)

    @pytest.mark.parametrize(
        "method", ["myopic", *(pytest.param(method, marks=pytest.mark.slow) for method in ("random", "oracle"))]
    )
    def test_baselines(self, block_worlds: MultiLevelMDP, method: str) -> None:
        assert found(block_worlds, method).value == pytest.approx(settings_of("blockworld10")[method], abs=1e-11)

    @pytest.mark.slow
    def test_is_worth_the_same_flat(self, block_worlds: MultiLevelMDP) -> None:
        assert found(block_worlds, "flat").value == pytest.approx(settings_of("blockworld10")["bilevel"], abs=1e-10)


class TestStops:
    def test_few_sweeps_are_enough(self) -> None:
        lower, upper = sweeps(found(load("bilevel_6state").problem, solver="value_iteration"))
        assert lower <= 40
        assert upper <= 30

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**32), digits=st.integers(1, 9))
    def test_errors_are_within_the_bounds(self, seed: int, digits: int) -> None:
        problem = random_problem(seed, 2)
        exact = found(problem).value
        result = found(problem, solver="value_iteration", epsilon=10.0**-digits)
        assert result.predicted is not None
        assert result.certificate.upper_bound is not None
        bound = result.certificate.upper_bound - result.predicted
        assert abs(result.predicted - exact) <= bound + 1e-12
        assert result.value <= exact + 1e-12
        assert exact <= result.value + (result.certificate.gap or 0.0) + 1e-12

    def test_what_rounding_does_not_allow_is_refused(self) -> None:
        rng = np.random.default_rng(0)
        level = Level(rng.dirichlet(np.ones(30), (2, 30)), np.zeros((30, 2)), discount=0.999)
        problem = MultiLevelMDP(None, [level], values=1e9 * rng.random(30))
        with pytest.raises(InvalidOption, match="less than rounding allows"):
            found(problem, solver="value_iteration", epsilon=1e-12)


def laws(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Laws of which some entries are 0."""
    laws = rng.random(shape) * (rng.random(shape) < 0.6)
    laws[..., 0] += laws.sum(axis=-1) == 0.0
    return laws / laws.sum(axis=-1, keepdims=True)


def random_problem(seed: int, depth: int, **terms: Any) -> MultiLevelMDP:
    """Some worlds, and levels above them in which not all is possible."""
    rng = np.random.default_rng(seed)
    below, states, actions = rng.integers(1, 5), rng.integers(1, 5), rng.integers(1, 3)
    rewards = rng.random((below, states, actions, states))
    worlds = MDP(laws(rng, below, states, actions, states), rewards, rng.uniform(0.0, 0.95), laws(rng, below, states))
    levels = []
    for k in range(1, depth):
        kernels, choices = 1 if k == depth - 1 else rng.integers(1, 4), rng.integers(1, 4)
        allowed = rng.random((below, choices)) < 0.7
        allowed[:, 0] = True
        costs, start = rng.uniform(0.0, 1.0, (below, choices)), laws(rng, below)
        kernel = laws(rng, kernels, choices, below, below)
        levels.append(Level(kernel, costs, start, rng.uniform(0.0, 0.95), allowed=allowed))
        below = kernels
    return MultiLevelMDP(worlds, levels, allow_unreachable=True, **terms)


SEEDS = st.integers(0, 2**32)


class TestFlat:
    """The equivalent flat process, which is written and solved without the levels' own solver."""

    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS, depth=st.integers(2, 4), order=st.sampled_from(multi_level.ORDERS))
    def test_is_worth_the_same(self, seed: int, depth: int, order: str) -> None:
        problem = random_problem(seed, depth, order=order)
        one, all_at_once = found(problem), found(problem, "flat")
        assert all_at_once.value == pytest.approx(one.value, rel=1e-12, abs=1e-12)

    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, depth=st.integers(2, 4))
    def test_is_worth_at_least_as_much_if_it_sees_a_state_that_persists(self, seed: int, depth: int) -> None:
        problem = random_problem(seed, depth, persistent=True)
        best = found(problem, "flat")
        for method in ("levels", *BASELINES[:3]):
            assert found(problem, method).value <= best.value + 1e-12 * (1.0 + abs(best.value))

    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS)
    def test_of_two_levels_that_persist_is_worth_the_same_if_the_world_has_no_state(self, seed: int) -> None:
        (level,) = random_problem(seed, 2).levels
        anew = MultiLevelMDP(None, [level], values=np.random.default_rng(seed).random(level.states), allow_unreachable=True)
        kept = dataclasses.replace(anew, persistent=True)
        for method in ("levels", "flat", *BASELINES[:3], "oracle"):
            assert found(kept, method).value == pytest.approx(found(anew, method).value, rel=1e-12, abs=1e-12)

    def test_is_refused_where_it_is_too_large(self) -> None:
        with pytest.raises(SolverFailed, match="more than largest=100: use the method 'levels'"):
            found(load("bilevel_6state").problem, "flat", largest=100)


class TestOrder:
    def test_a_run_comes_before_the_first_decision(self) -> None:
        level = Level([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]], [[0.0, 2.0], [0.0, 0.0]], discount=0.5)
        first = MultiLevelMDP(None, [level], values=[1.0, 5.0])
        # In kernel 1 for ever: 5 + 2.5 + …, less the cost.
        assert found(first).value == pytest.approx(8.0)
        last = MultiLevelMDP(None, [level], values=[1.0, 5.0], order="run_first")
        assert found(last).value == pytest.approx(1.0 + 0.5 * 8.0)
        assert found(last).cost == pytest.approx(0.5 * 2.0)


class TestEpochs:
    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_are_worth_the_same_flat_with_a_phase_counter(self, steps: int) -> None:
        problem = epochs(steps)
        result, flat = found(problem), found(problem, "flat")
        assert len(problem.flat.states) == 5 * 6 * (steps + 1)
        assert result.value == pytest.approx(flat.value, rel=1e-12)
        assert result.policies[0].shape == (5, steps, 6)

    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_satisfy_their_equation(self, steps: int) -> None:
        problem = epochs(steps)
        worlds, (level,) = problem.worlds, problem.levels
        values = np.zeros((5, 6))
        for _ in range(1000):
            ahead = values
            for _ in range(steps):
                ahead = (worlds.rewards + worlds.discount * np.einsum("isat,it->isa", worlds.kernel, ahead)).max(axis=2)
            values = (np.einsum("uij,js->ius", level.kernel[0], ahead) - level.costs[:, :, None]).max(axis=1)
        assert found(problem).value == pytest.approx(worlds.start[0] @ values[0], rel=1e-12)

    def test_baselines_are_worth_no_more(self) -> None:
        problem = epochs(2)
        best = found(problem).value
        assert all(found(problem, method).value <= best for method in BASELINES)
        assert found(problem, "none").value == pytest.approx(settings_of("bilevel_6state")["no_config"] * 0.1, rel=1e-12)


def epochs(steps: int) -> MultiLevelMDP:
    problem = load("bilevel_6state").problem
    level = dataclasses.replace(problem.levels[0], discount=problem.worlds.discount**steps)
    return dataclasses.replace(problem, levels=[level], epoch=steps)


class TestBaselines:
    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, depth=st.integers(2, 4), order=st.sampled_from(multi_level.ORDERS))
    def test_are_worth_no_more_than_the_optimum_and_that_no_more_than_the_oracle(
        self, seed: int, depth: int, order: str
    ) -> None:
        problem = random_problem(seed, depth, order=order)
        best, oracle = found(problem), found(problem, "oracle")
        for method in BASELINES[:3]:
            assert found(problem, method).value <= best.value + 1e-12 * (1.0 + abs(best.value))
        assert best.value <= oracle.certificate.upper_bound + 1e-12 * (1.0 + abs(best.value))

    def test_reachable_pays_its_way_and_stays(self) -> None:
        level = Level.graph({"dry": ["wet"], "wet": []}, price=0.5, success=0.5, discount=0.5)
        problem = MultiLevelMDP(None, [level], values=[0.0, 1.0])
        result = found(problem, "reachable")
        # V = -1/2 + 1/2 (1 + 1/2 * 2) + 1/2 (0 + V / 2)
        assert result.value == pytest.approx(2.0 / 3.0)
        # C = 1/2 + 1/2 * C / 2
        assert result.cost == pytest.approx(2.0 / 3.0)
        dear = dataclasses.replace(level, costs=20.0 * level.costs)
        assert found(MultiLevelMDP(None, [dear], values=[0.0, 1.0]), "reachable").value == 0.0

    def test_reachable_goes_by_what_is_worth_more_on_the_way(self) -> None:
        moves = {"start": ["bad", "good"], "bad": ["end"], "good": ["end"], "end": []}
        problem = MultiLevelMDP(None, [Level.graph(moves, discount=0.9)], values=[0.0, -1.0, 3.0, 4.0])
        assert found(problem, "reachable").value == pytest.approx(3.0 + 0.9 * 40.0)

    def test_reachable_is_refused_where_one_can_stay_nowhere(self) -> None:
        problem = MultiLevelMDP(None, [Level([[[0.5, 0.5], [0.5, 0.5]]], [[0.0], [0.0]], discount=0.5)], values=[0.0, 1.0])
        with pytest.raises(SolverFailed, match="no state that can be reached and stayed in"):
            found(problem, "reachable")

    def test_none_takes_of_the_cheapest_actions_that_which_changes_least(self) -> None:
        kernel = [[[0.0, 1.0], [1.0, 0.0]], [[0.9, 0.1], [0.1, 0.9]], [[1.0, 0.0], [0.0, 1.0]]]
        level = Level(kernel, [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]], discount=0.5)
        assert found(MultiLevelMDP(None, [level], values=[0.0, 1.0]), "none").policies[1].tolist() == [[1, 1]]


class TestLevels:
    """Those of `reworld.changing.levels`."""

    @pytest.mark.parametrize("make", [bilevel, three, river_swim_levels])
    def test_are_worth_what_they_are(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        levels = make()
        models = [exact_model(levels.world, values) for values in levels.values]
        expected = levels.levels[-1].start @ solve_levels(models, levels.levels, levels.discount)
        problem = MultiLevelMDP.of_levels(levels)
        assert problem.names == levels.names
        assert found(problem).value == pytest.approx(expected, rel=1e-9)
        monkeypatch.setattr(multi_level, "_AT_A_TIME", 1)
        assert found(MultiLevelMDP.of_levels(levels)).value == found(problem).value

    def test_lead_on_from_where_the_world_ended(self) -> None:
        level = Level.graph({"calm": ["windy"], "windy": []}, discount=0.5)
        levels = Levels(
            "reworld.worlds.block_world:block_world", {"calm": {"slip": 0.0}, "windy": {"slip": 0.5}}, [level], 0.99
        )
        model = exact_model(levels.world, levels.values[0])
        worth = model.start @ optimum(model.kernel, model.expected_rewards, 0.99)
        assert found(MultiLevelMDP.of_levels(levels)).value == pytest.approx(2.0 * worth, rel=1e-9)
        with pytest.raises(InvalidOption, match="has states in which it ends, and all levels with it"):
            MultiLevelMDP.of_levels(dataclasses.replace(levels, persistent=True))

    def test_of_a_number_of_steps_are_refused(self) -> None:
        with pytest.raises(InvalidOption, match="Level 0 has steps=500 and discount=1: give it steps=None"):
            MultiLevelMDP.of_levels(cartpole_levels())


STAY = np.eye(2)[None]
ROUND = Level.graph({"a": ["b"], "b": ["a"]}, discount=0.5)
WORLDS = MDP(np.ones((2, 1, 1, 1)), [[[1.0]], [[2.0]]], 0.9)


class TestRefusals:
    @pytest.mark.parametrize(
        ("terms", "message"),
        [
            ({"values": None}, "Give either worlds, or the values that they have"),
            ({"worlds": WORLDS}, "one of the two, and not both"),
            ({"values": [[1.0, 2.0]]}, r"values has shape \(1, 2\): give one number for each kernel"),
            ({"values": [1.0, np.nan]}, r"values\[1\] is nan"),
            (
                {"values": None, "worlds": MDP(np.ones((1, 1, 1)), [[1.0]], 0.9)},
                r"worlds is a stack of shape \(\): give one of",
            ),
            ({"values": None, "worlds": WORLDS.to("cpu")}, "worlds holds tensors"),
            ({"values": [1.0, 2.0, 3.0]}, "Level 1 has 2 states, and there are 3 configurations"),
            ({"levels": []}, "There is no level above the world"),
            ({"names": ("a",)}, "1 kernels of level 0 are named, and there are 2"),
            ({"levels": [dataclasses.replace(ROUND, steps=3)]}, "Level 1 has steps=3, and what is best would depend"),
            ({"levels": [dataclasses.replace(ROUND, discount=1.0)]}, "Level 1 has discount=1.0 and may never end"),
            ({"order": "run_last"}, "order='run_last' is unknown: give one of configure_first, run_first"),
            ({"order": "run_first", "persistent": True}, "order='run_first' is of levels that begin anew"),
            ({"epoch": 0}, "epoch=0: give a number of steps of the world"),
            ({"epoch": 2, "persistent": True}, "epoch=2: give it with one level, and without persistent=True"),
            ({"values": None, "worlds": WORLDS, "epoch": 2}, "Level 1 has discount=0.5, and an epoch of 2 steps of a world of"),
            (
                {"levels": [Level(STAY, np.zeros((2, 1)), discount=0.5)], "names": ("dry", "wet")},
                "Level 1 can never reach 1 of its 2 states from its start, whatever is done: 'wet'. Give it actions",
            ),
        ],
    )
    def test_of_a_problem(self, terms: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            MultiLevelMDP(**{"worlds": None, "levels": [ROUND], "values": [1.0, 2.0], **terms})

    def test_of_a_state_that_only_a_kernel_leads_to_which_is_never_in_force(self) -> None:
        moving = np.array([[[[0.0, 1.0], [0.0, 1.0]]]])
        lower = Level(np.concatenate([STAY[None], moving]), np.zeros((2, 1)), discount=0.5, names=("hand", "machine"))
        upper = Level(STAY, np.zeros((2, 1)), discount=0.5)
        with pytest.raises(InvalidOption, match=r"Level 2 can never reach 1 of its 2 states .*: 'machine'"):
            MultiLevelMDP(None, [lower, upper], values=[1.0, 2.0])
        buying = Level(moving[0], np.zeros((2, 1)), discount=0.5)
        assert found(MultiLevelMDP(None, [lower, buying], values=[1.0, 2.0])).value == pytest.approx(8.0)

    def test_of_a_state_that_two_kernels_lead_to_of_which_one_is_in_force_in_an_episode(self) -> None:
        one, two = np.eye(3)[[1, 1, 2]], np.eye(3)[[0, 2, 2]]
        lower = Level([[one], [two]], np.zeros((3, 1)), discount=0.5)
        upper = Level([[[0.5, 0.5], [0.5, 0.5]]], np.zeros((2, 1)), discount=0.5)
        with pytest.raises(InvalidOption, match=r"Level 1 can never reach 1 of its 3 states .*: '2'"):
            MultiLevelMDP(None, [lower, upper], values=[0.0, 0.0, 1.0])
        assert found(MultiLevelMDP(None, [lower, upper], values=[0.0, 0.0, 1.0], persistent=True), "flat").value > 0.0

    def test_of_rewards_that_may_be_of_transitions_or_of_actions_in_each_kernel(self) -> None:
        rewards = np.arange(8.0).reshape(2, 2, 2)
        with pytest.raises(
            InvalidOption, match=r"rewards has shape \(2, 2, 2\): those of transitions, or those of actions in each"
        ):
            MDP(np.full((2, 2, 2, 2), 0.5), rewards, 0.9)
        of_actions = MDP(np.full((2, 2, 2, 2), 0.5), np.broadcast_to(rewards[..., None], (2, 2, 2, 2)), 0.9)
        np.testing.assert_array_equal(of_actions.expected_rewards, rewards)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"solver": "guess"}, "solver='guess' is unknown: give one of policy_iteration, value_iteration"),
            ({"epsilon": 0.0}, "epsilon=0.0: give a number above 0"),
        ],
    )
    def test_of_an_option(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            found(load("bilevel_6state").problem, **options)
