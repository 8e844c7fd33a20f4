import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import Error
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reworld.actions import read_layout, to_physical, to_scaled
from reworld.environment import WorldEnv
from worlds.panel import WORLD as PANEL

IDS = sorted(id for id in gymnasium.registry if id.startswith("reworld/"))
LAYOUT = read_layout(WorldEnv(PANEL).action_space)


def box(size, low=0.0, high=10.0):
    return spaces.Box(low, high, (size,), np.float32)


def test_the_parameters_of_all_branches_lie_in_one_row():
    assert LAYOUT.branches == 3
    assert LAYOUT.sizes == (2, 0, 1)
    assert LAYOUT.offsets.tolist() == [0, 2, 2, 3]
    assert LAYOUT.low.tolist() == [-2.0, 0.0, -1.0]
    assert LAYOUT.high.tolist() == [6.0, 10.0, 3.0]
    assert LAYOUT.hybrid
    assert LAYOUT.flat_size == 6
    assert [part.tolist() for part in LAYOUT.split(np.arange(3))] == [[0, 1], [], [2]]


def test_branches_alone_have_no_row():
    layout = read_layout(spaces.Discrete(4))
    assert (layout.branches, layout.flat_size, layout.hybrid) == (4, 4, False)


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
    with pytest.raises(Error, match="without bounds"):
        read_layout(spaces.Tuple((spaces.Discrete(1), spaces.Tuple([box(1, -np.inf)]))))


@given(arrays(np.float32, (5, 3), elements=st.floats(-1.0, 1.0, width=32)))
def test_scaling_there_and_back(scaled):
    np.testing.assert_allclose(to_scaled(LAYOUT, to_physical(LAYOUT, scaled)), scaled, atol=1e-6)


@pytest.mark.parametrize("id", IDS)
def test_ends_of_the_scale_are_the_bounds_exactly(id):
    layout = read_layout(gymnasium.make(id).action_space)
    assert to_physical(layout, -np.ones_like(layout.low)).tolist() == layout.low.tolist()
    assert to_physical(layout, np.ones_like(layout.high)).tolist() == layout.high.tolist()


def test_beyond_the_scale_is_beyond_the_bounds():
    assert to_physical(LAYOUT, np.array([3.0, -2.0, 1.5])).tolist() == [14.0, -5.0, 4.0]


def test_a_parameter_with_a_single_value_scales_to_zero():
    layout = read_layout(spaces.Tuple((spaces.Discrete(1), spaces.Tuple([box(1, 3.0, 3.0)]))))
    assert to_scaled(layout, np.array([3.0])) == 0.0
    assert to_physical(layout, np.array([0.7])) == 3.0
