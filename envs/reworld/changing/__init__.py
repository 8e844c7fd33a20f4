"""Worlds that the agent can change: model-changing actions with a cost, a budget and epochs, around any world.

``gymnasium.make("reworld/Platform-v0", changing=Changing(parameters=("gravity", "gap1"), budget=2.0))`` has, beside run, hop
and leap, the branches ``set_gravity`` and ``set_gap1``. `reworld.changing.levels` makes games of several levels (PettingZoo).
"""

from reworld.changing.change import ChangeableWorld, change
from reworld.changing.setup import Changing, Cost, SetUp

__all__ = ["ChangeableWorld", "Changing", "Cost", "SetUp", "change"]
