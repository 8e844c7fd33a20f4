"""Linking replaces functions deep down and leaves the original alone; compiled code is cached by what it is made of."""

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from reworld.engine import loops
from reworld.engine.kernels import kernels, replacements_for
from reworld.engine.linking import compile_all_linked, compile_linked, link
from reworld.environment import WorldEnv
from reworld.world import Branch, Parameter, Quantity, World

FACTOR = 2.0
TABLE = np.array([1.0, 2.0, 3.0])


def leaf(x: float) -> float:
    return FACTOR * x


def other_leaf(x: float) -> float:
    return -x


def middle(x: float) -> float:
    return leaf(x) + 1.0


def top(x: float) -> float:
    return math.floor(middle(x)) + leaf(x)


def thrice(x: float) -> float:
    return first(x) + 2.0 * second(x) + 4.0 * third(x)  # type: ignore[name-defined]  # noqa: F821


def with_default(x: float, y: float = 1.0) -> float:
    return x + y


def calls_default(x: float) -> float:
    return with_default(x)


def reads_table(k: int) -> float:
    return TABLE[k]


def reads_an_attribute_of_its_own_name(module: Any) -> float:
    return module.sqrt(16.0) if hasattr(module, "sqrt") else module.reads_an_attribute_of_its_own_name


SCALE = 3.0


def scales(x: float) -> float:
    return SCALE * x


def calls_itself(x: float) -> float:
    return calls_itself(x - 1.0) if x > 0.0 else 0.0


def calls_back(x: float) -> float:
    return calls_forth(x)


def calls_forth(x: float) -> float:
    return calls_back(x)


def make_closure() -> Any:
    seen: list[float] = []

    def closure(x: float) -> float:
        seen.append(x)
        return 10.0 * x

    closure.seen = seen  # type: ignore[attr-defined]
    return closure


CLOSURE = make_closure()


def calls_closure(x: float) -> float:
    return CLOSURE(x)


def calls_comprehension(x: float) -> float:
    return sum([leaf(y) for y in (x, x)])


def edited(function: Callable[..., Any], **names: Any) -> FunctionType:
    """The same function in a module where some global names mean something else."""
    assert isinstance(function, FunctionType)
    return FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__)


def cache_name(function: Callable[..., Any], replacements: Any = None) -> str:
    return compile_linked(function, replacements or {}, "test").py_func.__qualname__  # type: ignore[attr-defined]


ENTRIES: list[Callable[..., Any]] = [top, middle]


class TestLink:
    def test_without_replacements_computes_the_same(self) -> None:
        assert link(top, {})(3.25) == top(3.25)

    def test_replaces_deep_down_and_everywhere(self) -> None:
        assert link(top, {leaf: other_leaf})(3.25) == math.floor(-3.25 + 1.0) - 3.25

    def test_replaces_the_entry_point_itself(self) -> None:
        assert link(leaf, {leaf: other_leaf})(3.0) == -3.0

    def test_replaces_inside_comprehensions(self) -> None:
        assert link(calls_comprehension, {leaf: other_leaf})(3.0) == -6.0

    def test_leaves_the_original_alone(self) -> None:
        before = top(3.25)
        linked = link(top, {leaf: other_leaf})
        assert linked is not top
        assert top(3.25) == before
        assert middle(3.25) == 7.5

    def test_keeps_defaults(self) -> None:
        assert link(calls_default, {})(3.0) == 4.0

    def test_an_attribute_is_not_a_global_of_that_name(self) -> None:
        assert link(reads_an_attribute_of_its_own_name, {})(math) == 4.0

    def test_constants_stand_in_place_of_globals(self) -> None:
        assert link(scales, {}, {"SCALE": 5.0})(2.0) == 10.0
        assert compile_linked(scales, {}, "test", {"SCALE": 5.0})(2.0) == 10.0
        assert scales(2.0) == 6.0

    def test_puts_in_a_closure_as_it_is(self) -> None:
        closure = make_closure()
        assert link(middle, {leaf: closure})(3.0) == 31.0
        assert closure.seen == [3.0]

    def test_refuses_a_closure_below(self) -> None:
        with pytest.raises(TypeError, match=r"closure.* cannot be linked: only plain functions of a module can"):
            link(calls_closure, {})

    @pytest.mark.parametrize("function", [calls_itself, calls_back])
    def test_refuses_recursion(self, function: Callable[..., Any]) -> None:
        with pytest.raises(TypeError, match=f"{function.__name__} calls itself, which cannot be compiled: write a loop"):
            link(function, {})


class TestCompileLinked:
    def test_computes_what_the_plain_function_does(self) -> None:
        assert compile_linked(top, {leaf: other_leaf}, "test")(3.25) == link(top, {leaf: other_leaf})(3.25)

    def test_refuses_a_closure(self) -> None:
        with pytest.raises(TypeError, match="cannot be linked"):
            compile_linked(middle, {leaf: make_closure()}, "test")

    def test_divides_by_zero_as_numpy_does(self) -> None:
        assert compile_linked(divide, {}, "test")(1.0, 0.0) == math.inf

    def test_compiles_once_what_several_entry_points_call(self) -> None:
        compiled: list[Any] = compile_all_linked(ENTRIES, {leaf: other_leaf}, "test")
        assert [each(3.25) for each in compiled] == [link(each, {leaf: other_leaf})(3.25) for each in ENTRIES]
        through_top, of_middle = compiled[0].py_func.__globals__["middle"], compiled[1]
        assert through_top.py_func.__globals__["leaf"] is of_middle.py_func.__globals__["leaf"]
        assert [each.py_func.__qualname__ for each in compiled] == [cache_name(each, {leaf: other_leaf}) for each in ENTRIES]


