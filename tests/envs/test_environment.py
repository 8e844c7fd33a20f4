"""A single environment: what it refuses and with which words, what it accepts, and how seeds carry on."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, NameNotFound, ResetNeeded

from reworld.environment import WorldEnv, find_world
from reworld.errors import InvalidConfiguration, InvalidOption, InvalidWorld
from reworld.vector import WorldVectorEnv
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.platform import BRANCHES
from reworld.worlds.platform import WORLD as PLATFORM

# Here no parameter of Platform saturates within its bounds, as all do at the default configuration.
FAR = {"gravity": 2.0, "hop_speed": 35.0, "leap_speed": 35.0, "air_speed_limit": 200.0}


def started(world: Any = PLATFORM, seed: int = 0, **arguments: Any) -> WorldEnv:
    env = WorldEnv(world, **arguments)
    env.reset(seed=seed)
    return env


def ended() -> WorldEnv:
    env = started(CARTPOLE)
    while not env.step(1)[2]:
        pass
    return env


def batched_state() -> Any:
    batch = WorldVectorEnv(PLATFORM, 2)
    batch.reset(seed=0)
    return batch.get_state()


def platform_action(branch: int, parameter: Any) -> Any:
    own = [np.zeros(1, np.float32) for _ in BRANCHES]
    own[branch] = parameter
    return branch, tuple(own)


@pytest.mark.parametrize(
    ("mistake", "error", "advice"),
    [
        (lambda: gymnasium.make("reworld/Platfrm-v0"), NameNotFound, "Did you mean: `Platform`"),
        (lambda: gymnasium.make("reworld/Platform-v0", configuration={"gap": 1.0}), InvalidConfiguration, "Did you mean 'gap"),
        (lambda: WorldEnv("reworld.worlds.platfrm:WORLD"), InvalidWorld, "There is no world 'reworld.worlds.platfrm:WORLD'"),
        (lambda: WorldEnv("reworld.worlds.platform"), InvalidWorld, "name it as 'package.module:NAME'"),
        (lambda: WorldEnv(""), InvalidWorld, "There is no world ''"),
        (lambda: WorldEnv("reworld.worlds.platform:RUN"), InvalidWorld, "is a int, neither a reworld.World nor a function"),
        (lambda: WorldEnv(PLATFORM, render_mode="ascii"), InvalidOption, "'ascii'"),
        (lambda: started().render(), InvalidOption, "render_mode='rgb_array'"),
        (lambda: WorldEnv(PLATFORM).step(platform_action(0, [1.0])), ResetNeeded, "Call reset() first."),
        (lambda: ended().step(1), ResetNeeded, "it has terminated. Call reset() first."),
        (lambda: started().step(platform_action(0, [1.0, 2.0])), InvalidAction, "one array of finite numbers for each branch"),
        (
            lambda: started().step(platform_action(0, [])),
            InvalidAction,
            "0 run['power'], 1 hop['distance']",
        ),
        (lambda: started().step(platform_action(0, [np.nan])), InvalidAction, "finite"),
        (lambda: started().step((0,)), InvalidAction, "is no action of Platform, whose action space is Tuple("),
        (lambda: started(CARTPOLE).step(2), InvalidAction, "Give the index of a branch: 0 left, 1 right."),
        (lambda: started(seed=-1), InvalidOption, "seed=-1 is out of range: give an integer in [0, 2**64)."),
        (lambda: started(seed=2**64), InvalidOption, f"seed={2**64} is out of range"),
        (lambda: started().reset(options={"configuratoin": {}}), InvalidOption, "Did you mean 'configuration'?"),
        (lambda: started().set_state(started(CARTPOLE).get_state()), InvalidOption, "This is no state of Platform"),
        (lambda: started().set_state(batched_state()), InvalidOption, "This is no state of Platform"),
        (lambda: started().set_state(None), InvalidOption, "give what get_state() returned"),
    ],
    ids=[
        "unknown id",
        "misspelt parameter",
        "unknown world",
        "world without a name",
        "empty world",
        "no world",
        "unknown render mode",
        "render without a mode",
        "step before reset",
        "step after the end",
        "too many parameters",
        "too few parameters",
        "no finite parameter",
        "half an action",
        "unknown branch",
        "negative seed",
        "seed too large",
        "unknown option",
        "state of another world",
        "states of a batch",
        "no state",
    ],
)
def test_a_mistake_is_refused_with_advice(mistake: Callable[[], Any], error: type[Exception], advice: str) -> None:
    with pytest.raises(error) as refusal:
        mistake()
    assert advice in str(refusal.value)


def test_every_refusal_is_an_error_of_gymnasium() -> None:
    for error in (InvalidConfiguration, InvalidOption, InvalidWorld):
        assert issubclass(error, gymnasium.error.Error)


def test_a_refused_action_can_be_mended() -> None:
    env, other = started(seed=5), started(seed=5)
    with pytest.raises(InvalidAction):
        env.step(platform_action(0, [np.inf]))
    np.testing.assert_array_equal(env.step(platform_action(0, [9.0]))[0], other.step(platform_action(0, [9.0]))[0], strict=True)


class TestActions:
    @pytest.mark.parametrize("branch", range(3), ids=lambda branch: BRANCHES[branch].name)
    def test_parameters_beyond_their_bounds_act_as_at_the_bound(self, branch: int) -> None:
        def outcome(value: float) -> list[float]:
            env = started(configuration=FAR)
            results = env.step(platform_action(branch, [value]))
            return [*env.get_state()["state"].tolist(), *results[1:3]]

        low, high = BRANCHES[branch].parameters[0].low, BRANCHES[branch].parameters[0].high
        assert outcome(low - 5.0) == outcome(low)
        assert outcome(1.5 * high) == outcome(1e30) == outcome(high)
        assert outcome(0.9 * high) != outcome(high)

    def test_parameters_keep_the_precision_they_are_given_in(self) -> None:
        speeds = []
        for kind in (np.float32, np.float64):
            env = started(configuration={"player_noise": 0.0, "run_duration": 0.2})
            env.step(platform_action(0, kind([2.1])))
            speeds.append(env.get_state()["state"]["x"])
        assert abs(speeds[0] / speeds[1] - np.float64(np.float32(2.1)) / 2.1) < 1e-15
        assert speeds[0] != speeds[1]

    @pytest.mark.parametrize("kind", [np.float64, np.float32, int], ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("container", [np.array, list, tuple], ids=lambda container: container.__name__)
    def test_parameters_may_be_any_array_of_numbers(self, kind: Any, container: Any) -> None:
        env, other = started(), started()
        parameter = container([kind(30)])
        np.testing.assert_array_equal(
            env.step(platform_action(1, parameter))[0], other.step(platform_action(1, np.array([30.0])))[0], strict=True
        )

    @pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8, np.array], ids=lambda kind: kind.__name__)
    def test_branch_may_be_any_integer(self, kind: Any) -> None:
        env, other = started(CARTPOLE), started(CARTPOLE)
        np.testing.assert_array_equal(env.step(kind(1))[0], other.step(1)[0], strict=True)

    def test_parameters_of_other_branches_are_not_read(self) -> None:
        env, other = started(), started()
        strange = (0, ([5.0], [np.nan], None))
        np.testing.assert_array_equal(env.step(strange)[0], other.step(platform_action(0, [5.0]))[0], strict=True)

    def test_are_left_as_they_were(self) -> None:
        env = started()
        action = platform_action(0, np.array([500.0]))
        env.step(action)
        assert action[1][0].tolist() == [500.0]


class TestSeeds:
    def test_every_64_bit_integer_is_one_of_its_own(self) -> None:
        seeds = (0, 1, 2**32, 2**63, 2**64 - 1)
        starts = [tuple(WorldEnv(CARTPOLE).reset(seed=seed)[0].tolist()) for seed in (*seeds, *seeds)]
        assert starts[:5] == starts[5:]
        assert len(set(starts)) == 5

    def test_none_gives_every_environment_another_episode(self) -> None:
        starts = {tuple(WorldEnv(CARTPOLE).reset()[0].tolist()) for _ in range(5)}
        assert len(starts) == 5

    def test_carry_on_with_new_episodes(self) -> None:
        env = WorldEnv(CARTPOLE)
        starts = [tuple(env.reset(seed=3 if episode == 0 else None)[0].tolist()) for episode in range(5)]
        assert len(set(starts)) == 5

    def test_carry_on_reproducibly_whatever_was_done(self) -> None:
        env, other = WorldEnv(CARTPOLE, {"wind": 1.0}), WorldEnv(CARTPOLE, {"wind": 1.0})
        env.reset(seed=3)
        other.reset(seed=3)
        for steps in (1, 2, 3):
            for _ in range(steps):
                other.step(1)
            np.testing.assert_array_equal(env.reset()[0], other.reset()[0], strict=True)

    def test_begin_anew_when_given_again(self) -> None:
        env = WorldEnv(CARTPOLE)
        first = env.reset(seed=3)[0]
        env.reset()
        np.testing.assert_array_equal(env.reset(seed=3)[0], first, strict=True)


class TestState:
    def test_is_a_copy(self) -> None:
        env = started()
        state = env.get_state()
        before = state.tobytes()
        env.step(platform_action(0, [9.0]))
        assert state.tobytes() == before != env.get_state().tobytes()

    def test_of_an_episode_that_ended_cannot_be_stepped(self) -> None:
        env = started(CARTPOLE)
        env.set_state(ended().get_state())
        with pytest.raises(ResetNeeded):
            env.step(1)

    def test_brings_its_configuration_along(self) -> None:
        env = started(CARTPOLE)
        env.set_state(started(CARTPOLE, configuration={"gravity": 3.0}).get_state())
        assert env.configuration[0] == 3.0
        assert env.step(1)[4]["configuration"][0] == 3.0

    def test_can_be_set_in_place_of_the_first_reset(self) -> None:
        env, other = WorldEnv(CARTPOLE), started(CARTPOLE)
        env.set_state(other.get_state())
        np.testing.assert_array_equal(env.step(1)[0], other.step(1)[0], strict=True)
        np.testing.assert_array_equal(env.reset()[0], other.reset()[0], strict=True)


class TestResults:
    def test_are_fresh_arrays(self) -> None:
        env = started(CARTPOLE)
        results = [env.step(1) for _ in range(2)]
        copies = [(observation.copy(), info["configuration"].copy()) for observation, *_, info in results]
        env.step(1)
        for (observation, *_, info), (observation_then, configuration_then) in zip(results, copies, strict=True):
            np.testing.assert_array_equal(observation, observation_then)
            np.testing.assert_array_equal(info["configuration"], configuration_then)

    def test_configuration_cannot_be_changed_from_outside(self) -> None:
        env = started(CARTPOLE)
        env.step(1)[4]["configuration"][:] = -1.0
        env.configuration[:] = -1.0
        np.testing.assert_array_equal(env.configuration, CARTPOLE.default_configuration)


def test_a_world_is_found_by_name() -> None:
    assert find_world("reworld.worlds.platform:WORLD") is PLATFORM
    assert find_world(PLATFORM) is PLATFORM


def test_import_brings_nothing_heavy_along() -> None:
    heavy = {"torch", "pygame", "pettingzoo", "numba"}
    source = f"import sys, reworld; print(*({heavy} & set(sys.modules)))"
    path = [entry for entry in sys.path if entry]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {source}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == []
