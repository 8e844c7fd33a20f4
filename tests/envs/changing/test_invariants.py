"""What holds for every setting, every action and every draw; and that a batch does what single environments do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reworld.changing import ChangeableWorld, Changing
from reworld.environment import WorldEnv, find_world
from reworld.testing import INFO_KEYS, make_batch
from worlds.changeable import SETTINGS

CARTPOLE, BLOCK_WORLD = "reworld.worlds.cartpole:WORLD", "reworld.worlds.block_world:block_world"

ALL = settings(max_examples=5000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SOME = settings(ALL, max_examples=300)
"""For the daily run; the slow one tries all."""

Choices = list[tuple[int, float]]

shares = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-0.5, 1.5, width=32))
choices = st.lists(st.tuples(st.integers(0, 59), shares), min_size=1, max_size=25)
"""Branches, and where within (or beyond) their ranges their parameters are."""

seeds = st.integers(0, 2**32)


@cache
def made(name: str) -> WorldEnv:
    """The environment of a setting, compiled once."""
    world, changing = SETTINGS[name]
    return WorldEnv(world, changing=changing)


@dataclass(frozen=True)
class Step:
    """One action, with all that was true before and after it."""

    before: Any
    branch: int
    after: Any
    reward: float
    info: dict[str, Any]

    @property
    def paid(self) -> float:
        return float(self.info["cost"])


def compose(env: WorldEnv, branch: int, share: float) -> Any:
    """An action of a branch, whose parameters all are at the same share of their ranges."""
    if env.world.branch_offsets[-1] == 0:
        return branch
    own = [[np.float32(p.low + share * (p.high - p.low)) for p in each.parameters] for each in env.world.branches]
    return branch, own


def played(env: WorldEnv, seed: int, chosen: Choices) -> Iterator[Step]:
    """Play, from the first episode to the next where one ends; most actions change the world."""
    env.reset(seed=seed)
    own, count = env.world.own_branches, len(env.world.branches)
    for number, share in chosen:
        branch = own + number % (count - own) if number % 3 else number % own
        before = env.get_state()
        _, reward, terminated, _, info = env.step(compose(env, branch, share))
        yield Step(before, branch, env.get_state(), reward, info)
        if terminated:
            env.reset()


def configured(instance: Any) -> list[float]:
    """What was decided last, whether or not it waits for the next epoch."""
    return instance["state"]["changes"]["waiting"].tolist()  # type: ignore[no-any-return]


def nominal(instance: Any) -> list[float]:
    return instance["state"]["changes"]["nominal"].tolist()  # type: ignore[no-any-return]


def all_but_the_account(instance: Any) -> list[Any]:
    """Everything but what has been paid, and the generator."""
    changes = instance["state"]["changes"]
    kept = [changes[name].tolist() for name in changes.dtype.names if name not in {"spent", "cost", "configured"}]
    inner = [instance["state"][name] for name in instance["state"].dtype.names if name != "changes"]
    return [*kept, *inner, instance["configuration"]["values"].tolist()]


def budget_is_never_exceeded(name: str, seed: int, chosen: Choices) -> None:
    env = made(name)
    changing = SETTINGS[name][1]
    assert changing.budget is not None
    total = 0.0
    for step in played(env, seed, chosen):
        if step.before["elapsed"] == 0:
            total = 0.0
        total += step.paid
        left = step.info["budget_left"]
        if changing.budget_per == "change":
            assert 0.0 <= step.paid <= changing.budget == left
            continue
        assert total <= changing.budget
        assert left == changing.budget - total >= 0.0
        assert step.after["state"]["changes"]["spent"] == total


def cost_is_zero_if_and_only_if_nothing_changes(name: str, seed: int, chosen: Choices) -> None:
    env, changing = made(name), SETTINGS[name][1]
    for step in played(env, seed, chosen):
        old, new = configured(step.before), configured(step.after)
        drawn = step.before["generator"] != step.after["generator"]
        if step.branch < env.world.own_branches:
            # Acting is free; only use is paid for, in every step that is taken anywhere but in the nominal configuration.
            changeable = env.world.constants["CHANGEABLE"]
            in_force = step.before["configuration"]["values"][changeable].tolist()
            if changing.budget_per != "use":
                assert step.paid == 0.0
            elif step.paid == 0.0 and in_force != nominal(step.before):
                assert step.after["configuration"]["values"][changeable].tolist() == nominal(step.before) == new
            else:
                assert (step.paid > 0.0) == (in_force != nominal(step.before))
            continue
        # An accepted change succeeds, or was drawn to fail.
        accepted = old != new or (changing.failure > 0.0 and drawn)
        assert step.info["configured"] == (old != new)
        if changing.budget_per == "use" or not accepted:
            assert step.paid == 0.0
        elif changing.cost.measured_from == "last":
            assert step.paid > 0.0
        elif old != new and changing.cost.kind != "kl":
            # From the nominal configuration: free is the way back, and nothing else.
            changed = [k for k, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
            assert (step.paid == 0.0) == all(new[k] == nominal(step.after)[k] for k in changed)


def failure_changes_nothing_but_costs(name: str, seed: int, chosen: Choices) -> None:
    env, changing = made(name), SETTINGS[name][1]
    assert changing.failure > 0.0
    for step in played(env, seed, chosen):
        if step.branch >= env.world.own_branches and not step.info["configured"]:
            assert all_but_the_account(step.after) == all_but_the_account(step.before)
            failed = step.before["generator"] != step.after["generator"]
            assert (step.paid > 0.0) == (failed and changing.budget_per != "use")
            spent = [each["state"]["changes"]["spent"] for each in (step.before, step.after)]
            assert spent[1] == spent[0] + step.paid


def what_is_masked_does_nothing(name: str, seed: int, chosen: Choices) -> None:
    env = made(name)
    for step in played(env, seed, chosen):
        if not _mask(name, step.before)[step.branch]:
            assert all_but_the_account(step.after) == all_but_the_account(step.before)
            assert step.before["generator"] == step.after["generator"]
            assert (step.reward, step.paid, step.info["configured"]) == (0.0, 0.0, False)


@cache
def _onlooker(name: str) -> WorldEnv:
    world, changing = SETTINGS[name]
    return WorldEnv(world, changing=changing)


def _mask(name: str, instance: Any) -> Any:
    _onlooker(name).set_state(instance)
    return _onlooker(name).action_mask


BACK: dict[str, tuple[str, Changing]] = {
    "set": SETTINGS["Set"],
    "shift": (
        CARTPOLE,
        Changing(
            parameters=("gravity", "wind", "pole_mass"), mode="shift", largest_shift=0.3, epoch=2, takes_effect="next_epoch"
        ),
    ),
    "choose": (
        BLOCK_WORLD,
        Changing(
            mode="choose", configurations={"dry": {}, "wet": {"slip": 0.5}, "icy": {"slip": 0.9, "wind": 0.1}}, failure=0.3
        ),
    ),
}


@cache
def pair(name: str) -> tuple[WorldEnv, WorldEnv]:
    """A changeable world, and the same one that nobody can change."""
    world, changing = BACK[name]
    return WorldEnv(world, changing=changing), WorldEnv(world)


def back_at_the_nominal_configuration_the_dynamics_are_the_old_ones(name: str, seed: int, chosen: Choices) -> None:
    env, unchanged = pair(name)
    world = env.world
    assert isinstance(world, ChangeableWorld)
    own, constants = world.own_branches, world.constants
    changed = False
    for step in played(env, seed, chosen):
        changed |= bool(step.info["configured"])
    if env.get_state()["ended"]:
        env.reset()
    # Back, however many tries it takes; an action may have to wait for the next epoch.
    for _ in range(60):
        last, goal = configured(env.get_state()), nominal(env.get_state())
        wrong = [k for k in range(len(goal)) if last[k] != goal[k]]
        at_rest = env.configuration.tolist() == world.default_configuration.tolist()
        if at_rest and not wrong:
            break
        if wrong and env.action_mask[own:].any():
            k = 0 if world.changing.mode == "choose" else wrong[0]
            target = goal[k] - last[k] if world.changing.mode == "shift" else goal[k]
            parameters: list[Any] = [[0.0] * len(branch.parameters) for branch in world.branches]
            parameters[own + k] = [np.float32(target)] * len(world.branches[own + k].parameters)
            action: Any = own + k if constants["CHOOSE"] else (own + k, parameters)
            terminated = env.step(action)[2]
        else:
            terminated = env.step(compose(env, 0, 0.0))[2]
        if terminated:
            env.reset()
    assert env.configuration.tolist() == world.default_configuration.tolist()
    here, there = env.get_state(), unchanged.get_state()
    for field in world.state:
        there["state"][field] = here["state"][field]
    for part in ("generator", "elapsed", "ended"):
        there[part] = here[part]
    there["configuration"]["values"] = world.default_configuration
    unchanged.set_state(there)
    for number, _ in chosen:
        branch = number % own
        found, expected = env.step(compose(env, branch, 0.0)), unchanged.step(branch)
        assert found[1:3] == expected[1:3]
        for field in world.state:
            assert env.get_state()["state"][field] == unchanged.get_state()["state"][field]
        assert env.get_state()["generator"] == unchanged.get_state()["generator"]
        if found[2]:
            break


WITH_BUDGET = [name for name, (_, changing) in SETTINGS.items() if changing.budget is not None]
WITH_FAILURE = [name for name, (_, changing) in SETTINGS.items() if changing.failure > 0.0]
LAWS: dict[Callable[[str, int, Choices], None], list[str]] = {
    budget_is_never_exceeded: WITH_BUDGET,
    cost_is_zero_if_and_only_if_nothing_changes: list(SETTINGS),
    failure_changes_nothing_but_costs: WITH_FAILURE,
    what_is_masked_does_nothing: list(SETTINGS),
    back_at_the_nominal_configuration_the_dynamics_are_the_old_ones: list(BACK),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
class TestLaws:
    def test_in_some_cases(self, law: Callable[[str, int, Choices], None]) -> None:
        SOME(given(st.sampled_from(LAWS[law]), seeds, choices)(law))()

    @pytest.mark.slow
    def test_in_many_cases(self, law: Callable[[str, int, Choices], None]) -> None:
        ALL(given(st.sampled_from(LAWS[law]), seeds, choices)(law))()


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        for key in expected:
            assert_same(found[key], expected[key])
    else:
        assert np.array_equal(found, expected)


def compare(id: str, episodes: int, count: int, threads: int, mode: AutoresetMode, configuration: Any = None) -> None:
    """Play random episodes in a batch and in as many single environments: observation, reward, ends and info are the same."""
    batch = make_batch(id, count, autoreset_mode=mode, threads=threads, configuration=configuration)
    singles = SyncVectorEnv([lambda: gymnasium.make(id, configuration=configuration)] * count, autoreset_mode=mode)
    batch.action_space.seed(1)
    results = batch.reset(seed=5), singles.reset(seed=5)
    assert_same(results[0][0], results[1][0])
    ended = 0
    while ended < episodes:
        actions = batch.action_space.sample()
        found, expected = batch.step(actions), singles.step(actions)
        for one, other in zip(found[:4], expected[:4], strict=True):
            assert_same(one, other)
        for key in INFO_KEYS:
            assert_same(found[4][key], expected[4][key])
        for i in np.flatnonzero(expected[4].get("_final_obs", ())).tolist():
            final = found[4]["final_obs"]
            assert_same(
                {k: part[i] for k, part in final.items()} if isinstance(final, dict) else final[i], expected[4]["final_obs"][i]
            )
            for key in INFO_KEYS:
                assert_same(found[4]["final_info"][key][i], expected[4]["final_info"][key][i])
        ended += int((found[2] | found[3]).sum())
    batch.close()
    assert batch.get_state()["generator"].tolist() == [env.unwrapped.get_state()["generator"].tolist() for env in singles.envs]


MODES = [
    (1, 1, AutoresetMode.SAME_STEP),
    (5, 1, AutoresetMode.NEXT_STEP),
    (5, 2, AutoresetMode.SAME_STEP),
    (5, 2, AutoresetMode.NEXT_STEP),
]
CONFIGURABLE = [id for id in gymnasium.registry if id.startswith("reworld/Configurable")]


class TestABatchDoesWhatSingleEnvironmentsDo:
    """Bit for bit, with changes, failures and budgets; in random configurations, too."""

    @pytest.mark.parametrize(("count", "threads", "mode"), MODES)
    @pytest.mark.parametrize("configuration", [None, "random"])
    def test_in_some_episodes(self, count: int, threads: int, mode: AutoresetMode, configuration: Any) -> None:
        compare("reworld/ConfigurableCartPole-v0", 50, count, threads, mode, configuration)

    @pytest.mark.slow
    @pytest.mark.parametrize(("count", "threads", "mode"), MODES)
    @pytest.mark.parametrize("id", CONFIGURABLE)
    def test_in_ten_thousand_episodes(self, id: str, count: int, threads: int, mode: AutoresetMode) -> None:
        compare(id, 1250, count, threads, mode)
        compare(id, 1250, count, threads, mode, "random")

    def test_nothing_is_left_out(self) -> None:
        assert len(CONFIGURABLE) == 10
        assert all(isinstance(find_world(**gymnasium.spec(id).kwargs), ChangeableWorld) for id in CONFIGURABLE)
