"""What the lower level plays: a world in named configurations, or in ranges."""

import dataclasses

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from reworld.actions import VectorFlatBoxAction
from reworld.changing import Changing
from reworld.changing.levels import Level, Levels
from reworld.changing.levels.games import cartpole_levels, river_swim_levels
from reworld.environment import find_world
from reworld.errors import InvalidOption
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld_baselines.mctvmdp.deep.task import Ranges, Task, VectorConfigurationObservation

PLATFORM = "reworld/ConfigurablePlatform-v0"


def test_shares_go_from_0_to_1_and_leave_out_what_never_changes():
    task = Task.of(cartpole_levels())
    changing = [parameter.name for parameter, each in zip(CARTPOLE.parameters, task.changing, strict=True) if each]
    assert changing == ["gravity", "cart_mass", "half_length", "wind", "friction"]
    shares = task.shares(task.values)
    assert shares.dtype == np.float32
    np.testing.assert_array_equal(shares, [[0, 0, 0, 1, 0], [1, 0, 0, 1, 0], [0, 0, 1, 1, 0], [0, 1, 1, 0, 1]])


def test_named_configurations_are_played_in_turn():
    task = Task.of(cartpole_levels())
    batch = task.batch(6)
    batch.reset(seed=0)
    np.testing.assert_array_equal(batch.configuration, task.values[[0, 1, 2, 3, 0, 1]])


def test_ranges_are_those_of_the_changes_as_far_as_the_budget_goes():
    problem = Ranges.of_environment(PLATFORM)
    low, high = problem.affordable()
    # A share x of a range costs 0.05 (exp(6 x) - 1), and the budget is 0.5.
    share = np.log(1.0 + 0.5 / 0.05) / 6.0
    nominal, width = np.array([17.0, 225.0, 235.0]), np.array([14.0, 175.0, 175.0])
    assert (high == nominal).all()
    assert (low > nominal - share * width).all()
    assert (low < nominal - (share - 0.01) * width).all()
    free = Ranges(find_world(problem.world.base, dataclasses.replace(problem.world.changing, budget=None)))
    np.testing.assert_array_equal(free.affordable(), [[3.0, 50.0, 60.0], nominal])


def test_a_change_that_may_fail_can_be_afforded_all_the_same():
    offer = Changing(parameters={"gravity": (5.0, 15.0)}, failure=0.9)
    assert np.array(Ranges(find_world(CARTPOLE, offer)).affordable()).ravel().tolist() == [5.0, 15.0]


def test_configurations_within_ranges_are_drawn_anew_in_every_episode():
    task = Task.of(Ranges.of_environment(PLATFORM))
    chosen = np.flatnonzero(task.changing)
    assert len(chosen) == 3
    batch = task.batch(50)
    seen = []
    for _ in range(2):
        batch.reset(seed=None if seen else 0)
        seen.append(batch.configuration)
        assert ((task.low <= seen[-1]) & (seen[-1] <= task.high)).all()
    assert (seen[0][:, chosen] != seen[1][:, chosen]).all()
    assert np.ptp(task.shares(seen[0]), axis=0).min() > 0.8


@pytest.mark.parametrize("wrap", [lambda batch: batch, VectorFlatBoxAction])
def test_the_configuration_is_seen_beside_the_world_and_that_of_its_own_episode_at_the_end(wrap):
    task = Task.of(Ranges(find_world(CARTPOLE, Changing(parameters={"gravity": (5.0, 15.0), "wind": (0.0, 20.0)}))))
    env = VectorConfigurationObservation(wrap(task.batch(8)), task)
    observations, info = env.reset(seed=0)
    assert env.single_observation_space.shape == (6,)
    env.action_space.seed(0)
    ended = 0
    for _ in range(60):
        np.testing.assert_array_equal(observations[:, 4:], task.shares(info["configuration"]))
        assert env.observation_space.contains(observations)
        before = observations
        observations, _, terminations, _, info = env.step(env.action_space.sample())
        for i in np.flatnonzero(terminations):
            ended += 1
            np.testing.assert_array_equal(info["final_obs"][i, 4:], before[i, 4:])
            assert (observations[i, 4:] != before[i, 4:]).all()
    assert ended > 8


def test_ranges_are_of_values_to_set():
    env = gymnasium.make("reworld/ConfigurableCartPole-v0")
    with pytest.raises(InvalidOption, match="mode='set'"):
        Ranges(env.unwrapped.world)
    with pytest.raises(InvalidOption, match="mode='set'"):
        Ranges(CARTPOLE)
    with pytest.raises(gymnasium.error.Error, match="no environment of reworld"):
        Ranges.of_environment("CartPole-v1")


def test_a_finite_world_is_left_to_exact_solvers():
    with pytest.raises(InvalidOption, match="MultiLevelMDP"):
        Task.of(river_swim_levels())


def test_configurations_must_differ():
    levels = Levels(CARTPOLE, {"a": {}, "b": {}}, [Level.graph({"a": ["b"], "b": []}, discount=0.5)])
    with pytest.raises(InvalidOption, match="at least two that differ"):
        Task.of(levels)


def test_spaces_are_boxes_of_float32():
    task = Task.of(cartpole_levels())
    space = VectorConfigurationObservation(task.batch(2), task).single_observation_space
    assert isinstance(space, spaces.Box)
    assert space.dtype == np.float32
