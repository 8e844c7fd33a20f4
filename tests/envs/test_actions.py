import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import Error, InvalidAction
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reworld.actions import (
    FlatBoxAction,
    RescaleParameters,
    VectorFlatBoxAction,
    VectorRescaleParameters,
    read_flat,
    read_layout,
    read_rescaled,
    to_physical,
    to_scaled,
)

PLATFORM, CARTPOLE = "reworld/Platform-v0", "reworld/CartPole-v0"
WORLDS = sorted(id for id in gymnasium.registry if id.startswith("reworld/"))


def make(id):
    return gymnasium.make(id)


def make_batch(id, num_envs):
    return gymnasium.make_vec(id, num_envs=num_envs, vectorization_mode="vector_entry_point")


SPACE = make(PLATFORM).action_space
LAYOUT = read_layout(SPACE)
UNIT = st.floats(-1.0, 1.0, width=32)
FLAT = arrays(np.float32, LAYOUT.flat_size, elements=UNIT)
FLAT_BATCH = arrays(np.float32, (4, LAYOUT.flat_size), elements=UNIT)


def test_layout_of_platform():
    assert LAYOUT.branches == 3
    assert LAYOUT.sizes == (1, 1, 1)
    assert LAYOUT.low.tolist() == [0.0, 0.0, 0.0]
    assert LAYOUT.high.tolist() == [30.0, 720.0, 430.0]


def test_branches_without_parameters_take_no_place():
    space = spaces.Tuple((spaces.Discrete(3), spaces.Tuple([box(2), box(0), box(1)])))
    layout = read_layout(space)
    branch, parameters = read_flat(layout, [0.0, 1.0, 0.5, -1.0, 0.0, 1.0])
    assert branch == 1
    assert [part.tolist() for part in parameters] == [[0.0, 5.0], [], [10.0]]


def box(size):
    return spaces.Box(0.0, 10.0, (size,), np.float32)


@given(arrays(np.float32, (5, 3), elements=UNIT))
def test_scaling_there_and_back(scaled):
    np.testing.assert_allclose(to_scaled(LAYOUT, to_physical(LAYOUT, scaled)), scaled, atol=1e-6)


def test_ends_of_the_scale_are_the_bounds_exactly():
    for id in WORLDS:
        layout = read_layout(make(id).action_space)
        assert to_physical(layout, -np.ones_like(layout.low)).tolist() == layout.low.tolist()
        assert to_physical(layout, np.ones_like(layout.high)).tolist() == layout.high.tolist()


def test_a_parameter_with_a_single_value_scales_to_zero():
    layout = read_layout(spaces.Tuple((spaces.Discrete(1), spaces.Tuple([spaces.Box(3.0, 3.0, (1,), np.float32)]))))
    assert to_scaled(layout, np.array([3.0])) == 0.0
    assert to_physical(layout, np.array([0.7])) == 3.0


@given(FLAT)
def test_the_largest_score_chooses_and_the_action_is_in_the_space(flat):
    branch, parameters = action = read_flat(LAYOUT, flat)
    assert flat[branch] == flat[:3].max()
    assert (flat[:branch] < flat[branch]).all()
    assert SPACE.contains(action)
    np.testing.assert_array_equal(np.concatenate(parameters), to_physical(LAYOUT, flat[3:]))


@given(FLAT_BATCH)
def test_a_batch_of_flat_actions_is_read_one_by_one(flat):
    branches, parameters = read_flat(LAYOUT, flat, (4,))
    for i, own in enumerate(flat):
        branch, own_parameters = read_flat(LAYOUT, own)
        assert branches[i] == branch
        assert [part[i].tolist() for part in parameters] == [part.tolist() for part in own_parameters]


@pytest.mark.parametrize("id", WORLDS)
@pytest.mark.parametrize(
    ("single", "vector"), [(FlatBoxAction, VectorFlatBoxAction), (RescaleParameters, VectorRescaleParameters)]
)
def test_a_batch_equals_single_environments(id, single, vector):
    if single is RescaleParameters and isinstance(make(id).action_space, spaces.Discrete):
        pytest.skip("nothing to rescale")
    batch = vector(make_batch(id, 3))
    envs = [single(make(id)) for _ in range(3)]
    observations, _ = batch.reset(seed=5)
    for i, env in enumerate(envs):
        np.testing.assert_array_equal(env.reset(seed=5 + i)[0], observations[i])
    batch.action_space.seed(0)
    running = np.ones(3, bool)
    for _ in range(20):
        actions = batch.action_space.sample()
        observations, rewards, terminations, truncations, _ = batch.step(actions)
        for i, action in enumerate(gymnasium.vector.utils.iterate(batch.action_space, actions)):
            if running[i]:
                observation, reward, terminated, truncated, _ = envs[i].step(action)
                np.testing.assert_array_equal(observation, observations[i])
                assert (reward, terminated, truncated) == (rewards[i], terminations[i], truncations[i])
        running &= ~(terminations | truncations)


def test_a_rescaled_action_does_what_the_physical_one_does():
    plain, rescaled = make(PLATFORM), RescaleParameters(make(PLATFORM))
    plain.reset(seed=1)
    rescaled.reset(seed=1)
    zeros = (np.zeros(1, np.float32),) * 3
    expected = plain.step((2, (np.array([15.0]), np.array([360.0]), np.array([215.0]))))
    np.testing.assert_array_equal(rescaled.step((2, zeros))[0], expected[0])


