"""Joining plain functions into one program, and compiling it.

A loop calls *placeholders*; linking it to a world puts the world's functions in their place, all the way down the calls.
The same operation puts recorded draws in place of random ones, or an observer in place of a sub-step. The result is
plain Python, which runs as it is or is handed to a compiler.
"""

import hashlib
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

import numba

Function = Callable[..., Any]

# Division by zero gives inf or nan, as in NumPy: an exception would leave a batch half stepped.
# Nothing is allocated, so no reference is counted: the atomic counts of array rows took half the time of a CartPole step.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}


def link(function: Function, replacements: Mapping[Any, Function]) -> Function:
    """Copy a function and all that it calls by global name, with some functions replaced.

    Args:
        function: A plain function of a module, without a closure.
        replacements: Which function stands in place of which, found by identity anywhere below `function`. One that is
            a closure is put in as it is.

    Returns:
        A plain function; the given one is left as it was.

    Raises:
        TypeError: If a function below is a closure or calls itself.
    """
    return _rebuild(function, replacements, _keep)


def compile_linked(function: Function, replacements: Mapping[Any, Function], name: str) -> Function:
    """Link a function as `link` does, and compile it for the CPU, cached on disk.

    Numba names a cache file by the function's module, name and line, and looks at no other source file. Therefore the
    compiled function's name carries a digest of all code below it: an edit anywhere, or another world, is another file.

    Args:
        function: The entry point.
        replacements: As in `link`.
        name: Readable part of the cache file's name.

    Returns:
        A compiled function that releases the global interpreter lock; where Numba is disabled, plain Python.
    """
    digest = hashlib.sha256(repr(_OPTIONS).encode())

    def compile_one(linked: FunctionType, original: Function) -> Function:
        digest.update(_describe(linked.__code__, linked.__globals__).encode())
        # What is linked into the loop becomes one body with it, so that a state stays in registers.
        joined = original in replacements or original.__module__ == function.__module__
        return numba.njit(forceinline=joined, **_OPTIONS)(linked)

    compiled: Any = _rebuild(function, replacements, compile_one)
    if not hasattr(compiled, "py_func"):
        return compiled
    entry = compiled.py_func
    entry.__qualname__ = f"{function.__name__}_{name}_{digest.hexdigest()[:16]}"
    return numba.njit(cache=True, **_OPTIONS)(entry)


def _keep(linked: FunctionType, original: Function) -> Function:
    return linked


def _rebuild(
    function: Function, replacements: Mapping[Any, Function], finish: Callable[[FunctionType, Function], Function]
) -> Function:
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
        scope: dict[str, Any] = {"__name__": target.__module__}
        for name in sorted(_names(target.__code__)):
            if name in target.__globals__:
                value = target.__globals__[name]
                scope[name] = rebuild(value) if isinstance(value, FunctionType) else value
        copy = FunctionType(target.__code__, scope, target.__name__, target.__defaults__)
        copy.__kwdefaults__ = target.__kwdefaults__
        under_way.pop()
        done[target] = finish(copy, original)
        return done[target]

    return rebuild(function)


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _describe(code: CodeType, scope: Mapping[str, Any]) -> str:
    """Text that differs whenever the compiled result could: instructions, constants, and global values."""
    constants = [_describe(c, scope) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    values = {name: repr(value) for name, value in sorted(scope.items()) if isinstance(value, int | float | tuple | str)}
    return repr((code.co_code, code.co_names, code.co_varnames, constants, values))
