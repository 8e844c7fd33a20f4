"""TVCMDP: a Markov decision process every row of whose kernel may be changed, at a cost.

Source: Lu, Hassibi, Lai, Xu, "Learn to Change the World: Multi-level Reinforcement Learning with Model-Changing Actions"
(arXiv 2510.15056), which changes the kernel of a policy, under a one-off budget. Here the rows of all actions are changed, as
the rows of actions that are not taken would be undefined otherwise, and the budget may be of two other classes.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import Reals, read_numbers
from reworld_baselines.mctvmdp.convex import convex_step
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.mdp import MDP

BUDGETS = ("one_off", "per_use", "per_row")


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
        penalty: By how much a unit of cost lessens the objective, at least 0.
        changeable: Which rows may be changed, bool of shape (S, A); all if left out.
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
        kernel = self.mdp.kernel
        if not isinstance(kernel, np.ndarray) or kernel.ndim != 3:
            raise InvalidOption("mdp is a stack, sparse, or of tensors: give a single MDP whose kernel is a NumPy array.")
        if self.budget_class not in BUDGETS:
            raise InvalidOption(f"budget_class={self.budget_class!r}: give one of {', '.join(BUDGETS)}.")
        if not 0.0 <= self.penalty < math.inf:
            raise InvalidOption(f"penalty={self.penalty!r}: give a finite number of at least 0.")
        if self.budget is not None:
            _set(self, "budget", _read_budget(self.budget, kernel.shape[:2] if self.budget_class == "per_row" else ()))
        changeable = np.ones(kernel.shape[:2], np.bool_) if self.changeable is None else np.asarray(self.changeable)
        if changeable.shape != kernel.shape[:2] or changeable.dtype != np.bool_:
            raise InvalidOption(f"changeable: give bools of shape {kernel.shape[:2]}, one for each state and action.")
        low, high = (np.broadcast_to(read_numbers(name, getattr(self, name)), kernel.shape) for name in ("low", "high"))
        wrong = (low > high) | (kernel < low - 1e-12) | (kernel > high + 1e-12)
        if wrong.any():
            s, a, t = np.argwhere(wrong)[0].tolist()
            raise InvalidOption(
                f"The bounds of kernel[{s}, {a}, {t}] are {low[s, a, t]:g} and {high[s, a, t]:g}, and it is "
                f"{kernel[s, a, t]:g}: give bounds that hold for the nominal kernel, so that changing nothing is possible."
            )
        _set(self, "changeable", changeable)
        _set(self, "low", np.maximum(low, 0.0))
        _set(self, "high", np.minimum(high, np.where(kernel > 0.0, 1.0, 0.0) if self.keep_support else 1.0))
        self.cost.check(kernel)

    @property
    def nominal(self) -> Reals:
        """No change, zeros of shape (S A S,)."""
        return np.zeros(self.mdp.kernel.size)

    def model(self, configuration: Reals) -> MDP:
        """Make the decision process under a change."""
        kernel = np.clip(self.mdp.kernel + configuration.reshape(self.mdp.kernel.shape), 0.0, 1.0)
        return self.mdp.with_kernel(kernel / kernel.sum(axis=-1, keepdims=True))  # Of rounding only: x keeps the sums.

    def pull_back(self, configuration: Reals, slopes: Reals) -> Reals:
        """Turn slopes in the kernel into slopes in the change: they are the same."""
        return slopes.reshape(-1)

    def price(self, configuration: Reals) -> float:
        """Say what a change costs, over all rows."""
        return float(self.row_prices(configuration).sum())

    def row_prices(self, configuration: Reals) -> Reals:
        """Say what a change costs, for each row, shape (S, A)."""
        return self.cost.of_rows(configuration.reshape(self.mdp.kernel.shape), self.mdp.kernel)

    def bounds(self) -> tuple[Reals, Reals]:
        """Least and largest change of each entry, shape (S, A, S) each."""
        kernel = self.mdp.kernel
        free = self.changeable[..., None]
        return np.where(free, self.low - kernel, 0.0), np.where(free, self.high - kernel, 0.0)

    def best(self, slopes: Reals, centre: Reals | None = None, radius: float = math.inf) -> Reals:
        """Take the convex step: see `Configurable.best`, and `reworld_baselines.mctvmdp.convex`."""
        kernel = self.mdp.kernel
        low, high = (bound.reshape(-1, kernel.shape[-1]) for bound in self.bounds())
        if centre is not None:
            middle = centre.reshape(low.shape)
            low, high = np.maximum(low, middle - radius), np.minimum(high, middle + radius)
        rows = kernel.reshape(low.shape)
        step = convex_step(slopes.reshape(low.shape), rows, self.cost, self.budget, low, high, penalty=self.penalty)
        return step.change.reshape(-1)

    @property
    def dimension(self) -> int:
        """One number for every entry of the kernel."""
        return int(self.mdp.kernel.size)

    def decode(self, point: Reals) -> Reals:
        """Take the convex step in the direction from the centre of the cube to a point: it spends the whole budget."""
        return self.best(point - 0.5)


def _read_budget(budget: Any, rows: tuple[int, ...]) -> Any:
    numbers = np.asarray(budget, np.float64)
    if numbers.shape not in ((), rows) or not (numbers >= 0.0).all() or not np.isfinite(numbers).all():
        raise InvalidOption(f"budget={budget!r}: give a finite number of at least 0, or None for any amount.")
    return numbers if numbers.ndim else float(numbers)


def _set(self: Any, name: str, value: Any) -> None:
    """Set a field of a frozen instance while it is made."""
    object.__setattr__(self, name, value)
