"""IWOCS, incremental worst-case search: a policy that is safe whatever the configuration, from a growing set of bad ones.

Source: Zouitine, Geist, Rachelson, "Solving robust Markov decision processes as a sequence of static reinforcement learning
problems" (2024), in exact, tabular form. Here an adversary chooses the configuration, once, knowing the policy. In turns, each
configuration in the set is solved by itself; the policy takes the action whose least optimal value over the set is largest;
and the worst configuration for that policy joins the set. It ends when the worst configuration is no worse than those in the
set.

What was assumed, as the paper searches by sampled returns: the worst configuration is found along the exact slopes of the
policy's value, in a region that shrinks when a step does not lower the value, from each configuration in the set. The
adversary pays, too: what it lowers is the value plus penalty times cost.
"""

import math
from collections.abc import Callable

import numpy as np

from reworld_baselines.mctvmdp.configurable import Configurable, Solved, functions_of, hold_at, result_of, slopes_at, solve_at
from reworld_baselines.mctvmdp.results import Certificate, Result, Search

_LEAST_MOVE = 1e-9  # A configuration whose numbers all differ by less is the same.


def worst_case(problem: Configurable, search: Search, *, size: int = 20, steps: int = 200, tolerance: float = 1e-9) -> Result:
    """Find a policy, and the worst configuration for it.

    Keeps the policy whose worst value is best. That value is the worst that was found: it is exact where no local minimum of a
    policy's value misleads, and may be too high elsewhere. The policy is the safest of all where the same configuration is the
    worst for every policy and in every state, and it was found; in general nothing of the kind is guaranteed.

    Args:
        problem: Which one.
        search: Where progress is noted.
        size: Largest size of the set, which is also the number of policies tried, at least 1.
        steps: Largest number of steps in the search for the worst configuration, from each start.
        tolerance: By how much the worst configuration must be worse than those in the set to join it.
    """

    def left(solved: Solved) -> float:
        """What the adversary lowers."""
        return solved.value + problem.penalty * solved.cost

    members, worsts = [solve_at(problem, problem.nominal, search)], []
    while True:
        worths = [functions_of(each.model).action_values(each.model, each.values) for each in members]
        policy = np.min(worths, axis=0).argmax(axis=-1)
        known = [hold_at(problem, each.configuration, search, policy) for each in members]
        worst = min((_descend(problem, each, left, search, steps) for each in known), key=left)
        worsts.append(worst)
        search.record(worst.value, worst.cost)
        if left(worst) >= min(map(left, known)) - tolerance or len(members) >= size:
            break
        members.append(solve_at(problem, worst.configuration, search))
    safest = max(worsts, key=left)
    nominal = hold_at(problem, problem.nominal, search, safest.policy)
    notes = [f"Under the nominal configuration the policy is worth {nominal.value:.10g}."]
    return result_of(problem, "worst_case", safest, Certificate("none", notes=notes), search)


def _descend(problem: Configurable, solved: Solved, left: Callable[[Solved], float], search: Search, steps: int) -> Solved:
    """Change the configuration, and not the policy, until no small change leaves less."""
    radius = math.inf
    for _ in range(steps):
        configuration = problem.best(-slopes_at(problem, solved), solved.configuration, radius)
        moved = float(np.abs(configuration - solved.configuration).max())
        if moved < _LEAST_MOVE:
            break
        found = hold_at(problem, configuration, search, solved.policy)
        if left(found) < left(solved):
            solved, radius = found, 2.0 * radius
        else:
            radius = 0.25 * moved
    return solved
