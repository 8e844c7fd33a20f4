"""What a model-changing action does: to the configuration, to time, and to the account.

Nearly everything here runs uncompiled; `test_change.py` proves that a changeable world gives the same bits compiled.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from reworld.changing import Changing, Cost
from reworld.environment import WorldEnv
from reworld.testing import INFO_KEYS
from reworld.vector import WorldVectorEnv
from reworld.worlds import cartpole
from reworld.worlds.tabular import tabular
from uncompiled import PlainEnv
from worlds import panel
from worlds.ring import ring

PANEL, CARTPOLE = panel.WORLD, cartpole.WORLD
"""Panel's only parameter, ``pay``, is the reward of every step: 0.5 by default, and anything from 0 to 1."""

WINDS: dict[str, dict[str, float]] = {"calm": {}, "gale": {"wind": 15.0}, "storm": {"wind": 30.0, "friction": 2.5}}
LAWS: dict[str, Callable[[float], float]] = {
    "l1": lambda x: 3.0 * x,
    "quadratic": lambda x: 3.0 * x * x,
    "exponential": lambda x: 3.0 * (math.exp(2.0 * x) - 1.0),
}


def begin(world: Any, draw: Any = None, seed: int = 0, configuration: Any = None, **named: Any) -> PlainEnv:
    """A changeable world at the beginning of an episode."""
    env = PlainEnv(world, Changing(**named), draw)
    env.reset(seed=seed, options=None if configuration is None else {"configuration": configuration})
    return env


def paying(draw: Any = None, **named: Any) -> PlainEnv:
    """Panel, whose pay may be changed."""
    return begin(PANEL, draw, **{"parameters": ("pay",), **named})


def choosing(draw: Any = None, seed: int = 0, configuration: Any = None, **named: Any) -> PlainEnv:
    """CartPole, whose wind may be chosen."""
    return begin(CARTPOLE, draw, seed, configuration, mode="choose", configurations=WINDS, **named)


def act(env: WorldEnv, name: str, *x: float) -> Any:
    """Take a branch by its name: its own parameters in full precision, zeros for the others."""
    number = [branch.name for branch in env.world.branches].index(name)
    if env.world.branch_offsets[-1] == 0:
        return env.step(number)
    own: list[Any] = [[0.0] * len(branch.parameters) for branch in env.world.branches]
    own[number] = x
    return env.step((number, own))


def pay_of(env: WorldEnv) -> float:
    """What a primitive step pays, less what it costs to use the configuration."""
    return float(act(env, "press")[1])


def value(env: WorldEnv, name: str) -> float:
    return float(env.configuration[[parameter.name for parameter in env.world.parameters].index(name)])


def possible(env: WorldEnv) -> list[str]:
    """The configuring branches that are not masked."""
    allowed = np.flatnonzero(env.action_mask)
    assert set(range(env.world.own_branches)) <= set(allowed.tolist())
    return [env.world.branches[k].name for k in allowed if k >= env.world.own_branches]


def everything(env: WorldEnv) -> dict[str, Any]:
    """All that the future depends on, and the account of the last step left out."""
    state = env.get_state()
    changes = {name: state["state"]["changes"][name].tolist() for name in state["state"]["changes"].dtype.names}
    for name in ("cost", "configured"):
        del changes[name]
    inner = {name: float(state["state"][name]) for name in env.world.state}
    return {**changes, **inner, "values": state["configuration"]["values"].tolist(), "generator": state["generator"].tobytes()}


class TestSet:
    def test_a_parameter_to_a_value(self) -> None:
        env = paying()
        _, reward, terminated, truncated, info = act(env, "set_pay", 0.75)
        assert (reward, terminated, truncated) == (-0.25, False, False)
        assert (info["cost"], info["configured"], info["configuration"].tolist()) == (0.25, True, [0.75])
        assert [pay_of(env), pay_of(env)] == [0.75, 0.75]

    def test_no_farther_than_the_changeable_range(self) -> None:
        env = begin(CARTPOLE, parameters={"gravity": (5.0, 15.0)})
        act(env, "set_gravity", 29.0)
        assert value(env, "gravity") == 15.0
        act(env, "set_gravity", -29.0)
        assert value(env, "gravity") == 5.0

    def test_only_that_parameter(self) -> None:
        env = begin(CARTPOLE, parameters=("gravity", "wind"))
        before = env.configuration
        act(env, "set_wind", 7.0)
        changed = np.flatnonzero(env.configuration != before).tolist()
        assert [env.world.parameters[k].name for k in changed] == ["wind"]

    def test_the_value_that_is_in_force_changes_nothing(self) -> None:
        env = paying(failure=0.5)
        before = everything(env)
        _, reward, _, _, info = act(env, "set_pay", 0.5)
        assert (reward, info["cost"], info["configured"]) == (0.0, 0.0, False)
        assert everything(env) == before

    @pytest.mark.parametrize(("name", "nominal", "way"), [("pole_mass", 0.1, (0.7, 0.9)), ("wind", 0.0, (3.3, 5.2, 7.7))])
    def test_one_shift_back_to_the_nominal_value_is_exact_too(self, name: str, nominal: float, way: tuple[float, ...]) -> None:
        env = begin(CARTPOLE, parameters=(name,), mode="shift")
        for amount in way:
            act(env, f"shift_{name}", float(np.float32(amount)))
        back = np.float32(nominal - value(env, name))
        assert value(env, name) + float(back) > nominal + 1.2e-7 * nominal
        act(env, f"shift_{name}", float(back))
        assert value(env, name) == nominal

    @pytest.mark.parametrize("mode", ["set", "shift"])
    def test_back_to_the_nominal_value_exactly_though_actions_are_float32(self, mode: str) -> None:
        env = begin(CARTPOLE, parameters=("pole_mass", "gravity"), mode=mode)
        for name, nominal, other in (("pole_mass", 0.1, 0.7), ("gravity", 9.8, 23.3)):
            way = (other - nominal, nominal - other) if mode == "shift" else (other, nominal)
            for x in way:
                act(env, f"{mode}_{name}", float(np.float32(x)))
            assert float(np.float32(nominal)) != nominal
            assert value(env, name) == nominal