def test_beyond_the_scale_is_passed_on_and_clipped_by_the_world():
    physical = to_physical(LAYOUT, np.array([3.0, -2.0, 1.5]))
    assert physical.tolist() == [60.0, -360.0, 537.5]
    outcomes = []
    for power in (1.0, 7.0):
        env = FlatBoxAction(make(PLATFORM))
        env.reset(seed=1)
        outcomes.append(env.step(np.array([1.0, 0.0, 0.0, power, 0.0, 0.0]))[0])
    np.testing.assert_array_equal(*outcomes)


@pytest.mark.parametrize("id", WORLDS)
@pytest.mark.parametrize("wrapper", [FlatBoxAction, RescaleParameters])
def test_wrapped_environments_are_rebuilt_from_their_spec(id, wrapper):
    if wrapper is RescaleParameters and isinstance(make(id).action_space, spaces.Discrete):
        pytest.skip("nothing to rescale")
    env = wrapper(make(id))
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, wrapper)
    assert again.action_space == env.action_space


@pytest.mark.parametrize("id", WORLDS)
def test_stable_baselines3_accepts_it(id):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(FlatBoxAction(make(id)))


@pytest.mark.parametrize("wrapper", [FlatBoxAction, RescaleParameters])
def test_state_and_configuration_are_reached_through_the_wrapper(wrapper):
    env = wrapper(make(PLATFORM))
    env.reset(seed=0, options={"configuration": {"gravity": 20.0}})
    state = env.unwrapped.get_state()
    env.action_space.seed(0)
    action = env.action_space.sample()
    first = env.step(action)[0]
    env.unwrapped.set_state(state)
    np.testing.assert_array_equal(env.step(action)[0], first)


def test_nothing_to_rescale_is_refused():
    with pytest.raises(Error, match=r"nothing to rescale.*FlatBoxAction"):
        RescaleParameters(make(CARTPOLE))
    with pytest.raises(Error, match="nothing to rescale"):
        VectorRescaleParameters(make_batch(CARTPOLE, 2))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1.0, 1.0, (2,)),
        spaces.Discrete(2, start=1),
        spaces.Tuple((spaces.Discrete(2), spaces.Box(-1.0, 1.0, (2,)))),
        spaces.Tuple((spaces.Discrete(3), spaces.Tuple([box(1), box(1)]))),
        spaces.Tuple((spaces.Discrete(2), spaces.Tuple([box(1), spaces.Discrete(2)]))),
        spaces.Tuple((spaces.Discrete(2), spaces.Tuple([box(1), spaces.Box(0.0, 1.0, (1, 1))]))),
    ],
)
def test_another_form_is_refused(space):
    with pytest.raises(Error, match="has not the form"):
        read_layout(space)


def test_a_parameter_without_bounds_is_refused():
    unbounded = spaces.Box(0.0, np.inf, (1,), np.float32)
    with pytest.raises(Error, match="without bounds"):
        read_layout(spaces.Tuple((spaces.Discrete(1), spaces.Tuple([unbounded]))))


@pytest.mark.parametrize(
    ("flat", "reason"),
    [
        (np.zeros(5), r"has shape \(5,\)\. Give finite numbers of shape \(6,\): a score for each of the 3 branches, then 3"),
        (np.zeros((1, 6)), r"has shape \(1, 6\)"),
        ([0, np.nan, 0, 0, 0, 0], r"Entry \[1\] of the flat action is nan"),
        ([0, 0, 0, 0, 0, -np.inf], r"Entry \[5\] of the flat action is -inf"),
        ("left", "'left' is no flat action"),
        (None, r"has shape \(\)"),
        ((1, (2, 3)), "no flat action"),
    ],
)
def test_malformed_flat_actions_are_refused(flat, reason):
    env = FlatBoxAction(make(PLATFORM))
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=reason):
        env.step(flat)


def test_malformed_batches_of_flat_actions_are_refused():
    batch = VectorFlatBoxAction(make_batch(PLATFORM, 2))
    batch.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"shape \(6,\)\. Give finite numbers of shape \(2, 6\)"):
        batch.step(np.zeros(6))
    flat = np.zeros((2, 6))
    flat[1, 4] = np.nan
    with pytest.raises(InvalidAction, match=r"Entry \[1, 4\]"):
        batch.step(flat)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (1, "is no rescaled action"),
        ((1, 2.0), "is no rescaled action"),
        ((1, ("a", "b", "c")), "is no rescaled action"),
        ((1, (np.zeros(1), np.zeros(1))), r"shapes \[\(1,\), \(1,\)\]: give one array for each branch"),
        ((1, (np.zeros(1), 0.0, np.zeros(1))), "give one array for each branch"),
        ((3, (np.zeros(1),) * 3), "is no action of Platform"),
        ((1, (np.zeros(1), np.full(1, np.nan), np.zeros(1))), "is no action of Platform"),
        ((1, (np.zeros(1), np.full(1, 1e300), np.zeros(1))), "is no action of Platform"),
    ],
)
def test_malformed_rescaled_actions_are_refused(action, reason):
    env = RescaleParameters(make(PLATFORM))
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=reason):
        env.step(action)


def test_a_malformed_batch_of_rescaled_actions_is_refused():
    with pytest.raises(InvalidAction, match=r"shapes \[\(2, 1\), \(2, 1\), \(2, 1\)\]"):
        read_rescaled(LAYOUT, (np.zeros(2), (np.zeros(1),) * 3), (2,))


def test_the_world_without_parameters_takes_scores_alone():
    env = FlatBoxAction(make(CARTPOLE))
    assert env.action_space == spaces.Box(-1.0, 1.0, (2,), np.float32)
    assert read_flat(read_layout(make(CARTPOLE).action_space), [0.1, 0.2]) == 1
