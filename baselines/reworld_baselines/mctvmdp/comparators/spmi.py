"""SPMI, safe policy-model iteration: mix policy and model with better ones, by as much as a bound shows to be safe.

Source: Metelli, Mutti, Restelli, "Configurable Markov Decision Processes" (ICML 2018), with the decoupled bound of its public
code, and the sum of absolute differences as the distance of two laws. For rewards of actions, without penalty, it is the
paper's bound. What differs here: visits are not scaled to sum 1, and where the paper has 1 / (1 - discount) there is their
sum, so that the bound holds for a finite horizon, too; and it counts what transitions pay, and what a configuration costs.
"""

import numpy as np

from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.configurable import Configurable, Model, functions_of, result_of, solve_at, solved_by
from reworld_baselines.mctvmdp.results import Certificate, Result, Search


def spmi(problem: Configurable, search: Search, *, iterations: int = 2000, epsilon: float = 1e-9) -> Result:
    """Climb from the nominal configuration, and from the policy that takes all actions alike.

    The targets are greedy: the best action in every state, and the best configuration to first order. Guarantees that the
    objective of the mixed policy never falls: that is what the trace shows, but for its last row. The value of the result is
    that of the optimal policy in the last configuration.

    Args:
        problem: Which one. Its kernel must be linear in the configuration, as a mixture's is.
        search: Where progress is noted.
        iterations: Largest number of steps. They are small, so that thousands may be too few.
        epsilon: It ends when the bound promises no more than this of a step.

    Raises:
        InvalidOption: If the kernel is not linear in the configuration.
    """
    configuration = problem.nominal
    model = problem.model(configuration)
    functions = functions_of(model)
    law = np.full(model.kernel.shape[:-1], 1.0 / model.kernel.shape[-2])
    for _ in range(iterations):
        values = functions.evaluate(model, law)
        search.count()
        mixed = solved_by(problem, configuration, model, law, values)
        search.record(mixed.objective, mixed.cost)

        visits = functions.occupancy(model, law)
        worth = functions.action_values(model, values)
        slopes = functions.kernel_slopes(model, law, values)
        law_step = (worth.argmax(axis=-1)[..., None] == np.arange(worth.shape[-1])) - law
        target = problem.best(problem.pull_back(configuration, slopes))
        kernel_step = problem.model(target).kernel - model.kernel

        law_gain = float((visits[..., None] * law_step * worth).sum())
        kernel_gain = float((slopes * kernel_step).sum()) - problem.penalty * (problem.price(target) - mixed.cost)
        law_distances, kernel_distances = (np.abs(step).sum(axis=-1) for step in (law_step, kernel_step))
        law_distance = float((visits * law_distances).sum())
        kernel_distance = float((visits[..., None] * law * kernel_distances).sum())
        # By how much an action, or a transition, may be worth more than another, times the largest distance.
        of_actions = float(np.ptp(worth) * law_distances.max())
        of_transitions = float((model.discount * np.ptp(worth) + _pay(model)) * kernel_distances.max())
        carried = 0.5 * model.discount * float(visits.sum())
        a, b, promised = _best_steps(
            law_gain,
            kernel_gain,
            carried * of_actions * law_distance,
            carried * of_transitions * kernel_distance,
            carried * (of_actions * kernel_distance + of_transitions * law_distance) + 0.5 * of_transitions * law_distance,
        )
        if promised <= epsilon:
            break
        law = law + a * law_step
        kernel = model.kernel + b * kernel_step
        configuration = configuration + b * (target - configuration)
        model = problem.model(configuration)
        if np.abs(model.kernel - kernel).max() > 1e-9:
            raise InvalidOption(
                f"SPMI mixes kernels, and the kernel of this {type(problem).__name__} is not linear in its configuration: give "
                f"one that is, such as a mixture, or take another method."
            )
    solved = solve_at(problem, configuration, search)
    search.record(solved.objective, solved.cost)
    return result_of(problem, "spmi", solved, Certificate("none"), search)


def _pay(model: Model) -> float:
    """By how much transitions of the same action differ in what they pay."""
    return float(np.ptp(model.rewards, axis=-1).max()) if model.rewards.ndim == model.kernel.ndim else 0.0


def _best_steps(
    law_gain: float, kernel_gain: float, law_loss: float, kernel_loss: float, joint_loss: float
) -> tuple[float, float, float]:
    """Choose the steps a and b in [0, 1] of policy and kernel whose gains, less losses in a², b² and a b, are largest.

    The bound is saddle-shaped, so the best pair has a step of 0 or 1.

    Returns:
        Both steps, and the bound.
    """

    def bound(a: float, b: float) -> float:
        return a * law_gain + b * kernel_gain - a * a * law_loss - b * b * kernel_loss - a * b * joint_loss

    def longest(gain: float, loss: float) -> float:
        return min(max(gain, 0.0) / (2.0 * loss), 1.0) if loss > 0.0 else float(gain > 0.0)

    pairs = [
        (longest(law_gain, law_loss), 0.0),
        (0.0, longest(kernel_gain, kernel_loss)),
        (longest(law_gain - joint_loss, law_loss), 1.0),
        (1.0, longest(kernel_gain - joint_loss, kernel_loss)),
    ]
    a, b = max(pairs, key=lambda pair: bound(*pair))
    return a, b, bound(a, b)