class TestShift:
    def test_by_an_amount_from_the_last_value(self) -> None:
        env = paying(mode="shift")
        for amount, expected in ((0.25, 0.75), (0.125, 0.875), (-0.5, 0.375)):
            assert act(env, "shift_pay", amount)[1] == -abs(amount)
            assert value(env, "pay") == expected

    def test_by_the_largest_shift_at_most(self) -> None:
        env = begin(CARTPOLE, parameters={"gravity": (5.0, 15.0)}, mode="shift", largest_shift=0.25)
        act(env, "shift_gravity", 99.0)
        assert value(env, "gravity") == pytest.approx(12.3, rel=1e-12)
        act(env, "shift_gravity", -99.0)
        act(env, "shift_gravity", -99.0)
        assert value(env, "gravity") == pytest.approx(7.3, rel=1e-12)

    def test_no_farther_than_the_changeable_range(self) -> None:
        env = begin(CARTPOLE, parameters={"gravity": (5.0, 15.0)}, mode="shift")
        act(env, "shift_gravity", 8.0)
        assert value(env, "gravity") == 15.0

    def test_from_outside_of_the_range_only_towards_it(self) -> None:
        offer: Any = {"parameters": {"gravity": (5.0, 15.0)}, "mode": "shift", "largest_shift": 0.4}
        env = begin(CARTPOLE, configuration={"gravity": 25.0}, **offer)
        for amount, expected in ((0.0, 25.0), (2.0, 25.0), (-4.0, 21.0), (1.0, 21.0), (-4.0, 17.0), (-4.0, 13.0), (4.0, 15.0)):
            act(env, "shift_gravity", amount)
            assert value(env, "gravity") == expected


class TestChoose:
    def test_all_values_of_a_configuration(self) -> None:
        env = choosing()
        act(env, "choose_storm")
        assert (value(env, "wind"), value(env, "friction")) == (30.0, 2.5)
        # Friction is the storm's alone: elsewhere it has its nominal value.
        act(env, "choose_gale")
        assert (value(env, "wind"), value(env, "friction")) == (15.0, 0.0)

    def test_every_other_one_where_no_moves_are_given(self) -> None:
        env = choosing()
        assert possible(env) == ["choose_gale", "choose_storm"]
        act(env, "choose_gale")
        assert possible(env) == ["choose_calm", "choose_storm"]

    def test_along_the_moves(self) -> None:
        env = choosing(moves={"calm": ["gale"], "gale": ["storm", "calm"]})
        seen = []
        for name in ("storm", "gale", "storm", "gale"):
            seen.append(possible(env))
            act(env, f"choose_{name}")
        assert seen == [["choose_gale"], ["choose_gale"], ["choose_calm", "choose_storm"], []]
        assert value(env, "wind") == 30.0

    @pytest.mark.parametrize(("wind", "near"), [(7.0, "calm"), (8.0, "gale"), (20.0, "gale"), (29.0, "storm")])
    def test_from_another_configuration_as_from_the_nearest(self, wind: float, near: str) -> None:
        # A third of friction's range lies between gale and storm, which are half of wind's range apart.
        env = choosing(configuration={"wind": wind, "friction": 2.5 if near == "storm" else 0.0})
        assert possible(env) == [f"choose_{name}" for name in WINDS if name != near]

    def test_what_is_nearest_is_told_in_shares_of_the_ranges(self) -> None:
        # In shares of 30 N and 5 N s/m, the third is nearer by a thirtieth; in numbers the second would be, by far.
        named = {"calm": {}, "windy": {"wind": 9.0}, "rough": {"wind": 14.0, "friction": 1.0}}
        env = begin(CARTPOLE, configuration={"wind": 6.0, "friction": 1.0}, mode="choose", configurations=named)
        assert possible(env) == ["choose_calm", "choose_windy"]

    def test_prices_of_moves(self) -> None:
        env = choosing(moves={"calm": {"gale": 60.0}, "gale": {"calm": 7.0}})
        assert act(env, "choose_gale")[1] == -60.0
        assert act(env, "choose_calm")[1] == -7.0


class TestDynamicsStandStill:
    @pytest.mark.parametrize("way", [("set_wind", 3.0), ("choose_storm",)], ids=["set", "choose"])
    def test_while_the_world_is_changed(self, way: Any) -> None:
        env = choosing() if way[0].startswith("choose") else begin(CARTPOLE, parameters=("wind",))
        before = env.get_state()
        observation, *_ = act(env, *way)
        after = env.get_state()
        assert [after["state"][name] for name in CARTPOLE.state] == [before["state"][name] for name in CARTPOLE.state]
        assert after["generator"] == before["generator"]
        assert after["elapsed"] == before["elapsed"] + 1
        assert observation[:4].tolist() == [np.float32(before["state"][name]) for name in CARTPOLE.state]


