"""The bi-level agent: an upper level that chooses configurations, over a lower level of networks that play in them."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from tqdm import tqdm

from reworld.changing.levels import Levels
from reworld.errors import InvalidOption, nearest
from reworld.finite import Integers, Reals
from reworld_baselines import checkpoints
from reworld_baselines.evaluation import EVALUATION_SEED, mean_interval
from reworld_baselines.mctvmdp.deep import ranges, upper
from reworld_baselines.mctvmdp.deep.lower import LowerLevel, Stage
from reworld_baselines.mctvmdp.deep.ranges import BayesianSettings, ChangedStage, CrossEntropySettings
from reworld_baselines.mctvmdp.deep.task import Ranges, Task
from reworld_baselines.mctvmdp.deep.upper import DQNSettings, Executed
from reworld_baselines.mctvmdp.multi_level import levels, myopic, none, random
from reworld_baselines.runs import RunError, write_whole
from reworld_baselines.stable_baselines3 import PPOSettings

LOWER = ("conditioned", "per_configuration")
UPPER = {Levels: ("value_iteration", "dqn", "ppo"), Ranges: ("cross_entropy", "bayesian")}

_FINAL_EPISODES = 1000


@dataclass(frozen=True)
class BilevelSettings:
    """How a bi-level agent learns.

    Raises:
        InvalidOption: If a name is unknown, or a number out of range.
    """

    lower: str = "conditioned"
    """``"conditioned"``: one network, which sees the configuration; ``"per_configuration"``: one for each."""
    upper: str = "value_iteration"
    """``"value_iteration"``, on measured returns, ``"dqn"`` or ``"ppo"`` for `reworld.changing.levels.Levels`;
    ``"cross_entropy"`` or ``"bayesian"`` for `Ranges`."""
    lower_steps: int = 1_000_000
    """Environment steps that the lower level learns from, in all configurations together."""
    episodes: int = 500
    """By which ``"value_iteration"`` measures what is returned in each configuration."""
    decisions: int = 4_000
    """That ``"dqn"`` and ``"ppo"`` learn from, an episode of the lower level each."""
    ppo: PPOSettings = field(default_factory=lambda: PPOSettings(n_envs=64, n_steps=64, batch_size=1024, n_epochs=5))
    """Of the lower level."""
    upper_ppo: PPOSettings = field(default_factory=lambda: PPOSettings(n_envs=16, n_steps=16, batch_size=64))
    """Of the upper level; its discount is the level's."""
    dqn: DQNSettings = field(default_factory=DQNSettings)
    """Of the upper level."""
    cross_entropy: CrossEntropySettings = field(default_factory=CrossEntropySettings)
    """Of the upper level."""
    bayesian: BayesianSettings = field(default_factory=BayesianSettings)
    """Of the upper level."""

    def __post_init__(self) -> None:
        if self.lower not in LOWER:
            raise InvalidOption(f"lower={self.lower!r} is unknown. {nearest(self.lower, LOWER)}")
        known = [name for names in UPPER.values() for name in names]
        if self.upper not in known:
            raise InvalidOption(f"upper={self.upper!r} is unknown. {nearest(self.upper, known)}")
        for name, least in (("lower_steps", 1), ("episodes", 2), ("decisions", 1)):
            if getattr(self, name) < least:
                raise InvalidOption(f"{name}={getattr(self, name)!r}: give at least {least}.")

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `dataclasses.asdict` wrote, by way of JSON.

        Args:
            content: Every field by name.
        """
        kinds: dict[str, Any] = {"ppo": PPOSettings, "upper_ppo": PPOSettings, "dqn": DQNSettings}
        kinds |= {"cross_entropy": CrossEntropySettings, "bayesian": BayesianSettings}
        return cls(
            **{
                name: kinds[name](**{key: tuple(each) if isinstance(each, list) else each for key, each in value.items()})
                if name in kinds
                else value
                for name, value in content.items()
            }
        )


@dataclass(frozen=True, eq=False)
class LevelsReport:
    """How good a bi-level agent is at levels.

    Args:
        names: Of the configurations.
        values: Mean return of the lower level in each, shape (n,).
        errors: Their standard errors.
        intervals: Their 95 % bootstrap intervals, shape (n, 2).
        worth: What upper policies are worth with these returns: ``"agent"``, ``"levels"`` (optimal for them), ``"none"``,
            ``"random"``, ``"myopic"`` and ``"oracle"`` (the best configuration always, for nothing): see
            `reworld_baselines.mctvmdp.multi_level`.
        games: What games of the levels returned that were played by the agent; empty if none were.
    """

    names: tuple[str, ...]
    values: Reals
    errors: Reals
    intervals: Reals
    worth: Mapping[str, Executed]
    games: Reals

    def __str__(self) -> str:
        """Lay it out as two small tables."""
        lines = [f"{'configuration':<28}{'mean return':>12}{'95 % interval':>20}"]
        for name, value, (low, high) in zip(self.names, self.values, self.intervals, strict=True):
            lines.append(f"{name:<28}{value:>12.4g}{f'[{low:.4g}, {high:.4g}]':>20}")
        lines += ["", f"{'upper policy':<28}{'value':>12}{'standard error':>20}{'pays':>10}"]
        for name, each in self.worth.items():
            lines.append(f"{name:<28}{each.value:>12.4g}{each.error:>20.2g}{each.cost:>10.4g}")
        if len(self.games):
            low, high = mean_interval(self.games)
            lines.append(f"{'agent, games played':<28}{self.games.mean():>12.4g}{f'[{low:.4g}, {high:.4g}]':>20}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class RangesReport:
    """How good a bi-level agent is within ranges.

    Args:
        targets: By name, what the agent changes each parameter to.
        agent: What episodes returned that began with this change, costs included.
        nominal: The same without any change.
    """

    targets: Mapping[str, float]
    agent: Reals
    nominal: Reals

    def __str__(self) -> str:
        """Lay it out as a small table."""
        change = ", ".join(f"{name} {value:.4g}" for name, value in self.targets.items())
        lines = [f"{'':<12}{'mean return':>12}{'95 % interval':>20}"]
        for name, returns in (("agent", self.agent), ("no change", self.nominal)):
            low, high = mean_interval(returns)
            lines.append(f"{name:<12}{returns.mean():>12.4g}{f'[{low:.4g}, {high:.4g}]':>20}")
        return "\n".join([*lines, f"The agent changes: {change}."])


class BilevelAgent:
    """Learns to play a world in every configuration that may come, and then which one to bring about.

    Args:
        problem: `reworld.changing.levels.Levels` with one level above the world, `Ranges`, or the id of a changeable
            environment, such as ``"reworld/ConfigurablePlatform-v0"``.
        settings: How it learns.
        seed: Of everything.
        device: Where the networks live: ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Attributes:
        policy: What the upper level decides in each configuration, int64 of shape (n,), once it is learned; of `Ranges` what it
            changes each parameter to, float64 of shape (number of parameters that may be changed,).
        measured: For ``"value_iteration"``: mean return in each configuration, and its standard error, shape (2, n).

    Raises:
        InvalidOption: If the problem is of another form, the settings do not go with it, or there is no such device.
    """

    def __init__(
        self, problem: Levels | Ranges | str, settings: BilevelSettings | None = None, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.problem = Ranges.of_environment(problem) if isinstance(problem, str) else problem
        self.settings = BilevelSettings() if settings is None else settings
        self.seed = seed
        if self.settings.upper not in UPPER[type(self.problem)]:
            raise InvalidOption(
                f"upper={self.settings.upper!r} is not for {type(self.problem).__name__}: give one of "
                f"{', '.join(UPPER[type(self.problem)])}."
            )
        conditioned = self.settings.lower == "conditioned"
        if isinstance(self.problem, Levels):
            upper.only_level(self.problem)
        elif not conditioned:
            raise InvalidOption("lower='per_configuration' is for named configurations: in ranges there are too many.")
        self.lower = LowerLevel(Task.of(self.problem), conditioned, self.settings.ppo, seed, device)
        self.policy: Any = None
        self.measured: Reals | None = None
        self._device = device

    @classmethod
    def load(cls, directory: Path, problem: Levels | Ranges | str, device: str = "cpu") -> Self:
        """Load an agent as far as it has learned.

        Args:
            directory: Where `save` or `learn` left it.
            problem: That it was made for: its functions are not stored.
            device: Where the networks shall live.

        Raises:
            RunError: If there is none, it is damaged, or it was made for another problem.
        """
        content = _stored(directory)
        try:
            agent = cls(problem, BilevelSettings.of_json(content["settings"]), content["seed"], device)
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{directory / 'agent.json'} is damaged, or not of this problem ({error}).") from error
        agent._restore(directory)
        return agent

    def save(self, directory: Path) -> None:
        """Store the agent as far as it has learned.

        Args:
            directory: Where; it is made if it does not exist.
        """
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / "agent.json", json.dumps(self._description(), indent=1).encode())
        for j in range(len(self.lower.networks)):
            checkpoints.write(directory / f"lower_{j}.safetensors", self.lower.get_state(j))
        if self.policy is not None:
            measured = {} if self.measured is None else {"measured": self.measured}
            checkpoints.write(directory / "upper.safetensors", {"policy": self.policy, **measured})

    def learn(self, directory: Path | None = None, quiet: bool = False) -> None:
        """Learn what is not learned yet: the networks of the lower level one after the other, then the upper level.

        Args:
            directory: Where to store the agent after each of these. What is there already is not learned again, so a process
                that was killed goes on if it is started again. Nowhere if left out.
            quiet: Whether no bar is shown.

        Raises:
            RunError: If the directory holds another agent, or a damaged one.
        """
        if directory is not None and (directory / "agent.json").exists():
            self._restore(directory)
        steps = self.settings.lower_steps // self.lower.size
        while len(self.lower.networks) < self.lower.size:
            name = f"network {len(self.lower.networks) + 1} of {self.lower.size}"
            with tqdm(total=steps, desc=name, unit=" steps", disable=quiet, leave=False) as bar:
                self.lower.train(steps, bar)
            if directory is not None:
                self.save(directory)
        if self.policy is None:
            self._learn_upper(quiet)
        if directory is not None:
            self.save(directory)

    def act(self, level: int, observation: Any) -> Any:
        """Choose an action of one level, without exploration: the policy that `reworld.changing.levels.OneLevel` takes.

        Args:
            level: 0 or 1.
            observation: What this level sees in a game of `reworld.changing.levels`.

        Raises:
            InvalidOption: If the problem is `Ranges`, of which there is no such game.
        """
        if isinstance(self.problem, Ranges):
            raise InvalidOption("Within ranges there are no games of levels: see policy, lower.act and evaluate.")
        if level == 1:
            return self.policy[observation]
        values = self.problem.values
        which = int(np.argmax(observation[-len(values) :]))
        action = self.lower.act(observation[None, : -len(values)], values[which : which + 1])
        return (action[0][0], tuple(part[0] for part in action[1])) if isinstance(action, tuple) else action[0]

    def evaluate(self, episodes: int, games: int = 0) -> LevelsReport | RangesReport:
        """Play new episodes, the same ones for every agent.

        Args:
            episodes: Of each configuration; of ranges of the agent's, and without any change.
            games: Of the levels, each of which takes dozens of episodes.
        """
        if isinstance(self.problem, Ranges):
            stage = ChangedStage(self.problem, self.lower, episodes, EVALUATION_SEED)
            names = self.problem.world.changing.parameters
            targets = dict(zip(names, self.policy.tolist(), strict=True))
            mine = stage.play(np.broadcast_to(self.policy, (episodes, len(self.policy))))
            stage = ChangedStage(self.problem, self.lower, episodes, EVALUATION_SEED)
            nominal = stage.play(np.broadcast_to(self.problem.nominal, (episodes, len(self.policy))))
            return RangesReport(targets, mine, nominal)
        level = upper.only_level(self.problem)
        returns = self._returns(episodes, EVALUATION_SEED)
        values, errors = _summarised(returns)
        policies = {"agent": self.policy, **upper.policies_for(level, values, levels, none, random, myopic)}
        worth = {name: upper.execute(level, policy, values, errors) for name, policy in policies.items()}
        best = int(values.argmax())
        ages = 1.0 / (1.0 - level.discount)
        worth["oracle"] = Executed(float(values[best] * ages), float(errors[best] * ages), 0.0)
        played = np.empty(0)
        if games:
            stage_of_games = Stage(self.lower, games, EVALUATION_SEED + returns.size)
            played = upper.play_games(level, self.policy, self._player(stage_of_games), games, EVALUATION_SEED)
        intervals = np.array([mean_interval(row) for row in returns])
        return LevelsReport(self.problem.names, values, errors, intervals, worth, played)

    def _restore(self, directory: Path) -> None:
        """Take what is stored of this very agent."""
        if _stored(directory) != self._description():
            raise RunError(f"{directory} holds an agent of another problem, seed or settings: give another directory.")
        self.lower.networks.clear()
        for j in range(self.lower.size):
            file = directory / f"lower_{j}.safetensors"
            if not file.exists():
                return
            try:
                self.lower.add(checkpoints.read(file))
            except RuntimeError as error:
                raise RunError(f"{file} is of other networks than its agent.json says.") from error
        if (directory / "upper.safetensors").exists():
            state = checkpoints.read(directory / "upper.safetensors")
            self.policy, self.measured = state["policy"], state.get("measured")

    def _learn_upper(self, quiet: bool) -> None:
        settings, name = self.settings, self.settings.upper
        if isinstance(self.problem, Ranges):
            self.policy = self._search(quiet)
            return
        level = upper.only_level(self.problem)
        if name == "value_iteration":
            self.measured = np.array(_summarised(self._returns(settings.episodes, self._seed(1))))
            self.policy = upper.plan(level, self.measured[0])
            return
        num_envs = settings.dqn.n_envs if name == "dqn" else settings.upper_ppo.n_envs
        play = self._player(Stage(self.lower, num_envs, self._seed(1)))
        # Games are cut off where a hundredth of the weight is left.
        decisions = int(np.ceil(np.log(0.01) / np.log(max(level.discount, 0.01))))
        games = upper.UpperGames(level, self.lower.task.shares(self.problem.values), play, num_envs, self._seed(2), decisions)
        with tqdm(total=settings.decisions, desc=name, unit=" decisions", disable=quiet, leave=False) as bar:
            if name == "dqn":
                self.policy = upper.learn_dqn(games, settings.dqn, settings.decisions, self._seed(3), self._device, bar)
            else:
                self.policy = upper.learn_ppo(games, settings.upper_ppo, settings.decisions, self._seed(3), self._device, bar)

    def _search(self, quiet: bool) -> Reals:
        assert isinstance(self.problem, Ranges)
        settings, lower = self.settings, self.lower
        changeable = self.problem.world.constants["CHANGEABLE"]
        low, high = lower.task.low[changeable], lower.task.high[changeable]
        width = high - low
        start = np.divide(self.problem.nominal - low, width, out=np.zeros(len(low)), where=width > 0.0)
        crossing = settings.upper == "cross_entropy"
        total, size, episodes = settings.bayesian.candidates, 1, settings.bayesian.episodes
        if crossing:
            size, episodes = settings.cross_entropy.population, settings.cross_entropy.episodes
            total = size * settings.cross_entropy.generations
        stage = ChangedStage(self.problem, lower, size * episodes, self._seed(1))

        def value(points: Reals) -> Reals:
            targets = low + points * width
            means: Reals = stage.play(np.repeat(targets, episodes, axis=0)).reshape(len(points), episodes).mean(axis=1)
            return means

        with tqdm(total=total, desc=settings.upper, unit=" candidates", disable=quiet, leave=False) as bar:
            if crossing:
                finalists = ranges.cross_entropy(value, start, settings.cross_entropy, self._seed(3), bar)
            else:
                finalists = ranges.bayesian(value, start, settings.bayesian, self._seed(3), bar)
        targets = low + np.array([start, *finalists]) * width
        final = ChangedStage(self.problem, lower, len(targets) * _FINAL_EPISODES, self._seed(2))
        means = final.play(np.repeat(targets, _FINAL_EPISODES, axis=0)).reshape(len(targets), -1).mean(axis=1)
        best = int(means.argmax())
        changed = final.changed.reshape(len(targets), -1, len(start))[best].any(axis=0)
        found: Reals = np.where(changed, targets[best], self.problem.nominal)
        return found

    def _returns(self, episodes: int, seed: int) -> Reals:
        """What episodes in each configuration return, shape (n, episodes)."""
        assert isinstance(self.problem, Levels)
        configurations = np.repeat(self.problem.values, episodes, axis=0)
        return Stage(self.lower, len(configurations), seed).play(configurations).reshape(-1, episodes)

    def _player(self, stage: Stage) -> upper.Play:
        assert isinstance(self.problem, Levels)
        values = self.problem.values

        def play(which: Integers) -> Reals:
            return stage.play(values[which])

        return play

    def _seed(self, purpose: int) -> int:
        return int(np.random.SeedSequence(self.seed, spawn_key=(purpose,)).generate_state(1)[0])

    def _description(self) -> dict[str, Any]:
        """All that must be the same for an agent to go on, as JSON holds it."""
        problem, digest = self.problem, hashlib.sha256()
        if isinstance(problem, Levels):
            level = upper.only_level(problem)
            for array in (problem.values, level.kernel, level.costs, level.start, level.allowed):
                digest.update(np.ascontiguousarray(array).tobytes())
            digest.update(repr((problem.names, problem.discount, problem.steps, level.discount)).encode())
        else:
            digest.update(repr((problem.world.parameters, problem.world.changing, problem.steps)).encode())
        content = {
            "problem": {"world": problem.world.name, "sha256": digest.hexdigest()},
            "settings": dataclasses.asdict(self.settings),
            "seed": self.seed,
        }
        described: dict[str, Any] = json.loads(json.dumps(content))
        return described


def _stored(directory: Path) -> dict[str, Any]:
    """Read what agent a directory holds."""
    try:
        content: dict[str, Any] = json.loads((directory / "agent.json").read_bytes())
    except OSError as error:
        raise RunError(f"There is no agent in {directory}: its agent.json cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise RunError(f"{directory / 'agent.json'} is damaged ({error}). It was left as it is.") from error
    return content


def _summarised(returns: Reals) -> tuple[Reals, Reals]:
    """Means of rows, and the standard errors of these."""
    errors: Reals = returns.std(axis=1, ddof=1) / np.sqrt(returns.shape[1])
    return returns.mean(axis=1), errors
