"""What a solver returns: what it found, what it guarantees, and how it got there."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from reworld.finite import Reals

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Certificate:
    """What is known of how good a value is.

    Args:
        kind: ``"optimal"``: no other configuration and policy is better by more than `gap`; ``"stationary"``: no small change
            is better, to first order, by more than `gap`; ``"none"``: nothing is known but the bounds.
        gap: In units of the value; None if nothing is known.
        upper_bound: No configuration and policy is worth more, if one was computed.
        notes: Anything else, in words, such as the error bounds of a level.
    """

    kind: str
    gap: float | None = None
    upper_bound: float | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """What a method made of a problem.

    Args:
        problem: The problem.
        method: Name of the method.
        value: True value at the start, of the returned policies in the returned kernels.
        nominal_value: The same if nothing is ever changed.
        policies: The policy of every level, level 0 first: an action for each state, int64 of shape (…, S), or the
            probability of each action, (…, S, A). Leading axes are those of the kernels.
        kernels: The kernel in force, shape (S, A, S), or those of all stages or configurations, with a leading axis.
        cost: What is spent, in the sense of the problem's budget.
        certificate: What is guaranteed.
        trace: One row for each improvement: seconds, inner solves, value (less the penalty, if there is one), cost; float64 of
            shape (n, 4).
        configuration: The configuration, where it is a vector.
        predicted: The value that the method's own model predicted, where it does.
        solves: How many decision processes were solved on the way.
        seconds: How long it took.
    """

    problem: Any
    method: str
    value: float
    nominal_value: float
    policies: tuple[Array, ...]
    kernels: Reals
    cost: float
    certificate: Certificate
    trace: Reals
    configuration: Reals | None = None
    predicted: float | None = None
    solves: int = 0
    seconds: float = 0.0

    @property
    def gain(self) -> float:
        """By how much changing the world has raised the value."""
        return self.value - self.nominal_value

    def __str__(self) -> str:
        """Sum up in a few lines."""
        certificate = self.certificate
        known = certificate.kind if certificate.gap is None else f"{certificate.kind}, to within {certificate.gap:.2g}"
        lines = {
            "value": f"{self.value:.10g}",
            "if nothing is changed": f"{self.nominal_value:.10g}",
            "predicted": None if self.predicted is None else f"{self.predicted:.10g}",
            "at most": None if certificate.upper_bound is None else f"{certificate.upper_bound:.10g}",
            "cost": f"{self.cost:.6g}",
            "certificate": known,
            "decision processes solved": f"{self.solves:,}",
            "seconds": f"{self.seconds:.3g}",
        }
        shown = [f"  {name:<26}{text}" for name, text in lines.items() if text is not None]
        notes = [f"  {note}" for note in certificate.notes]
        return "\n".join([f"{type(self.problem).__name__} by {self.method}", *shown, *notes])

    def plot(self, file: Path | None = None) -> Figure:
        """Draw it: convergence, and what was changed.

        Args:
            file: Where to write it, if anywhere.
        """
        from reworld_baselines.mctvmdp.figures import draw

        return draw(self, file)


@dataclass
class Search:
    """A method at work: counts what it solves, keeps the trace, and shows a bar if it takes more than a second.

    Args:
        name: What the bar says.
        total: How many inner solves are to be expected, if that is known.
        quiet: Whether no bar is shown.
    """

    name: str
    total: int | None = None
    quiet: bool = False
    solves: int = 0
    best: float = -np.inf
    _rows: list[tuple[float, int, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started = time.perf_counter()
        self._bar = tqdm(total=self.total, desc=self.name, delay=1.0, disable=self.quiet, leave=False, unit="solve")

    def count(self, solves: int = 1) -> None:
        """Note that so many decision processes were solved."""
        self.solves += solves
        self._bar.update(solves)

    def record(self, value: float, cost: float = 0.0) -> None:
        """Note where the method stands; what is no better than before is not kept."""
        if value > self.best or not self._rows:
            self.best = max(value, self.best)
            self._rows.append((self.seconds, self.solves, value, cost))
            self._bar.set_postfix_str(f"value {value:.6g}", refresh=False)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._started

    @property
    def trace(self) -> Reals:
        """As in `Result`."""
        return np.array(self._rows, np.float64).reshape(-1, 4)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