class TestFailure:
    def test_below_the_given_probability(self) -> None:
        for draw, succeeds in ((0.2999, False), (0.3, True)):
            env = paying(lambda rng, low, high, draw=draw: draw, failure=0.3)
            assert act(env, "set_pay", 1.0)[4]["configured"] is succeeds
            assert value(env, "pay") == (1.0 if succeeds else 0.5)

    def test_as_often_as_it_should(self) -> None:
        count = 20_000
        envs = WorldVectorEnv(PANEL, count, changing=Changing(parameters=("pay",), failure=0.3))
        envs.reset(seed=0)
        info = envs.step((np.full(count, 3), np.full((count, 4), 1.0)))[-1]
        failed = int((~info["configured"]).sum())
        assert abs(failed - 0.3 * count) < 4.5 * (count * 0.3 * 0.7) ** 0.5
        assert (info["cost"] == 0.5).all()
        assert ((info["configuration"][:, 0] == 1.0) == info["configured"]).all()

    @pytest.mark.parametrize("takes_effect", ["at_once", "next_epoch"])
    def test_changes_nothing_but_costs(self, takes_effect: str) -> None:
        terms: Any = {"failure": 0.3, "budget": 5.0, "takes_effect": takes_effect}
        envs = [paying(lambda *_: 0.0, **terms), choosing(lambda *_: 0.0, **terms)]
        for env, way in zip(envs, (("set_pay", 1.0), ("choose_gale",)), strict=True):
            before, mask = everything(env), env.action_mask.tolist()
            _, reward, _, _, info = act(env, *way)
            assert (reward, info["cost"], info["configured"], info["budget_left"]) == (-0.5, 0.5, False, 4.5)
            assert everything(env) == {**before, "spent": 0.5}
            assert info["action_mask"].tolist() == mask

    def test_nothing_is_drawn_where_changes_cannot_fail(self) -> None:
        def never(*arguments: Any) -> float:
            raise AssertionError

        assert act(paying(never), "set_pay", 1.0)[4]["configured"]


class TestTime:
    """When changes are possible, and when they take effect: told from what each primitive step pays."""

    def test_at_once(self) -> None:
        env = paying()
        assert pay_of(env) == 0.5
        act(env, "set_pay", 1.0)
        assert pay_of(env) == 1.0

    @pytest.mark.parametrize("epoch", [1, 3])
    def test_from_the_next_epoch_on(self, epoch: int) -> None:
        env = paying(takes_effect="next_epoch", epoch=epoch)
        _, _, _, _, info = act(env, "set_pay", 1.0)
        assert (info["configured"], info["cost"], info["configuration"].tolist()) == (True, 0.5, [0.5])
        assert [pay_of(env) for _ in range(epoch + 2)] == [0.5] * epoch + [1.0, 1.0]

    def test_the_last_decision_counts_and_each_is_paid(self) -> None:
        env = paying(takes_effect="next_epoch")
        assert [act(env, "set_pay", x)[1] for x in (1.0, 0.75, 0.5, 0.5)] == [-0.5, -0.25, -0.25, 0.0]
        assert [pay_of(env), pay_of(env)] == [0.5, 0.5]

    @pytest.mark.parametrize("epoch", [1, 2, 5])
    def test_only_after_whole_epochs_of_primitive_steps(self, epoch: int) -> None:
        env, masks = paying(epoch=epoch), []
        for t in range(11):
            masks.append(possible(env) == ["set_pay"])
            wanted, before = float((t + 1) / 16), everything(env)
            _, _, _, _, info = act(env, "set_pay", wanted)
            assert info["configured"] is (t % epoch == 0)
            if t % epoch:
                assert info["cost"] == 0.0
                assert everything(env) == before
            pay_of(env)
        assert masks == [t % epoch == 0 for t in range(11)]

    def test_named_configurations_likewise(self) -> None:
        env = choosing(epoch=2)
        act(env, "left")
        before = everything(env)
        assert possible(env) == []
        assert not act(env, "choose_gale")[4]["configured"]
        assert everything(env) == before
        act(env, "left")
        assert act(env, "choose_gale")[4]["configured"]

    def test_any_number_of_changes_in_between(self) -> None:
        env = paying(epoch=4)
        for x in (0.25, 0.75, 1.0):
            act(env, "set_pay", x)
            assert possible(env) == ["set_pay"]
        assert pay_of(env) == 1.0

    def test_only_before_the_first_primitive_step_of_an_episode(self) -> None:
        env = paying(epoch="episode")
        act(env, "set_pay", 0.75)
        act(env, "set_pay", 1.0)
        assert pay_of(env) == 1.0
        for _ in range(5):
            assert possible(env) == []
            assert not act(env, "set_pay", 0.25)[4]["configured"]
            assert pay_of(env) == 1.0
        env.reset()
        assert possible(env) == ["set_pay"]
        assert pay_of(env) == 0.5

    def test_from_the_next_episode_on_and_for_that_one(self) -> None:
        env, paid = paying(epoch="episode", takes_effect="next_epoch"), []
        act(env, "set_pay", 1.0)
        for _ in range(3):
            paid.append([pay_of(env), pay_of(env)])
            env.reset()
        assert paid == [[0.5, 0.5], [1.0, 1.0], [0.5, 0.5]]


