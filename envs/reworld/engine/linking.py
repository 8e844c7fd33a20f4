"""Joining plain functions into one program, and compiling it.

A loop calls *placeholders*; linking it to a world puts the world's functions in their place, all the way down the calls.
The same operation puts recorded draws in place of random ones, or an observer in place of a sub-step. The result is
plain Python, which runs as it is or is handed to a compiler.
"""

import builtins
import dis
import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType, MappingProxyType
from typing import Any

import numba
import numpy as np

from reworld.generator import RARELY_CALLED

Function = Callable[..., Any]

# Division by zero gives inf or nan, as in NumPy: an exception would leave a batch half stepped.
# Nothing is allocated, so no reference is counted: the atomic counts of array rows took half the time of a CartPole step.
# All that is called often is inlined, so that a state stays in registers: a sixth of the time of a Platform step.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False, "forceinline": True}

# What only other compiled code calls needs no way in from Python, which takes long to compile.
_CALLEE_OPTIONS = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

_OUT_OF_LINE = {function.__code__ for function in RARELY_CALLED}

_NONE: Mapping[str, Any] = MappingProxyType({})


def link(function: Function, replacements: Mapping[Any, Function], constants: Mapping[str, Any] = _NONE) -> Function:
    """Copy a function and all that it calls by global name, with some functions and values replaced.

    Args:
        function: A plain function of a module, without a closure.
        replacements: Which function stands in place of which, found by identity anywhere below `function`. One that is
            a closure is put in as it is.
        constants: What stands in place of the global values of these names.

    Returns:
        A plain function; the given one is left as it was.

    Raises:
        TypeError: If a function below is a closure or calls itself.
    """
    return _rebuild([function], replacements, constants, _keep)[0]


def compile_linked(
    function: Function, replacements: Mapping[Any, Function], name: str, constants: Mapping[str, Any] = _NONE
) -> Function:
    """Link a function as `link` does, and compile it for the CPU: see `compile_all_linked`."""
    return compile_all_linked([function], replacements, name, constants)[0]


def compile_all_linked(
    functions: Sequence[Function], replacements: Mapping[Any, Function], name: str, constants: Mapping[str, Any] = _NONE
) -> list[Function]:
    """Link functions as `link` does, and compile them for the CPU, cached on disk. What several of them call is compiled once.

    Numba names a cache file by the function's module, name and line, and looks at no other source file. Therefore the
    compiled function's name carries a digest of all code below it: an edit anywhere, or another world, is another file.

    Args:
        functions: The entry points. They are to be called with records of the same types, since Numba takes a record for
            another one that begins with the same fields.
        replacements: As in `link`.
        name: Readable part of the names of the cache files.
        constants: As in `link`.

    Returns:
        Compiled functions that release the global interpreter lock; where Numba is disabled, plain Python.
    """
    digests: dict[int, str] = {}

    def compile_one(linked: FunctionType) -> Function:
        options = _CALLEE_OPTIONS | {"forceinline": linked.__code__ not in _OUT_OF_LINE}
        compiled: Function = numba.njit(**options)(linked)
        digests[id(compiled)] = hashlib.sha256(repr((options, _describe(linked, digests))).encode()).hexdigest()
        return compiled

    def compile_entry(function: Function, compiled: Any) -> Any:
        if not hasattr(compiled, "py_func"):
            return compiled
        entry = compiled.py_func
        entry.__qualname__ = f"{function.__name__}_{name}_{digests[id(compiled)][:16]}"
        return numba.njit(cache=True, **_OPTIONS)(entry)

    return [*map(compile_entry, functions, _rebuild(functions, replacements, constants, compile_one))]


def _keep(linked: FunctionType) -> Function:
    return linked


def _rebuild(
    functions: Sequence[Function],
    replacements: Mapping[Any, Function],
    constants: Mapping[str, Any],
    finish: Callable[[FunctionType], Function],
) -> list[Function]:
    done: dict[Function, Function] = {}
    under_way: list[Function] = []

    def rebuild(original: Function) -> Function:
        target = replacements.get(original, original)
        if target in done:
            return done[target]
        if not isinstance(target, FunctionType) or target.__closure__:
            if original in replacements and finish is _keep:
                return target
            raise TypeError(f"{target!r} cannot be linked: only plain functions of a module can, without a closure.")
        if target in under_way:
            raise TypeError(f"{target.__qualname__} calls itself, which cannot be compiled: write a loop instead.")
        under_way.append(target)
        # Without builtins nothing can be imported below a call of the copy, which NumPy does at the first use of some methods.
        scope: dict[str, Any] = {"__name__": target.__module__, "__builtins__": builtins}
        for name in sorted(_names(target.__code__)):
            if name in target.__globals__:
                value = constants.get(name, target.__globals__[name])
                scope[name] = rebuild(value) if isinstance(value, FunctionType) else value
        copy = FunctionType(target.__code__, scope, target.__name__, target.__defaults__)
        copy.__kwdefaults__ = target.__kwdefaults__
        under_way.pop()
        done[target] = finish(copy)
        return done[target]

    return [*map(rebuild, functions)]


def _names(code: CodeType) -> set[str]:
    """The global names that a function reads, not those of attributes."""
    names = {instruction.argval for instruction in dis.get_instructions(code) if instruction.opname in _READS_GLOBAL}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


_READS_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME"}


def _describe(value: Any, digests: Mapping[int, str]) -> Any:
    """What differs whenever the compiled result could: instructions, constants, defaults and global values.

    Args:
        value: A function, or what one refers to.
        digests: Of the compiled functions below, by identity.
    """
    if id(value) in digests:
        return digests[id(value)]
    if isinstance(value, FunctionType):
        parts = (value.__code__, value.__defaults__, *(value.__kwdefaults__ or {}).items(), *sorted(value.__globals__.items()))
        return _describe(parts, digests)
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, value.co_varnames, _describe(value.co_consts, digests)
    if isinstance(value, tuple):
        return [_describe(part, digests) for part in value]
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    return value if isinstance(value, int | float | complex | str | bytes | np.generic) else None
