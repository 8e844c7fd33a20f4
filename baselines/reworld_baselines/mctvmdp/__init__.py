"""MCTVMDP: decision processes whose kernel is a decision too, and the solvers that learn to change the world.

Source: Lu, Hassibi, Lai, Xu, "Learn to Change the World: Multi-level Reinforcement Learning with Model-Changing Actions"
(arXiv 2510.15056), with its mathematics mended: see ``docs/solving.md``.

    problem = TVCMDP(MDP(kernel, rewards, discount=0.95), RowCost("exponential", scale=1.0, rate=3.0), budget=2.0)
    print(solve(problem))
"""

from reworld_baselines.mctvmdp.configurable import Configurable, SolverFailed
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP
from reworld_baselines.mctvmdp.mdp import MDP, SparseKernel
from reworld_baselines.mctvmdp.multi_level import MultiLevelMDP
from reworld_baselines.mctvmdp.parametric import ParametricMDP
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.solving import methods_of, solve, solve_for_budgets
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP

__all__ = [
    "MDP",
    "TVCMDP",
    "Certificate",
    "Configurable",
    "FiniteHorizonTVCMDP",
    "MultiLevelMDP",
    "OwnCost",
    "ParametricMDP",
    "Result",
    "RowCost",
    "Search",
    "SolverFailed",
    "SparseKernel",
    "methods_of",
    "solve",
    "solve_for_budgets",
]