class TestResets:
    def test_begin_with_the_nominal_configuration(self) -> None:
        env = paying()
        act(env, "set_pay", 1.0)
        env.reset()
        assert pay_of(env) == 0.5

    def test_begin_where_the_last_episode_ended_if_that_is_asked_for(self) -> None:
        env = paying(survives_reset=True)
        act(env, "set_pay", 1.0)
        for _ in range(2):
            env.reset()
            assert pay_of(env) == 1.0

    def test_begin_with_what_was_decided_last_even_if_it_had_to_wait(self) -> None:
        env, paid = paying(survives_reset=True, epoch="episode", takes_effect="next_epoch"), []
        act(env, "set_pay", 1.0)
        for _ in range(3):
            paid.append(pay_of(env))
            env.reset()
        assert paid == [0.5, 1.0, 1.0]
        env = paying(survives_reset=True, epoch=9, takes_effect="next_epoch")
        act(env, "set_pay", 1.0)
        pay_of(env)
        env.reset()
        assert pay_of(env) == 1.0

    @pytest.mark.parametrize("waits", [{}, {"epoch": "episode", "takes_effect": "next_epoch"}], ids=["at once", "next episode"])
    @pytest.mark.parametrize("survives", [False, True])
    def test_a_seed_or_a_configuration_is_a_new_beginning(self, survives: bool, waits: dict[str, Any]) -> None:
        env = paying(survives_reset=survives, **waits)
        for arguments, paid in (({"seed": 4}, 0.5), ({"options": {"configuration": {"pay": 0.25}}}, 0.25)):
            act(env, "set_pay", 1.0)
            env.reset(**arguments)  # type: ignore[arg-type]
            assert pay_of(env) == paid

    def test_the_price_is_still_measured_from_the_nominal_configuration(self) -> None:
        env = paying(survives_reset=True, cost=Cost(measured_from="nominal"))
        act(env, "set_pay", 1.0)
        env.reset()
        assert act(env, "set_pay", 0.75)[4]["cost"] == 0.25
        assert act(env, "set_pay", 0.5)[4]["cost"] == 0.0

    def test_the_budget_is_whole_again(self) -> None:
        env = paying(survives_reset=True, budget=0.5)
        act(env, "set_pay", 1.0)
        assert env.reset()[1]["budget_left"] == 0.5

    @pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)
    @pytest.mark.parametrize("survives", [False, True])
    def test_of_a_batch_by_itself(self, survives: bool, mode: AutoresetMode) -> None:
        offer = Changing(parameters=("pay",), survives_reset=survives)
        envs = WorldVectorEnv(PANEL, 3, max_episode_steps=2, autoreset_mode=mode, changing=offer)
        envs.reset(seed=0)
        targets = np.array([0.25, 0.5, 1.0])
        envs.step((np.full(3, 3), np.repeat(targets[:, None], 4, axis=1)))
        for _ in range(2 if mode == AutoresetMode.NEXT_STEP else 1):
            _, _, _, _, info = envs.step((np.full(3, 1), np.zeros((3, 4))))
        expected = targets if survives else np.full(3, 0.5)
        assert info["configuration"][:, 0].tolist() == expected.tolist()
        assert envs.step((np.full(3, 1), np.zeros((3, 4))))[1].tolist() == expected.tolist()
        assert envs.reset(seed=1)[1]["configuration"][:, 0].tolist() == [0.5] * 3

    @pytest.mark.parametrize("reset", [{"seed": [None, 7, None]}, {"options": {"reset_mask": np.array([False, True, False])}}])
    def test_of_a_part_of_a_batch(self, reset: dict[str, Any]) -> None:
        envs = WorldVectorEnv(PANEL, 3, changing=Changing(parameters=("pay",), survives_reset=True))
        envs.reset(seed=0)
        envs.step((np.full(3, 3), np.ones((3, 4))))
        _, info = envs.reset(**reset)
        assert info["configuration"][:, 0].tolist() == ([1.0, 0.5, 1.0] if "seed" in reset else [1.0, 1.0, 1.0])


class TestCosts:
    """Against closed forms: a change is measured in shares of the range within which it is possible."""

    WAY = (0.8, 0.1, 0.1, 0.5, 0.0)

    @pytest.mark.parametrize("kind", LAWS)
    def test_from_the_last_configuration(self, kind: str) -> None:
        cost = Cost(kind=kind, scale=3.0, rate=2.0, weights={"pay": 2.0})
        env, last = paying(parameters={"pay": (0.0, 0.8)}, cost=cost), 0.5
        for target in self.WAY:
            _, reward, _, _, info = act(env, "set_pay", target)
            assert info["cost"] == pytest.approx(2.0 * LAWS[kind](abs(target - last) / 0.8), rel=1e-12)
            assert reward == -info["cost"]
            last = target

    @pytest.mark.parametrize("kind", LAWS)
    def test_from_the_nominal_configuration(self, kind: str) -> None:
        cost = Cost(kind=kind, scale=3.0, rate=2.0, weights={"pay": 2.0}, measured_from="nominal")
        env, last = paying(parameters={"pay": (0.0, 0.8)}, cost=cost), 0.5
        for target in self.WAY:
            expected = 2.0 * LAWS[kind](abs(target - 0.5) / 0.8) if target != last else 0.0
            assert act(env, "set_pay", target)[4]["cost"] == pytest.approx(expected, rel=1e-12)
            last = target

    def test_each_parameter_by_itself(self) -> None:
        cost = Cost(kind="quadratic", weights={"wind": 4.0}, measured_from="nominal")
        env = begin(CARTPOLE, parameters={"gravity": (4.8, 14.8), "wind": (0.0, 20.0)}, cost=cost)
        assert act(env, "set_gravity", 12.3)[4]["cost"] == pytest.approx(0.25**2, rel=1e-12)
        # What gravity deviates by was paid for when it was changed.
        assert act(env, "set_wind", 10.0)[4]["cost"] == pytest.approx(4.0 * 0.5**2, rel=1e-12)

    @pytest.mark.parametrize("measured_from", ["last", "nominal"])
    def test_of_named_configurations_are_sums_over_their_parameters(self, measured_from: str) -> None:
        cost = Cost(kind="quadratic", weights={"wind": 4.0}, measured_from=measured_from)
        env, last = choosing(cost=cost), np.zeros(2)
        for name in ("gale", "storm", "gale", "calm"):
            there = np.array([WINDS[name].get("wind", 0.0) / 30.0, WINDS[name].get("friction", 0.0) / 5.0])
            reference = last if measured_from == "last" else np.zeros(2)
            expected = float(np.array([4.0, 1.0]) @ (there - reference) ** 2)
            assert act(env, f"choose_{name}")[4]["cost"] == pytest.approx(expected, rel=1e-12)
            last = there

    def test_stay_out_of_the_reward_if_that_is_asked_for(self) -> None:
        env = paying(cost_in_reward=False, budget=2.0)
        _, reward, _, _, info = act(env, "set_pay", 1.0)
        assert (reward, info["cost"], info["budget_left"]) == (0.0, 0.5, 1.5)

    def test_do_not_last_longer_than_a_step(self) -> None:
        env = paying()
        act(env, "set_pay", 1.0)
        assert act(env, "press")[4]["cost"] == 0.0


