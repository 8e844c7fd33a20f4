"""REMPS, relative entropy model policy search: find better visits near the present ones, then what makes them.

Source: Metelli, Ghelfi, Restelli, "Reinforcement Learning in Configurable Continuous Environments" (ICML 2019), in exact,
tabular form. Visits d(s, a, s') are discounted, of sum 1. The optimisation is the paper's: of all laws d' within a relative
entropy of d, that which earns most is d' ∝ d exp(r / η), with η from a dual in one unknown. It is no policy's law of visits in
general; so the projection looks for the policy π and the configuration of the least relative entropy of d' to their visits.

What was assumed, as the paper leaves it to a class of policies and models, and to samples:

- The projection is done by the method of Frank and Wolfe, in policy and configuration together, with a step that is halved
  until the relative entropy falls. Any policy is allowed. The slopes are those of the value of a process that pays d'(s) / d(s)
  in each state, plus d' / π and d' / P.
- Rewards of actions count as rewards of all their transitions.
"""

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from reworld.errors import InvalidOption
from reworld.finite import Reals
from reworld_baselines.mctvmdp.configurable import Configurable, Model, functions_of, result_of, solve_at
from reworld_baselines.mctvmdp.results import Certificate, Result, Search

_ENOUGH = 1e-4  # The share of what a step promises to first order that must come true for it to be taken.
_HALVINGS = 30
_LOG_TEMPERATURES = (math.log(1e-3), math.log(1e4))  # Where that of the dual is looked for, in spans of rewards.


def remps(
    problem: Configurable, search: Search, *, divergence: float = 0.1, iterations: int = 30, projections: int = 20
) -> Result:
    """Alternate optimisation and projection from the nominal configuration, and from the policy that takes all actions alike.

    A configuration counts for what the best policy makes of it; the best one visited is kept. Guarantees no more than that its
    value is at least the nominal one: the projection may lose what the optimisation has won.

    Args:
        problem: Which one, without penalty: the relative entropy knows no price.
        search: Where progress is noted.
        divergence: Largest relative entropy of better visits to the present ones, above 0.
        iterations: How often.
        projections: Largest number of steps of a projection.

    Raises:
        InvalidOption: If the problem has a penalty.
    """
    if problem.penalty:
        raise InvalidOption(f"penalty={problem.penalty:g}: REMPS knows no price, so give a problem without penalty.")
    best = solved = solve_at(problem, problem.nominal, search)
    search.record(best.objective, best.cost)
    law = np.full(solved.model.kernel.shape[:-1], 1.0 / solved.model.kernel.shape[-2])
    for _ in range(iterations):
        wanted = better_visits(transition_shares(solved.model, law), _rewards(solved.model), divergence)
        law, configuration = _project(problem, search, law, solved.configuration, wanted, projections)
        solved = solve_at(problem, configuration, search, solved.policy)
        if solved.objective > best.objective:
            best = solved
            search.record(best.objective, best.cost)
    return result_of(problem, "remps", best, Certificate("none"), search)


def transition_shares(model: Model, law: Reals) -> Reals:
    """Say which share each transition has in all visits, discounted, of the shape of the kernel.

    Args:
        model: The decision process.
        law: The policy, the probability of each action.
    """
    visits = functions_of(model).occupancy(model, law)
    shares: Reals = (visits / visits.sum())[..., None, None] * law[..., None] * model.kernel
    return shares


def _rewards(model: Model) -> Reals:
    rewards = model.rewards if model.rewards.ndim == model.kernel.ndim else model.rewards[..., None]
    return np.broadcast_to(rewards, model.kernel.shape)


def better_visits(visits: Reals, rewards: Reals, divergence: float) -> Reals:
    """Find the law that earns most within a relative entropy of the visits.

    Args:
        visits: A law, of any shape.
        rewards: Of the same shape.
        divergence: Largest relative entropy of the law to the visits, above 0.
    """
    held = visits > 0.0
    span = float(np.ptp(rewards[held]))
    if span == 0.0:
        return visits
    shares, behind = visits[held], (rewards[held] - rewards[held].max()) / span

    def dual(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        return temperature * (divergence + math.log((shares * np.exp(behind / temperature)).sum()))

    found = minimize_scalar(dual, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-6})
    better = np.zeros_like(visits)
    better[held] = shares * np.exp(behind / math.exp(found.x))
    better /= better.sum()
    return better


def _project(
    problem: Configurable, search: Search, law: Reals, configuration: Reals, wanted: Reals, steps: int
) -> tuple[Reals, Reals]:
    """Find a policy and a configuration whose visits are, in relative entropy, nearer to those wanted."""
    model = problem.model(configuration)
    fit = log_likelihood(wanted, transition_shares(model, law))
    for _ in range(steps):
        law_slopes, kernel_slopes = likelihood_slopes(model, law, wanted)
        slopes = problem.pull_back(configuration, kernel_slopes)
        law_step = (law_slopes.argmax(axis=-1)[..., None] == np.arange(law.shape[-1])) - law
        step = problem.best(slopes) - configuration
        promised = float((law_slopes * law_step).sum() + slopes @ step)
        for share in 0.5 ** np.arange(_HALVINGS + 1):
            candidate = law + share * law_step, configuration + share * step
            model = problem.model(candidate[1])
            search.count()
            found = log_likelihood(wanted, transition_shares(model, candidate[0]))
            if found >= fit + _ENOUGH * share * promised:
                break
        else:  # What is promised is of rounding only.
            break
        (law, configuration), fit = candidate, found
    return law, configuration


def log_likelihood(wanted: Reals, visits: Reals) -> float:
    """Less the relative entropy of wanted visits to others, but for what depends on the wanted ones alone.

    Args:
        wanted: A law, of the shape of the kernel.
        visits: Another, as `transition_shares` makes it.
    """
    held = wanted > 0.0
    with np.errstate(divide="ignore"):
        return float(wanted[held] @ np.log(visits[held]))


def likelihood_slopes(model: Model, law: Reals, wanted: Reals) -> tuple[Reals, Reals]:
    """Find the slopes of `log_likelihood` in the policy, and in every entry of the kernel, each of its shape.

    Args:
        model: The decision process.
        law: The policy, the probability of each action.
        wanted: As in `log_likelihood`.
    """
    functions = functions_of(model)
    visits = functions.occupancy(model, law)
    pay = _ratio(wanted.sum(axis=(-1, -2)), visits)
    paying = replace(model, rewards=np.repeat(pay[..., None], law.shape[-1], axis=-1))
    values = functions.evaluate(paying, law)
    of_law = visits[..., None] * functions.action_values(paying, values) + _ratio(wanted.sum(axis=-1), law)
    of_kernel = functions.kernel_slopes(paying, law, values) + _ratio(wanted, model.kernel)
    return of_law, of_kernel


def _ratio(wanted: Reals, present: Reals) -> Reals:
    """Wanted over present, 0 where nothing is wanted."""
    return np.divide(wanted, present, out=np.zeros_like(wanted), where=wanted > 0.0)