def divide(x: float, y: float) -> float:
    return x / y


class TestCacheName:
    def test_is_readable(self) -> None:
        assert cache_name(top).startswith("top_test_")

    def test_is_the_same_for_the_same_code(self) -> None:
        assert cache_name(top) == cache_name(top) == cache_name(edited(top))

    @pytest.mark.parametrize(
        "changed",
        [
            {"leaf": other_leaf},
            {"leaf": edited(leaf, FACTOR=3.0)},
            {"middle": edited(middle, leaf=other_leaf)},
            {"middle": edited(middle, leaf=edited(leaf, FACTOR=3.0))},
        ],
        ids=["a function", "a constant below", "a function below", "a constant further below"],
    )
    def test_changes_with_an_edit_anywhere_below(self, changed: dict[str, Any]) -> None:
        assert cache_name(edited(top, **changed)) != cache_name(top)

    def test_changes_with_a_replacement(self) -> None:
        assert cache_name(top, {leaf: other_leaf}) != cache_name(top)

    def test_changes_with_which_function_a_name_means(self) -> None:
        one = edited(thrice, first=leaf, second=other_leaf, third=leaf)
        other = edited(thrice, first=leaf, second=other_leaf, third=other_leaf)
        assert cache_name(one) != cache_name(other)

    def test_changes_with_a_default_argument(self) -> None:
        other = FunctionType(with_default.__code__, with_default.__globals__, "with_default", (2.0,))
        assert cache_name(edited(calls_default, with_default=other)) != cache_name(calls_default)

    @pytest.mark.parametrize(
        "other",
        [np.array([1.0, 2.0, 4.0]), np.array([1, 2, 3]), np.array([[1.0], [2.0], [3.0]])],
        ids=["a value", "the type", "the shape"],
    )
    def test_changes_with_a_global_array(self, other: np.ndarray) -> None:
        assert cache_name(edited(reads_table, TABLE=other)) != cache_name(reads_table)
        assert cache_name(edited(reads_table, TABLE=TABLE.copy())) == cache_name(reads_table)

    def test_changes_with_one_value_of_a_long_array(self) -> None:
        names = set()
        for value in (0.0, 1.0):
            table = np.zeros(10_000)
            table[5_000] = value
            names.add(cache_name(edited(reads_table, TABLE=table)))
        assert len(names) == 2

    def test_changes_with_an_array_in_a_tuple(self) -> None:
        names = {cache_name(edited(reads_table, TABLE=(table, 0.0))) for table in (np.zeros(10_000), np.eye(100).ravel())}
        assert len(names) == 2


def begin(state: Any, c: Any, rng: Any) -> None:
    state.position = 0.0


def crawl(state: Any, branch: int, x: Any, c: Any, rng: Any) -> tuple[float, bool]:
    state.position += c.speed
    return state.position, False


def jump(state: Any, branch: int, x: Any, c: Any, rng: Any) -> tuple[float, bool]:
    state.position += 100.0 * c.speed
    return state.position, False


def show(state: Any, c: Any, out: Any) -> None:
    out[0] = state.position


def never(state: Any, c: Any) -> bool:
    return False


def draw_nothing(canvas: Any, state: Any, c: Any) -> None:
    pass


CRAWLER = World(
    name="Walker",
    parameters=(Parameter("speed", 0.0, 10.0, "m", "how far it goes", 1.0),),
    state=("position",),
    observation=(Quantity("position", 0.0, 1e6, "m", "where it is"),),
    branches=(Branch("go", "go on"),),
    reset=begin,
    step=crawl,
    observe=show,
    succeeded=never,
    draw=draw_nothing,
    frames_per_second=1,
)
JUMPER = dataclasses.replace(CRAWLER, step=jump)


class TestTwoWorldsOfOneNameAndShape:
    def test_have_cache_names_of_their_own(self) -> None:
        assert cache_name(loops.step_single, replacements_for(CRAWLER)) != cache_name(
            loops.step_single, replacements_for(JUMPER)
        )
        assert kernels(CRAWLER) is not kernels(JUMPER)

    def test_do_not_mix(self) -> None:
        envs = [WorldEnv(world) for world in (CRAWLER, JUMPER)]
        for env in envs:
            env.reset(seed=0)
        assert [[env.step(0)[1] for env in envs] for _ in range(2)] == [[1.0, 100.0], [2.0, 200.0]]


PROGRAM = """
import numpy as np
from reworld.engine import loops
from reworld.engine.kernels import instances_of, replacements_for
from reworld.engine.linking import compile_linked
from reworld.worlds.cartpole import WORLD
step = compile_linked(loops.step_single, replacements_for(WORLD), WORLD.name)
outcome = step(instances_of(WORLD, 1), 1, np.empty(0), np.empty(4, np.float32), ())
print(outcome[0], sum(step.stats.cache_hits.values()))
"""


def test_a_second_process_finds_what_the_first_has_compiled(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    outputs, files = [], []
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        outputs.append(run.stdout.split())
        files.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()})
    assert outputs == [["1.0", "0"], ["1.0", "1"]]
    assert files[0]
    assert files[1] == files[0]
