"""Making a world changeable: which branches and observations it gets, what changes cost, and what is refused."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import reworld
from reworld.changing import Changing, Cost, SetUp, change
from reworld.engine.kernels import kernels
from reworld.environment import WorldEnv
from reworld.errors import InvalidConfiguration, InvalidOption, InvalidWorld
from reworld.finite import exact_model
from reworld.testing import CHECKS
from reworld.worlds import cartpole
from reworld.worlds.block_world import block_world
from reworld.worlds.tabular import tabular
from uncompiled import PlainEnv
from worlds import panel
from worlds.changeable import SETTINGS, WINDS, choosing
from worlds.ring import ring

CARTPOLE = cartpole.WORLD
NAMED = {"mode": "choose", "configurations": WINDS}


def branches_of(world: Any) -> list[Any]:
    return [(b.name, [(p.name, p.low, p.high, p.unit) for p in b.parameters]) for b in world.branches]


class TestBranches:
    """They follow those of the world itself."""

    def test_set(self) -> None:
        world = change(CARTPOLE, Changing(parameters=("gravity", "wind")))
        assert world.name == "ConfigurableCartPole"
        assert len(world.branches) - world.own_branches == 2
        assert branches_of(world) == [
            ("left", []),
            ("right", []),
            ("set_gravity", [("value", 1.0, 30.0, "m/s²")]),
            ("set_wind", [("value", 0.0, 30.0, "N")]),
        ]

    def test_shift(self) -> None:
        offer = Changing(parameters={"gravity": (5.0, 15.0)}, mode="shift", largest_shift=0.25)
        assert branches_of(change(CARTPOLE, offer))[2:] == [("shift_gravity", [("amount", -2.5, 2.5, "m/s²")])]

    def test_choose(self) -> None:
        world = change(CARTPOLE, choosing())
        assert branches_of(world)[2:] == [("choose_calm", []), ("choose_gale", []), ("choose_storm", [])]

    def test_a_discrete_choice_becomes_hybrid_where_changes_have_parameters(self) -> None:
        assert WorldEnv(CARTPOLE, changing=choosing()).action_space == gymnasium.spaces.Discrete(5)
        space = WorldEnv(CARTPOLE, changing=Changing(parameters={"wind": [0.0, 20.0]})).action_space
        assert isinstance(space, gymnasium.spaces.Tuple)
        assert space[0] == gymnasium.spaces.Discrete(3)
        assert [box.shape for box in space[1]] == [(0,), (0,), (1,)]
        assert (space[1][2].low, space[1][2].high) == (0.0, 20.0)

    def test_what_is_nominal_becomes_the_default(self) -> None:
        nominal = {"gravity": 12.0}
        assert change(CARTPOLE, Changing(parameters=("wind",), nominal=nominal)).default_configuration[0] == 12.0
        world = change(CARTPOLE, Changing(mode="choose", configurations={"gale": {"wind": 15.0}, "calm": {"wind": 0.0}}))
        assert world.default_configuration[9] == 15.0
        assert CARTPOLE.default_configuration[9] == 0.0

    def test_the_policy_is_that_of_the_set_up(self) -> None:
        def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
            return 2, ()

        assert change(CARTPOLE, choosing()).policy is None
        assert change(CARTPOLE, SetUp(choosing(), CARTPOLE.policy, configuring)).policy is configuring


class TestObservation:
    """Exact entries: names, bounds, and what they show."""

    def entries(self, world: Any, **named: Any) -> list[tuple[str, float, float]]:
        extra = change(world, Changing(**named)).observation[len(world.observation) :]
        return [(entry.name, entry.low, entry.high) for entry in extra]

    def test_hidden_is_as_without_changes(self) -> None:
        assert change(CARTPOLE, Changing(parameters=("wind",), observation="hidden")).observation == CARTPOLE.observation
        assert change(ring(), Changing(parameters=("slip",), observation="hidden")).observation == 5

    def test_appended_are_shares_of_the_changeable_range(self) -> None:
        # Gravity may begin anywhere within [1, 30]: these are -0.4 and 2.5 of the range within which it may be changed.
        entries = self.entries(CARTPOLE, parameters={"wind": (0.0, 30.0), "gravity": (5.0, 15.0)})
        assert entries == [("wind", 0.0, 1.0), ("gravity", -0.4, 2.5)]

    def test_appended_are_all_that_the_future_depends_on(self) -> None:
        entries = self.entries(
            CARTPOLE, parameters=("wind",), takes_effect="next_epoch", epoch=4, budget=2.0, observe_budget=True
        )
        assert entries == [(name, 0.0, 1.0) for name in ("wind", "next_wind", "epoch", "budget")]

    def test_a_flat_box_stays_a_flat_box(self) -> None:
        space = WorldEnv(CARTPOLE, changing=Changing(parameters=("wind", "gravity"))).observation_space
        assert isinstance(space, gymnasium.spaces.Box)
        assert (space.shape, space.dtype) == ((6,), np.float32)

    @pytest.mark.parametrize(
        ("named", "count"),
        [
            ({}, 5 * 3),
            ({"takes_effect": "next_epoch"}, 5 * 3 * 3),
            ({"epoch": 4}, 5 * 3 * 4),
            ({"epoch": "episode"}, 5 * 3 * 2),
            ({"epoch": 4, "takes_effect": "next_epoch"}, 5 * 3 * 3 * 4),
            ({"budget": 1.0}, 5 * 3),
        ],
    )
    def test_a_number_stays_a_number_where_configurations_are_chosen(self, named: dict[str, Any], count: int) -> None:
        slips = {"low": {"slip": 0.1}, "middle": {"slip": 0.5}, "high": {"slip": 0.9}}
        world = change(ring(), Changing(mode="choose", configurations=slips, **named))
        assert world.observation == count
        assert world.states == 5

    @pytest.mark.parametrize(
        "named",
        [
            {"parameters": ("slip",)},
            {"mode": "choose", "configurations": {"a": {}, "b": {"slip": 1.0}}, "observe_budget": True},
        ],
    )
    def test_a_number_becomes_an_entry_where_more_is_observed(self, named: dict[str, Any]) -> None:
        world = change(ring(), Changing(**named, budget=1.0))
        assert [(e.name, e.low, e.high) for e in world.observation][:2] == [("state", 0.0, 4.0), ("slip", 0.0, 1.0)]

    def test_dict(self) -> None:
        offer = Changing(
            parameters=("slip",), observation="dict", epoch=3, takes_effect="next_epoch", budget=1.0, observe_budget=True
        )
        space = WorldEnv(ring(), changing=offer).observation_space
        assert isinstance(space, gymnasium.spaces.Dict)
        share = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
        others = dict.fromkeys(("configuration", "next_configuration", "epoch", "budget"), share)
        assert dict(space) == {"observation": gymnasium.spaces.Discrete(5), **others}
        inner = WorldEnv(CARTPOLE, changing=dataclasses.replace(offer, parameters=("wind",))).observation_space["observation"]
        assert inner == WorldEnv(CARTPOLE).observation_space


class TestPricesOfNamedConfigurations:
    """Against their definitions; ``PRICES[i, j]`` is that of going from the i-th to the j-th."""

    shares = np.array([[0.0, 0.0], [0.0, 0.5], [0.5, 1.0]])  # Friction and wind, in the order of the world's parameters.

    @pytest.mark.parametrize(
        ("cost", "law"),
        [
            (Cost(scale=3.0), lambda x: 3.0 * x),
            (Cost(kind="quadratic", scale=3.0), lambda x: 3.0 * x**2),
            (Cost(kind="exponential", scale=3.0, rate=2.0), lambda x: 3.0 * np.expm1(2.0 * x)),
        ],
        ids=["l1", "quadratic", "exponential"],
    )
    def test_distances(self, cost: Cost, law: Callable[[Any], Any]) -> None:
        weighted = dataclasses.replace(cost, weights={"friction": 5.0})
        prices = change(CARTPOLE, choosing(cost=weighted)).constants["PRICES"]
        apart = law(np.abs(self.shares[:, None] - self.shares))
        # Wind is the tenth parameter, friction the eleventh.
        np.testing.assert_allclose(prices, apart[..., 1] + 5.0 * apart[..., 0], rtol=1e-12)

    def test_prices_of_moves_stand_in_place_of_a_cost(self) -> None:
        moves = {"calm": {"gale": 60.0}, "gale": {"calm": 1.0, "storm": 2.0}}
        constants = change(CARTPOLE, choosing(moves=moves)).constants
        assert constants["MOVES"].tolist() == [[False, True, False], [True, False, True], [False, False, False]]
        assert constants["PRICES"].tolist() == [[0.0, 60.0, 0.0], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]

    @pytest.mark.parametrize("world", [block_world(), tabular()], ids=["Block-world", "Tabular"])
    @pytest.mark.parametrize("kind", ["kl", "wasserstein"])
    def test_kernels(self, world: Any, kind: str) -> None:
        name = world.parameters[0].name if world.name == "BlockWorld" else "p_2_1_3"
        named = [{name: value} for value in (0.3, 0.6, 1.0)]
        offer = Changing(mode="choose", configurations=dict(zip("abc", named, strict=True)), cost=Cost(kind=kind, scale=2.0))
        prices = change(world, offer).constants["PRICES"]
        kernels = [exact_model(world, each).kernel for each in named]
        for (i, old), (j, new) in itertools.product(enumerate(kernels), repeat=2):
            if kind == "wasserstein":
                # On a line it is the area between the distribution functions.
                expected = sum(
                    abs(float(new[s, a, : t + 1].sum() - old[s, a, : t + 1].sum())) for s, a, t in np.ndindex(new.shape)
                )
            else:
                expected = sum(
                    float(p) * (math.log(p / q) if q > 0.0 else math.inf)
                    for p, q in zip(new.flat, old.flat, strict=True)
                    if p > 0.0
                )
            np.testing.assert_allclose(prices[i, j], 2.0 * expected, rtol=1e-9, atol=1e-12)
        assert (np.diag(prices) == 0.0).all()

    def test_kernels_by_a_metric_between_the_states(self) -> None:
        named: dict[str, dict[str, float]] = {"plain": {}, "other": {"p_0_1_0": 0.4, "p_0_1_4": 0.2, "p_0_1_5": 0.9}}

        def price(metric: Any) -> float:
            cost = Cost(kind="wasserstein", scale=2.0, metric=metric)
            return float(change(tabular(), Changing(mode="choose", configurations=named, cost=cost)).constants["PRICES"][0, 1])

        old, new = (exact_model(tabular(), each).kernel[0, 1] for each in named.values())
        line = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
        assert price(line) == pytest.approx(price(None), rel=1e-9)
        assert price(3 * line) == pytest.approx(3.0 * price(None), rel=1e-9)
        # If all states are equally far from each other, what counts is how much is moved.
        assert price(1.0 - np.eye(6)) == pytest.approx(np.abs(new - old).sum(), rel=1e-9)
        # On a ring state 5 is next to state 0.
        ring_of_states = np.minimum(line, 6 - line)
        assert price(ring_of_states) < price(line)
        two_laws = 2.0 * min(float(np.abs(np.cumsum(new - old) - level).sum()) for level in np.cumsum(new - old))
        assert price(ring_of_states) == pytest.approx(two_laws, rel=1e-9)

    def test_a_metric_may_be_an_array(self) -> None:
        costs = [Cost(kind="wasserstein", metric=1.0 - np.eye(2)) for _ in range(2)]  # type: ignore[arg-type]
        assert costs[0] == costs[1] == Cost(kind="wasserstein", metric=[[0.0, 1.0], [1.0, 0.0]])

    @pytest.mark.parametrize(
        "metric",
        [[[0.0, 1.0], [1.0, 0.0]], [[0.0]] * 5 + [[]], -np.eye(6), np.triu(np.ones((6, 6))), np.full((6, 6), np.inf), "near"],
        ids=["size", "ragged", "negative", "one way", "infinite", "word"],
    )
    def test_what_is_no_metric(self, metric: Any) -> None:
        offer = {
            "mode": "choose",
            "configurations": {"a": {}, "b": {"p_0_1_0": 0.5}},
            "cost": {"kind": "wasserstein", "metric": metric},
        }
        with pytest.raises(InvalidOption, match="give the distances between all 6 states of Tabular, finite, at least 0"):
            change(tabular(), offer)

    def test_a_metric_elsewhere(self) -> None:
        with pytest.raises(InvalidOption, match="A metric goes with the cost 'wasserstein', not with 'kl'"):
            Cost(kind="kl", metric=[[0.0]])
        with pytest.raises(InvalidOption, match="A metric compares named configurations"):
            change(tabular(), {"parameters": ["p_0_0_0"], "cost": {"kind": "wasserstein", "metric": np.eye(6)}})

    def test_what_was_impossible_costs_infinitely_much(self) -> None:
        named = {"dry": {"slip": 0.0}, "wet": {"slip": 0.5}}
        offer = Changing(mode="choose", configurations=named, cost=Cost(kind="kl"))
        dry_to_wet, wet_to_dry = change(block_world(), offer).constants["PRICES"][[0, 1], [1, 0]]
        assert math.isinf(dry_to_wet)
        assert 0.0 < wet_to_dry < math.inf


class TestEquality:
    """Worlds that are changed in the same way share their compiled code; others do not."""

    def test_of_what_was_made_twice(self) -> None:
        first, second = (change(CARTPOLE, choosing(cost=Cost(weights={"wind": 2.0}))) for _ in range(2))
        assert first is not second
        assert first == second
        assert kernels(first) is kernels(second)

    @pytest.mark.parametrize(
        "other", [choosing(failure=0.1), choosing(observation="hidden"), choosing(nominal={"gravity": 12.0})]
    )
    def test_not_of_what_differs(self, other: Changing) -> None:
        assert change(CARTPOLE, choosing()) != change(CARTPOLE, other)
        assert kernels(change(CARTPOLE, choosing())) is not kernels(change(CARTPOLE, other))


class TestRefusals:
    @pytest.mark.parametrize(
        ("offer", "error", "said"),
        [
            ({"parameters": ("gravty",)}, InvalidConfiguration, r"CartPole has no parameter 'gravty'\. Did you mean 'gravity'"),
            ({"parameters": ("wind", "wind")}, InvalidOption, "names one twice"),
            ({"parameters": {"wind": (0.0, 40.0)}}, InvalidConfiguration, r"wind may be changed within \(0\.0, 40\.0\)"),
            ({"parameters": {"wind": (5.0, 5.0)}}, InvalidConfiguration, r"give \(low, high\) within its own \[0, 30\]"),
            ({"parameters": {"wind": (1.0, 2.0, 3.0)}}, InvalidConfiguration, r"give \(low, high\)"),
            ({"parameters": {"wind": 7.0}}, InvalidConfiguration, r"give \(low, high\)"),
            ({"parameters": {"wind": (0.0, "much")}}, InvalidConfiguration, r"give \(low, high\)"),
            (
                {"parameters": {"wind": (5.0, 9.0)}},
                InvalidConfiguration,
                "but begins at 0: give a wider range, or a nominal value",
            ),
            ({"parameters": ("wind",), "nominal": {"wnd": 1.0}}, InvalidConfiguration, "no parameter 'wnd'"),
            (
                {"parameters": ("wind",), "nominal": {"gravity": 0.5}},
                InvalidConfiguration,
                r"gravity=0\.5 is outside \[1, 30\] m/s²",
            ),
            ({"parameters": ("wind",), "nominal": {"wind": float("nan")}}, InvalidConfiguration, "wind=nan is outside"),
            ({"parameters": ("wind",), "nominal": {"wind": "much"}}, InvalidConfiguration, "wind='much'"),
            (
                {"parameters": ("wind",), "cost": {"weights": {"gravity": 1.0}}},
                InvalidOption,
                "a weight for 'gravity', which cannot",
            ),
            ({"parameters": ("wind",), "cost": {"kind": "kl"}}, InvalidOption, "choose another cost, or mode='choose'"),
            ({**NAMED, "cost": {"kind": "wasserstein"}}, InvalidOption, "compares transition kernels, and CartPole has none"),
            (
                {**NAMED, "nominal": {"wind": 3.0}, "configurations": {"a": {"wind": 1.0}, "b": {}}},
                InvalidOption,
                "leave one of",
            ),
            (
                {"mode": "choose", "configurations": {"a": {}, "b": {"wind": 0.0}}},
                InvalidOption,
                "Two configurations are the same",
            ),
            ({"mode": "choose", "configurations": {"a": {}, "b": {"wynd": 1.0}}}, InvalidConfiguration, "Did you mean 'wind'"),
            (
                {"mode": "choose", "configurations": {"a": {}, "b": {"wind": 31.0}}},
                InvalidConfiguration,
                r"wind=31\.0 is outside",
            ),
            (
                {**NAMED, "moves": {"calm": {"gale": 1.0}}, "cost": {"scale": 2.0}},
                InvalidOption,
                "Moves with prices need no cost",
            ),
            ({**NAMED, "moves": {"calm": {"gale": 1.0}}, "budget_per": "use"}, InvalidOption, "their use cannot be paid for"),
        ],
    )
    def test_what_does_not_fit_the_world(self, offer: dict[str, Any], error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said):
            change(CARTPOLE, offer)

    @pytest.mark.parametrize(
        "mode", [{"parameters": ("p_0_0_0",)}, {"mode": "choose", "configurations": {"a": {}, "b": {"p_0_0_0": 0.5}}}]
    )
    def test_weights_of_rows(self, mode: dict[str, Any]) -> None:
        with pytest.raises(InvalidOption, match="leave out its weights"):
            change(tabular(), {**mode, "cost": {"kind": "kl", "weights": {"p_0_0_0": 2.0}}})

    def test_a_world_that_is_changeable_already(self) -> None:
        with pytest.raises(InvalidOption, match="ConfigurableCartPole is changeable already: give one Changing"):
            change(change(CARTPOLE, choosing()), choosing())

    def test_a_configurable_id_takes_another_offer_in_place_of_its_own(self) -> None:
        env = gymnasium.make("reworld/ConfigurableCartPole-v0", changing={"parameters": ["gravity"]})
        assert [branch.name for branch in env.unwrapped.world.branches] == ["left", "right", "set_gravity"]  # type: ignore[attr-defined]

    def test_a_constant_that_changing_needs(self) -> None:
        with pytest.raises(InvalidWorld, match="has a constant 'BUDGET', which changing needs"):
            change(dataclasses.replace(CARTPOLE, constants={"BUDGET": 3.0}), choosing())

    def test_a_world_that_is_observed_as_a_dictionary(self) -> None:
        parts = dataclasses.replace(CARTPOLE, observation={"all": CARTPOLE.observation})
        with pytest.raises(InvalidOption, match="give observation='hidden'"):
            change(parts, choosing())
        assert change(parts, choosing(observation="hidden")).observation == parts.observation


class TestSpecs:
    """What ``gymnasium.make`` was given survives JSON."""

    @pytest.mark.parametrize(
        "offer",
        [
            Changing(parameters={"gravity": (5.0, 15.0)}, cost=Cost(kind="quadratic", weights={"gravity": 2.0}), budget=1.0),
            {"parameters": ["gravity"], "mode": "shift", "epoch": "episode", "takes_effect": "next_epoch"},
            choosing(moves={"calm": {"gale": 5.0}, "gale": {"storm": 0.0}}, failure=0.5),
            "reworld.changing.recommended.cartpole:SET_UP",
            "reworld.changing.recommended.cartpole:CHANGING",
        ],
        ids=["Changing", "dictionary", "moves", "set-up", "name"],
    )
    def test_survive_json(self, offer: Any) -> None:
        made = gymnasium.make("reworld/CartPole-v0", changing=offer)
        assert made.spec is not None
        again = gymnasium.make(EnvSpec.from_json(made.spec.to_json()))
        worlds = [env.unwrapped.world for env in (made, again)]  # type: ignore[attr-defined]
        assert [branches_of(worlds[0]), worlds[0].observation] == [branches_of(worlds[1]), worlds[1].observation]
        constants = [
            {name: value if callable(value) else np.asarray(value).tolist() for name, value in w.constants.items()}
            for w in worlds
        ]
        assert constants[0] == constants[1]

    def test_every_world_has_a_configurable_twin(self) -> None:
        worlds = {id.split("/")[1].split("-")[0] for id in gymnasium.registry if id.startswith("reworld/")}
        plain = {name for name in worlds if not name.startswith("Configurable")}
        assert len(plain) == 10
        assert worlds - plain == {f"Configurable{name}" for name in plain}


@pytest.fixture(params=SETTINGS)
def temporary_id(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a setting, registered for one test."""
    world, changing = SETTINGS[request.param]
    id = f"temporary/{request.param}-v0"
    reworld.register(id, world, 40, changing=dataclasses.asdict(changing))
    yield id
    del gymnasium.registry[id]


@pytest.mark.xdist_group("changeable worlds")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_changeable_world_keeps_the_contract(temporary_id: str, check: Callable[[str], None]) -> None:
    check(temporary_id)


def test_plain_environments_are_what_they_say() -> None:
    # Most tests of changes run uncompiled.
    plain, compiled = (kind(panel.WORLD, changing=Changing(parameters=("pay",), failure=0.5)) for kind in (PlainEnv, WorldEnv))
    compiled.action_space.seed(0)
    assert plain.reset(seed=0)[0].tolist() == compiled.reset(seed=0)[0].tolist()
    for _ in range(50):
        action = compiled.action_space.sample()
        found, expected = (env.step(action) for env in (plain, compiled))
        assert (found[0].tolist(), *found[1:4]) == (expected[0].tolist(), *expected[1:4])
        assert {key: np.asarray(value).tolist() for key, value in found[4].items()} == {
            key: np.asarray(value).tolist() for key, value in expected[4].items()
        }
