"""Making a world changeable: from a world and a description, another world."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from reworld.changing import dynamics
from reworld.changing.setup import COSTS, Changing, SetUp, read_changing
from reworld.engine.linking import link
from reworld.errors import InvalidConfiguration, InvalidOption, InvalidWorld, nearest
from reworld.finite import exact_model
from reworld.world import Branch, Observed, Parameter, Quantity, World

Reals = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class ChangeableWorld(World):
    """A world with branches that change another one, or rather its configuration.

    Args:
        base: The world that is changed. Its branches come first.
        changing: Which changes are offered.
    """

    base: World = field(kw_only=True)
    changing: Changing = field(kw_only=True)

    def __hash__(self) -> int:
        return hash((self.base, self.changing.mode, len(self.branches)))

    @property
    def state_dtype(self) -> np.dtype[np.void]:
        """The numbers of the base's state, and what `reworld.changing.dynamics` keeps beside them."""
        values = (np.float64, len(self.constants["CHANGEABLE"]))
        sums = [(name, np.float64) for name in ("spent", "cost")]
        counts = [(name, np.int32) for name in ("age", "begun", "configured", "place", "waiting_place", "nominal_place")]
        changes = np.dtype([("nominal", values), ("waiting", values), *sums, *counts], align=True)
        return np.dtype([*((name, np.float64) for name in self.state), ("changes", changes)], align=True)

    @property
    def own_branches(self) -> int:
        """See `World.own_branches`."""
        return len(self.base.branches)

    @property
    def states(self) -> int | None:
        """How many states the base has; None if it is not finite."""
        return self.base.states

    def bill_of(self, instance: Any) -> tuple[str, float | None]:
        """See `World.bill_of`."""
        changes, budget = instance["state"]["changes"], self.changing.budget
        paid = f"paid {changes['spent']:.2f}"
        if budget is None or self.changing.budget_per == "change":
            return paid, None
        return f"{paid} of {budget:g}", 1.0 - float(changes["spent"]) / budget if budget > 0.0 else 0.0

    def change_of(self, before: Any, after: Any) -> str:
        """See `World.change_of`."""
        changes, old = after["state"]["changes"], before["state"]["changes"]["waiting"]
        price = float(changes["cost"])
        cost = f", cost {price:.0f}" if price >= 1000.0 else f", cost {price:.3g}" if price else ""
        if not changes["configured"]:
            # Whether a change fails is drawn, and nothing else is while the dynamics stand still.
            return f"failed{cost}" if before["generator"] != after["generator"] else "not possible"
        new = changes["waiting"]
        differing = np.flatnonzero(new != old)
        k = differing[0]
        what = f"{old[k]:.4g} -> {new[k]:.4g}" if len(differing) == 1 else f"{len(differing)} parameters"
        when = " next epoch" if self.changing.takes_effect == "next_epoch" else ""
        return f"{what}{when}{cost}"


@dataclass(frozen=True)
class _Terms:
    """What may be changed, as arrays: one entry for each parameter, or for each named configuration.

    Args:
        parameters: Index of each parameter that may be changed.
        low: Lowest value of each.
        high: Highest value of each.
        values: Of each named configuration, their values, shape (number of configurations, number of parameters).
        moves: Which named configuration may follow which, bool of shape (configurations, configurations).
        prices: What that costs, likewise.
    """

    parameters: np.ndarray[Any, np.dtype[np.int64]]
    low: Reals
    high: Reals
    values: Reals
    moves: np.ndarray[Any, np.dtype[np.bool_]]
    prices: Reals


def change(world: World, changing: Changing | SetUp | Mapping[str, Any] | str) -> ChangeableWorld:
    """Make a world changeable.

    Args:
        world: Any world that is not changeable yet.
        changing: Which changes are offered: see `reworld.changing.Changing`.

    Raises:
        InvalidOption: If `changing` does not fit the world.
        InvalidConfiguration: If it names an unknown parameter, or a value or range out of the parameter's bounds.
    """
    offer = read_changing(changing)
    terms = offer.changing if isinstance(offer, SetUp) else offer
    if isinstance(world, ChangeableWorld):
        raise InvalidOption(f"{world.name} is changeable already: give one Changing with all that may be changed.")
    base = replace(world, parameters=_with_nominal(world, terms))
    arrays = _chosen(base, terms) if terms.mode == "choose" else _ranges(base, terms)
    _check_weights(base, terms, arrays)
    observation = _observation(base, terms, arrays)
    constants = _constants(base, terms, arrays, indexed=isinstance(observation, int))
    for name in base.constants:
        if name in constants:
            raise InvalidWorld(f"{world.name} has a constant {name!r}, which changing needs: give it another name.")
    return ChangeableWorld(
        name=f"Configurable{world.name}",
        parameters=base.parameters,
        state=base.state,
        observation=observation,
        branches=(*base.branches, *_configuring_branches(base, terms, arrays)),
        reset=dynamics.reset,
        step=dynamics.step,
        observe=dynamics.observe,
        succeeded=base.succeeded,
        draw=base.draw,
        frames_per_second=base.frames_per_second,
        substep=base.substep,
        policy=offer.configuring if isinstance(offer, SetUp) else None,
        tabulate=base.tabulate,
        constants={**base.constants, **constants},
        picture=base.picture,
        report=dynamics.report,
        base=base,
        changing=terms,
    )


