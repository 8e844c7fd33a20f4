"""Levels: a world whose configuration is chosen by a second agent, whose means to do so a third one chooses, and so on.

Source: the multi-level model of Lu, Hassibi, Lai, Xu, "Learn to Change the World: Multi-level Reinforcement Learning with
Model-Changing Actions", arXiv 2510.15056; its terms, and the flat form below, are reworld's own reading of it.

Level 0 is a world with n configurations. Level 1 is a small Markov decision process whose states are these configurations:
its action u costs ``costs[i, u]`` and leads from i to j with probability ``kernel[u, i, j]``. If it has several such kernels,
they are the states of level 2, and so on; the top level has one. `Levels` holds them all, and is played

- by one agent for each level, taking turns or all at once: `reworld.changing.levels.multi` (PettingZoo);
- by one agent at one level, while given policies play the others: `reworld.changing.levels.one_level` (Gymnasium);
- as a single Markov decision process in arrays: `Levels.flat`.

**Time.** The top level decides first, then the one below it, down to level 0, which plays an episode in its world. When an
episode of level k - 1 has ended, level k decides again, unless its own episode has ended with it: then level k + 1 decides.
An episode of a level

- goes on after each of its decisions with probability ``discount``, so that an undiscounted return has the discounted value of
  the theory as its mean;
- takes at most ``steps`` decisions, which is the length of an epoch of the level above (the discount above then is that of a
  whole epoch, and nothing is discounted within one);
- at level 0, ends when the world terminates.

An episode of level k begins in a state drawn from its ``start``, one of level 0 by a reset of the world. If the levels are
``persistent``, all stays as it was instead when a level above decides, the world's state included; when the world terminates,
so do all levels.

**Rewards.** What is paid at a level, the world's reward at level 0 and minus the cost at the others, is received by that level
and by all above it.
"""

from reworld.changing.levels.model import Level, Levels, find_levels, flat_levels
from reworld.changing.levels.one_level import OneLevel

__all__ = ["Level", "Levels", "OneLevel", "find_levels", "flat_levels"]
