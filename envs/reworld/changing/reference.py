"""What is worth knowing of every Configurable world: the best return without changing it, and the best with.

The figures are written by ``python -m reworld_baselines.benchmark changing`` and read from ``references.json``.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from reworld.errors import InvalidOption, nearest


@dataclass(frozen=True)
class Return:
    """A mean return, undiscounted, of whole episodes.

    Args:
        mean: Its value.
        low: Lower end of its 95 % interval; the value itself if it is exact.
        high: Upper end.
        cost: What was paid for changes per episode, on average.
        exact: Whether it is the optimum, computed from the exact model; if not, it was measured.
    """

    mean: float
    low: float
    high: float
    cost: float
    exact: bool


@dataclass(frozen=True)
class Reference:
    """The two returns that the score of an agent is measured by.

    Args:
        id: Of a Configurable world.
        without: The best known that never configures.
        configuring: The best known that does.
        random: What random actions get.
        episodes: How many were played, where it was measured.
        commit: Of reworld, when it was.
    """

    id: str
    without: Return
    configuring: Return
    random: Return
    episodes: int
    commit: str

    def score(self, mean_return: float) -> float:
        """Say how much of the worth of configuring an agent has found.

        Args:
            mean_return: Undiscounted, with the cost in the reward.

        Returns:
            0 for the best return without configuring, 1 for the best known with it; below and above are possible.
        """
        return (mean_return - self.without.mean) / (self.configuring.mean - self.without.mean)


def reference(id: str) -> Reference:
    """Look up the references of a Configurable world.

    Args:
        id: Such as ``"reworld/ConfigurablePlatform-v0"``.

    Raises:
        InvalidOption: If none were measured.
    """
    rows = _measured()["rows"]
    known = {row["world"]: row for row in rows}
    if id not in known:
        raise InvalidOption(f"There are no references of {id!r}. {nearest(id, known)}")
    row, measured = known[id], _measured()
    returns = {name: Return(**row[name]) for name in ("without", "configuring", "random")}
    return Reference(id=id, episodes=measured["episodes"], commit=measured["commit"], **returns)


@cache
def _measured() -> dict[str, Any]:
    measured: dict[str, Any] = json.loads(files("reworld.changing").joinpath("references.json").read_text(encoding="utf-8"))
    return measured
