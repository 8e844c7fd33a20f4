"""Agents that need no training: what a world's own rules make of it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from reworld.engine.kernels import plain
from reworld.errors import InvalidOption
from reworld.world import World


def scripted_policy(world: World) -> Callable[[Any], Any]:
    """Play a world by its own rules, `World.policy`.

    Args:
        world: Which one, as in ``env.unwrapped.world``.

    Returns:
        A function from an observation to an element of the action space.

    Raises:
        InvalidOption: If the world has no policy.
    """
    rules = rules_of(world)

    def act(observation: Any) -> Any:
        return compose_action(world, *rules(observation))

    return act


def rules_of(world: World) -> Callable[[Any], tuple[int, tuple[float, ...]]]:
    """Take a world's own rules.

    Args:
        world: Whose.

    Returns:
        A function from an observation to a branch and the parameters of that branch.

    Raises:
        InvalidOption: If the world has no policy.
    """
    if world.policy is None:
        raise InvalidOption(f"{world.name} has no scripted policy: give it one, as World(…, policy=…).")
    return plain(world, world.policy)


def compose_action(world: World, branch: int, x: tuple[float, ...]) -> Any:
    """Make an element of a world's action space from what is chosen.

    Args:
        world: Whose action.
        branch: The discrete choice.
        x: The parameters of that branch; those of the others are 0, or as near to it as they may be.

    Returns:
        ``(branch, parameters)``, with one float32 array for each branch; or just the branch if the world has no parameters.

    Raises:
        InvalidOption: If the branch does not take so many parameters.
    """
    if len(x) != len(world.branches[branch].parameters):
        names = [parameter.name for parameter in world.branches[branch].parameters]
        raise InvalidOption(f"{world.name}'s {world.branches[branch].name} takes the parameters {names}, not {x!r}.")
    if not any(each.parameters for each in world.branches):
        return branch
    own = [np.array([min(max(0.0, p.low), p.high) for p in each.parameters], np.float32) for each in world.branches]
    own[branch][:] = x
    return branch, tuple(own)