KERNEL = np.array([[[0.5, 0.3, 0.2], [0.0, 1.0, 0.0]], [[0.2, 0.2, 0.6], [0.1, 0.0, 0.9]], [[0.3, 0.3, 0.4], [1.0, 0.0, 0.0]]])


def divergence(new: Any, old: Any) -> float:
    return float(sum(p * (math.log(p / q) if q else math.inf) for p, q in zip(new, old, strict=True) if p))


def transport(new: Any, old: Any) -> float:
    return float(np.abs(np.cumsum(new) - np.cumsum(old)).sum())


class TestCostsOfRows:
    """Single entries of a kernel are set: what is compared are rows, each divided by its sum."""

    ROW = ("p_0_0_0", "p_0_0_1", "p_0_0_2", "p_1_1_0")

    def rows(self, mode: str = "set", parameters: Any = ROW, **cost: Any) -> PlainEnv:
        world = tabular(kernel=KERNEL, rewards=np.zeros((3, 2)))
        named = {name: cost.pop(name) for name in ("budget_per", "budget", "failure") if name in cost}
        return begin(world, parameters=parameters, mode=mode, cost=Cost(scale=2.0, **cost), **named)

    @pytest.mark.parametrize("measured_from", ["last", "nominal"])
    @pytest.mark.parametrize(("kind", "distance"), [("kl", divergence), ("wasserstein", transport)], ids=["kl", "wasserstein"])
    @pytest.mark.parametrize("mode", ["set", "shift"])
    def test_distances(self, mode: str, kind: str, distance: Any, measured_from: str) -> None:
        env = self.rows(mode, kind=kind, measured_from=measured_from)
        values = KERNEL.copy()
        for (s, a, t), target in (((0, 0, 1), 0.75), ((0, 0, 0), 0.25), ((1, 1, 0), 0.5), ((0, 0, 2), 0.625), ((0, 0, 1), 0.3)):
            old = (values if measured_from == "last" else KERNEL)[s, a].copy()
            last, values[s, a, t] = values[s, a, t], target
            expected = 2.0 * distance(values[s, a] / values[s, a].sum(), old / old.sum())
            info = act(env, f"{mode}_p_{s}_{a}_{t}", target if mode == "set" else target - last)[4]
            assert info["cost"] == pytest.approx(expected, rel=1e-9)
            assert info["configured"]
            np.testing.assert_allclose(info["configuration"].reshape(3, 2, 3), values, rtol=1e-12)

    @pytest.mark.parametrize("measured_from", ["last", "nominal"])
    @pytest.mark.parametrize("more", [{}, {"budget": 100.0}, {"budget_per": "use"}], ids=["", "budget", "per use"])
    def test_what_was_impossible_stays_so_where_it_would_cost_infinitely_much(self, more: Any, measured_from: str) -> None:
        env = self.rows(parameters=("p_0_1_0", "p_0_0_0"), kind="kl", measured_from=measured_from, **more)
        before = everything(env)
        assert possible(env) == ["set_p_0_0_0"]
        _, reward, _, _, info = act(env, "set_p_0_1_0", 0.5)
        assert (reward, info["cost"], info["configured"]) == (0.0, 0.0, False)
        assert everything(env) == before

    def test_what_has_become_impossible_stays_so_if_measured_from_there(self) -> None:
        for measured_from, back in (("last", []), ("nominal", ["set_p_0_0_0"])):
            env = self.rows(parameters=("p_0_0_0",), kind="kl", measured_from=measured_from)
            assert act(env, "set_p_0_0_0", 0.0)[4]["cost"] == pytest.approx(2.0 * divergence([0.6, 0.4], [0.3, 0.2]), rel=1e-9)
            assert possible(env) == back
            assert act(env, "set_p_0_0_0", 0.5)[4]["configured"] is bool(back)

    def test_where_no_weight_is_left_all_are_equal(self) -> None:
        env = self.rows(parameters=("p_0_1_1",), kind="wasserstein")
        for target in (0.0, 1.0):
            assert act(env, "set_p_0_1_1", target)[4]["cost"] == pytest.approx(
                2.0 * transport([1 / 3] * 3, [0, 1, 0]), rel=1e-12
            )

    def test_where_no_weight_is_left_nothing_can_be_changed_by_divergence(self) -> None:
        env = self.rows(parameters=("p_0_1_1",), kind="kl")
        env.reset(options={"configuration": {"p_0_1_1": 0.0}})
        assert possible(env) == []
        assert not act(env, "set_p_0_1_1", 0.5)[4]["configured"]

    @pytest.mark.parametrize("budget", [None, 10.0])
    def test_a_named_configuration_that_costs_infinitely_much_cannot_be_chosen(self, budget: float | None) -> None:
        world = tabular(kernel=KERNEL, rewards=np.zeros((3, 2)))
        named = {"nominal": {}, "wider": {"p_0_1_0": 0.5}, "narrower": {"p_0_0_0": 0.0}}
        env = begin(world, mode="choose", configurations=named, cost=Cost(kind="kl"), budget=budget)
        assert possible(env) == ["choose_narrower"]
        assert not act(env, "choose_wider")[4]["configured"]
        act(env, "choose_narrower")
        assert possible(env) == []

    def test_named_configurations_cost_their_distance_in_all_rows(self) -> None:
        world = tabular(kernel=KERNEL, rewards=np.zeros((3, 2)))
        named: dict[str, dict[str, float]] = {"nominal": {}, "other": {"p_0_0_0": 0.25, "p_1_1_2": 0.1}}
        env = begin(world, mode="choose", configurations=named, cost=Cost(kind="wasserstein"))
        first = transport(np.array([0.25, 0.3, 0.2]) / 0.75, [0.5, 0.3, 0.2])
        assert act(env, "choose_other")[4]["cost"] == pytest.approx(
            first + transport([0.5, 0.0, 0.5], [0.1, 0.0, 0.9]), rel=1e-9
        )

    @pytest.mark.parametrize(("kind", "distance"), [("kl", divergence), ("wasserstein", transport)], ids=["kl", "wasserstein"])
    def test_their_use_costs_the_distance_of_all_rows(self, kind: str, distance: Any) -> None:
        env = self.rows(kind=kind, budget_per="use")
        assert act(env, "set_p_0_0_1", 0.75)[1] == 0.0
        assert act(env, "set_p_1_1_0", 0.5)[1] == 0.0
        rows = (np.array([0.5, 0.75, 0.2]) / 1.45, [0.5, 0.3, 0.2]), (np.array([0.5, 0.0, 0.9]) / 1.4, [0.1, 0.0, 0.9])
        expected = 2.0 * sum(distance(new, np.array(old)) for new, old in rows)
        for _ in range(2):
            _, reward, _, _, info = act(env, "a0")
            assert info["cost"] == pytest.approx(expected, rel=1e-9)
            assert reward == -info["cost"]

    def test_what_waits_for_the_next_epoch_is_not_in_use(self) -> None:
        world = tabular(kernel=KERNEL, rewards=np.zeros((3, 2)))
        cost = Cost(kind="wasserstein")
        env = begin(world, parameters=("p_0_0_0",), cost=cost, budget_per="use", takes_effect="next_epoch", epoch=2)
        act(env, "set_p_0_0_0", 0.0)
        costs = [act(env, "a0")[4]["cost"] for _ in range(3)]
        assert costs == [0.0, 0.0, pytest.approx(transport([0.0, 0.6, 0.4], [0.5, 0.3, 0.2]), rel=1e-9)]


