"""A world's tables are checked, and give its records their shape."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from gymnasium.error import Error

from reworld.errors import InvalidWorld
from reworld.world import Branch, Parameter, Quantity, World
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.platform import WORLD as PLATFORM

both_worlds = pytest.mark.parametrize("world", [CARTPOLE, PLATFORM], ids=lambda world: world.name)
ENTRY = Quantity("x", 0.0, 1.0, "m", "position")


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ({"parameters": (CARTPOLE.parameters[0],) * 2}, "parameters called 'gravity'"),
        ({"state": ("x", "y", "x")}, "state fields called 'x'"),
        ({"observation": (ENTRY, ENTRY)}, "observations called 'x'"),
        ({"branches": (Branch("go", ""), Branch("go", "", (ENTRY,)))}, "branches called 'go'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_two_entries_of_a_table_cannot_share_a_name(table: dict[str, Any], kind: str) -> None:
    with pytest.raises(InvalidWorld, match=f"CartPole has two {kind}"):
        dataclasses.replace(CARTPOLE, **table)


@pytest.mark.parametrize("default", [-0.1, 1.1, float("nan")])
def test_a_default_outside_its_bounds_is_refused(default: float) -> None:
    with pytest.raises(InvalidWorld, match=r"'mass' has default .* outside its own bounds \[0.0, 1.0\]"):
        dataclasses.replace(CARTPOLE, parameters=(Parameter("mass", 0.0, 1.0, "kg", "", default),))


def test_every_refusal_is_an_error_of_gymnasium() -> None:
    assert issubclass(InvalidWorld, Error)


@both_worlds
def test_state_is_a_record_of_float64(world: World) -> None:
    dtype = world.state_dtype
    assert dtype.names == world.state
    assert {dtype[name] for name in world.state} == {np.dtype(np.float64)}
    assert dtype.itemsize == 8 * len(world.state)


@both_worlds
def test_configuration_is_a_record_of_float64(world: World) -> None:
    dtype = world.configuration_dtype
    names = [parameter.name for parameter in world.parameters]
    assert dtype.names == (*names, "values")
    assert {dtype[name] for name in names} == {np.dtype(np.float64)}
    assert dtype.itemsize == 8 * len(names)


@both_worlds
def test_values_are_the_named_fields_seen_as_one_array(world: World) -> None:
    configurations = np.zeros(3, world.configuration_dtype)
    for k, parameter in enumerate(world.parameters):
        configurations[parameter.name] = [k, 2 * k, 3 * k]
    count = len(world.parameters)
    np.testing.assert_array_equal(configurations["values"], np.outer([1, 2, 3], np.arange(count)))
    configurations["values"] = -1.0
    assert {name: configurations[name].tolist() for name in world.configuration_dtype.names or () if name != "values"} == {
        parameter.name: [-1.0] * 3 for parameter in world.parameters
    }


@both_worlds
def test_default_configuration_is_in_the_order_of_the_parameters(world: World) -> None:
    assert world.default_configuration.dtype == np.float64
    assert world.default_configuration.tolist() == [parameter.default for parameter in world.parameters]


@pytest.mark.parametrize(
    ("own", "offsets"), [((0, 0), [0, 0, 0]), ((1, 1, 1), [0, 1, 2, 3]), ((2, 0, 3), [0, 2, 2, 5])], ids=str
)
def test_branch_offsets_say_where_own_parameters_lie(own: tuple[int, ...], offsets: list[int]) -> None:
    branches = tuple(Branch(f"branch{k}", "", (ENTRY,) * count) for k, count in enumerate(own))
    assert dataclasses.replace(CARTPOLE, branches=branches).branch_offsets.tolist() == offsets
