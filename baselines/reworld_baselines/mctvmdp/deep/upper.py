"""The upper level over a graph of configurations, whose rewards are what the lower level returns in them.

Either these returns are measured first, and the level is then solved exactly; or DQN or PPO of Stable-Baselines3 learn from the
games themselves, an episode of the lower level in each step, without any table of returns.

Source: Lu, Hassibi, Lai, Xu (arXiv 2510.15056), who use value iteration and DQN. Here errors of measured returns are carried on
to the policy, and the games of a learner go on for a fixed number of decisions with a discount, where those of
`reworld.changing.levels` end at random: the same optimum, from rewards of less variance.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from scipy.stats import norm
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from reworld.changing.levels import Level, Levels
from reworld.errors import InvalidOption
from reworld.finite import Integers, Reals
from reworld_baselines.mctvmdp.deep.lower import Progress, make_ppo
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.multi_level import MultiLevelMDP, levels, none
from reworld_baselines.mctvmdp.results import Result, Search
from reworld_baselines.mctvmdp.tabular import evaluate, occupancy
from reworld_baselines.stable_baselines3 import PPOSettings

Play = Callable[[Integers], Reals]
"""From the index of a configuration for each of a number of episodes to what these return."""


@dataclass(frozen=True)
class DQNSettings:
    """What DQN is trained with (Mnih et al., 2015)."""

    n_envs: int = 32
    """Games side by side."""
    buffer_size: int = 100_000
    """Decisions that are remembered."""
    batch_size: int = 128
    """Decisions of a gradient step."""
    gradient_steps: int = 16
    """Gradient steps after each step of the games."""
    learning_rate: float = 1e-3
    """Step size."""
    learning_starts: int = 500
    """Decisions at random before the first gradient step."""
    target_update_interval: int = 500
    """Decisions after which the target network is replaced."""
    exploration_fraction: float = 0.5
    """Share of the training in which the share of random decisions falls."""
    exploration_final_eps: float = 0.1
    """To which it falls."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the layers."""


def only_level(problem: Levels) -> Level:
    """Take the one level above the world.

    Args:
        problem: Of two levels in all, that of the world included.

    Raises:
        InvalidOption: If there are more, or episodes of the upper level are not those of a discounted decision process.
    """
    level = problem.levels[0]
    if len(problem.levels) > 1 or level.own_kernels > 1:
        raise InvalidOption(
            f"There are {len(problem.levels)} levels above the world: give one, with one kernel. For more, measure what "
            "level 0 returns in each configuration, and give that to MultiLevelMDP as its values."
        )
    if problem.persistent or level.steps is not None or level.discount == 1.0:
        raise InvalidOption(
            "The upper level must be a discounted process: give it a discount below 1 and no steps, and leave out persistent."
        )
    return level


def policies_for(level: Level, values: Reals, *methods: Callable[[MultiLevelMDP, Search], Result]) -> dict[str, Any]:
    """Find what methods of `reworld_baselines.mctvmdp.multi_level` decide.

    Args:
        level: Which level.
        values: What an episode returns in each configuration, shape (n,).
        methods: Such as `levels`, which plans, `none` or `random`.

    Returns:
        By the name of the method, actions of shape (n,) or their probabilities, (n, actions).
    """
    problem = MultiLevelMDP(None, [level], values=values, allow_unreachable=True)
    return {method.__name__: method(problem, Search(method.__name__, quiet=True)).policies[1][0] for method in methods}


def plan(level: Level, values: Reals) -> Integers:
    """Find the optimal policy, shape (n,): see `policies_for`."""
    policy: Integers = policies_for(level, values, levels)["levels"]
    return policy


def idle(level: Level) -> Integers:
    """Find the action that changes least in each configuration, shape (n,)."""
    policy: Integers = policies_for(level, np.zeros(level.states), none)["none"]
    return policy


