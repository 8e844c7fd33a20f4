"""HPGD: hyper-gradient descent through a lower level that prefers its policy to be random.

Source: Thoma, Pasztor, Krause, Ramponi, Hu, "Contextual Bilevel Reinforcement Learning for Incentive Alignment" (NeurIPS 2024).
With entropy in its objective, the lower level's optimal policy is a smooth function of the configuration, and the upper level's
objective has a gradient that follows how the policy responds. What differs here: the paper estimates that gradient from
trajectories of the lower level; here it is exact, by linear solves. There is one context. Steps are those of `value_gradient`.
"""

import math

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import Reals
from reworld_baselines.mctvmdp.configurable import Configurable, Model, functions_of, result_of, solve_at
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.staged import StagedMDP


def hpgd(
    problem: Configurable,
    search: Search,
    *,
    temperature: float = 0.05,
    objective: str = "value",
    rate: float = 0.1,
    iterations: int = 200,
) -> Result:
    """Take steps along the hypergradient, of a rate that falls as the root of their number, and keep the best.

    A configuration counts for what the best policy makes of it, without entropy. Guarantees no more than that the value is at
    least the nominal one.

    Args:
        problem: Which one.
        search: Where progress is noted.
        temperature: What the lower level gains by a unit of entropy in every step, above 0, in units of reward.
        objective: ``"value"``: the upper level counts rewards alone; ``"soft"``: entropy as well, as the lower one does.
        rate: By how much the first step may change each number, above 0.
        iterations: Number of steps.

    Raises:
        InvalidOption: If the objective is neither.
    """
    if objective not in ("value", "soft"):
        raise InvalidOption(f"objective={objective!r}: give 'value' or 'soft'.")
    best = solved = solve_at(problem, problem.nominal, search)
    search.record(best.objective, best.cost)
    for k in range(iterations):
        slopes = problem.pull_back(solved.configuration, kernel_hypergradient(solved.model, temperature, objective))
        search.count()
        configuration = problem.best(slopes, solved.configuration, rate / math.sqrt(k + 1))
        solved = solve_at(problem, configuration, search, solved.policy)
        if solved.objective > best.objective:
            best = solved
            search.record(best.objective, best.cost)
    return result_of(problem, "hpgd", best, Certificate("none"), search)


def kernel_hypergradient(model: Model, temperature: float, objective: str) -> Reals:
    """Find the slopes of the upper level's objective in every entry of the kernel, of its shape.

    The policy is the softmax of the lower level's action values Q over the temperature, so that of the upper level's value

        dF = ∂F + Σ_s d(s) Σ_a ∂π(a|s) Q_F(s, a),    ∂π = π (∂Q - E_π ∂Q) / temperature.

    Hence each ∂Q(s, a) weighs in with c(s, a) = d(s) π(a|s) (Q_F(s, a) - V_F(s)) / temperature. As ∂Q holds what follows, too,
    these weights are those of visits that begin by c, and are carried on by the policy: one more solve, and no Jacobian.

    Args:
        model: The decision process.
        temperature: As in `hpgd`.
        objective: As in `hpgd`.
    """
    functions = functions_of(model)
    soft_values, law = functions.soft_policy_iteration(model, temperature)
    soft_slopes: Reals = functions.kernel_slopes(model, law, soft_values)
    if objective == "soft":
        return soft_slopes
    values, visits = functions.evaluate(model, law), functions.occupancy(model, law)
    worth = functions.action_values(model, values)
    response = (worth - values[: len(worth), ..., None]) / temperature
    carried = _carry_on(model, law, visits[..., None] * law * response)
    # The soft slopes are per visit, of which there may be none.
    response += np.divide(carried, visits, out=np.zeros_like(visits), where=visits > 0.0)[..., None]
    slopes: Reals = functions.kernel_slopes(model, law, values) + response[..., None] * soft_slopes
    return slopes


def _carry_on(model: Model, law: Reals, weights: Reals) -> Reals:
    """Weight of each state, shape (S,) or (H, S), if each action begins with a weight, and the policy carries it on."""
    if isinstance(model, StagedMDP):
        carried = np.zeros(weights.shape[:2])
        for t in range(len(weights) - 1):
            total = weights[t] + carried[t, :, None] * law[t]
            carried[t + 1] = model.discount * np.einsum("sa,sat->t", total, model.kernel[t])
        return carried
    policy_kernel = np.einsum("sa,sat->st", law, model.kernel)
    begin = model.discount * np.einsum("sa,sat->t", weights, model.kernel)
    return np.linalg.solve(np.eye(len(law)) - model.discount * policy_kernel.T, begin)
