"""ParametricMDP: a Markov decision process whose kernel is a function of a few numbers, which may be chosen.

The slope of the optimal value in the numbers needs no slope of the policy (the envelope theorem): it is the sum, over all
entries of the kernel, of the slope of the value in the entry times that of the entry in the numbers. The latter comes from
PyTorch, or from a formula where there is one. Where transitions pay, what an action earns depends on the numbers, too.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.environment import find_world
from reworld.errors import InvalidOption
from reworld.finite import Reals, exact_model, read_laws, read_numbers
from reworld_baselines.mctvmdp.costs import check_amount
from reworld_baselines.mctvmdp.mdp import MDP, check_single, set_field

_RATIOS = (0.6180339887498949, 0.4142135623730950)  # Their multiples do not repeat: places that are nowhere special.


@dataclass(frozen=True, eq=False)
class ParametricMDP:
    """A decision process whose kernel is a function of n numbers, within bounds, or that are the probabilities of a law.

    Args:
        mdp: The nominal one: a single one, dense, NumPy.
        kernel: From n numbers to a kernel, shape (S, A, S): from a tensor of float64 to another, by functions of PyTorch. With
            `gradient`, from an array of NumPy to another.
        nominal: The numbers that make the nominal kernel, shape (n,).
        low: Least value of each number, shape (n,) or what broadcasts to it.
        high: Largest one.
        simplex: Whether the numbers sum to 1.
        penalty: By how much each unit by which a number is changed lessens the objective, at least 0.
        gradient: From the numbers and the slopes of something in every entry of the kernel, shape (S, A, S), to its slopes in
            the numbers, (n,). If left out, PyTorch differentiates the kernel.

    Raises:
        InvalidOption: If these contradict one another.
    """

    mdp: MDP
    kernel: Callable[[Any], Any]
    nominal: Reals
    low: Any
    high: Any
    simplex: bool = False
    penalty: float = 0.0
    gradient: Callable[[Reals, Reals], Reals] | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        check_single(self.mdp)
        check_amount("penalty", self.penalty)
        nominal = read_numbers("nominal", self.nominal)
        if nominal.ndim != 1 or not nominal.size:
            raise InvalidOption(f"nominal has shape {nominal.shape}: give the numbers in one array, of shape (n,).")
        set_field(self, "nominal", nominal)
        for name in ("low", "high"):
            bound = read_numbers(name, getattr(self, name))
            if bound.shape not in ((), (1,), nominal.shape):
                raise InvalidOption(f"{name} has shape {bound.shape}: give {nominal.size} numbers, or one for all.")
            set_field(self, name, np.broadcast_to(bound, nominal.shape))
        for i, (low, value, high) in enumerate(zip(self.low, nominal, self.high, strict=True)):
            if not low <= value <= high:
                raise InvalidOption(f"nominal[{i}] is {value:g}, and its bounds are {low:g} and {high:g}: it must be within.")
        if self.simplex and (abs(nominal.sum() - 1.0) > 1e-9 or self.low.min() < 0.0):
            raise InvalidOption(
                f"nominal sums to {nominal.sum():.12g}, and the least of low is {self.low.min():g}: with simplex=True give "
                f"numbers of sum 1, and bounds of at least 0."
            )
        if self.gradient is None:
            self._check_tensor()
        made = self.model(nominal).kernel
        if made.shape != self.mdp.kernel.shape:
            raise InvalidOption(f"kernel(nominal) has shape {made.shape}: give one of {self.mdp.kernel.shape}, as mdp has.")
        if not np.allclose(made, self.mdp.kernel, rtol=0.0, atol=1e-9):
            s, a, t = np.unravel_index(np.abs(made - self.mdp.kernel).argmax(), made.shape)
            raise InvalidOption(
                f"kernel(nominal)[{s}, {a}, {t}] is {made[s, a, t]:g}, and that of mdp is {self.mdp.kernel[s, a, t]:g}: "
                f"give the decision process that the nominal numbers make."
            )

    def _check_tensor(self) -> None:
        import torch

        made = self.kernel(torch.tensor(self.nominal, requires_grad=True))
        if not (isinstance(made, torch.Tensor) and made.requires_grad and made.dtype == torch.float64):
            raise InvalidOption(
                "kernel(nominal) is no tensor of float64 that PyTorch could differentiate: make it from its argument by "
                "functions of PyTorch, or give gradient."
            )

    def model(self, configuration: Reals) -> MDP:
        """Make the decision process under n numbers.

        Raises:
            InvalidOption: If what `kernel` makes of them has a row that is no law.
        """
        if self.gradient is None:
            import torch

            with torch.no_grad():
                kernel = self.kernel(torch.as_tensor(configuration)).numpy()
        else:
            kernel = self.kernel(configuration)
        return self.mdp.with_kernel(read_laws(f"kernel({np.array2string(configuration, threshold=20)})", kernel))

    def pull_back(self, configuration: Reals, slopes: Reals) -> Reals:
        """Turn slopes in the kernel, shape (S, A, S), into slopes in the numbers, (n,)."""
        if self.gradient is not None:
            return self.gradient(configuration, slopes)
        import torch

        numbers = torch.tensor(configuration, requires_grad=True)
        (self.kernel(numbers) * torch.as_tensor(slopes)).sum().backward()
        assert numbers.grad is not None
        pulled: Reals = numbers.grad.numpy()
        return pulled

    def price(self, configuration: Reals) -> float:
        """By how much all numbers are changed, together."""
        return float(np.abs(configuration - self.nominal).sum())

    def best(self, slopes: Reals, centre: Reals | None = None, radius: float = math.inf) -> Reals:
        """Find the best of a linear function less the penalty, exactly: see `Configurable.best`.

        Each number has two pieces, up to its nominal value and beyond, of which the second is worth less. Those that are worth
        something are taken; on the simplex, the best ones, until the sum is 1.
        """
        low, high = self.low, self.high
        if centre is not None:
            low, high = np.maximum(low, centre - radius), np.minimum(high, centre + radius)
        middle = np.clip(self.nominal, low, high)
        if not self.simplex:
            corner: Reals = np.where(slopes > self.penalty, high, np.where(slopes < -self.penalty, low, middle))
            return corner
        order = np.argsort(-np.concatenate([slopes + self.penalty, slopes - self.penalty]), kind="stable")
        room = np.concatenate([middle - low, high - middle])
        before = np.cumsum(room[order]) - room[order]
        taken = np.empty_like(room)
        taken[order] = np.clip(1.0 - low.sum() - before, 0.0, room[order])
        filled: Reals = low + taken[: len(low)] + taken[len(low) :]
        return filled

    @property
    def dimension(self) -> int:
        """One for each number."""
        return self.nominal.size

    def decode(self, point: Reals) -> Reals:
        """Stretch the unit cube to the bounds.

        For the simplex it is made twice as wide as the bounds, the nominal numbers in its middle, and a point stands for the
        nearest configuration. So a good share of the cube stands for faces and vertices, where the best ones often are.
        """
        if self.simplex:
            return _project(self.nominal + (2.0 * point - 1.0) * (self.high - self.low), self.low, self.high)
        stretched: Reals = self.low + point * (self.high - self.low)
        return stretched


def mixture(
    kernels: Any, rewards: Any, discount: float, start: Any = None, nominal: Any = None, penalty: float = 0.0
) -> ParametricMDP:
    """Make a decision process whose kernel is a mixture of n kernels; the numbers are their weights.

    Args:
        kernels: Shape (n, S, A, S).
        rewards: Shape (S, A), or (S, A, S).
        discount: In [0, 1).
        start: Shape (S,); uniform if left out.
        nominal: Weights of sum 1, shape (n,); all alike if left out.
        penalty: See `ParametricMDP`.

    Raises:
        InvalidOption: If these contradict one another.
    """
    kernels = read_numbers("kernels", kernels)
    if kernels.ndim != 4:
        raise InvalidOption(f"kernels has shape {kernels.shape}: give n kernels, of shape (n, S, A, S).")
    kernels = MDP(kernels, rewards, discount, start).kernel
    alike = np.full(len(kernels), 1.0 / len(kernels))
    weights = read_laws("nominal", read_numbers("nominal", alike if nominal is None else nominal))
    if weights.shape != kernels.shape[:1]:
        raise InvalidOption(f"nominal has shape {weights.shape}: give {len(kernels)} weights, one for each kernel.")
    return ParametricMDP(
        mdp=MDP(np.tensordot(weights, kernels, axes=1), rewards, discount, start),
        kernel=lambda numbers: np.tensordot(numbers, kernels, axes=1),
        nominal=weights,
        low=0.0,
        high=1.0,
        simplex=True,
        penalty=penalty,
        gradient=lambda numbers, slopes: np.tensordot(kernels, slopes, axes=3),
    )


def softmax(mdp: MDP, reach: float = 3.0, penalty: float = 0.0) -> ParametricMDP:
    """Make every row of a kernel a softmax, whose logits may be changed; what is impossible stays so.

    Args:
        mdp: The nominal one: a single one, dense, NumPy. Its possible transitions have one number each, 0 at first, in the
            order of the kernel: the logarithm of the probability is raised by it, before rows are scaled to sum 1.
        reach: By how much a number may be changed, up or down.
        penalty: See `ParametricMDP`.

    Raises:
        InvalidOption: If these contradict one another.
    """
    possible = mdp.kernel > 0.0

    def kernel(numbers: Reals) -> Reals:
        raised = np.zeros(mdp.kernel.shape)
        raised[possible] = np.exp(numbers)
        raised *= mdp.kernel
        scaled: Reals = raised / raised.sum(axis=-1, keepdims=True)
        return scaled

    def gradient(numbers: Reals, slopes: Reals) -> Reals:
        laws = kernel(numbers)
        pulled: Reals = (laws * (slopes - (laws * slopes).sum(axis=-1, keepdims=True)))[possible]
        return pulled

    return ParametricMDP(mdp, kernel, np.zeros(possible.sum()), -reach, reach, penalty=penalty, gradient=gradient)


def between(
    world: Any,
    ranges: Mapping[str, Sequence[float]],
    discount: float,
    nominal: Mapping[str, float] | None = None,
    penalty: float = 0.0,
    **family: Any,
) -> ParametricMDP:
    """Choose parameters of a finite world, in which its kernel is linear; the numbers are their values, in their own units.

    Args:
        world: A world, or where to find it, as in ``"reworld.worlds.block_world:block_world"``.
        ranges: By name, the least and the largest value, as in ``{"slip": (0.0, 0.8)}``.
        discount: In [0, 1).
        nominal: By name, where that is not the world's default.
        penalty: See `ParametricMDP`.
        family: The arguments of a family of worlds.

    Raises:
        InvalidOption: If the world is not finite, or its kernel is not linear in these parameters, or what a transition pays
            changes with them: interpolating would make another world than this one.
        InvalidConfiguration: If the world has no such parameters, or they have no such values.
    """
    world = find_world(world, **family)
    values = {parameter.name: parameter.default for parameter in world.parameters} | dict(nominal or {})
    bounds = read_numbers("ranges", list(ranges.values()))
    if bounds.shape != (len(ranges), 2) or not (bounds[:, 0] < bounds[:, 1]).all():
        raise InvalidOption(f"ranges={dict(ranges)!r}: give (low, high), low < high, for at least one parameter, by name.")
    low, high = bounds.T
    middle = np.array([values.get(name, math.nan) for name in ranges])
    # Each parameter at both ends, the others nominal; then two places to check whether that says all.
    ends = [np.where(np.arange(len(ranges)) == i, end, middle) for i in range(len(ranges)) for end in (low, high)]
    checks = [low + (high - low) * (np.arange(1, len(ranges) + 1) * ratio % 1.0) for ratio in _RATIOS]
    points = np.array([middle, *ends, *checks])
    constants = {name: value for name, value in (nominal or {}).items() if name not in ranges}
    models = exact_model(world, constants | {name: points[:, i].copy() for i, name in enumerate(ranges)})
    first, ends_made = models.kernel[0], models.kernel[1 : 1 + len(ends)]
    rates = (ends_made[1::2] - ends_made[::2]) / (high - low)[:, None, None, None]

    def kernel(numbers: Reals) -> Reals:
        made: Reals = first + np.tensordot(numbers - middle, rates, axes=1)
        return np.where(np.abs(made) < 1e-12, 0.0, made)  # Of rounding only.

    for point, made, rewards in zip(points, models.kernel, models.rewards, strict=True):
        at = dict(zip(ranges, point.tolist(), strict=True))
        if np.abs(kernel(point) - made).max() > 1e-9:
            raise InvalidOption(
                f"The kernel of {world.name} is not linear in {', '.join(ranges)} (at {at}): give fewer parameters."
            )
        if not np.array_equal(rewards, models.rewards[0]):
            raise InvalidOption(
                f"In {world.name} a transition pays something else at {at}: give parameters of the kernel only."
            )
    return ParametricMDP(
        mdp=MDP.of_model(models[0], discount),
        kernel=kernel,
        nominal=middle,
        low=low,
        high=high,
        penalty=penalty,
        gradient=lambda numbers, slopes: np.tensordot(rates, slopes, axes=3),
    )


def _project(point: Reals, low: Reals, high: Reals) -> Reals:
    """Find the nearest point between two bounds whose numbers sum to 1: all are lowered alike, and clipped."""
    kinks = np.sort(np.concatenate([point - low, point - high]))
    sums = np.clip(point - kinks[:, None], low, high).sum(axis=-1)
    nearest: Reals = np.clip(point - np.interp(1.0, sums[::-1], kinks[::-1]), low, high)
    return nearest