def _with_nominal(world: World, changing: Changing) -> tuple[Parameter, ...]:
    """The parameters of a world, with the nominal values as their defaults."""
    nominal = dict(changing.nominal)
    if changing.configurations:
        named = next(iter(changing.configurations.values()))
        for name in named.keys() & nominal.keys():
            if named[name] != nominal[name]:
                raise InvalidOption(
                    f"nominal says {name}={nominal[name]}, but the first configuration, which is the nominal one, says "
                    f"{named[name]}: leave one of them out."
                )
        nominal |= named
    known = {parameter.name: parameter for parameter in world.parameters}
    for values in (nominal, *changing.configurations.values()):
        for name, value in values.items():
            parameter = _find(world, known, name)
            if not _between(parameter.low, value, parameter.high):
                raise InvalidConfiguration(
                    f"{name}={value!r} is outside [{parameter.low:g}, {parameter.high:g}] {parameter.unit}".rstrip()
                    + f", the range of this parameter of {world.name}."
                )
    return tuple(replace(each, default=float(nominal.get(each.name, each.default))) for each in world.parameters)


def _find(world: World, known: Mapping[str, Parameter], name: str) -> Parameter:
    if name not in known:
        raise InvalidConfiguration(f"{world.name} has no parameter {name!r}. {nearest(name, known)}")
    return known[name]


def _between(low: float, value: Any, high: float) -> bool:
    return isinstance(value, Real) and low <= float(value) <= high


def _ranges(base: World, changing: Changing) -> _Terms:
    known = {parameter.name: parameter for parameter in base.parameters}
    indices, lows, highs = [], [], []
    for name in changing.parameters:
        parameter = _find(base, known, name)
        low, high = parameter.low, parameter.high
        if isinstance(changing.parameters, Mapping):
            given = changing.parameters[name]
            pair = isinstance(given, Sequence) and len(given) == 2 and all(_between(low, end, high) for end in given)
            if not (pair and given[0] < given[1]):
                raise InvalidConfiguration(
                    f"{name} may be changed within {given!r}: give (low, high) within its own [{low:g}, {high:g}]."
                )
            low, high = map(float, given)
        if not low <= parameter.default <= high:
            raise InvalidConfiguration(
                f"{name} may be changed within [{low:g}, {high:g}], but begins at {parameter.default:g}: give a wider range, "
                "or a nominal value inside."
            )
        indices.append(base.parameters.index(parameter))
        lows.append(low)
        highs.append(high)
    if len(set(indices)) < len(indices):
        raise InvalidOption(f"parameters={changing.parameters!r} names one twice.")
    nominal, nowhere = base.default_configuration[indices][None], np.zeros((1, 1))
    return _Terms(np.array(indices), np.array(lows), np.array(highs), nominal, nowhere.astype(np.bool_), nowhere)


def _chosen(base: World, changing: Changing) -> _Terms:
    names = list(changing.configurations)
    touched = {name for values in changing.configurations.values() for name in values}
    indices = np.array([k for k, parameter in enumerate(base.parameters) if parameter.name in touched], np.int64)
    chosen = [base.parameters[k] for k in indices]
    values = np.array([[float(changing.configurations[name].get(p.name, p.default)) for p in chosen] for name in names])
    if len(np.unique(values, axis=0)) < len(names):
        raise InvalidOption("Two configurations are the same: each needs values of its own.")
    moves = ~np.eye(len(names), dtype=np.bool_)
    if changing.moves is not None:
        ends = [changing.moves.get(name, ()) for name in names]
        moves &= np.array([[name in end for name in names] for end in ends])
    terms = _Terms(
        indices, np.array([p.low for p in chosen]), np.array([p.high for p in chosen]), values, moves, np.zeros(moves.shape)
    )
    priced = changing.moves is not None and any(isinstance(ends, Mapping) for ends in changing.moves.values())
    if not priced:
        prices = _kernel_prices(base, changing, terms) if changing.cost.kind in {"kl", "wasserstein"} else None
        return replace(terms, prices=_distance_prices(base, changing, terms) if prices is None else prices)
    if changing.cost != type(changing.cost)() or changing.budget_per == "use":
        raise InvalidOption("Moves with prices need no cost, and their use cannot be paid for: leave out cost and budget_per.")
    assert changing.moves is not None
    table = {start: ends for start, ends in changing.moves.items() if isinstance(ends, Mapping)}
    prices = np.array([[table.get(start, {}).get(end, 0.0) for end in names] for start in names])
    return replace(terms, prices=prices)


