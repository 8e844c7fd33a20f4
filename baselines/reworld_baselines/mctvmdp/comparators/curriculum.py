"""ALP-GMM: a teacher that proposes configurations in which the learner's return changes most.

Source: Portelas, Colas, Hofmann, Oudeyer, "Teacher algorithms for curriculum learning of Deep RL in continuously parameterized
environments" (CoRL 2019). The absolute learning progress of a configuration is by how much its return differs from that of the
nearest one before. Gaussian mixtures are fitted to the latest configurations together with their progress, one with each
number of components, of which that with the least AIC is kept. A component is drawn in proportion to its mean progress, and a
configuration from it; a share of proposals is drawn from the whole box, so that nothing is forgotten. What differs here:
configurations are measured in shares of the box, and of those of one batch none is nearest to another.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from reworld.errors import InvalidOption
from reworld.finite import Reals, read_numbers

_LEAST_VARIANCE = 1e-6  # So that a law of one point is one, too.
_SETTLED = 1e-3  # A sweep that raises the log-likelihood of a point by less, on average, is the last.


class ALPGMM:
    """The teacher. Configurations it proposes go to a batch of environments; their returns come back.

        teacher = ALPGMM([5.0, 0.3], [15.0, 0.8])
        proposed = teacher.propose(envs.num_envs)
        envs.reset(options={"configuration": dict(zip(("gravity", "half_length"), proposed.T))})
        ...  # an episode in each
        teacher.tell(proposed, returns)

    Args:
        low: Least value of each of p parameters, shape (p,).
        high: Largest one.
        seed: Of what is drawn.
        exploration: Share of proposals that are drawn from the whole box, in [0, 1].
        buffer: How many of the latest configurations mixtures are fitted to, and after how many new ones that is done again.
        components: Numbers of components that are compared.

    Raises:
        InvalidOption: If the bounds contradict one another.
    """

    def __init__(
        self,
        low: Any,
        high: Any,
        *,
        seed: int = 0,
        exploration: float = 0.2,
        buffer: int = 250,
        components: range = range(2, 11),
    ) -> None:
        self._low, self._high = read_numbers("low", low), read_numbers("high", high)
        if self._low.ndim != 1 or self._low.shape != self._high.shape or not (self._low < self._high).all():
            raise InvalidOption(f"low={low!r} and high={high!r}: give p numbers each, the one less than the other.")
        if not (0.0 <= exploration <= 1.0 and buffer >= max(components)):
            raise InvalidOption(
                f"exploration={exploration!r}, buffer={buffer!r}: give a share in [0, 1], and at least {max(components)} "
                f"configurations, as many as there may be components."
            )
        self._rng = np.random.default_rng(seed)
        self._exploration, self._buffer, self._components = exploration, buffer, components
        self._points, self._returns = np.empty((0, self._low.size)), np.empty(0)
        self._progress = np.empty(0)
        self._fitted = 0
        self._mixture: Mixture | None = None

    def propose(self, count: int) -> Reals:
        """Draw configurations.

        Args:
            count: How many, n.

        Returns:
            Shape (n, p), within the bounds.
        """
        points = self._rng.random((count, self._low.size))
        mixture = self._mixture
        if mixture is not None:
            progress = mixture.means[:, -1]
            shares = progress / progress.sum() if progress.any() else np.full(len(progress), 1.0 / len(progress))
            drawn = self._rng.choice(len(shares), size=count, p=shares)
            steps = self._rng.normal(size=(count, mixture.means.shape[1]))
            taught = mixture.means[drawn] + np.einsum("nij,nj->ni", np.linalg.cholesky(mixture.covariances)[drawn], steps)
            points = np.where(self._rng.random((count, 1)) < self._exploration, points, taught[:, :-1])
        proposed: Reals = self._low + np.clip(points, 0.0, 1.0) * (self._high - self._low)
        return proposed

    def tell(self, configurations: Reals, returns: Reals) -> None:
        """Learn what came of configurations, proposed or not.

        Args:
            configurations: Shape (n, p).
            returns: Of an episode in each, shape (n,).

        Raises:
            InvalidOption: If these do not fit one another, or are not finite.
        """
        places, earned = read_numbers("configurations", configurations), read_numbers("returns", returns)
        if places.shape != (*earned.shape, self._low.size) or earned.ndim != 1:
            raise InvalidOption(
                f"configurations has shape {places.shape}, and returns {earned.shape}: give (n, {self._low.size}) and (n,)."
            )
        points = (places - self._low) / (self._high - self._low)
        progress = np.zeros(len(points))
        if len(self._points):
            _, nearest = KDTree(self._points).query(points)
            progress = np.abs(earned - self._returns[nearest])
        self._points = np.concatenate([self._points, points])
        self._returns = np.concatenate([self._returns, earned])
        self._progress = np.concatenate([self._progress, progress])
        if len(self._points) - self._fitted >= self._buffer:
            self._fitted = len(self._points)
            latest = np.column_stack([self._points, self._progress])[-self._buffer :]
            self._mixture = min((fit_mixture(latest, k, self._rng) for k in self._components), key=lambda each: each.aic)


class Mixture(NamedTuple):
    """A mixture of k normal laws in p dimensions.

    Args:
        weights: Shape (k,).
        means: Shape (k, p).
        covariances: Shape (k, p, p).
        aic: Akaike's criterion: twice the number of its numbers, less twice its log-likelihood.
    """

    weights: Reals
    means: Reals
    covariances: Reals
    aic: float


def fit_mixture(points: Reals, components: int, rng: np.random.Generator, sweeps: int = 100) -> Mixture:
    """Fit a mixture of normal laws by expectation maximisation, from centres drawn as k-means++ does.

    Args:
        points: Shape (n, p).
        components: How many laws.
        rng: What centres are drawn by.
        sweeps: Largest number of sweeps.
    """
    count, p = points.shape
    centres = points[rng.integers(count)][None]
    while len(centres) < components:
        apart = ((points[:, None] - centres) ** 2).sum(axis=-1).min(axis=1)
        shares = apart / apart.sum() if apart.sum() > 0.0 else np.full(count, 1.0 / count)
        centres = np.concatenate([centres, points[rng.choice(count, p=shares)][None]])
    nearest = ((points[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
    belongs = (nearest[:, None] == np.arange(components)).astype(np.float64)
    before = -np.inf
    for _ in range(sweeps):
        totals = belongs.sum(axis=0) + 1e-10
        means = (belongs.T @ points) / totals[:, None]
        apart = points[:, None] - means
        covariances = np.einsum("nk,nki,nkj->kij", belongs, apart, apart) / totals[:, None, None] + _LEAST_VARIANCE * np.eye(p)
        factors = np.linalg.cholesky(covariances)
        scaled = np.linalg.solve(factors, apart.transpose(1, 2, 0))
        logs = -0.5 * (scaled**2).sum(axis=1).T - np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        logs += np.log(totals / count) - 0.5 * p * np.log(2.0 * np.pi)
        each = np.logaddexp.reduce(logs, axis=1)
        belongs = np.exp(logs - each[:, None])
        if each.sum() - before < _SETTLED * count:
            break
        before = each.sum()
    numbers = components * (1 + p + p * (p + 1) // 2) - 1
    return Mixture(totals / count, means, covariances, 2.0 * numbers - 2.0 * float(each.sum()))