class TestBudgets:
    def test_of_an_episode_is_for_all_changes_together(self) -> None:
        env, left = paying(budget=1.0), []
        for target in (0.75, 0.25, 0.5):
            left.append(act(env, "set_pay", target)[4]["budget_left"])
        assert left == [0.75, 0.25, 0.0]
        assert possible(env) == []
        assert not act(env, "set_pay", 1.0)[4]["configured"]
        assert pay_of(env) == 0.5

    def test_a_change_that_is_too_dear_is_not_made_and_a_cheaper_one_is(self) -> None:
        env = paying(budget=0.25)
        before = everything(env)
        _, reward, _, _, info = act(env, "set_pay", 1.0)
        assert (reward, info["cost"], info["budget_left"], info["configured"]) == (0.0, 0.0, 0.25, False)
        assert everything(env) == before
        assert possible(env) == ["set_pay"]
        assert act(env, "set_pay", 0.75)[4]["configured"]

    def test_of_a_change_is_for_each(self) -> None:
        env = paying(budget=0.25, budget_per="change")
        for target, made in ((0.75, True), (0.25, False), (0.5, True), (0.25, True), (1.0, False)):
            _, _, _, _, info = act(env, "set_pay", target)
            assert (info["configured"], info["budget_left"]) == (made, 0.25)

    def test_a_spent_budget_masks_what_it_cannot_pay(self) -> None:
        env = choosing(budget=1.25)
        # A gale is half of wind's range away from calm and from storm, and storm is half of friction's range away, too.
        assert possible(env) == ["choose_gale"]
        act(env, "choose_gale")
        assert possible(env) == ["choose_calm"]
        act(env, "choose_calm")
        assert possible(env) == []

    def test_when_it_is_spent_the_way_back_may_be_free(self) -> None:
        cost = Cost(measured_from="nominal")
        for env, away, back in (
            (paying(budget=0.5, cost=cost), ("set_pay", 1.0), ("set_pay", 0.5)),
            (choosing(budget=0.5, cost=cost), ("choose_gale",), ("choose_calm",)),
        ):
            assert act(env, *away)[4]["budget_left"] == 0.0
            assert possible(env) == [back[0]]
            _, reward, _, _, info = act(env, *back)
            assert (reward, info["configured"], info["budget_left"]) == (0.0, True, 0.0)
            assert env.configuration.tolist() == env.world.default_configuration.tolist()

    def test_of_nothing_allows_what_is_free(self) -> None:
        assert possible(paying(budget=0.0)) == []
        env = paying(budget=0.0, cost=Cost(weights={"pay": 0.0}))
        assert act(env, "set_pay", 1.0)[4]["configured"]

    def test_of_use_is_paid_in_every_primitive_step(self) -> None:
        env = paying(budget=1.25, budget_per="use")
        _, reward, _, _, info = act(env, "set_pay", 1.0)
        assert (reward, info["cost"], info["configured"], info["budget_left"]) == (0.0, 0.0, True, 1.25)
        for left in (0.75, 0.25):
            _, reward, _, _, info = act(env, "press")
            assert (reward, info["cost"], info["budget_left"]) == (1.0 - 0.5, 0.5, left)
        # The third step cannot be paid: the nominal configuration is back, before it.
        _, reward, _, _, info = act(env, "press")
        assert (reward, info["cost"], info["budget_left"], info["configuration"].tolist()) == (0.5, 0.0, 0.25, [0.5])
        # A smaller deviation can be paid once more.
        assert not act(env, "set_pay", 1.0)[4]["configured"]
        assert act(env, "set_pay", 0.75)[4]["configured"]
        assert [pay_of(env), pay_of(env)] == [0.75 - 0.25, 0.5]
        assert possible(env) == []

    def test_of_use_of_named_configurations(self) -> None:
        env = choosing(budget=2.5, budget_per="use", failure=0.0)
        assert act(env, "choose_storm")[4]["cost"] == 0.0
        for left, wind in ((1.0, 30.0), (1.0, 0.0)):
            info = act(env, "left")[4]
            assert (info["budget_left"], value(env, "wind")) == (left, wind)
        assert possible(env) == ["choose_gale"]

    def test_of_use_allows_what_can_be_paid_for_one_step(self) -> None:
        env = choosing(budget=1.25, budget_per="use")
        act(env, "choose_gale")
        # One step in a storm would cost 1.5, however near it is to a gale.
        assert possible(env) == ["choose_calm"]

    def test_of_use_falls_back_even_within_an_epoch(self) -> None:
        env = paying(budget=0.75, budget_per="use", epoch=4, takes_effect="next_epoch")
        act(env, "set_pay", 1.0)
        assert [pay_of(env) for _ in range(7)] == [0.5] * 4 + [1.0 - 0.5] + [0.5] * 2
        assert env.configuration.tolist() == [0.5]

    def test_of_use_is_measured_from_where_the_episode_began(self) -> None:
        env = paying(budget_per="use")
        env.reset(options={"configuration": {"pay": 1.0}})
        assert pay_of(env) == 1.0
        act(env, "set_pay", 0.75)
        assert pay_of(env) == 0.75 - 0.25

    @pytest.mark.parametrize("budget", [None, 1.0])
    def test_without_one_infinitely_much_is_left(self, budget: float | None) -> None:
        assert paying(budget=budget).reset()[1]["budget_left"] == (math.inf if budget is None else budget)

    def test_what_is_masked_does_nothing_at_no_cost_in_a_batch_either(self) -> None:
        offer = Changing(mode="choose", configurations=WINDS, moves={"calm": ["gale"], "gale": ["storm"]}, budget=1.0, epoch=2)
        left, calm, gale, storm = 0, 2, 3, 4
        ways = {
            "no such move": [calm, left, left, storm],
            "too dear": [gale, left, left, storm],
            "within an epoch": [left, left, left, gale],
            "already so": [calm, left, left, calm],
            "possible": [calm, left, left, gale],
        }
        envs = WorldVectorEnv(CARTPOLE, len(ways), changing=offer)
        envs.reset(seed=0)
        *first, last = np.array(list(ways.values())).T
        for branches in first:
            envs.step(branches)
        before, masks = envs.get_state(), envs.action_mask[:, 2:].tolist()
        assert masks == [[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0]]
        _, rewards, _, _, info = envs.step(last)
        after = envs.get_state()
        assert info["configured"].tolist() == [False, False, False, False, True]
        assert rewards.tolist() == (-info["cost"]).tolist() == [0.0, 0.0, 0.0, 0.0, -0.5]
        for part in ("configuration", "generator"):
            assert after[part][:4].tobytes() == before[part][:4].tobytes()
        assert after["state"]["changes"]["spent"].tolist() == [0.0, 0.5, 0.0, 0.0, 0.5]


