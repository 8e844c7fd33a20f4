"""Solve: one door to every method, by the class of the problem and the name of the method."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from numbers import Integral
from typing import Any

from reworld.changing.levels import Levels
from reworld.errors import InvalidOption, nearest
from reworld_baselines.mctvmdp.costs import check_amount
from reworld_baselines.mctvmdp.estimation import EstimatedMDP
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP
from reworld_baselines.mctvmdp.multi_level import MultiLevelMDP
from reworld_baselines.mctvmdp.parametric import ParametricMDP
from reworld_baselines.mctvmdp.results import Result, Search
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP

Method = Callable[..., Result]

_CONFIGURABLE = {
    "multistart": "trust_region",
    "trust_region": "trust_region",
    "linearised": "trust_region",
    "value_gradient": "comparators.value_gradient",
    "cross_entropy": "comparators.cross_entropy",
    "bayesian": "comparators.bayesian",
    "hpgd": "comparators.hpgd",
    "spmi": "comparators.spmi",
    "remps": "comparators.remps",
    "worst_case": "comparators.worst_case",
}

# By the class of the problem: the methods, the recommended one first, and the module of each.
_MODULES: dict[Any, dict[str, str]] = {
    (TVCMDP, "one_off"): _CONFIGURABLE,
    (TVCMDP, "per_use"): {"dual": "per_use", "flow": "per_use"},
    (TVCMDP, "per_row"): {"optimistic": "per_row"},
    ParametricMDP: _CONFIGURABLE,
    FiniteHorizonTVCMDP: {"stages": "finite_horizon", **_CONFIGURABLE},
    MultiLevelMDP: dict.fromkeys(("levels", "flat", "none", "random", "myopic", "oracle", "reachable"), "multi_level"),
    EstimatedMDP: {"certainty_equivalent": "estimation"},
    Levels: {"deep": "deep"},
}


def methods_of(problem: Any) -> list[str]:
    """Name the methods that solve a problem, the recommended one first.

    Args:
        problem: Of any class that `solve` takes.

    Raises:
        InvalidOption: If it is of no such class.
    """
    return list(_modules(problem))


def solve(problem: Any, method: str | None = None, *, seed: int = 0, quiet: bool = False, **options: Any) -> Result:
    """Choose how the world is to be changed, and what to do in it.

    Args:
        problem: A `TVCMDP`, `ParametricMDP`, `FiniteHorizonTVCMDP`, `MultiLevelMDP` or `EstimatedMDP`, or
            `reworld.changing.levels.Levels` of a world without a kernel.
        method: One of `methods_of` the problem; the recommended one if left out.
        seed: Of a method that draws by chance.
        quiet: Whether no bar is shown while it takes longer than a second.
        options: Of the method: see its function.

    Returns:
        What was found. It prints as a summary, and `Result.plot` draws it.

    Raises:
        InvalidOption: If the problem, the method or an option is unknown, or an option is none.
        SolverFailed: If the method cannot solve this problem.
    """
    modules = _modules(problem)
    name = method or next(iter(modules))
    if name not in modules:
        raise InvalidOption(f"There is no method {name!r} for a {type(problem).__name__}. {nearest(name, modules)}")
    function: Method = getattr(import_module(f"reworld_baselines.mctvmdp.{modules[name]}"), name)
    known = inspect.signature(function).parameters
    _check_options(name, {each: known[each].default for each in known if each not in ("problem", "search", "seed")}, options)
    search = Search(name, quiet=quiet)
    try:
        return function(problem, search, **({"seed": seed} if "seed" in known else {}), **options)
    finally:
        search.close()


def solve_for_budgets(
    problem: TVCMDP | FiniteHorizonTVCMDP, budgets: Sequence[float], methods: Sequence[str], *, seed: int = 0
) -> Mapping[str, Sequence[Result]]:
    """Solve a problem for many budgets, to see what each further unit is worth.

    Args:
        problem: Its own budget does not matter.
        budgets: At least 0 each.
        methods: Names, as in `solve`.
        seed: As in `solve`.

    Returns:
        For each method the results, in the order of the budgets; `reworld_baselines.mctvmdp.figures` draws them.

    Raises:
        InvalidOption: If the problem has no budget, or as in `solve`.
    """
    if not isinstance(problem, TVCMDP | FiniteHorizonTVCMDP):
        raise InvalidOption(f"A {type(problem).__name__} has no budget: give a TVCMDP, or one of a finite horizon.")
    problems = [replace(problem, budget=budget) for budget in budgets]
    return {method: [solve(each, method, seed=seed, quiet=True) for each in problems] for method in methods}


def _modules(problem: Any) -> dict[str, str]:
    for key in ((type(problem), getattr(problem, "budget_class", None)), type(problem)):
        if key in _MODULES:
            return _MODULES[key]
    classes = [key.__name__ for key in _MODULES if isinstance(key, type)]
    raise InvalidOption(f"No problem is of class {type(problem).__name__}: give a TVCMDP, or one of {', '.join(classes)}.")


def _check_options(method: str, takes: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse options that a method does not have, or that are no number where it has one; and ask for those that it needs."""
    for option, value in options.items():
        if option not in takes:
            raise InvalidOption(
                f"The method {method!r} has no option {option!r}. {nearest(option, list(takes)) if takes else 'It has none.'}"
            )
        usual = takes[option]
        if type(usual) is int and not (isinstance(value, Integral) and int(value) >= 0):
            raise InvalidOption(f"{option}={value!r}: give an integer of at least 0, such as {usual}.")
        if type(usual) is float:
            check_amount(option, value)
    for option, usual in takes.items():
        if usual is inspect.Parameter.empty and option not in options:
            raise InvalidOption(f"The method {method!r} needs the option {option!r}: see its function.")