def _distance_prices(base: World, changing: Changing, terms: _Terms) -> Reals:
    """What each named configuration costs from each other one, by the distances of their parameters."""
    term = link(dynamics._term, {}, _cost_constants(base, changing, terms))
    return np.array([[sum(map(term, range(len(end)), end, start)) for end in terms.values] for start in terms.values])


def _kernel_prices(base: World, changing: Changing, terms: _Terms) -> Reals:
    """What each named configuration costs from each other one, by the distances of their kernels."""
    if base.tabulate is None:
        raise InvalidOption(
            f"The cost {changing.cost.kind!r} compares transition kernels, and {base.name} has none: choose another cost."
        )
    configurations = np.repeat(base.default_configuration[None], len(terms.values), axis=0)
    configurations[:, terms.parameters] = terms.values
    kernels, metric = [exact_model(base, each).kernel for each in configurations], _metric(base, changing)
    distances = [[_distance(changing.cost.kind, new, old, metric) for new in kernels] for old in kernels]
    return changing.cost.scale * np.array(distances)


def _metric(base: World, changing: Changing) -> Reals | None:
    """The distance between states, if one was given."""
    if changing.cost.metric is None:
        return None
    try:
        metric = np.asarray(changing.cost.metric, np.float64)
    except (TypeError, ValueError):
        metric = np.empty(0)
    square = metric.shape == (base.states, base.states)
    if not square or not ((metric >= 0.0) & (metric < math.inf) & (metric == metric.T)).all():
        raise InvalidOption(
            f"The cost's metric has shape {metric.shape}: give the distances between all {base.states} states of {base.name}, "
            "finite, at least 0, and the same both ways."
        )
    return metric


