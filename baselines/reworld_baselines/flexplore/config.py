"""What FLEXplore learns with. Each idea of the paper is a setting; with all of them off it is DLPA.

FLEXplore: Wang et al., "Learn A Flexible Exploration Model for Parameterized Action Markov Decision Processes" (arXiv
2501.02774). DLPA: Zhang et al., "Model-based Reinforcement Learning for Parameterized Action Spaces" (arXiv 2404.03037).
"""

from dataclasses import dataclass
from typing import Literal, get_args, get_origin, get_type_hints

from reworld.errors import InvalidOption

_COUNTS = (
    "n_envs",
    "random_steps",
    "buffer_size",
    "hidden",
    "horizon",
    "batch_size",
    "samples",
    "elites",
    "iterations",
    "temperature_steps",
    "information_steps",
)
_AMOUNTS = (
    "updates",
    "policy_updates",
    "state_weight",
    "reward_weight",
    "continuation_weight",
    "smoothing_weight",
    "information_weight",
)


@dataclass(frozen=True)
class FLEXploreSettings:
    """What FLEXplore learns with.

    Raises:
        InvalidOption: If a number is out of range, or two settings do not go together.
    """

    # Interaction
    n_envs: int = 1
    """Environments stepped together."""
    random_steps: int = 250
    """Environment steps with uniformly drawn actions before anything is learned."""
    random_share: float = 0.0
    """Share of the later steps that are taken with such actions, too."""
    episode_steps: int | None = None
    """Steps after which an episode of training is truncated; None for the limit of the environment itself."""
    buffer_size: int = 1_000_000
    """Environment steps that are remembered."""

    # World model
    feed: Literal["parallel", "masking", "sequential", "embedded"] = "parallel"
    """How choice and parameters enter a network: both into the first layer; the parameters alone, with an output for each
    choice; the choice into the first layer and the parameters into the second; or, beyond the paper, as an embedding that all
    networks share, for where there are many choices that do much the same."""
    head: Literal["likelihood", "deterministic", "annealed"] = "likelihood"
    """What the dynamics say: a Gaussian whose deviation is trained by its likelihood, the mean alone, or, as in DLPA's code, a
    Gaussian whose deviation only sees the squared error of its samples, in every network."""
    predict: Literal["change", "next"] = "change"
    """What the dynamics predict: the change of the state, with state, change and reward scaled by their deviations in the
    random steps; or, as in DLPA, the next state itself, scaled to [-1, 1] where the space is bounded."""
    two_rewards: bool = True
    """Whether the reward of a step that ends the episode has a network of its own."""
    shared_outcomes: bool = False
    """Whether rewards and continuation are outputs of one network, instead of one network each."""
    hidden: int = 64
    """Width of the two hidden layers of every network."""

    # Training of the world model
    horizon: int = 8
    """Steps that are imagined, in training and in planning."""
    updates: int = 25
    """Gradient steps of the world model after each step of the batch of environments."""
    batch_size: int = 64
    """Windows of a gradient step."""
    learning_rate: float = 3e-4
    """Step size of Adam, of every network."""
    following: float = 1.0
    """Share by which the weights that are planned with follow those that are trained, in each gradient step; 1 plans with these
    themselves."""
    decay: float = 0.5
    """Weight of a later step of a window, per step."""
    state_weight: float = 2.0
    """Weight of the error of the state."""
    reward_weight: float = 0.5
    """Weight of the error of the reward."""
    continuation_weight: float = 0.5
    """Weight of the error of the continuation."""

    # Flexible dynamics
    flexibility: float = 0.3
    """lambda: how much of the error of the state is the Kantorovich-Rubinstein loss instead of the squared error, 0 to 1."""

    # Reward smoothing
    smoothing_from: int | Literal["auto"] | None = 10_000
    """T: environment steps from which on the reward is smoothed; "auto" as soon as the error of the predicted reward of new
    steps settles; None for never."""
    smoothed: Literal["all", "top", "positive"] = "all"
    """Which rewards are smoothed: all, the largest tenth of a batch, or those that are positive."""
    smoothing_radius: float = 0.05
    """epsilon: deviation of the noise, and length of the step against the reward, in every number of a scaled state."""
    smoothing_weight: float = 0.5
    """Weight of the smoothing in the loss."""

    # Mutual information, and the policies that propose actions
    information_weight: float = 0.01
    """eta: weight of the bound on the mutual information, in deviations of the reward; 0 for none. It falls to 0 within
    `information_steps`."""
    information_steps: int = 10_000
    """Environment steps within which that weight falls to 0."""
    proposals: float = 0.05
    """Share of the sequences of actions that the policies propose; 0 for no policies at all."""
    temperature_steps: int = 20_000
    """Environment steps within which the temperature of the Gumbel-Softmax falls from 5 to 0.5."""
    policy_updates: int = 1
    """Gradient steps of the policies after each step of the batch of environments."""
    terminal_value: bool = False
    """Whether what comes after the horizon is estimated, by a value function of the policies."""

    # Planner
    samples: int = 1000
    """N: sequences of actions that are imagined in an iteration."""
    elites: int = 100
    """n: sequences of the largest return, from which the next ones are drawn."""
    iterations: int = 6
    """How often they are drawn anew."""
    temperature: float = 0.5
    """How much larger returns weigh more among the elites."""
    momentum: float = 0.1
    """Share of the old distribution that is kept in an iteration."""
    spread: float = 2.0
    """Deviation of the parameters in the first iteration."""
    discount: float = 0.99
    """Discount of the future, per step."""
    continuation: Literal["expected", "most_likely"] = "most_likely"
    """What is imagined where the episode may end: both, with their probabilities, or the likelier of the two."""
    evaluate_by: Literal["mean", "draw", "best"] = "mean"
    """The action without exploration: the mean of the elites that begin with the likeliest choice, that of one elite by chance,
    or that of the best. Where a parameter is an angle, the mean of good ones may be a bad one."""

    # Device
    compiled: bool = False
    """Whether gradient steps of the world model (and on CUDA the planner, as CUDA graphs) are compiled by torch.compile."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products of the planner."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(FLEXploreSettings).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise InvalidOption(f"{name}={getattr(self, name)!r}: give one of {', '.join(map(repr, get_args(kind)))}.")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise InvalidOption(f"{name}={getattr(self, name)!r}: give at least 1.")
        for name in _AMOUNTS:
            if not getattr(self, name) >= 0:
                raise InvalidOption(f"{name}={getattr(self, name)!r}: give at least 0.")
        for name in ("learning_rate", "following", "smoothing_radius", "temperature", "spread"):
            if not getattr(self, name) > 0.0:
                raise InvalidOption(f"{name}={getattr(self, name)!r}: give more than 0.")
        for name in ("random_share", "following", "flexibility", "proposals", "momentum", "discount", "decay"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InvalidOption(f"{name}={getattr(self, name)!r}: give a number from 0 to 1.")
        if self.episode_steps is not None and self.episode_steps < 1:
            raise InvalidOption(f"episode_steps={self.episode_steps!r}: give at least 1, or None.")
        begins = self.smoothing_from
        if begins not in ("auto", None) and (isinstance(begins, str) or begins < 0):
            raise InvalidOption(f"smoothing_from={begins!r}: give a number of steps from 0, 'auto' or None.")
        if self.elites > self.samples:
            raise InvalidOption(f"elites={self.elites} of samples={self.samples}: give at most as many.")
        if self.information_weight and (self.head != "likelihood" or not self.proposals):
            raise InvalidOption(
                f"information_weight={self.information_weight} needs the deviations of the dynamics and of the policies: "
                "give head='likelihood' and proposals above 0, or information_weight=0."
            )
        if self.terminal_value and not self.proposals:
            raise InvalidOption("terminal_value=True is the value of the policies: give proposals above 0.")


def dlpa(**changes: object) -> FLEXploreSettings:
    """DLPA as published: FLEXplore without its ideas, with DLPA's own scaling, sizes and heads.

    Args:
        changes: Settings that shall be others.
    """
    settings: dict[str, object] = {
        "episode_steps": 25,
        "head": "annealed",
        "predict": "next",
        "flexibility": 0.0,
        "smoothing_from": None,
        "information_weight": 0.0,
        "proposals": 0.0,
        "evaluate_by": "draw",
    }
    return FLEXploreSettings(**{**settings, **changes})  # type: ignore[arg-type]


def fast(**changes: object) -> FLEXploreSettings:
    """What we recommend, for what it costs and what it reaches: see the results of FLEXplore in the documentation.

    One deterministic network for the state and one for what it leads to, fewer and smaller plans, larger steps of fewer
    updates, a value beyond the horizon, and a share of random steps instead of noise in the model.

    Args:
        changes: Settings that shall be others.
    """
    settings: dict[str, object] = {
        "random_share": 0.1,
        "head": "deterministic",
        "shared_outcomes": True,
        "horizon": 5,
        "updates": 5,
        "learning_rate": 1e-3,
        "following": 0.02,
        "flexibility": 0.0,
        "smoothing_from": None,
        "information_weight": 0.0,
        "terminal_value": True,
        "samples": 256,
        "elites": 32,
        "iterations": 4,
        "continuation": "expected",
    }
    return FLEXploreSettings(**{**settings, **changes})  # type: ignore[arg-type]
