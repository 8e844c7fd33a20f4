"""Tasks: a world in every configuration that may come, which is what level 0 of a bi-level agent has to play."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import Error
from gymnasium.vector import AutoresetMode, VectorWrapper
from gymnasium.vector.utils import batch_space

from reworld.changing.change import ChangeableWorld, change
from reworld.changing.levels import Levels
from reworld.configuration import Request
from reworld.environment import find_world
from reworld.errors import InvalidOption
from reworld.finite import Reals
from reworld.spaces import observation_space
from reworld.vector import WorldVectorEnv
from reworld.world import World


@dataclass(frozen=True, eq=False)
class Ranges:
    """A world whose configuration is chosen from ranges, at a cost, before an episode begins.

    Args:
        world: With model-changing actions of mode ``"set"``.
        steps: After how many actions an episode ends at the latest, those that configure included; None for no such limit.

    Raises:
        InvalidOption: If the world is not changeable, or in another mode.
    """

    world: ChangeableWorld
    steps: int | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.world, ChangeableWorld) and self.world.changing.mode == "set"):
            raise InvalidOption(f"{self.world.name} offers no values to set: give it changing=Changing(…, mode='set').")

    @classmethod
    def of_environment(cls, environment: str) -> Self:
        """Take the ranges and the costs of a registered environment.

        Args:
            environment: Id, such as ``"reworld/ConfigurablePlatform-v0"``.

        Raises:
            gymnasium.error.Error: If there is none of this name, or it is not one of reworld.
            InvalidOption: As for the class.
        """
        spec = gymnasium.spec(environment)
        if spec.vector_entry_point != "reworld.vector:WorldVectorEnv":
            raise Error(f"{environment} is no environment of reworld: give an id such as 'reworld/ConfigurablePlatform-v0'.")
        world: Any = find_world(**spec.kwargs)
        return cls(world, spec.max_episode_steps)

    @property
    def nominal(self) -> Reals:
        """What an episode begins with, of the parameters that may be changed, shape (number of these,)."""
        values: Reals = self.world.default_configuration[self.world.constants["CHANGEABLE"]]
        return values

    def batch(self, num_envs: int) -> WorldVectorEnv:
        """Make environments, observed as if nothing could be changed, with same-step autoreset.

        Args:
            num_envs: How many.
        """
        hidden = dataclasses.replace(self.world.changing, observation="hidden", observe_budget=False)
        return WorldVectorEnv(change(self.world.base, hidden), num_envs, self.steps, AutoresetMode.SAME_STEP)

    def set(self, batch: WorldVectorEnv, k: int, values: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take the action that changes a parameter, in every environment.

        Args:
            batch: From `batch`.
            k: Which of those that may be changed.
            values: To what, shape (num_envs,), or one for all.

        Returns:
            As of a step.
        """
        branch = self.world.own_branches + k
        parameters = np.zeros((batch.num_envs, self.world.branch_offsets[-1]), np.float32)
        parameters[:, self.world.branch_offsets[branch]] = values
        return batch.step((np.full(batch.num_envs, branch), parameters))

    def affordable(self) -> tuple[Reals, Reals]:
        """Find the ends of what the budget is enough for where only one parameter is changed, within a hundredth of a range.

        Returns:
            Least and largest value of each parameter that may be changed, shape (number of these,).
        """
        batch, low, high = self.batch(101), self.nominal, self.nominal
        for k in range(len(low)):
            batch.reset(seed=0)
            values = np.linspace(self.world.constants["LOW"][k], self.world.constants["HIGH"][k], 101)
            info = self.set(batch, k, values)[-1]
            # What fails by chance is paid all the same.
            possible = values[info["configured"] | (info["cost"] > 0.0)]
            low[k], high[k] = min([low[k], *possible]), max([high[k], *possible])
        return low, high


