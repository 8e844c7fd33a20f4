"""The bi-level agent: networks that play a world without a kernel in every configuration, below one that chooses.

- `reworld_baselines.mctvmdp.deep.task`: what the lower level has to play, and ranges of configurations.
- `reworld_baselines.mctvmdp.deep.lower`: its networks, trained by PPO.
- `reworld_baselines.mctvmdp.deep.upper`: the upper level over named configurations: value iteration, DQN, PPO.
- `reworld_baselines.mctvmdp.deep.ranges`: the upper level over ranges: the cross-entropy method, Bayesian optimisation.
- `reworld_baselines.mctvmdp.deep.agent`: both together: learning, storing, evaluating.
- `reworld_baselines.mctvmdp.deep.method`: the same as a method of `reworld_baselines.mctvmdp.solve`.
"""

from reworld_baselines.mctvmdp.deep.agent import BilevelAgent, BilevelSettings, LevelsReport, RangesReport
from reworld_baselines.mctvmdp.deep.method import deep
from reworld_baselines.mctvmdp.deep.task import Ranges

__all__ = ["BilevelAgent", "BilevelSettings", "LevelsReport", "Ranges", "RangesReport", "deep"]