def level_mdp(level: Level, values: Reals) -> MDP:
    """Write down the upper level for policies that only take actions which are possible.

    Args:
        level: Which one.
        values: As in `policies_for`.
    """
    kernel = np.ascontiguousarray(level.kernel[0].transpose(1, 0, 2))
    return MDP(kernel, kernel @ values - level.costs, level.discount, level.start)


@dataclass(frozen=True)
class Executed:
    """What a policy is worth, by what episodes return in each configuration.

    Args:
        value: At the start.
        error: Its standard error.
        cost: Discounted sum of what is paid.
    """

    value: float
    error: float
    cost: float


def execute(level: Level, policy: Any, values: Reals, errors: Reals) -> Executed:
    """Work out what a policy is worth.

    Args:
        level: Where.
        policy: Actions of shape (n,), or their probabilities, (n, actions).
        values: As in `policies_for`.
        errors: Their standard errors, shape (n,).
    """
    mdp = level_mdp(level, values)
    choices = np.eye(level.costs.shape[1])[policy] if policy.ndim == 1 else policy
    visits = occupancy(mdp, policy)[:, None] * choices
    played = np.einsum("iu,iuj->j", visits, mdp.kernel)  # How often an episode is played in each configuration.
    return Executed(
        value=float(mdp.start @ evaluate(mdp, policy)),
        error=float(np.sqrt(np.sum((played * errors) ** 2))),
        cost=float((visits * level.costs).sum()),
    )


def regret_bound(level: Level, errors: Reals, confidence: float = 0.95) -> float:
    """Bound what a plan on measured returns may lose against a plan on the true ones, with a probability.

    With e the largest error of a return, neither plan's value is wrong by more than e / (1 - discount); the loss is at most
    twice that. The kernel is known here. e is the normal quantile that holds for all configurations together (Bonferroni).

    Args:
        level: Which one.
        errors: Standard errors, shape (n,).
        confidence: The probability.
    """
    quantile = norm.isf((1.0 - confidence) / (2.0 * len(errors)))
    return float(2.0 * quantile * errors.max() / (1.0 - level.discount))