class TestObservation:
    def test_appended(self) -> None:
        env = begin(
            CARTPOLE,
            parameters={"gravity": (4.8, 14.8), "wind": (0.0, 20.0)},
            takes_effect="next_epoch",
            epoch=4,
            budget=2.0,
            observe_budget=True,
        )
        act(env, "set_wind", 15.0)
        observation, *_ = act(env, "left")
        state = [env.get_state()["state"][name] for name in CARTPOLE.state]
        assert observation.dtype == np.float32
        np.testing.assert_allclose(observation, [*state, 0.5, 0.0, 0.5, 0.75, 0.25, 0.625], rtol=1e-6)

    @pytest.mark.parametrize(
        ("epoch", "shares"), [(1, []), (4, [0.0, 0.25, 0.5, 0.75, 0.0]), ("episode", [0.0, 1.0, 1.0, 1.0, 1.0])]
    )
    def test_share_of_the_epoch_that_has_passed(self, epoch: Any, shares: list[float]) -> None:
        env = PlainEnv(PANEL, Changing(parameters=("pay",), epoch=epoch))
        observations = [env.reset(seed=0)[0], *(act(env, "press")[0] for _ in range(4))]
        assert [float(o[4]) for o in observations if len(o) > 4] == shares

    def test_outside_of_the_changeable_range(self) -> None:
        env = PlainEnv(CARTPOLE, Changing(parameters={"gravity": (5.0, 15.0)}))
        for gravity, share in ((1.0, -0.4), (30.0, 2.5)):
            observation, _ = env.reset(options={"configuration": {"gravity": gravity}})
            assert observation[4] == np.float32(share)
            assert observation in env.observation_space

    def test_hidden(self) -> None:
        hidden = begin(PANEL, parameters=("pay",), observation="hidden")
        assert act(hidden, "set_pay", 1.0)[0].tolist() == [-1.0, 0.0, 0.0]
        slips = {"low": {"slip": 0.1}, "high": {"slip": 0.9}}
        env = begin(ring(), mode="choose", configurations=slips, observation="hidden")
        assert act(env, "choose_high")[0] == 1

    @pytest.mark.parametrize("takes_effect", ["at_once", "next_epoch"])
    @pytest.mark.parametrize("epoch", [1, 3, "episode"])
    def test_number_of_configuration_and_state(self, takes_effect: str, epoch: Any) -> None:
        slips = {name: {"slip": slip} for name, slip in (("low", 0.0), ("middle", 0.5), ("high", 1.0))}
        env = begin(ring(), mode="choose", configurations=slips, takes_effect=takes_effect, epoch=epoch)
        phases = {1: 1, 3: 3, "episode": 2}[epoch]
        observation = act(env, "choose_high")[0]
        now, waiting, phase, place = (0, 2, 0, 1) if takes_effect == "next_epoch" else (2, 0, 0, 1)
        assert observation == ((waiting * 3 + now) * phases + phase) * 5 + place
        observation = act(env, "walk")[0]
        # Two places further on, or not: in the configuration "high" nobody moves.
        place = 3 if now == 0 else 1
        if epoch == 1 and takes_effect == "next_epoch":
            now = 2
        assert observation == ((waiting * 3 + now) * phases + (epoch != 1)) * 5 + place
        assert observation in env.observation_space
        assert env.observation_space.n == 3 * phases * 5 * (3 if takes_effect == "next_epoch" else 1)  # type: ignore[attr-defined]

    def test_of_a_finite_world_as_numbers(self) -> None:
        env = begin(ring(), parameters=("slip", "prize"), budget=1.0, observe_budget=True)
        observation, *_ = act(env, "set_prize", 2.0)
        np.testing.assert_allclose(observation, [1.0, 0.25, 0.75, 0.75], rtol=1e-6)

    @pytest.mark.parametrize("world", [ring(), PANEL], ids=["finite", "Box"])
    def test_dict(self, world: Any) -> None:
        name = world.parameters[0].name
        env = begin(
            world, parameters=(name,), observation="dict", budget=2.0, observe_budget=True, takes_effect="next_epoch", epoch=2
        )
        observation, *_ = act(env, f"set_{name}", 0.75)
        assert observation in env.observation_space
        default = world.parameters[0].default
        expected = {"configuration": default, "next_configuration": 0.75, "epoch": 0.0, "budget": 1.0 - (0.75 - default) / 2.0}
        assert {key: part.tolist() for key, part in observation.items() if key != "observation"} == {
            key: [share] for key, share in expected.items()
        }
        inner = observation["observation"]
        if world is PANEL:
            assert inner.tolist() == [-1.0, 0.0, 0.0]
        else:
            assert isinstance(inner, np.int64)
            assert inner == 1


