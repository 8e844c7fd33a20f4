"""What may be changed, how, when, and at which price: plain descriptions, which survive JSON."""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from reworld.errors import InvalidOption, nearest

Policy = Callable[[Any], tuple[int, tuple[float, ...]]]
"""From an observation to a branch and the parameters of that branch."""

COSTS = ("exponential", "l1", "quadratic", "kl", "wasserstein")


@dataclass(frozen=True)
class Cost:
    """What a change costs: a convex function of how far it goes, which is 0 where nothing changes.

    Each parameter is measured in shares of the range within which it may be changed, so that |x| = 1 is from one end of it to
    the other. The first three are sums over the parameters that change, each times its weight. The other two compare the
    transition kernels of finite worlds, and are sums over the rows (state, action) of the kernel.

    Args:
        kind: ``"exponential"``: ``scale * (exp(rate * |x|) - 1)``; ``"l1"``: ``scale * |x|``; ``"quadratic"``:
            ``scale * x**2``; ``"kl"``: ``scale * KL(new || old)``, infinite for a transition that was impossible;
            ``"wasserstein"``: ``scale * W1(new, old)``.
        scale: At least 0.
        rate: At least 0; of the exponential cost only.
        weights: By parameter, at least 0; 1 for those that are not named.
        measured_from: ``"last"``: from the present configuration, so that every change pays for its increment;
            ``"nominal"``: from the one that the episode began with, so that going back there costs nothing.
        metric: Of the Wasserstein cost between named configurations: the distance of each state from each other one, shape
            (S, S), as in ``[[0, 1], [1, 0]]``. If left out, states lie on a line, one apart.

    Raises:
        InvalidOption: If one of these is none of the above.
    """

    kind: str = "l1"
    scale: float = 1.0
    rate: float = 3.0
    weights: Mapping[str, float] = field(default_factory=dict)
    measured_from: str = "last"
    metric: Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        """Refuse what is no cost."""
        _one_of("cost kind", self.kind, COSTS)
        _one_of("cost measured_from", self.measured_from, ("last", "nominal"))
        for name, number in {"scale": self.scale, "rate": self.rate, **self.weights}.items():
            if not 0.0 <= number < math.inf:
                raise InvalidOption(f"The cost's {name}={number!r}: give a finite number of at least 0.")
        if self.metric is not None and self.kind != "wasserstein":
            raise InvalidOption(f"A metric goes with the cost 'wasserstein', not with {self.kind!r}: leave it out.")
        if isinstance(self.metric, np.ndarray):  # Which neither JSON nor == could handle.
            object.__setattr__(self, "metric", self.metric.tolist())


