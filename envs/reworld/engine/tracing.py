"""What lies between two steps: a world is linked so that each of its sub-steps leaves its state behind."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from reworld.engine import loops
from reworld.engine.kernels import Instances, replacements_for
from reworld.engine.linking import Function, compile_linked
from reworld.world import Record, Vector, World

_MOST = 10_000  # Sub-steps of one action that are kept.


def trace(world: World, instance: Record, branch: int, x: Vector) -> Instances:
    """Take an action again, on a copy, and look at the instance after each of its sub-steps.

    Args:
        world: One with sub-steps or without.
        instance: As it was before the action.
        branch: The discrete choice.
        x: The parameters of that branch.

    Returns:
        An array of instances, of as many as there were sub-steps, of which the first 10,000 are kept; only their states differ.
    """
    if world.substep is None:
        return np.empty(0, instance.dtype)
    fields = instance.dtype
    traced: Any = np.zeros(1, [(name, _traced(world) if name == "state" else fields[name]) for name in fields.names])
    for name in fields.names:
        if name != "state":
            traced[name] = instance[name]
    for name in world.state_dtype.names or ():
        traced["state"][name] = instance["state"][name]
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        traced = traced.view(np.recarray)
    _step(world)(traced, branch, x, np.empty(world.observation_size, world.observation_dtype), world.reports(1))
    states = traced["state"]["states"][0, : int(traced["state"]["count"][0])]
    seen = np.repeat(np.asarray(instance), len(states))
    for k, name in enumerate(world.state):
        seen["state"][name] = states[:, k]
    return seen


def world_substep(state: Record, *arguments: Any) -> Any:
    """Stand for `World.substep`."""
    raise NotImplementedError


def remembered_substep(state: Record, *arguments: Any) -> Any:
    """Run a sub-step, and note the state that it leaves."""
    result = world_substep(state, *arguments)
    if state.count < len(state.states):
        for k in range(len(state.values)):
            state.states[state.count, k] = state.values[k]
        state.count += 1
    return result


@lru_cache
def _step(world: World) -> Function:
    replacements: dict[Any, Function] = {world.substep: remembered_substep, world_substep: world.substep or world_substep}
    replacements |= replacements_for(world)
    return compile_linked(loops.step_single, replacements, f"{world.name}_traced", world.constants)


def _traced(world: World) -> np.dtype[np.void]:
    """A state that also shows its numbers as one array, and has room for those after sub-steps."""
    state, size = world.state_dtype, len(world.state)
    fields: Mapping[str, Any] = state.fields or {}
    end = -(-state.itemsize // 8) * 8
    return np.dtype(
        {
            "names": [*fields, "values", "count", "states"],
            "formats": [*(each[0] for each in fields.values()), (np.float64, (size,)), np.int64, (np.float64, (_MOST, size))],
            "offsets": [*(each[1] for each in fields.values()), 0, end, end + 8],
        },
        align=True,
    )
