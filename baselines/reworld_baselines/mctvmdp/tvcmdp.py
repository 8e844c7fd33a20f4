"""TVCMDP: a Markov decision process every row of whose kernel may be changed, at a cost.

Source: Lu, Hassibi, Lai, Xu, "Learn to Change the World: Multi-level Reinforcement Learning with Model-Changing Actions"
(arXiv 2510.15056), which changes the kernel of a policy, under a one-off budget. Here the rows of all actions are changed, as
the rows of actions that are not taken would be undefined otherwise, and the budget may be of two other classes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import Reals, read_numbers
from reworld_baselines.mctvmdp.convex import convex_step, row_steps
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost, check_amount
from reworld_baselines.mctvmdp.mdp import MDP, check_single, set_field

BUDGETS = ("one_off", "per_use", "per_row")

_ROUNDING = 1e-12  # By how much the nominal kernel may miss a bound.
_FEASIBLE = 1e-8  # By how much a changed row may be no law: solvers of convex programs are no better.


@dataclass(frozen=True, eq=False)
class TVCMDP:
    """A decision process every row of whose kernel may be changed by x, at a cost that is counted from the nominal kernel.

    The configuration is x, its S A S entries in one vector. With the budget of class

    - ``"one_off"``, x is chosen once: the sum of the cost of all rows is at most the budget;
    - ``"per_use"``, the cost of a row is paid whenever it is used: at most the budget is spent, discounted, in expectation;
    - ``"per_row"``, the cost of each row is at most the budget.

    Args:
        mdp: The nominal one: a single one, dense, NumPy.
        cost: What x costs.
        budget: At least 0; None for any amount, and for ``"per_row"`` also one number for each row, shape (S, A).
        budget_class: One of these three.
        penalty: By how much a unit of cost lessens the objective, at least 0; not with ``"per_row"``.
        changeable: Which rows may be changed, bool of shape (S, A); if left out, all but those of terminal states.
        low: Least probability of each transition, shape (S, A, S) or what broadcasts to it.
        high: Largest one.
        keep_support: Whether impossible transitions stay impossible.

    Raises:
        InvalidOption: If these contradict one another.
    """

    mdp: MDP
    cost: RowCost | OwnCost
    budget: Any = None
    budget_class: str = "one_off"
    penalty: float = 0.0
    changeable: Any = None
    low: Any = 0.0
    high: Any = 1.0
    keep_support: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        check_single(self.mdp)
        kernel = self.mdp.kernel
        check_terms(self.cost, self.budget_class, BUDGETS, self.penalty)
        rows = kernel.shape[:2]
        if self.budget is not None:
            set_field(self, "budget", read_budget(self.budget, rows if self.budget_class == "per_row" else ()))
        changeable = ~_terminal(self.mdp)[:, None] if self.changeable is None else np.asarray(self.changeable)
        if changeable.dtype != np.bool_ or (self.changeable is not None and changeable.shape != rows):
            raise InvalidOption(f"changeable: give bools of shape {rows}, one for each state and action.")
        low, high = (_read_bound(name, getattr(self, name), kernel.shape) for name in ("low", "high"))
        wrong = (low > high) | (kernel < low - _ROUNDING) | (kernel > high + _ROUNDING)
        if wrong.any():
            s, a, t = np.argwhere(wrong)[0].tolist()
            raise InvalidOption(
                f"The bounds of kernel[{s}, {a}, {t}] are {low[s, a, t]:g} and {high[s, a, t]:g}, and it is "
                f"{kernel[s, a, t]:g}: give bounds that hold for the nominal kernel, so that changing nothing is possible."
            )
        set_field(self, "changeable", np.broadcast_to(changeable, rows))
        set_field(self, "low", np.maximum(low, 0.0))
        set_field(self, "high", np.minimum(high, 1.0))
        self.cost.check(kernel)

    @property
    def nominal(self) -> Reals:
        """No change, zeros of shape (S A S,)."""
        return np.zeros(self.mdp.kernel.size)

    def model(self, configuration: Reals) -> MDP:
        """Make the decision process under a change."""
        return self.mdp.with_kernel(changed(self.mdp.kernel, configuration.reshape(self.mdp.kernel.shape)))

    def pull_back(self, configuration: Reals, slopes: Reals) -> Reals:
        """Turn slopes in the kernel into slopes in the change: they are the same."""
        return slopes.reshape(-1)

    def price(self, configuration: Reals) -> float:
        """Say what a change costs: all rows together, or with the budget class ``"per_row"`` the dearest."""
        prices = self.row_prices(configuration)
        return float(prices.max() if self.budget_class == "per_row" else prices.sum())

    def row_prices(self, configuration: Reals) -> Reals:
        """Say what a change costs, for each row, shape (S, A)."""
        return self.cost.of_rows(configuration.reshape(self.mdp.kernel.shape), self.mdp.kernel)

    def bounds(self) -> tuple[Reals, Reals]:
        """Least and largest change of each entry, shape (S, A, S) each."""
        kernel = self.mdp.kernel
        free = self.changeable[..., None]
        most = np.where(kernel > 0.0, self.high, 0.0) if self.keep_support else self.high
        # Bounds are met but for rounding, and changing nothing must be possible.
        low, high = np.minimum(self.low - kernel, 0.0), np.maximum(most - kernel, 0.0)
        return np.where(free, low, 0.0), np.where(free, high, 0.0)

    def budgets(self) -> Reals:
        """Say what each row may cost by itself, shape (S, A)."""
        return np.broadcast_to(math.inf if self.budget is None else self.budget, self.mdp.kernel.shape[:2])

    def best(self, slopes: Reals, centre: Reals | None = None, radius: float = math.inf) -> Reals:
        """Take the convex step: see `Configurable.best`, and `reworld_baselines.mctvmdp.convex`.

        Raises:
            InvalidOption: If the budget is per use: no change is within it or not, as that depends on the policy.
        """
        if self.budget_class == "per_use":
            raise InvalidOption(
                "budget_class='per_use': what is spent depends on the policy, so take the method 'dual' or 'flow'."
            )
        kernel = self.mdp.kernel
        shape = (-1, kernel.shape[-1])
        low, high = (bound.reshape(shape) for bound in self.bounds())
        if centre is not None:
            middle = centre.reshape(shape)
            low, high = np.maximum(low, middle - radius), np.minimum(high, middle + radius)
        slopes, rows = slopes.reshape(shape), kernel.reshape(shape)
        if self.budget_class == "per_row":
            return row_steps(slopes, rows, self.cost, self.budgets().reshape(-1), low, high).change.reshape(-1)
        return convex_step(slopes, rows, self.cost, self.budget, low, high, penalty=self.penalty).change.reshape(-1)

    @property
    def dimension(self) -> int:
        """One number for every entry of the kernel."""
        return int(self.mdp.kernel.size)

    def decode(self, point: Reals) -> Reals:
        """Take the convex step in the direction from the centre of the cube to a point: it spends the whole budget."""
        return self.best(point - 0.5)


def changed(kernel: Reals, change: Reals) -> Reals:
    """Change a kernel, and free its rows of what rounding has left.

    Args:
        kernel: Shape (…, S, A, S).
        change: The same shape, rows of sum 0.

    Raises:
        InvalidOption: If a row of the changed kernel is no law.
    """
    rows = kernel + change
    sums = rows.sum(axis=-1, keepdims=True)
    if rows.min() < -_FEASIBLE or np.abs(sums - 1.0).max() > _FEASIBLE:
        wrong = (rows.min(axis=-1) < -_FEASIBLE) | (np.abs(sums[..., 0] - 1.0) > _FEASIBLE)
        where = np.argwhere(wrong)[0].tolist()
        raise InvalidOption(
            f"Row {where} of the kernel becomes {rows[tuple(where)].tolist()}: give a change that leaves a law."
        )
    rows = np.maximum(rows, 0.0)
    laws: Reals = rows / rows.sum(axis=-1, keepdims=True)
    return laws


def largest_share(affordable: Callable[[float], bool]) -> float:
    """Find the largest share, from 0 to 1, that can be afforded, if all smaller ones can.

    Args:
        affordable: Whether a share is within a budget; 0 is.
    """
    if affordable(1.0):
        return 1.0
    least, largest = 0.0, 1.0
    while least < (middle := (least + largest) / 2.0) < largest:
        if affordable(middle):
            least = middle
        else:
            largest = middle
    return least


def read_budget(budget: Any, shape: tuple[int, ...]) -> Any:
    """Take a budget, or refuse it.

    Args:
        budget: A number, or one for each of something.
        shape: How many there may be of those.

    Returns:
        A float, or an array of that shape.

    Raises:
        InvalidOption: If one is below 0 or not finite.
    """
    try:
        numbers = np.asarray(budget, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"budget={budget!r} is no number. ({error})") from error
    if numbers.shape not in ((), shape):
        raise InvalidOption(f"budget has shape {numbers.shape}: give a number{f', or {shape} of them' if shape else ''}.")
    wrong = ~((numbers >= 0.0) & np.isfinite(numbers))
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        raise InvalidOption(
            f"budget{where or ''} is {numbers[tuple(where)]}: give a finite number of at least 0, or None for any amount."
        )
    return numbers if numbers.ndim else float(numbers)


def check_terms(cost: Any, budget_class: str, classes: Sequence[str], penalty: Any) -> None:
    """Refuse a cost, a class of budgets or a penalty that is none.

    Args:
        cost: What was given.
        budget_class: What was given.
        classes: Those there are.
        penalty: What was given.

    Raises:
        InvalidOption: If the cost is none of this package, the class is unknown, or the penalty is below 0, not finite, or on a
            cost that is not summed.
    """
    if not isinstance(cost, RowCost | OwnCost):
        raise InvalidOption(f"cost={cost!r}: give a RowCost, as in RowCost('l1'), or an OwnCost.")
    if budget_class not in classes:
        raise InvalidOption(f"budget_class={budget_class!r}: give one of {', '.join(classes)}.")
    check_amount("penalty", penalty)
    if budget_class == "per_row" and penalty:
        others = " or ".join(repr(each) for each in classes if each != "per_row")
        raise InvalidOption(
            f"penalty={penalty:g} goes with a cost that is summed, which with budget_class='per_row' it is not: give {others}, "
            f"or leave the penalty out."
        )


def _read_bound(name: str, bound: Any, shape: tuple[int, ...]) -> Reals:
    numbers = read_numbers(name, bound)
    try:
        return np.broadcast_to(numbers, shape)
    except ValueError as error:
        raise InvalidOption(f"{name} has shape {numbers.shape}: give one of {shape}, or what broadcasts to it.") from error


def _terminal(mdp: MDP) -> Any:
    """Which states end a process, shape (S,): they lead to themselves, without reward."""
    here = np.arange(mdp.states)
    return (mdp.kernel[here, :, here] == 1.0).all(axis=-1) & (mdp.expected_rewards == 0.0).all(axis=-1)