@dataclass(frozen=True)
class Changing:
    """Which model-changing actions a world offers.

    They are more branches, after the world's own. A step either acts, or configures: then the dynamics stand still, the
    reward is minus the cost, and the step counts towards the time limit as any other.

    A change that is not possible (at another time than `epoch` allows, not affordable, not among the `moves`, or to what is
    already so) does nothing and costs nothing. A branch by which no change is possible, to whatever value, is masked in
    ``info["action_mask"]``.

    Args:
        parameters: Names of the parameters that may be changed; or a mapping from names to (low, high), narrower than the
            world's own bounds. Not with mode ``"choose"``.
        mode: ``"set"``: a branch ``set_<parameter>`` for each, to a value; ``"shift"``: ``shift_<parameter>``, by an amount;
            ``"choose"``: a branch ``choose_<name>`` without parameters for each of the `configurations`.
        configurations: For ``"choose"``: by name, the values of those parameters that it changes; a parameter that only
            others change has its nominal value there. The first is the nominal one.
        moves: For ``"choose"``: from which configuration to which, as in ``{"calm": ["gale"]}``, or with prices, as in
            ``{"calm": {"gale": 60.0}}``, which then stand in place of `cost`. None for every move. What `cost` makes of a
            move is computed once, with all other parameters at their nominal values. An episode that begins in none of the
            named configurations counts as in the nearest of them.
        nominal: By name, what episodes begin with where it is not the world's default.
        largest_shift: For ``"shift"``: in shares of a parameter's range, in (0, 1].
        failure: Probability that a change fails, in [0, 1). It is paid all the same.
        takes_effect: ``"at_once"``, or at the ``"next_epoch"``.
        epoch: How many primitive steps a configuration holds: changes are possible only after a whole number of
            epochs, any number of them; or ``"episode"``: only before the first primitive step.
        survives_reset: Whether an episode begins with the changes that the last one ended with, until a seed or a
            configuration is given to `reset`. If not, it begins with the nominal configuration.
        cost: See `Cost`.
        cost_in_reward: Whether the reward is less by the cost. It is in ``info["cost"]`` in any case.
        budget: How much cost may be spent: an undiscounted sum. None for any.
        budget_per: ``"episode"``: for all changes of an episode together; ``"change"``: for each; ``"use"``: cost is not paid
            for the change, but in every primitive step, for the distance to the nominal configuration, and the budget is for
            all steps of an episode together. When it does not suffice for one more, the nominal configuration is back.
        observation: ``"hidden"``: as without changes; ``"appended"``: the changeable parameters follow, as shares of their
            ranges (the state of a finite world whose configurations are chosen stays a number); ``"dict"``: the same under
            the keys ``"observation"`` and ``"configuration"``. Where changes wait for the next epoch, those waiting
            follow, and where an epoch is not 1 step, the share of it that has passed.
        observe_budget: Whether the share of the budget that is left is observed, too.

    Raises:
        InvalidOption: If one of these is none of the above.
    """

    parameters: Sequence[str] | Mapping[str, Sequence[float]] = ()
    mode: str = "set"
    configurations: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    moves: Mapping[str, Sequence[str] | Mapping[str, float]] | None = None
    nominal: Mapping[str, float] = field(default_factory=dict)
    largest_shift: float = 1.0
    failure: float = 0.0
    takes_effect: str = "at_once"
    epoch: int | str = 1
    survives_reset: bool = False
    cost: Cost = field(default_factory=Cost)
    cost_in_reward: bool = True
    budget: float | None = None
    budget_per: str = "episode"
    observation: str = "appended"
    observe_budget: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, whatever the world."""
        _one_of("mode", self.mode, ("set", "shift", "choose"))
        _one_of("takes_effect", self.takes_effect, ("at_once", "next_epoch"))
        _one_of("budget_per", self.budget_per, ("episode", "change", "use"))
        _one_of("observation", self.observation, ("hidden", "appended", "dict"))
        if isinstance(self.cost, Mapping):
            object.__setattr__(self, "cost", _read(Cost, self.cost))
        if not isinstance(self.cost, Cost):
            raise InvalidOption(f"cost={self.cost!r}: give a reworld.changing.Cost, or its fields as a dictionary.")
        if self.epoch != "episode" and (not isinstance(self.epoch, int) or self.epoch < 1):
            raise InvalidOption(f"epoch={self.epoch!r}: give a number of primitive steps, at least 1, or 'episode'.")
        if not 0.0 < self.largest_shift <= 1.0:
            raise InvalidOption(f"largest_shift={self.largest_shift!r}: give a share of the parameter's range, in (0, 1].")
        if not 0.0 <= self.failure < 1.0:
            raise InvalidOption(f"failure={self.failure!r}: give a probability in [0, 1).")
        if self.budget is not None and not 0.0 <= self.budget < math.inf:
            raise InvalidOption(f"budget={self.budget!r}: give a finite number of at least 0, or None for any amount.")
        if self.observe_budget and (self.budget is None or self.observation == "hidden"):
            raise InvalidOption(
                "observe_budget=True needs a budget to observe, and an observation to put it in: give budget=… and "
                "observation='appended' or 'dict'."
            )
        if self.mode == "choose":
            self._check_configurations()
        elif self.configurations or self.moves is not None:
            raise InvalidOption(f"configurations and moves go with mode='choose', not with mode={self.mode!r}.")
        elif not self.parameters or isinstance(self.parameters, str):
            raise InvalidOption(f"parameters={self.parameters!r}: name at least one to change, as in parameters=('gravity',).")

    @property
    def phases(self) -> int:
        """How many steps of an epoch can be told apart; of an episode, whether one was taken."""
        return 2 if self.epoch == "episode" else int(self.epoch)

    def _check_configurations(self) -> None:
        if self.parameters:
            raise InvalidOption("With mode='choose' the configurations say what is changed: leave out parameters.")
        if len(self.configurations) < 2:
            raise InvalidOption("mode='choose' needs at least two configurations: give {name: {parameter: value}}.")
        for start, ends in (self.moves or {}).items():
            for name in (start, *ends):
                if name not in self.configurations:
                    raise InvalidOption(f"moves names {name!r}, no configuration. {nearest(name, self.configurations)}")
            for end, price in ends.items() if isinstance(ends, Mapping) else ():
                if not 0.0 <= price < math.inf:
                    raise InvalidOption(f"The price {price!r} of the move to {end!r}: give a finite number of at least 0.")
        kinds = {isinstance(ends, Mapping) for ends in (self.moves or {}).values()}
        if len(kinds) > 1:
            raise InvalidOption("Some moves have prices and some have not: give {name: [names]} or {name: {name: price}}.")


@dataclass(frozen=True)
class SetUp:
    """A recommended way to make a world changeable, and what an agent can make of it.

    Args:
        changing: Which changes are offered.
        without: The best known policy that never configures.
        configuring: The best known policy that does.
    """

    changing: Changing
    without: Policy
    configuring: Policy


def read_changing(changing: Changing | SetUp | Mapping[str, Any] | str) -> Changing | SetUp:
    """Understand what was given as ``changing=…``.

    Args:
        changing: The thing itself, its fields by name (as they come from JSON), or where to find it, ``"module:NAME"``.

    Raises:
        InvalidOption: If it is none of these.
    """
    if isinstance(changing, str):
        module, _, name = changing.partition(":")
        try:
            changing = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidOption(f"There is no set-up {changing!r}: name it as 'package.module:NAME'. ({error})") from error
    if isinstance(changing, Mapping):
        offer: Changing = _read(Changing, changing)
        return offer
    if not isinstance(changing, Changing | SetUp):
        raise InvalidOption(f"changing={changing!r}: give a reworld.changing.Changing, or its fields as a dictionary.")
    return changing


def _read(cls: Any, values: Mapping[str, Any]) -> Any:
    known = [each.name for each in fields(cls)]
    for name in values:
        if name not in known:
            raise InvalidOption(f"{cls.__name__} has no field {name!r}. {nearest(name, known)}")
    return cls(**values)


def _one_of(what: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidOption(f"{what}={value!r} is unknown. {nearest(value, known)}")