class TestInfo:
    def test_keys_and_types(self) -> None:
        env = paying(budget=1.0)
        for info in (env.reset(seed=0)[1], act(env, "press")[4], act(env, "set_pay", 1.0)[4], act(env, "set_pay", 1.0)[4]):
            assert set(info) == INFO_KEYS
            assert [type(info[key]) for key in ("cost", "budget_left", "configured", "success")] == [float, float, bool, bool]
            assert (info["configuration"].dtype, info["configuration"].shape) == (np.float64, (1,))
            assert (info["action_mask"].dtype, info["action_mask"].tolist()[:3]) == (np.int8, [1, 1, 1])

    def test_belongs_to_the_step(self) -> None:
        env = paying()
        first = act(env, "set_pay", 1.0)[4]
        act(env, "set_pay", 0.25)
        assert first["configuration"].tolist() == [1.0]

    def test_masks_after_set_state(self) -> None:
        env, other = paying(epoch=2, budget=0.5), paying(epoch=2, budget=0.5)
        act(env, "set_pay", 0.75)
        states = [(env.get_state(), env.action_mask.tolist())]
        for _ in range(2):
            act(env, "press")
            states.append((env.get_state(), env.action_mask.tolist()))
        assert [mask[3] for _, mask in states] == [1, 0, 1]
        for state, mask in states:
            _, info = other.set_state(state)
            assert other.action_mask.tolist() == info["action_mask"].tolist() == mask
            assert (info["cost"], info["budget_left"]) == (0.25 if state is states[0][0] else 0.0, 0.25)
