"""The world model: what follows a state, a choice and its parameters.

    next state    T(s, k, z)    a Gaussian, or its mean alone
    reward        R(s', k, z)   of a step after which the episode goes on, and of one that ends it
    continuation  C(s', k, z)   logits of ending and of going on

Reward and continuation see the predicted next state, as in DLPA (arXiv 2404.03037, as implemented by its
authors). All networks have the same two hidden layers, and share no weights. With ``feed="embedded"`` they see the choice and
its parameters as an embedding, which the dynamics alone learn: where many choices do much the same, the outcomes of a state are
then not learned anew for each of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from reworld_baselines.flexplore.config import FLEXploreSettings
from reworld_baselines.flexplore.networks import ActionEmbedding, ActionPerceptron, Generators, Perceptron
from reworld_baselines.hybrid_space import HybridSpace

LOG_DEVIATION = {"annealed": (-20.0, 2.0), "likelihood": (-4.0, 1.0)}
"""Range of the logarithm of a deviation, by kind of head."""

# Of outcomes, as many as a core's cache holds the layers of.
_ROWS_AT_ONCE = 1024

_LEAST_SPREAD = 0.05
_LEAST_CHANGE = 0.1


class Noise(NamedTuple):
    """Standard normal numbers for H steps of the model.

    Args:
        states: Shape (members, H, n, size of a state).
        outcomes: Those of the rewards and both logits, shape (members, H, n, number of them).
    """

    states: Tensor
    outcomes: Tensor


class Outcomes(NamedTuple):
    """What imagined steps lead to, each of shape (members, H, n).

    Args:
        going: Reward where the episode goes on.
        ending: Reward where it ends.
        logits: Of ending and of going on, with another axis of length 2.
    """

    going: Tensor
    ending: Tensor
    logits: Tensor


class Imagined(NamedTuple):
    """H imagined steps.

    Args:
        states: After each step, shape (members, H, n, size of a state).
        means: The mean that each was drawn around, likewise.
        log_deviations: Logarithm of the deviation, likewise; zero where the dynamics have none.
        outcomes: What they lead to.
    """

    states: Tensor
    means: Tensor
    log_deviations: Tensor
    outcomes: Outcomes


class Scales(nn.Module):
    """How states and rewards are scaled for the networks, by member.

    Args:
        members: Number of members.
        low: Least value of a state that is bounded, shape (size of a state,).
        high: Largest value.
        settings: Whether by bounds or by data.
    """

    centre: Tensor
    spread: Tensor
    change: Tensor
    reward: Tensor

    def __init__(self, members: int, low: Tensor, high: Tensor, settings: FLEXploreSettings) -> None:
        super().__init__()
        # What Gymnasium has no bound for has one near the end of float32.
        bounded = (low > -1e30) & (high < 1e30) & (high > low)
        self.squashed = settings.predict == "next" and bool(bounded.all())
        centre = 0.5 * (high + low) if self.squashed else torch.zeros_like(low)
        spread = 0.5 * (high - low) if self.squashed else torch.ones_like(low)
        self._least_spread = torch.where(bounded, _LEAST_SPREAD * (high - low), 0.0)
        self.register_buffer("centre", centre.expand(members, 1, -1).clone())
        self.register_buffer("spread", spread.expand(members, 1, -1).clone())
        self.register_buffer("change", torch.ones_like(self.spread))
        self.register_buffer("reward", torch.ones(members, 1, device=low.device))

    def fit(self, before: Tensor, after: Tensor, rewards: Tensor) -> None:
        """Take the scales from data.

        Args:
            before: Observations, shape (members, n, size of a state).
            after: Those after the next step, likewise.
            rewards: Of that step, shape (members, n).
        """
        self.centre.copy_(before.mean(1, keepdim=True))
        # What hardly changed so far may change more.
        self.spread.copy_(_deviation(before).maximum(self._least_spread))
        self.change.copy_((_deviation(after - before) / self.spread).clamp(min=_LEAST_CHANGE))
        self.reward.copy_(_deviation(rewards))

    def state(self, observations: Tensor) -> Tensor:
        """Scale observations of shape (members, n, size of a state)."""
        return (observations - self.centre) / self.spread


def _deviation(values: Tensor) -> Tensor:
    deviation = values.std(1, keepdim=True)
    # A number that never changes is not scaled.
    return torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))


class WorldModel(nn.Module):
    """Dynamics, reward and continuation.

    Args:
        space: Of the actions.
        low: Least observation, shape (size of an observation,).
        high: Largest observation.
        settings: What is asked for.
        generators: Of the first weights, one for each member.
    """

    def __init__(
        self, space: HybridSpace, low: Tensor, high: Tensor, settings: FLEXploreSettings, generators: Generators
    ) -> None:
        super().__init__()
        self.head, self.predict = settings.head, settings.predict
        self.size = len(low)
        self.scales = Scales(len(generators), low, high, settings)

        embedded = settings.feed == "embedded"
        self.embedding = ActionEmbedding(space.choices, space.own_size, generators) if embedded else None

        def network(outputs: int, gaussian: bool) -> Perceptron | ActionPerceptron:
            outputs *= 1 + gaussian
            if self.embedding is not None:
                return Perceptron(self.size + self.embedding.size, outputs, settings.hidden, generators)
            return ActionPerceptron(
                settings.feed, self.size, space.choices, space.own_size, outputs, settings.hidden, generators
            )

        self.dynamics = network(self.size, self.head != "deterministic")
        self.rewards = 2 if settings.two_rewards else 1
        sizes = [self.rewards + 2] if settings.shared_outcomes else [1] * self.rewards + [2]
        self.outcome_networks = nn.ModuleList(network(size, self.head == "annealed") for size in sizes)

    @property
    def outcome_noise(self) -> int:
        """Numbers that the outcomes of a step are drawn with."""
        return 2 + self.rewards if self.head == "annealed" else 0

    def next(self, state: Tensor, choice: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the next state.

        Args:
            state: Scaled, shape (members, n, size of a state).
            choice: int64 of shape (members, n), or weights of the choices, float32 of shape (members, n, K).
            own: In [-1, 1], of shape (members, n, Z).

        Returns:
            Mean, and the logarithm of the deviation, both of the shape of `state`. Where states are bounded, the next one is
            the hyperbolic tangent of what is drawn.
        """
        output = self.dynamics(*self._fed(state, choice, own)).float()
        if self.head == "deterministic":
            mean, log_deviation = output, torch.zeros_like(state)
        else:
            mean, log_deviation = output.chunk(2, -1)
            log_deviation = log_deviation.clamp(*LOG_DEVIATION[self.head])
        if self.predict == "change":
            mean = state + self.scales.change * mean
            log_deviation = log_deviation + self.scales.change.log()
        return mean, log_deviation

    def outcomes(self, states: Tensor, choices: Tensor, own: Tensor, noise: Tensor | None = None) -> Outcomes:
        """Predict reward and continuation.

        Args:
            states: That were predicted, shape (members, H, n, size of a state).
            choices: That led there, int64 of shape (members, H, n), or weights, float32 of shape (members, H, n, K).
            own: Their parameters, shape (members, H, n, Z).
            noise: Standard normal numbers of shape (members, H, n, `outcome_noise`); None for the mean.
        """
        rows = self._fed(states.flatten(1, 2), choices.flatten(1, 2), own.flatten(1, 2), learned=False)
        outputs = [network(*rows).float() for network in self.outcome_networks]
        if self.head == "annealed":
            pairs = [output.chunk(2, -1) for output in outputs]
            means = torch.cat([mean for mean, _ in pairs], -1)
            if noise is not None:
                log_deviations = torch.cat([log_deviation for _, log_deviation in pairs], -1)
                means = means + log_deviations.clamp(*LOG_DEVIATION[self.head]).exp() * noise.flatten(1, 2)
        else:
            means = torch.cat(outputs, -1)
        means = means.view(*states.shape[:3], -1)
        return Outcomes(means[..., 0], means[..., -3], means[..., -2:])

    def imagine(self, state: Tensor, choices: Tensor, own: Tensor, noise: Noise | None = None) -> Imagined:
        """Imagine H steps.

        Args:
            state: To begin with, scaled, shape (members, n, size of a state).
            choices: int64 of shape (members, H, n).
            own: In [-1, 1], of shape (members, H, n, Z).
            noise: To draw every step with; None for the mean of every step.
        """
        steps: list[tuple[Tensor, ...]] = []
        for h in range(choices.shape[1]):
            mean, log_deviation = self.next(state, choices[:, h], own[:, h])
            state = self.draw(mean, log_deviation, None if noise is None else noise.states[:, h])
            steps.append((state, mean, log_deviation))
        states, means, log_deviations = (torch.stack(each, 1) for each in zip(*steps, strict=True))
        at_once = max(1, _ROWS_AT_ONCE // state.shape[1])
        parts = []
        for first in range(0, choices.shape[1], at_once):
            part = slice(first, first + at_once)
            drawn = None if noise is None else noise.outcomes[:, part]
            parts.append(self.outcomes(states[:, part], choices[:, part], own[:, part], drawn))
        return Imagined(states, means, log_deviations, Outcomes(*(torch.cat(each, 1) for each in zip(*parts, strict=True))))

    def _fed(self, state: Tensor, choice: Tensor, own: Tensor, learned: bool = True) -> tuple[Tensor, ...]:
        """What a network is fed with; whether it may change the embedding of the actions."""
        if self.embedding is None:
            return state, choice, own
        return (torch.cat([state, self.embedding(choice, own, learned)], -1),)

    def draw(self, mean: Tensor, log_deviation: Tensor, noise: Tensor | None) -> Tensor:
        """Draw the next state around its mean; without noise, or without a deviation, it is the mean."""
        if noise is not None and self.head != "deterministic":
            mean = mean + log_deviation.exp() * noise
        return torch.tanh(mean) if self.scales.squashed else mean