def _distance(kind: str, new: Reals, old: Reals, metric: Reals | None) -> float:
    if kind == "wasserstein" and metric is None:
        return float(np.abs(np.cumsum(new - old, axis=-1)).sum())
    if metric is not None:
        moved = (new - old).reshape(-1, len(metric))
        return sum(_transport(row, metric) for row in moved[np.abs(moved).max(axis=1) > 0.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        return max(float(np.where(new > 0.0, new * np.log(new / old), 0.0).sum()), 0.0)


def _transport(moved: Reals, metric: Reals) -> float:
    """The least work of making one law out of another, by a linear program over what is too much here and missing there.

    Args:
        moved: By how much each probability grows, shape (S,).
        metric: Distances, shape (S, S).
    """
    try:
        from scipy.optimize import linprog
    except ImportError as error:
        raise DependencyNotInstalled('A cost with a metric needs SciPy: pip install "reworld[baselines]".') from error
    grown, shrunk = np.flatnonzero(moved > 0.0), np.flatnonzero(moved < 0.0)
    arrive = np.kron(np.eye(len(grown)), np.ones(len(shrunk)))
    leave = np.kron(np.ones(len(grown)), np.eye(len(shrunk)))
    # What is moved sums to 0 but for rounding: the last equation follows from the others.
    constraints, amounts = np.vstack([arrive, leave])[:-1], np.concatenate([moved[grown], -moved[shrunk]])[:-1]
    return float(linprog(metric[np.ix_(grown, shrunk)].ravel(), A_eq=constraints, b_eq=amounts).fun)


def _check_weights(base: World, changing: Changing, terms: _Terms) -> None:
    known = [base.parameters[k].name for k in terms.parameters]
    for name in changing.cost.weights:
        if name not in known:
            raise InvalidOption(f"The cost has a weight for {name!r}, which cannot be changed. {nearest(name, known)}")
    if changing.cost.weights and changing.cost.kind in {"kl", "wasserstein"}:
        raise InvalidOption(f"The cost {changing.cost.kind!r} compares whole rows of a kernel: leave out its weights.")
    states = base.observation
    rows = isinstance(states, int) and len(base.parameters) == states * states * len(base.branches)
    if changing.mode != "choose" and changing.cost.metric is not None:
        raise InvalidOption("A metric compares named configurations: give mode='choose', or leave it out.")
    if changing.mode != "choose" and changing.cost.kind in {"kl", "wasserstein"} and not rows:
        raise InvalidOption(
            f"The cost {changing.cost.kind!r} compares rows of a transition kernel, whose entries are no parameters of "
            f"{base.name}: choose another cost, or mode='choose'."
        )


def _cost_constants(base: World, changing: Changing, terms: _Terms) -> dict[str, Any]:
    weights = changing.cost.weights
    return {
        "COST": COSTS.index(changing.cost.kind),
        "SCALE": float(changing.cost.scale),
        "RATE": float(changing.cost.rate),
        "LOW": terms.low,
        "HIGH": terms.high,
        "WEIGHTS": np.array([float(weights.get(base.parameters[k].name, 1.0)) for k in terms.parameters]),
    }


def _constants(base: World, changing: Changing, terms: _Terms, indexed: bool) -> dict[str, Any]:
    hidden = changing.observation == "hidden"
    return {
        **_cost_constants(base, changing, terms),
        "inner_reset": base.reset,
        "inner_step": base.step,
        "inner_observe": base.observe,
        "PRIMITIVES": len(base.branches),
        "CHOOSE": changing.mode == "choose",
        "SHIFT": changing.mode == "shift",
        "NEXT_EPOCH": changing.takes_effect == "next_epoch",
        "SURVIVES": changing.survives_reset,
        "FROM_NOMINAL": changing.cost.measured_from == "nominal",
        "IN_REWARD": changing.cost_in_reward,
        "PER_CHANGE": changing.budget_per == "change",
        "PER_USE": changing.budget_per == "use",
        "INDEXED": indexed and not hidden,
        "APPENDED": not (indexed or hidden),
        "OBSERVE_BUDGET": changing.observe_budget,
        "EPOCH": changing.epoch if isinstance(changing.epoch, int) else 0,
        "FAILURE": float(changing.failure),
        "BUDGET": math.inf if changing.budget is None else float(changing.budget),
        "LARGEST_SHIFT": float(changing.largest_shift),
        "INNER_SIZE": base.observation if indexed and isinstance(base.observation, int) else base.observation_size,
        "CHANGEABLE": terms.parameters,
        "VALUES": terms.values,
        "MOVES": terms.moves,
        "PRICES": terms.prices,
        "ROW": base.observation if isinstance(base.observation, int) else 1,
    }


def _observation(base: World, changing: Changing, terms: _Terms) -> Observed | Mapping[str, Observed]:
    inner = base.observation
    if changing.observation == "hidden":
        return inner
    if isinstance(inner, Mapping):
        raise InvalidOption(f"{base.name} is observed as a dictionary already: give observation='hidden'.")
    numbered = changing.observation == "appended" and changing.mode == "choose" and not changing.observe_budget
    if isinstance(inner, int) and numbered:
        waiting = len(terms.values) if changing.takes_effect == "next_epoch" else 1
        return inner * len(terms.values) * waiting * changing.phases
    chosen = [base.parameters[k] for k in terms.parameters]
    shares = tuple(map(_share, chosen, terms.low, terms.high))
    parts: dict[str, Observed] = {"observation": inner, "configuration": shares}
    if changing.takes_effect == "next_epoch":
        parts["next_configuration"] = tuple(
            replace(share, name=f"next_{share.name}", meaning=f"the same from the next epoch on: {share.meaning}")
            for share in shares
        )
    if changing.phases > 1:
        parts["epoch"] = (Quantity("epoch", 0.0, 1.0, "", "how much of the epoch has passed, as a share of it"),)
    if changing.observe_budget:
        parts["budget"] = (Quantity("budget", 0.0, 1.0, "", "how much of the budget is left, as a share of it"),)
    if changing.observation == "dict":
        return parts
    if isinstance(inner, int):
        parts["observation"] = (Quantity("state", 0.0, inner - 1.0, "", "number of the state"),)
    return tuple(entry for part in parts.values() if not isinstance(part, int) for entry in part)


def _share(parameter: Parameter, low: float, high: float) -> Quantity:
    """A parameter as a share of the range within which it may be changed."""
    lowest, highest = ((bound - low) / (high - low) for bound in (parameter.low, parameter.high))
    return Quantity(parameter.name, lowest, highest, "", f"{parameter.meaning}: (value - {low:g}) / {high - low:g}")


def _configuring_branches(base: World, changing: Changing, terms: _Terms) -> tuple[Branch, ...]:
    if changing.mode == "choose":
        return tuple(Branch(f"choose_{name}", f"change to the configuration {name}") for name in changing.configurations)
    branches = []
    for k, low, high in zip(terms.parameters, terms.low, terms.high, strict=True):
        parameter = base.parameters[k]
        if changing.mode == "set":
            target = Quantity("value", low, high, parameter.unit, parameter.meaning)
            branches.append(Branch(f"set_{parameter.name}", f"change {parameter.name}", (target,)))
        else:
            most = changing.largest_shift * (high - low)
            amount = Quantity("amount", -most, most, parameter.unit, f"by how much: {parameter.meaning}")
            branches.append(Branch(f"shift_{parameter.name}", f"shift {parameter.name}", (amount,)))
    return tuple(branches)