class UpperGames(VecEnv):
    """Games of the upper level side by side, for Stable-Baselines3.

    Args:
        level: Which one.
        features: What is seen of each configuration, float32 of shape (n, number of them), from 0 to 1.
        play: Plays an episode of the lower level in each game.
        num_envs: How many games.
        seed: Of what chance decides.
        decisions: After how many a game is cut off.
    """

    render_mode = None

    def __init__(self, level: Level, features: Any, play: Play, num_envs: int, seed: int, decisions: int) -> None:
        seen, chosen = spaces.Box(0.0, 1.0, features.shape[1:], np.float32), spaces.Discrete(level.costs.shape[1])
        super().__init__(num_envs, seen, chosen)
        self.level, self.features, self.play, self.decisions = level, features, play, decisions
        self.rng = np.random.default_rng(seed)
        self._idle = idle(level)

    def reset(self) -> Any:
        """Begin all games."""
        self.here = self._begin(self.num_envs)
        # Games that were all cut off at once would make the transitions of a collection alike.
        self.ages = self.rng.integers(self.decisions, size=self.num_envs)
        return self.features[self.here]

    def step_async(self, actions: Any) -> None:
        """Remember the decisions."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Make them, and play an episode of the lower level in each game."""
        self.here, rewards = step_games(self.level, self.here, self._actions, self._idle, self.play, self.rng)
        self.ages += 1
        ends = self.ages >= self.decisions
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(ends):
            infos[index] = {"terminal_observation": self.features[self.here[index]], "TimeLimit.truncated": True}
        self.ages[ends] = 0
        self.here = np.where(ends, self._begin(self.num_envs), self.here)
        return self.features[self.here], rewards.astype(np.float32), ends, infos

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Read an attribute, which is the same for every game."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: there are no single environments."""
        raise NotImplementedError("There are no single environments to set an attribute of.")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: there are no single environments."""
        raise NotImplementedError("There are no single environments to call a method of.")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Say that nothing is wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def _begin(self, count: int) -> Integers:
        return self.rng.choice(self.level.states, count, p=self.level.start)


def step_games(
    level: Level, here: Integers, actions: Any, instead: Integers, play: Play, rng: np.random.Generator
) -> tuple[Integers, Reals]:
    """Decide once in each of a number of games, and play an episode of the lower level.

    Args:
        level: Whose decisions.
        here: The configuration of each game.
        actions: What is decided.
        instead: What counts where that is not possible, for each configuration.
        play: Plays the episodes.
        rng: Draws what the decisions lead to.

    Returns:
        The new configurations, and what is received: what the episode returns less what the decision costs.
    """
    actions = np.where(level.allowed[here, actions], actions, instead[here])
    cumulated = level.kernel[0][actions, here].cumsum(axis=1)
    new = (rng.random((len(here), 1)) * cumulated[:, -1:] >= cumulated).sum(axis=1)
    return new, play(new) - level.costs[here, actions]


def play_games(level: Level, policy: Integers, play: Play, games: int, seed: int) -> Reals:
    """Play games of the upper level.

    What is received is weighted by the discount, where a game of `reworld.changing.levels` would end at random: the mean is the
    same. Games go on until a ten-thousandth of the weight is left.

    Args:
        level: Which one.
        policy: Shape (n,).
        play: Plays an episode of the lower level in each game.
        games: How many side by side.
        seed: Of what chance decides.

    Returns:
        What each game returns, shape (games,).
    """
    rng = np.random.default_rng(seed)
    here, returns, weight = rng.choice(level.states, games, p=level.start), np.zeros(games), 1.0
    while weight > 1e-4:
        here, rewards = step_games(level, here, policy[here], policy, play, rng)
        returns += weight * rewards
        weight *= level.discount
    return returns


def learn_dqn(games: UpperGames, settings: DQNSettings, decisions: int, seed: int, device: str, bar: Any) -> Integers:
    """Learn the upper level by DQN.

    Args:
        games: Which are played.
        settings: How.
        decisions: How many are made, over all games.
        seed: Of the network and the exploration.
        device: Where the network lives.
        bar: What is told how many decisions are made.

    Returns:
        The greedy policy, shape (n,).
    """
    dqn = DQN(
        "MlpPolicy",
        VecNormalize(games, norm_obs=False, gamma=games.level.discount),
        learning_rate=settings.learning_rate,
        buffer_size=settings.buffer_size,
        learning_starts=settings.learning_starts,
        batch_size=settings.batch_size,
        gamma=games.level.discount,
        train_freq=1,
        gradient_steps=settings.gradient_steps,
        target_update_interval=settings.target_update_interval,
        exploration_fraction=settings.exploration_fraction,
        exploration_final_eps=settings.exploration_final_eps,
        policy_kwargs={"net_arch": list(settings.hidden)},
        seed=seed,
        device=device,
    )
    dqn.learn(decisions, Progress(bar))
    return _best(games, dqn.q_net(_features(games, dqn)))


def learn_ppo(games: UpperGames, settings: PPOSettings, decisions: int, seed: int, device: str, bar: Any) -> Integers:
    """Learn the upper level by PPO; its discount is that of the level. Otherwise as `learn_dqn`."""
    ppo = make_ppo(games, dataclasses.replace(settings, gamma=games.level.discount), seed, device)
    ppo.learn(decisions, Progress(bar))
    chances: Any = ppo.policy.get_distribution(_features(games, ppo)).distribution
    return _best(games, chances.logits)


def _features(games: UpperGames, learner: Any) -> torch.Tensor:
    return torch.as_tensor(games.features, device=learner.device)


def _best(games: UpperGames, scores: torch.Tensor) -> Integers:
    """Take the action of the largest score, among those that are possible."""
    possible = np.where(games.level.allowed, scores.detach().cpu().numpy(), -np.inf)
    best: Integers = possible.argmax(axis=1)
    return best
