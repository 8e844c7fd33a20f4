"""What changing the rows of a kernel costs: the usual convex costs, and those of the user's own.

A cost is a sum over rows (state, action), each of which costs nothing where it stays as it is. The kinds are those of
`reworld.changing.Cost`, here of all entries of a row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption, nearest
from reworld.finite import Reals, read_numbers
from reworld_baselines.mctvmdp.mdp import set_field

_ROUNDING = 1e-12  # By how much a probability may be below 0.
_KEPT = 1e-6  # By how much a constraint may be missed: solvers of convex programs are no better.


@dataclass(frozen=True, eq=False)
class RowCost:
    """What a change x of a row p of the kernel costs.

    Args:
        kind: ``"exponential"``: ``scale * sum(exp(rate * |x|) - 1)``; ``"l1"``: ``scale * sum(|x|)``; ``"quadratic"``:
            ``scale * sum(x**2)``; ``"kl"``: ``scale * KL(p + x || p)``, infinite for a transition that was impossible;
            ``"wasserstein"``: ``scale * W1(p + x, p)``.
        scale: At least 0.
        rate: At least 0; of the exponential cost only.
        weights: By how much the cost of each row counts, at least 0, shape (S, A); 1 if left out.
        metric: Of the Wasserstein cost: the distance of each state from each other one, shape (S, S). If left out, states lie
            on a line, one apart.

    Raises:
        InvalidOption: If one of these is none of the above.
    """

    kind: str = "exponential"
    scale: float = 1.0
    rate: float = 3.0
    weights: Any = None
    metric: Any = None

    def __post_init__(self) -> None:
        if self.kind not in COSTS:
            raise InvalidOption(f"cost kind={self.kind!r} is unknown. {nearest(self.kind, COSTS)}")
        for name, number in {"scale": self.scale, "rate": self.rate}.items():
            check_amount(name, number)
        if self.weights is not None:
            weights = read_numbers("weights", self.weights)
            if (weights < 0.0).any():
                where = np.argwhere(weights < 0.0)[0].tolist()
                raise InvalidOption(f"The cost's weights{where} is {weights[tuple(where)]}: give numbers of at least 0.")
            set_field(self, "weights", weights)
        if self.metric is not None:
            if self.kind != "wasserstein":
                raise InvalidOption(f"A metric goes with the cost 'wasserstein', not with {self.kind!r}: leave it out.")
            set_field(self, "metric", _read_metric(self.metric))

    def check(self, kernel: Reals) -> None:
        """Refuse weights or a metric of another size than a kernel's.

        Args:
            kernel: Shape (S, A, S).

        Raises:
            InvalidOption: If they are.
        """
        if self.weights is not None and self.weights.shape != kernel.shape[:-1]:
            raise InvalidOption(
                f"The cost's weights have shape {self.weights.shape}, and the rows of the kernel {kernel.shape[:-1]}: give one "
                f"weight for each row."
            )
        if self.metric is not None and len(self.metric) != kernel.shape[-1]:
            raise InvalidOption(
                f"The cost's metric is of {len(self.metric)} states, and the kernel of {kernel.shape[-1]}: give the distances "
                f"between all states."
            )

    def of_rows(self, change: Reals, kernel: Reals) -> Reals:
        """Say what each row costs.

        Args:
            change: By how much each entry grows, shape (S, A, S).
            kernel: From where, the same shape.

        Returns:
            Shape (S, A).
        """
        rows: Reals = self.scale * self._of_unit_scale(change, kernel)
        return rows if self.weights is None else self.weights * rows

    def _of_unit_scale(self, change: Reals, kernel: Reals) -> Reals:
        rows: Reals
        if self.kind == "exponential":
            rows = np.expm1(self.rate * np.abs(change)).sum(axis=-1)
        elif self.kind == "l1":
            rows = np.abs(change).sum(axis=-1)
        elif self.kind == "quadratic":
            rows = np.square(change).sum(axis=-1)
        elif self.kind == "kl":
            rows = _divergence(change, kernel).sum(axis=-1)
        elif self.metric is None:
            rows = np.abs(np.cumsum(change, axis=-1)[..., :-1]).sum(axis=-1)
        else:
            moved = np.abs(change).max(axis=-1) > 0.0
            rows = np.zeros(change.shape[:-1])
            rows[moved] = [_transport(row, self.metric) for row in change[moved]]
        return rows


@dataclass(frozen=True, eq=False)
class OwnCost:
    """A convex cost of the user's own, and whatever else must hold of a change, as expressions of CVXPY.

    Args:
        expression: From the change of n rows, a CVXPY expression of shape (n, S), and the rows themselves, an array of the same
            shape, to what each row costs, of shape (n,): convex by the rules of disciplined convex programming, and 0 where
            nothing changes. Rows are those of a kernel of shape (S, A, S), in order.
        constraints: From the same two to a list of constraints, which hold where nothing changes.
    """

    expression: Callable[[Any, Reals], Any]
    constraints: Callable[[Any, Reals], Any] | None = None

    def check(self, kernel: Reals) -> None:
        """Refuse what is no convex cost of the rows of a kernel.

        Args:
            kernel: Shape (S, A, S).

        Raises:
            InvalidOption: If a cost or constraint is not convex, or not 0 or not met where nothing changes.
        """
        import cvxpy

        any_expression: Any = cvxpy.Expression  # Most of what it exports has no static type.
        rows = kernel.reshape(-1, kernel.shape[-1])
        change = cvxpy.Variable(rows.shape)
        change.value = np.zeros(rows.shape)
        costs = self.expression(change, rows)
        if not isinstance(costs, any_expression):
            raise InvalidOption(f"The cost is of class {type(costs).__name__}: make it from the change by functions of CVXPY.")
        if costs.shape != rows.shape[:1]:
            raise InvalidOption(f"The cost has shape {costs.shape}: give one for each of the {len(rows)} rows.")
        if not costs.is_convex():
            raise InvalidOption(
                f"The cost {costs} is not convex by the rules of CVXPY: see https://www.cvxpy.org/tutorial/dcp."
            )
        if not np.abs(costs.value).max() <= _ROUNDING:
            row = int(np.abs(costs.value).argmax())
            raise InvalidOption(f"The cost of row {row} is {costs.value[row]} where nothing changes: give one that is 0 there.")
        for constraint in self.constraints(change, rows) if self.constraints else ():
            if not constraint.is_dcp():
                raise InvalidOption(f"The constraint {constraint} is not convex by the rules of CVXPY.")
            if np.max(constraint.violation()) > _ROUNDING:
                raise InvalidOption(f"The constraint {constraint} is not met where nothing changes: give one that is.")

    def check_together(self, change: Reals, kernel: Reals) -> None:
        """Refuse rows that were changed each by itself, where they break a constraint together.

        Args:
            change: Shape (S, A, S).
            kernel: The same shape.

        Raises:
            InvalidOption: If they do.
        """
        import cvxpy

        shape = (-1, kernel.shape[-1])
        rows = cvxpy.Constant(change.reshape(shape)), kernel.reshape(shape)
        for i, constraint in enumerate(self.constraints(*rows) if self.constraints else ()):
            if np.max(constraint.violation()) > _KEPT:
                raise InvalidOption(
                    f"Constraint {i} of the cost ties rows to one another, and is broken where each row is changed as is best "
                    f"for itself: give constraints of each row by itself, or a budget that all rows share."
                )

    def of_rows(self, change: Reals, kernel: Reals) -> Reals:
        """Say what each row costs, as `RowCost.of_rows` does."""
        import cvxpy

        shape = (-1, kernel.shape[-1])
        costs = self.expression(cvxpy.Constant(change.reshape(shape)), kernel.reshape(shape)).value
        rows: Reals = np.asarray(costs, np.float64).reshape(kernel.shape[:-1])
        return rows


def check_amount(name: str, amount: Any) -> None:
    """Refuse what is no amount.

    Args:
        name: What it is called.
        amount: What was given.

    Raises:
        InvalidOption: If it is no number, below 0, or not finite.
    """
    if not (isinstance(amount, Real) and 0.0 <= float(amount) < math.inf):
        raise InvalidOption(f"{name}={amount!r}: give a finite number of at least 0.")


def _read_metric(metric: Any) -> Reals:
    distances = read_numbers("metric", metric)
    square = distances.ndim == 2 and distances.shape[0] == distances.shape[1]
    if not square or (distances < 0.0).any() or (distances != distances.T).any() or distances.diagonal().any():
        raise InvalidOption(
            f"The cost's metric, of shape {distances.shape}, is none: give distances of shape (S, S), at least 0, the same "
            f"both ways, and 0 from each state to itself."
        )
    return distances


def _divergence(change: Reals, kernel: Reals) -> Reals:
    """What each entry adds to the Kullback-Leibler divergence: q log(q/p) - q + p, which is 0 or more."""
    possible = kernel > 0.0
    by = np.divide(change, kernel, out=np.zeros(change.shape), where=possible)
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = np.where(by > -1.0, (1.0 + by) * np.log1p(by) - by, 1.0)
    # Near 0 nothing would be left of the difference.
    series = by * by * (1 / 2 - by * (1 / 6 - by * (1 / 12 - by * (1 / 20 - by * (1 / 30 - by / 42)))))
    entries = np.where(possible, kernel * np.where(np.abs(by) < 0.01, series, exact), np.where(change > 0.0, math.inf, 0.0))
    return np.where(kernel + change < -_ROUNDING, math.inf, entries)


def _transport(moved: Reals, metric: Reals) -> float:
    """The least work of making one law out of another, by a linear program over what is too much here and missing there."""
    from scipy.optimize import linprog

    grown, shrunk = np.flatnonzero(moved > 0.0), np.flatnonzero(moved < 0.0)
    if not (grown.size and shrunk.size):
        return 0.0  # What was moved is of rounding only.
    arrive = np.kron(np.eye(len(grown)), np.ones(len(shrunk)))
    leave = np.kron(np.ones(len(grown)), np.eye(len(shrunk)))
    # What is moved sums to 0 but for rounding: the last equation follows from the others.
    constraints, amounts = np.vstack([arrive, leave])[:-1], np.concatenate([moved[grown], -moved[shrunk]])[:-1]
    return float(linprog(metric[np.ix_(grown, shrunk)].ravel(), A_eq=constraints, b_eq=amounts).fun)
