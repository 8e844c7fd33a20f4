"""A finite horizon whose kernel may be changed at every stage.

The value is linear in the kernel of each stage when the others stay, so the best change of one stage, for a policy, is a convex
step without a trust region. Going from the last stage to the first, again and again, the value never falls. Where one budget is
for all stages, or changes persist, stages are coupled, and the problem is one for `trust_region`.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import Integers, Reals, read_laws, read_numbers
from reworld_baselines.mctvmdp.configurable import gap_at, result_of, slopes_at, solve_at
from reworld_baselines.mctvmdp.convex import convex_step, row_steps
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.mdp import set_field
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.staged import StagedMDP, occupancy
from reworld_baselines.mctvmdp.tvcmdp import changed, check_terms, largest_share, read_budget

BUDGETS = ("per_stage", "one_off", "per_row")


@dataclass(frozen=True, eq=False)
class FiniteHorizonTVCMDP:
    """A decision process of H stages, every row of whose kernels may be changed by x, at a cost.

    The configuration is x, its H S A S entries in one vector. With the budget of class

    - ``"per_stage"``, the sum of the cost of all rows of a stage is at most the budget;
    - ``"one_off"``, so is that of all rows of all stages;
    - ``"per_row"``, so is the cost of each row of each stage.

    Args:
        kernels: The nominal ones, ``kernels[t, s, a, s']``, float64 of shape (H, S, A, S).
        rewards: Expected reward of each action, shape (S, A) or (H, S, A).
        discount: In [0, 1].
        start: Probability of each first state, shape (S,); uniform if left out.
        cost: What x costs, at each stage by itself; its weights, if any, are of shape (S, A).
        budget: At least 0; None for any amount; for ``"per_stage"`` also one for each stage, shape (H,), and for ``"per_row"``
            one for each row, shape (H, S, A).
        budget_class: One of these three.
        penalty: By how much a unit of cost lessens the objective, at least 0; not with ``"per_row"``.
        persistent: Whether what is changed at a stage stays so at all later ones, so that the cost is that of the stage's own
            change. Not with the cost ``"kl"`` or a metric.
        changeable: Which rows may be changed, bool of shape (S, A) or (H, S, A); if left out, all but those of terminal states.

    Raises:
        InvalidOption: If these contradict one another.
    """

    kernels: Any
    rewards: Any
    discount: float
    start: Any = None
    cost: RowCost | OwnCost = field(default_factory=RowCost)
    budget: Any = None
    budget_class: str = "per_stage"
    penalty: float = 0.0
    persistent: bool = False
    changeable: Any = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        kernels = read_numbers("kernels", self.kernels)
        if kernels.ndim != 4 or kernels.shape[1] != kernels.shape[3] or 0 in kernels.shape:
            raise InvalidOption(f"kernels has shape {kernels.shape}: give kernels[t, s, a, s'], of shape (H, S, A, S).")
        kernels = read_laws("kernels", kernels)
        rows, states = kernels.shape[:3], kernels.shape[1]
        rewards = read_numbers("rewards", self.rewards)
        if rewards.shape not in (rows, rows[1:]):
            raise InvalidOption(f"rewards has shape {rewards.shape}: give one of {rows[1:]} or {rows}.")
        if not (isinstance(self.discount, float | int) and 0.0 <= self.discount <= 1.0):
            raise InvalidOption(f"discount={self.discount!r}: give a number in [0, 1].")
        start = np.full(states, 1.0 / states) if self.start is None else read_numbers("start", self.start)
        if start.shape != (states,):
            raise InvalidOption(f"start has shape {start.shape}: give {states} probabilities, one for each state.")
        check_terms(self.cost, self.budget_class, BUDGETS, self.penalty)
        if self.budget is not None:
            several = {"per_stage": rows[:1], "one_off": (), "per_row": rows}[self.budget_class]
            set_field(self, "budget", read_budget(self.budget, several))
        for name, value in {"kernels": kernels, "start": read_laws("start", start)}.items():
            set_field(self, name, value)
        set_field(self, "rewards", np.broadcast_to(rewards, rows))
        set_field(self, "changeable", self._read_changeable())
        for kernel in kernels:
            self.cost.check(kernel)
        if self.persistent and isinstance(self.cost, RowCost) and (self.cost.kind == "kl" or self.cost.metric is not None):
            raise InvalidOption("Persistent changes have no cost 'kl' and no metric: give another cost, or an OwnCost.")

    @property
    def horizon(self) -> int:
        """How many stages there are."""
        return len(self.kernels)

    @property
    def nominal(self) -> Reals:
        """No change, zeros of shape (H S A S,)."""
        return np.zeros(self.kernels.size)

    def model(self, configuration: Reals) -> StagedMDP:
        """Make the decision process under a change."""
        change = configuration.reshape(self.kernels.shape)
        if self.persistent:
            change = np.cumsum(change, axis=0)
        return StagedMDP(changed(self.kernels, change), self.rewards, self.discount, self.start)

    def pull_back(self, configuration: Reals, slopes: Reals) -> Reals:
        """Turn slopes in the kernels into slopes in the change: of one that persists, they are the sum over later stages."""
        if self.persistent:
            slopes = np.cumsum(slopes[::-1], axis=0)[::-1]
        return slopes.reshape(-1)

    def price(self, configuration: Reals) -> float:
        """Say what a change costs: all rows of all stages together, or with the budget class ``"per_row"`` the dearest row."""
        prices = self.row_prices(configuration)
        return float(prices.max() if self.budget_class == "per_row" else prices.sum())

    def row_prices(self, configuration: Reals) -> Reals:
        """Say what a change costs, for each row, shape (H, S, A)."""
        change = configuration.reshape(self.kernels.shape)
        return np.stack([self.cost.of_rows(x, kernel) for x, kernel in zip(change, self.kernels, strict=True)])

    def budgets(self) -> Reals:
        """Say what each row may cost by itself, at most, shape (H, S, A)."""
        budget = np.asarray(math.inf if self.budget is None else self.budget)
        return np.broadcast_to(budget[:, None, None] if budget.ndim == 1 else budget, self.kernels.shape[:3])

    def bounds(self) -> tuple[Reals, Reals]:
        """Least and largest change of each entry, shape (H, S, A, S) each."""
        free = np.broadcast_to(self.changeable[..., None], self.kernels.shape)
        if self.persistent:  # What is possible depends on the stages before.
            return np.where(free, -1.0, 0.0), np.where(free, 1.0, 0.0)
        return np.where(free, -self.kernels, 0.0), np.where(free, 1.0 - self.kernels, 0.0)

    def best(self, slopes: Reals, centre: Reals | None = None, radius: float = math.inf) -> Reals:
        """Take the convex step: see `Configurable.best`, and `reworld_baselines.mctvmdp.convex`."""
        low, high = self.bounds()
        if centre is not None:
            middle = centre.reshape(low.shape)
            low, high = np.maximum(low, middle - radius), np.minimum(high, middle + radius)
        slopes = slopes.reshape(low.shape)
        if not self.persistent and self.budget_class != "one_off":
            return np.concatenate([self.best_of_stage(t, slopes[t], low[t], high[t]).reshape(-1) for t in range(self.horizon)])
        cost, weights, coupled = self.cost, None, False
        if self.persistent or isinstance(cost, OwnCost):
            cost, coupled = self._cost_of_stages, True
        elif cost.weights is not None:
            weights = np.tile(cost.weights.reshape(-1), self.horizon)
        budget = self.budget if self.budget_class == "one_off" else None
        slopes, rows, low, high = (each.reshape(-1, low.shape[-1]) for each in (slopes, self.kernels, low, high))
        change = convex_step(slopes, rows, cost, budget, low, high, self.penalty, weights).change.reshape(-1)
        # A solver keeps budgets but for its tolerance.
        return largest_share(lambda share: self._affordable(share * change)) * change if coupled else change

    def best_of_stage(self, t: int, slopes: Reals, low: Reals, high: Reals) -> Reals:
        """Take the convex step of one stage, whose rows have a budget of their own or together.

        Args:
            t: The stage.
            slopes: Shape (S, A, S).
            low: Least change of each entry, shape (S, A, S).
            high: Largest one.

        Returns:
            The best change of the stage, shape (S, A, S).
        """
        shape = slopes.shape
        slopes, rows, low, high = (each.reshape(-1, shape[-1]) for each in (slopes, self.kernels[t], low, high))
        if self.budget_class == "per_row":
            return row_steps(slopes, rows, self.cost, self.budgets()[t].reshape(-1), low, high).change.reshape(shape)
        budget = None if self.budget is None else float(np.broadcast_to(self.budget, self.horizon)[t])
        return convex_step(slopes, rows, self.cost, budget, low, high, self.penalty).change.reshape(shape)

    @property
    def dimension(self) -> int:
        """One number for every entry of the kernels."""
        return int(self.kernels.size)

    def decode(self, point: Reals) -> Reals:
        """Take the convex step in the direction from the centre of the cube to a point: it spends the whole budget."""
        return self.best(point - 0.5)

    def _affordable(self, change: Reals) -> bool:
        if self.budget is None:
            return True
        prices = self.row_prices(change)
        spent = {"per_row": prices, "per_stage": prices.sum(axis=(1, 2)), "one_off": prices.sum()}[self.budget_class]
        return bool((spent <= self.budget).all())

    @functools.cached_property
    def _cost_of_stages(self) -> OwnCost:
        from reworld_baselines.mctvmdp.coupled import cost_of_stages

        return cost_of_stages(self)

    def _read_changeable(self) -> Any:
        rows = self.kernels.shape[:3]
        if self.changeable is None:
            here = np.arange(rows[1])
            stays = (self.kernels[:, here, :, here] == 1.0).all(axis=(1, 2)) & (self.rewards == 0.0).all(axis=(0, 2))
            return np.broadcast_to(~stays[:, None], rows)
        changeable = np.asarray(self.changeable)
        if changeable.shape not in (rows, rows[1:]) or changeable.dtype != np.bool_:
            raise InvalidOption(f"changeable: give bools of shape {rows[1:]}, one for each state and action, or {rows}.")
        return np.broadcast_to(changeable, rows)


def stages(problem: FiniteHorizonTVCMDP, search: Search, *, tolerance: float = 1e-11, sweeps: int = 1000) -> Result:
    """Improve one stage after the other, from the last to the first, until a sweep gains nothing.

    Every step is the best change of its stage for the policy there, and is accepted if the value does not fall: so it never
    does. With a budget for each row one sweep finds the optimum, as the best change of a row does not depend on how often it is
    used. Else the certificate's gap is that of Frank and Wolfe.

    Args:
        problem: With the budget class ``"per_stage"`` or ``"per_row"``, and changes that do not persist.
        search: How it is found.
        tolerance: What a sweep must gain at least, as a share of the value, or of 1 if that is more.
        sweeps: The most of them.

    Raises:
        InvalidOption: If the stages are coupled, or constraints of the cost tie rows to one another that have budgets of their
            own.
    """
    if problem.persistent or problem.budget_class == "one_off":
        raise InvalidOption(
            "The method 'stages' is for stages whose changes do not depend on one another: where changes persist, or one "
            "budget is for all stages, take 'trust_region' or 'multistart'."
        )
    found = solve_at(problem, problem.nominal, search)
    search.record(found.objective, found.cost)
    if problem.budget_class == "per_row":
        policy, change, bound = optimistic_stages(problem)
        if isinstance(problem.cost, OwnCost):
            for x, kernel in zip(change, problem.kernels, strict=True):
                problem.cost.check_together(x, kernel)
        found = solve_at(problem, change.reshape(-1), search, policy)
        search.record(found.objective, found.cost)
        return result_of(problem, "stages", found, Certificate("optimal", max(bound - found.value, 0.0), bound), search)
    for _ in range(sweeps):
        before = found
        change, policy = before.configuration.reshape(problem.kernels.shape).copy(), before.policy.copy()
        visits, values = occupancy(before.model, policy), np.zeros(before.values.shape)
        for t in reversed(range(problem.horizon)):
            values[t] = _improve_stage(problem, t, visits[t], values[t + 1], policy, change)
        found = solve_at(problem, change.reshape(-1), search, policy)
        search.record(found.objective, found.cost)
        if found.objective - before.objective <= tolerance * max(1.0, abs(found.objective)):
            break
    certificate = Certificate("stationary", gap_at(problem, found, slopes_at(problem, found)), optimistic_bound(problem))
    return result_of(problem, "stages", found, certificate, search)


def optimistic_bound(problem: FiniteHorizonTVCMDP) -> float | None:
    """Bound the value by that of the problem where each row may spend the whole of the budget that it has part in.

    None where changes persist, as parts of a change may be cheaper than the whole of it, and for a cost of the user's own, of
    which a solver's word is no bound.

    Args:
        problem: Which one.
    """
    return None if problem.persistent or isinstance(problem.cost, OwnCost) else optimistic_stages(problem)[2]


def optimistic_stages(problem: FiniteHorizonTVCMDP) -> tuple[Integers, Reals, float]:
    """Find the best policy and change when every row has a budget by itself: its own, or the whole of the one it has part in.

    Args:
        problem: Whose changes do not persist.

    Returns:
        The policy, shape (H, S), the change, (H, S, A, S), and the value at the start, which bounds that of the problem.
    """
    horizon, states, *_ = problem.kernels.shape
    bounds, budgets, here = problem.bounds(), problem.budgets(), np.arange(states)
    policy, change, values = np.empty((horizon, states), np.int64), np.zeros(problem.kernels.shape), np.zeros(states)
    for t in reversed(range(horizon)):
        kernel = problem.kernels[t]
        slopes = np.broadcast_to(problem.discount * values, kernel.shape).reshape(-1, states)
        rows, low, high = (each.reshape(-1, states) for each in (kernel, bounds[0][t], bounds[1][t]))
        offered = row_steps(slopes, rows, problem.cost, budgets[t].reshape(-1), low, high).change.reshape(kernel.shape)
        worth = problem.rewards[t] + problem.discount * (changed(kernel, offered) @ values)
        values, policy[t] = worth.max(axis=-1), worth.argmax(axis=-1)
        change[t, here, policy[t]] = offered[here, policy[t]]
    return policy, change, float(problem.start @ values)


def _improve_stage(
    problem: FiniteHorizonTVCMDP, t: int, visits: Reals, following: Reals, policy: Integers, change: Reals
) -> Reals:
    """Improve the policy and the change of a stage, in place, and say what its states are worth then, shape (S,)."""

    def worth_of(x: Reals) -> Reals:
        worth: Reals = problem.rewards[t] + problem.discount * (changed(problem.kernels[t], x) @ following)
        return worth

    def objective(x: Reals, worth: Reals) -> float:
        return float(visits @ worth.max(axis=-1) - problem.penalty * problem.cost.of_rows(x, problem.kernels[t]).sum())

    here = np.arange(len(visits))
    worth = worth_of(change[t])
    policy[t] = np.where(worth[here, policy[t]] == worth.max(axis=-1), policy[t], worth.argmax(axis=-1))
    slopes = np.zeros(change[t].shape)
    slopes[here, policy[t]] = problem.discount * visits[:, None] * following
    low, high = problem.bounds()
    offered = problem.best_of_stage(t, slopes, low[t], high[t])
    worth_then = worth_of(offered)
    if objective(offered, worth_then) > objective(change[t], worth):
        change[t], worth = offered, worth_then
        policy[t] = np.where(worth[here, policy[t]] == worth.max(axis=-1), policy[t], worth.argmax(axis=-1))
    best: Reals = worth.max(axis=-1)
    return best
