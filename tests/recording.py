"""A search whose every step can be looked at."""

from reworld_baselines.mctvmdp.results import Search


class Recording(Search):
    """A search that keeps whatever is recorded, also what is no improvement."""

    def __init__(self) -> None:
        super().__init__("test", quiet=True)
        self.recorded: list[float] = []

    def record(self, value: float, cost: float = 0.0) -> None:
        self.recorded.append(value)
        super().record(value, cost)
