"""Gradient through value: raise the optimal value along its slopes in the configuration.

This is differentiable environment design where the inner problem is solved exactly: the slopes of the optimal value come from
two linear solves, and need none of the policy (Danskin). What differs here: steps are not projected, as not every set has a
projection that is known. A step goes to the best configuration, to first order, whose numbers are all within the rate: the
steepest ascent in the norm of the largest number, which keeps to any set. No step is refused, as it is in `trust_region`.
"""

import math

from reworld_baselines.mctvmdp.configurable import Configurable, result_of, slopes_at, solve_at
from reworld_baselines.mctvmdp.results import Certificate, Result, Search


def value_gradient(problem: Configurable, search: Search, *, rate: float = 0.1, iterations: int = 200) -> Result:
    """Take steps from the nominal configuration, of a rate that falls as the root of their number, and keep the best.

    Guarantees no more than that the value is at least the nominal one.

    Args:
        problem: Which one.
        search: Where progress is noted.
        rate: By how much the first step may change each number, above 0.
        iterations: Number of steps.
    """
    best = solved = solve_at(problem, problem.nominal, search)
    search.record(best.objective, best.cost)
    for k in range(iterations):
        configuration = problem.best(slopes_at(problem, solved), solved.configuration, rate / math.sqrt(k + 1))
        solved = solve_at(problem, configuration, search, solved.policy)
        if solved.objective > best.objective:
            best = solved
            search.record(best.objective, best.cost)
    return result_of(problem, "value_gradient", best, Certificate("none"), search)
