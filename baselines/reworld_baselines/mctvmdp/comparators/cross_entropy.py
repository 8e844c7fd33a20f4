"""The cross-entropy method: draw configurations, solve each, and draw the next ones near those that are worth most.

Source: Rubinstein and Kroese, "The Cross-Entropy Method" (2004), with independent normal laws in the unit cube that
`Configurable.decode` stretches over the set. Of exactly solved processes this is hard to beat while there are few numbers to
choose; where the inner solve is a training run, it takes as many of those.
"""

import numpy as np

from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.configurable import Configurable, result_of, solve_at
from reworld_baselines.mctvmdp.results import Certificate, Result, Search


def cross_entropy(
    problem: Configurable,
    search: Search,
    *,
    seed: int = 0,
    population: int = 40,
    elite: int = 8,
    iterations: int = 20,
    spread: float = 0.3,
) -> Result:
    """Fit a normal law to the elite of what was drawn from the last one, and keep the best configuration drawn.

    Guarantees nothing.

    Args:
        problem: Which one.
        search: Where progress is noted.
        seed: Of what is drawn.
        population: How many are drawn, and solved, in every iteration.
        elite: How many of them the next law is fitted to, at least 1.
        iterations: How often.
        spread: Standard deviation of the first law in every direction of the unit cube, around its centre.

    Raises:
        InvalidOption: If the elite is nobody, or more than all.
    """
    if not 1 <= elite <= population:
        raise InvalidOption(f"elite={elite} of population={population}: give an elite of at least 1, and no more than all.")
    rng = np.random.default_rng(seed)
    mean, deviation = np.full(problem.dimension, 0.5), np.full(problem.dimension, spread)
    best = solve_at(problem, problem.nominal, search)
    search.record(best.objective, best.cost)
    for _ in range(iterations):
        points = np.clip(rng.normal(mean, deviation, (population, problem.dimension)), 0.0, 1.0)
        drawn = [solve_at(problem, problem.decode(point), search) for point in points]
        order = np.argsort([-each.objective for each in drawn], kind="stable")
        mean, deviation = points[order[:elite]].mean(axis=0), points[order[:elite]].std(axis=0)
        if drawn[order[0]].objective > best.objective:
            best = drawn[order[0]]
            search.record(best.objective, best.cost)
    return result_of(problem, "cross_entropy", best, Certificate("none"), search)
