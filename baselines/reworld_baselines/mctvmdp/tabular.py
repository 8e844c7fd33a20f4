"""Exact solvers of decision processes in arrays, one or a stack of them, in NumPy or PyTorch.

Policy iteration is that of Howard (1960); value iteration stops by the bounds of MacQueen (1966), as in Puterman, "Markov
Decision Processes" (1994), section 6.6. In a stack only what is unfinished goes on, so each process gets the solution that it
gets alone.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.mdp import MDP, Array, SparseKernel

STOPS = ("span", "sup", "sweeps")

_TIE = 1e-13  # Two actions whose values differ by no more, as a share of the largest value, are equally good.
_CACHED, _LARGE = 2**18, 2**26  # How many entries of matrices are solved at a time, on a CPU and elsewhere.


class Solution(NamedTuple):
    """An optimal policy, or those of a stack.

    Args:
        values: Of each state, float64 of shape (…, S).
        policy: The action in each state, int64 of shape (…, S).
        iterations: How many evaluations or sweeps there were; in a stack, where there were most.
        error: No value is further from the optimal one, but for rounding: a number, or of a stack one for each.
    """

    values: Array
    policy: Array
    iterations: int
    error: Any


def action_values(mdp: MDP, values: Array) -> Array:
    """Say what it is worth to take each action once, if the values follow.

    Args:
        mdp: One, or a stack.
        values: Of each state, shape (…, S).

    Returns:
        Shape (…, S, A).
    """
    problem = _flatten(mdp, values.shape[:-1])
    worth = _look_ahead(problem, _along(problem, values, 1))
    return worth.reshape(*problem.lead, mdp.states, mdp.actions)


def evaluate(mdp: MDP, policy: Array) -> Array:
    """Find the values of a policy, by a linear solve.

    Args:
        mdp: One, or a stack.
        policy: The action in each state, integers of shape (…, S), or the probability of each, float64 of shape (…, S, A).

    Returns:
        Shape (…, S).
    """
    problem, policy = _flatten_both(mdp, policy)
    return _in_blocks(mdp.states**2, _evaluate, problem, policy).reshape(*problem.lead, mdp.states)


def occupancy(mdp: MDP, policy: Array) -> Array:
    """Say how often each state is visited under a policy, discounted, from the start.

    Args:
        mdp: One, or a stack.
        policy: As in `evaluate`.

    Returns:
        Shape (…, S), of sum 1 / (1 - discount).
    """
    problem, policy = _flatten_both(mdp, policy, mdp.start.shape[:-1])
    start = _along(problem, mdp.start, 1)
    return _in_blocks(mdp.states**2, _visit, problem, policy, start).reshape(*problem.lead, mdp.states)


def kernel_slopes(mdp: MDP, policy: Array, values: Array | None = None) -> Array:
    """Find the slope of the value at the start in every entry of the kernel, for a policy that stays as it is.

    Where one policy alone is optimal, these are also the slopes of the optimal value (Danskin). As the rows of a kernel sum to
    1, the same number may be added to all slopes of a row.

    Args:
        mdp: One, or a stack.
        policy: As in `evaluate`.
        values: Of the policy, shape (…, S), if they are known.

    Returns:
        Shape (…, S, A, S), also where the kernel is sparse.
    """
    xp = array_namespace(mdp.rewards)
    values = evaluate(mdp, policy) if values is None else values
    visits = occupancy(mdp, policy)[..., None]
    if not _is_law(policy):
        policy = xp.astype(policy[..., None] == xp.arange(mdp.actions, device=device(policy)), xp.float64)
    worth = mdp.discount * values[..., None, None, :]
    if mdp.depends_on_successor:
        worth = mdp.rewards + worth
    return (visits * policy)[..., None] * worth


def policy_iteration(mdp: MDP, policy: Array | None = None) -> Solution:
    """Find an optimal policy, by evaluating one and improving it until no action is better.

    Of equally good actions that of the policy before stays. It ends, whatever rounding does: the sum of all values rises in
    every iteration.

    Args:
        mdp: One, or a stack.
        policy: To begin with, integers of shape (…, S); if left out, the action of the largest reward, and of these the first.

    Returns:
        The error is how far the values are from what the best actions make of them, over 1 - discount.
    """
    problem = _flatten(mdp, () if policy is None else policy.shape[:-1])
    policy = _greedy(problem) if policy is None else _along(problem, problem.xp.astype(policy, problem.xp.int64), 1)
    return _solution(problem, *_iterate_in_blocks(problem, policy))


def policy_iteration_along(mdp: MDP) -> Solution:
    """Find optimal policies of an ordered family, such as one for each value of a parameter: of a stack of like neighbours.

    Every other one is solved first, in the same way, and the policies found are what the others begin with. Thus most need
    a single evaluation. Where several policies are optimal, another one may be found than `policy_iteration` finds.

    Args:
        mdp: A stack, ordered along its axes.

    Returns:
        As of `policy_iteration`.
    """
    problem = _flatten(mdp)
    return _solution(problem, *_iterate_along(problem))


def value_iteration(mdp: MDP, epsilon: float = 1e-10, stop: str = "span", sweeps: int = 1000) -> Solution:
    """Find a policy and values that are optimal but for an error, by sweeps.

    Args:
        mdp: One, or a stack.
        epsilon: Largest error of a value, above 0.
        stop: ``"span"``: when the last sweep has changed all values by the same amount, but for what the error allows, which
            is soon where all states lead to one another quickly; ``"sup"``: when it has changed none by more than the error
            allows; ``"sweeps"``: after so many.
        sweeps: How many, for the stop ``"sweeps"``.

    Returns:
        The error is guaranteed, for any stop. With stop ``"span"`` the values are in the middle of MacQueen's bounds.

    Raises:
        InvalidOption: If the stop is unknown, or the error below what rounding allows.
    """
    if stop not in STOPS:
        raise InvalidOption(f"stop={stop!r} is unknown: give one of {', '.join(STOPS)}.")
    if not epsilon > 0.0:
        raise InvalidOption(f"epsilon={epsilon!r}: give the largest error of a value, above 0.")
    if stop == "sweeps" and sweeps < 1:
        raise InvalidOption(f"sweeps={sweeps!r}: give a number of at least 1.")
    problem = _flatten(mdp)
    stack = problem._replace(lead=problem.lead or (1,))
    found = _in_blocks(math.prod(_weights_of(mdp.kernel).shape[-3:]), _sweep, stack, epsilon=epsilon, stop=stop, sweeps=sweeps)
    return _solution(problem, *(found if problem.lead else (array[0] for array in found)))


def soft_policy_iteration(mdp: MDP, temperature: float) -> tuple[Array, Array]:
    """Find the policy of the largest sum of rewards and of temperature times entropy.

    Args:
        mdp: One, or a stack.
        temperature: Above 0, in units of reward.

    Returns:
        Values with entropy, shape (…, S), and the probability of each action, shape (…, S, A): proportional to
        ``exp(action value / temperature)``.

    Raises:
        InvalidOption: If the temperature is not above 0.
    """
    if not 0.0 < temperature < math.inf:
        raise InvalidOption(f"temperature={temperature!r}: give a finite number above 0, in units of reward.")
    problem = _flatten(mdp)
    xp = problem.xp
    policy = _along(problem, xp.zeros_like(problem.rewards) - math.log(mdp.actions), 2)

    def evaluate(problem: _Problem, policy: Array) -> Array:
        return _evaluate_soft(problem, policy, temperature)

    def improve(problem: _Problem, policy: Array, values: Array) -> tuple[Array, Array, Array]:
        return _improve_soft(problem, values, temperature)

    values, policy, *_ = _in_blocks(mdp.states**2, _iterate, problem, policy, evaluate=evaluate, improve=improve)
    policy, *_ = improve(problem, policy, values)
    return values.reshape(*problem.lead, mdp.states), xp.exp(policy).reshape(*problem.lead, mdp.states, mdp.actions)


class _Problem(NamedTuple):
    """Decision processes along one axis. An array without that axis is the same for all of them.

    Args:
        kernel: Shape (S, A, S) or (n, S, A, S); a `SparseKernel` likewise.
        rewards: Expected ones, shape (S, A) or (n, S, A).
        discount: In [0, 1).
        lead: The shape of the stack; () for a single one.
        states: Their numbers, shape (S,).
        xp: The namespace of all arrays.
    """

    kernel: Any
    rewards: Array
    discount: float
    lead: tuple[int, ...]
    states: Array
    xp: Any

    @property
    def size(self) -> int:
        """How many there are."""
        return math.prod(self.lead)

    def take(self, index: Any, count: int) -> "_Problem":
        """Some of the stack, as a stack."""
        kernel = self.kernel
        if isinstance(kernel, SparseKernel):
            kernel = SparseKernel(kernel.successors, _take(kernel.weights, index, 3))
        else:
            kernel = _take(kernel, index, 3)
        return self._replace(kernel=kernel, rewards=_take(self.rewards, index, 2), lead=(count,))


def _flatten(mdp: MDP, lead: tuple[int, ...] = ()) -> _Problem:
    """Put a stack, and whatever else has the leading axes `lead`, along one axis."""
    kernel, rewards = mdp.kernel, mdp.expected_rewards
    xp = array_namespace(rewards)
    if len(kernel.shape) > 3 or rewards.ndim > 2 or lead:
        lead = np.broadcast_shapes(tuple(kernel.shape[:-3]), tuple(rewards.shape[:-2]), tuple(lead))
        rewards = _stacked(rewards, lead, 2)
        if isinstance(kernel, SparseKernel):
            kernel = SparseKernel(kernel.successors, _stacked(kernel.weights, lead, 3))
        else:
            kernel = _stacked(kernel, lead, 3)
    return _Problem(kernel, rewards, mdp.discount, lead, xp.arange(kernel.shape[-1], device=device(rewards)), xp)


def _flatten_both(mdp: MDP, policy: Array, lead: tuple[int, ...] = ()) -> tuple[_Problem, Array]:
    """Put a stack and its policies along one axis."""
    axes = 2 if _is_law(policy) else 1
    problem = _flatten(mdp, np.broadcast_shapes(tuple(policy.shape[:-axes]), tuple(lead)))
    return problem, _along(problem, policy, axes)


def _stacked(array: Array, lead: tuple[int, ...], axes: int) -> Array:
    """Put all leading axes but the last few into one, or leave them out where there is one array for all."""
    own, tail = tuple(array.shape[:-axes]), tuple(array.shape[-axes:])
    if not own:
        return array
    if math.prod(own) == 1:
        return array.reshape(tail)
    if own != lead:
        array = array_namespace(array).broadcast_to(array, (*lead, *tail))
    return array.reshape(-1, *tail)


def _along(problem: _Problem, array: Array, axes: int) -> Array:
    """Put an array along the axis of a stack, where there is one."""
    if not problem.lead:
        return array
    if tuple(array.shape[:-axes]) != (problem.size,):
        array = _stacked(array, problem.lead, axes)
    return problem.xp.broadcast_to(array, (problem.size, *array.shape[-axes:]))


def _solution(problem: _Problem, values: Array, policy: Array, iterations: Any, error: Array) -> Solution:
    """Give a stack its shape back."""
    if not problem.lead:
        return Solution(values, policy, int(iterations), float(error))
    shape = (*problem.lead, values.shape[-1])
    return Solution(values.reshape(shape), policy.reshape(shape), int(iterations.max()), error.reshape(problem.lead))


def _take(array: Array, index: Any, axes: int) -> Array:
    """Some of a stack; what is the same for all stays as it is."""
    return array if array.ndim == axes else array[index]


def _weights_of(kernel: Any) -> Array:
    return kernel.weights if isinstance(kernel, SparseKernel) else kernel


def _is_law(policy: Array) -> bool:
    """Whether a policy is one of probabilities."""
    return bool(policy.dtype.kind == "f" if is_numpy_array(policy) else policy.is_floating_point())


def _in_blocks(entries: int, solve: Callable[..., Any], problem: _Problem, *arrays: Array, **options: Any) -> Any:
    """Solve as many processes at a time as a cache holds.

    Args:
        entries: How many numbers each takes.
        solve: Takes a problem and arrays, and returns an array, or several.
        problem: All processes.
        arrays: Each with the axis of the stack.
        options: Passed on.
    """
    size = max(1, (_CACHED if str(device(problem.rewards)) == "cpu" else _LARGE) // entries)
    if problem.size <= size:
        return solve(problem, *arrays, **options)
    parts = []
    for first in range(0, problem.size, size):
        block = slice(first, min(first + size, problem.size))
        own = problem.take(block, block.stop - first)
        parts.append(solve(own, *(array[block] for array in arrays), **options))
    if isinstance(parts[0], tuple):
        return tuple(problem.xp.concat(part) for part in zip(*parts, strict=True))
    return problem.xp.concat(parts)


def _look_ahead(problem: _Problem, values: Array) -> Array:
    """Value of each action, shape (S, A) or (n, S, A), if these values follow."""
    kernel = problem.kernel
    if isinstance(kernel, SparseKernel):
        following = 0.0
        for k in range(kernel.successors.shape[-1]):
            following = following + kernel.weights[..., k] * values[..., kernel.successors[..., k]]
    elif values.ndim == 1 and kernel.ndim == 3:
        following = kernel @ values
    else:
        *_, states, actions, _ = kernel.shape
        rows = kernel.reshape(*kernel.shape[:-3], states * actions, states)
        following = (rows @ values[..., None]).reshape(-1, states, actions)
    return problem.rewards + problem.discount * following


def _choose(problem: _Problem, array: Array, policy: Array, axes: int) -> Array:
    """What belongs to the actions that a policy takes, of an array whose last axes, so many, begin with (S, A)."""
    if array.ndim == axes:
        return array[problem.states, policy]
    stack = problem.xp.arange(array.shape[0], device=device(array))
    return array[stack[:, None], problem.states, policy]


def _system(problem: _Problem, policy: Array) -> Array:
    """Identity less the discounted kernel of a policy, shape (S, S) or (n, S, S)."""
    kernel, xp = problem.kernel, problem.xp
    if not isinstance(kernel, SparseKernel):
        rows = (policy[..., None, :] @ kernel)[..., 0, :] if _is_law(policy) else _choose(problem, kernel, policy, 3)
        system = -problem.discount * rows
        system[..., problem.states, problem.states] += 1.0
        return system
    if _is_law(policy):
        weights, successors = kernel.weights * policy[..., None], kernel.successors
        weights = weights.reshape(*weights.shape[:-2], -1)
        successors = successors.reshape(successors.shape[0], -1)
    else:
        weights = _choose(problem, kernel.weights, policy, 3)
        successors = kernel.successors[problem.states, policy]
    states, count = weights.shape[-2:]
    weights = problem.discount * weights
    successors = xp.broadcast_to(successors, weights.shape).reshape(-1, count)
    rows = xp.arange(successors.shape[0], device=device(weights))
    system = xp.zeros((successors.shape[0], states), dtype=xp.float64, device=device(weights))
    system[rows, rows % states] = 1.0
    for k in range(count):  # One by one, as a row may name a state twice.
        system[rows, successors[:, k]] -= weights[..., k].reshape(-1)
    return system.reshape(*weights.shape[:-1], states)


def _evaluate(problem: _Problem, policy: Array) -> Array:
    """Values of a policy, shape (S,) or (n, S)."""
    if _is_law(policy):
        rewards = problem.xp.sum(problem.rewards * policy, axis=-1)
    else:
        rewards = _choose(problem, problem.rewards, policy, 2)
    return problem.xp.linalg.solve(_system(problem, policy), rewards[..., None])[..., 0]


def _visit(problem: _Problem, policy: Array, start: Array) -> Array:
    """Occupancy of a policy, shape (S,) or (n, S)."""
    system = problem.xp.matrix_transpose(_system(problem, policy))
    return problem.xp.linalg.solve(system, start[..., None])[..., 0]


def _improve(problem: _Problem, policy: Array, values: Array) -> tuple[Array, Array, Array]:
    """Take the best action wherever it is better than that of the policy.

    Returns:
        The policy thus improved; whether it is another one, and how far the values are from what the best actions make of them:
        numbers, or of a stack one for each.
    """
    xp = problem.xp
    worth = _look_ahead(problem, values)
    gain = xp.max(worth, axis=-1) - values
    better = gain > _TIE * xp.max(xp.abs(values), axis=-1, keepdims=True)
    return xp.where(better, xp.argmax(worth, axis=-1), policy), better.any(-1), xp.max(xp.abs(gain), axis=-1)


def _greedy(problem: _Problem) -> Array:
    """The action of the largest reward, and of these the first."""
    return problem.xp.argmax(_along(problem, problem.rewards, 2), axis=-1)


def _evaluate_soft(problem: _Problem, policy: Array, temperature: float) -> Array:
    """Values with entropy of a policy of logarithms of probabilities."""
    xp = problem.xp
    law = xp.exp(policy)
    rewards = xp.sum(law * (problem.rewards - temperature * policy), axis=-1)
    return xp.linalg.solve(_system(problem, law), rewards[..., None])[..., 0]


def _improve_soft(problem: _Problem, values: Array, temperature: float) -> tuple[Array, Array, Array]:
    """As `_improve`, with entropy."""
    xp = problem.xp
    worth = _look_ahead(problem, values)
    policy = (worth - xp.max(worth, axis=-1, keepdims=True)) / temperature
    policy = policy - xp.log(xp.sum(xp.exp(policy), axis=-1, keepdims=True))
    gain = xp.sum(xp.exp(policy) * (worth - temperature * policy), axis=-1) - values
    error = xp.max(xp.abs(gain), axis=-1)
    return policy, error > _TIE * xp.max(xp.abs(values), axis=-1), error


def _iterate(
    problem: _Problem, policy: Array, *, evaluate: Callable[..., Array], improve: Callable[..., Any]
) -> tuple[Array, Array, Any, Array]:
    """Evaluate and improve by turns, as long as a policy is improved and the sum of its values rises.

    Returns:
        Values, policy, number of evaluations and error.
    """
    if problem.lead:
        return _iterate_stack(problem, policy, evaluate, improve)
    values, iterations = evaluate(problem, policy), 1
    while True:
        other, improved, error = improve(problem, policy, values)
        if improved:
            after, iterations = evaluate(problem, other), iterations + 1
            if after.sum() > values.sum():
                policy, values = other, after
                continue
        return values, policy, iterations, error / (1.0 - problem.discount)


def _iterate_in_blocks(problem: _Problem, policy: Array) -> Any:
    return _in_blocks(problem.states.shape[0] ** 2, _iterate, problem, policy, evaluate=_evaluate, improve=_improve)


def _iterate_along(problem: _Problem) -> Any:
    """Policy iteration of a stack, from the policies of every other process."""
    size, xp = problem.size, problem.xp
    if size == 1:
        return _iterate_in_blocks(problem, _greedy(problem))
    even = _iterate_along(problem.take(slice(None, None, 2), (size + 1) // 2))
    odd = _iterate_in_blocks(problem.take(slice(1, None, 2), size // 2), even[1][: size // 2])
    merged = []
    for first, second in zip(even, odd, strict=True):
        both = xp.zeros((size, *first.shape[1:]), dtype=first.dtype, device=device(first))
        both[::2], both[1::2] = first, second
        merged.append(both)
    return merged


def _iterate_stack(
    problem: _Problem, policy: Array, evaluate: Callable[..., Array], improve: Callable[..., Any]
) -> tuple[Array, Array, Array, Array]:
    """The same for a stack: a process whose policy is not improved is left out of what follows."""
    xp, on = problem.xp, device(policy)
    policy = xp.asarray(policy, copy=True)
    values = xp.asarray(evaluate(problem, policy), copy=True)
    iterations = xp.ones(problem.size, dtype=xp.int64, device=on)
    error = xp.zeros(problem.size, dtype=xp.float64, device=on)
    left, own, before = xp.arange(problem.size, device=on), policy, values
    while True:
        other, improved, error[left] = improve(problem, own, before)
        (keep,) = xp.nonzero(improved)
        problem, left, other, before = problem.take(keep, keep.shape[0]), left[keep], other[keep], before[keep]
        if not keep.shape[0]:
            return values, policy, iterations, error / (1.0 - problem.discount)
        after = evaluate(problem, other)
        iterations[left] += 1
        (keep,) = xp.nonzero(xp.sum(after, axis=-1) > xp.sum(before, axis=-1))
        if keep.shape[0] < left.shape[0]:
            problem, left, other, after = problem.take(keep, keep.shape[0]), left[keep], other[keep], after[keep]
        policy[left], values[left] = other, after
        own, before = other, after


def _sweep(problem: _Problem, *, epsilon: float, stop: str, sweeps: int) -> tuple[Array, Array, Array, Array]:
    """Value iteration from zero, of a stack.

    Returns:
        Values, policy, number of sweeps and error.
    """
    xp, on, discount = problem.xp, device(problem.rewards), problem.discount
    states, factor = problem.states.shape[0], discount / (1.0 - discount)
    values = xp.zeros((problem.size, states), dtype=xp.float64, device=on)
    policy = xp.zeros((problem.size, states), dtype=xp.int64, device=on)
    iterations = xp.zeros(problem.size, dtype=xp.int64, device=on)
    error = xp.zeros(problem.size, dtype=xp.float64, device=on)
    left, unfinished = xp.arange(problem.size, device=on), iterations == 0
    # The axis of the stack is the last one here: what is read for a state lies together in memory.
    before, look_ahead = xp.zeros((states, problem.size), dtype=xp.float64, device=on), _look_ahead_across(problem)
    sweep, most = 0, math.inf
    while True:
        worth = look_ahead(before)
        after = xp.max(worth, axis=1)
        change = after - before
        low, high = factor * xp.min(change, axis=0), factor * xp.max(change, axis=0)
        furthest = xp.maximum(xp.abs(low), xp.abs(high))
        bound = 0.5 * (high - low) if stop == "span" else furthest
        before, sweep = after, sweep + 1
        finished = unfinished & (bound <= epsilon) if stop != "sweeps" else unfinished & (sweep == sweeps)
        if finished.any():
            (done,) = xp.nonzero(finished)
            where = left[done]
            middle = 0.5 * (high + low)[done] if stop == "span" else 0.0
            values[where] = (after[:, done] + middle).T
            policy[where] = xp.argmax(worth[:, :, done], axis=1).T
            iterations[where], error[where] = sweep, bound[done]
            unfinished = unfinished & ~finished
            (keep,) = xp.nonzero(unfinished)
            if not keep.shape[0]:
                return values, policy, iterations, error
            if 2 * keep.shape[0] <= left.shape[0]:
                problem, left, before = problem.take(keep, keep.shape[0]), left[keep], after[:, keep]
                look_ahead, unfinished = _look_ahead_across(problem), unfinished[keep]
        if sweep == 1 and stop != "sweeps":
            # Were it not for rounding, the error would fall by the discount in every sweep.
            most = 2 + math.ceil(math.log(epsilon / float(xp.max(furthest))) / math.log(discount))
        if sweep > most:
            raise InvalidOption(
                f"epsilon={epsilon:g} is less than rounding allows for values of size {float(xp.max(xp.abs(after))):.3g} and "
                f"the discount {discount:g}: give a larger one."
            )


def _look_ahead_across(problem: _Problem) -> Callable[[Array], Array]:
    """As `_look_ahead`, from values of shape (S, n) to shape (S, A, n)."""
    kernel, xp, discount = problem.kernel, problem.xp, problem.discount
    rewards = _across(xp, problem.rewards, 2)
    if isinstance(kernel, SparseKernel):
        each = range(kernel.successors.shape[-1])
        successors = [kernel.successors[..., k] for k in each]
        weights = [_across(xp, discount * kernel.weights[..., k], 2) for k in each]

        def look_ahead(values: Array) -> Array:
            worth = rewards
            for successor, weight in zip(successors, weights, strict=True):
                worth = worth + weight * values[successor]
            return worth
    else:
        *_, states, actions, _ = kernel.shape
        rows = kernel.reshape(*kernel.shape[:-3], states * actions, states)

        def look_ahead(values: Array) -> Array:
            if rows.ndim == 2:
                following = (rows @ values).reshape(states, actions, -1)
            else:
                following = xp.moveaxis((rows @ values.T[..., None]).reshape(-1, states, actions), 0, -1)
            return rewards + discount * following

    return look_ahead


def _across(xp: Any, array: Array, axes: int) -> Array:
    """Move the axis of the stack to the end, in memory, too."""
    if array.ndim == axes:
        return array[..., None]
    moved = xp.zeros((*array.shape[1:], array.shape[0]), dtype=array.dtype, device=device(array))
    moved[...] = xp.moveaxis(array, 0, -1)
    return moved