@dataclass(frozen=True, eq=False)
class Task:
    """What level 0 has to play: a world in every configuration that may come.

    Args:
        world: The world itself, without model-changing actions.
        low: Least value of each parameter, shape (number of parameters,).
        high: Largest one.
        values: The configurations, shape (n, number of parameters), if they are so many; None for all between `low` and `high`.
        steps: After how many actions an episode ends at the latest; None for no such limit.
        discount: Weight of the next reward beside the present one: that an episode goes on with this probability amounts to
            the same.

    Raises:
        InvalidOption: If the world is not observed as a Box, or nothing about it changes.
    """

    world: World
    low: Reals
    high: Reals
    values: Reals | None
    steps: int | None
    discount: float

    def __post_init__(self) -> None:
        if not isinstance(observation_space(self.world), spaces.Box):
            raise InvalidOption(
                f"{self.world.name} is observed as {observation_space(self.world)}: networks need a Box. A finite world is "
                "solved exactly by MultiLevelMDP."
            )
        if not self.changing.any():
            raise InvalidOption("All configurations are the same: give at least two that differ.")

    @classmethod
    def of(cls, problem: Levels | Ranges) -> Self:
        """Take what is below the levels, or what can be afforded within the ranges."""
        if isinstance(problem, Levels):
            values = problem.values
            return cls(problem.world, values.min(axis=0), values.max(axis=0), values, problem.steps, problem.discount)
        base, changeable = problem.world.base, problem.world.constants["CHANGEABLE"]
        low, high = base.default_configuration.copy(), base.default_configuration.copy()
        low[changeable], high[changeable] = problem.affordable()
        return cls(base, low, high, None, problem.steps, 1.0)

    @property
    def changing(self) -> Any:
        """Which parameters have more than one value, bool of shape (number of parameters,)."""
        return self.low < self.high

    def shares(self, configurations: Reals) -> Any:
        """Measure configurations by the parameters that change, from 0 at the least value of each to 1 at the largest.

        Args:
            configurations: Shape (…, number of parameters).

        Returns:
            float32 of shape (…, number of parameters that change).
        """
        low, high = self.low[self.changing], self.high[self.changing]
        return ((configurations[..., self.changing] - low) / (high - low)).astype(np.float32)

    def batch(self, num_envs: int, configuration: Request = None) -> WorldVectorEnv:
        """Make environments of the world, with same-step autoreset.

        Args:
            num_envs: How many.
            configuration: What episodes begin with; if left out those that may come, in turn or drawn anew in each.
        """
        if configuration is None and self.values is not None:
            configuration = self.values[np.arange(num_envs) % len(self.values)]
        elif configuration is None:
            bounds = zip(self.world.parameters, self.low.tolist(), self.high.tolist(), strict=True)
            configuration = {parameter.name: [low, high] for parameter, low, high in bounds}
        return WorldVectorEnv(self.world, num_envs, self.steps, AutoresetMode.SAME_STEP, configuration)


class VectorConfigurationObservation(VectorWrapper[Any, Any, Any, Any, Any]):
    """Append the configuration to what is observed, as `Task.shares`.

    Args:
        env: A native batch of reworld with same-step autoreset, possibly in an action wrapper.
        task: Whose configurations these are.
    """

    def __init__(self, env: Any, task: Task) -> None:
        super().__init__(env)
        self._task = task
        own, size = env.single_observation_space, int(task.changing.sum())
        zeros = np.zeros(size, np.float32)
        low, high = np.concatenate([own.low, zeros]), np.concatenate([own.high, zeros + 1.0])
        self.single_observation_space = spaces.Box(low, high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin episodes: see `reworld.vector.WorldVectorEnv.reset`."""
        observations, info = self.env.reset(seed=seed, options=options)
        return self._append(observations, info), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action in every environment: see `reworld.vector.WorldVectorEnv.step`."""
        observations, rewards, terminations, truncations, info = self.env.step(actions)
        if "final_obs" in info:
            info = {**info, "final_obs": self._append(info["final_obs"], info["final_info"])}
        return self._append(observations, info), rewards, terminations, truncations, info

    def _append(self, observations: Any, info: dict[str, Any]) -> Any:
        return np.concatenate([observations, self._task.shares(info["configuration"])], axis=1)
