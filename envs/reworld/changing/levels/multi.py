"""Multi: the levels of `reworld.changing.levels` by the interfaces of PettingZoo, with one agent for each level.

Importing this module registers the games of `reworld.changing.levels.games`, and needs ``pip install "reworld[multi]"``::

    import pettingzoo
    import reworld.changing.levels.multi

    env = pettingzoo.make("aec", "reworld/CartPoleLevels-v0")

The agents are ``level_0``, which acts in the world, to ``level_{K-1}``. Level 0 sees what the world shows, and which
configuration i is in force: in a finite world of S states the number ``i * S + s``, else the world's Box with n more entries,
of which the one of i is 1 and the others are 0. A level above sees ``v * n + i``: its own kernel v, and which of n is in force
below it.

The ``infos`` of an agent have

- ``action_mask``: which actions are possible, int8, at the levels above the world;
- ``due``: whether it will act before the world goes on;
- ``begins``: whether its next action will be the first of an episode of its level;
- ``kernel``: the index of its own kernel; of the configuration, at level 0;
- ``cost``: what its action cost in this step;
- ``final_obs`` and ``final_terminated``, if this step has ended an episode of its level: the last observation of it, and
  whether it was terminated, rather than cut off by its number of steps;
- ``world``: at level 0, the world's own info.

For the agents the game ends when the episode of the top level does, for all of them at once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled, InvalidAction, ResetNeeded

from reworld.changing.levels.model import Levels, find_levels
from reworld.changing.levels.play import Play
from reworld.errors import InvalidOption

try:
    import pettingzoo
except ImportError as error:
    raise DependencyNotInstalled('One agent for each level needs PettingZoo: pip install "reworld[multi]".') from error


class _Agents:
    """What both forms have in common."""

    def __init__(
        self,
        levels: Levels | Callable[[], Levels] | str,
        render_mode: str | None = None,
        max_cycles: int | None = None,
        **changes: Any,
    ) -> None:
        if max_cycles is not None and max_cycles < 1:
            raise InvalidOption(f"max_cycles={max_cycles!r}: give an integer of at least 1, or None for no limit.")
        self.render_mode = render_mode
        self._play = Play(find_levels(levels, **changes), render_mode)
        self.metadata = {
            "name": "reworld_levels",
            "render_modes": ["human", "rgb_array"],
            "render_fps": self._play.levels.world.frames_per_second,
            "is_parallelizable": False,
        }
        self.possible_agents = [f"level_{k}" for k in range(self._play.depth)]
        self.agents: list[str] = []
        self.observation_spaces = dict(zip(self.possible_agents, self._play.observation_spaces, strict=True))
        self.action_spaces = dict(zip(self.possible_agents, self._play.action_spaces, strict=True))
        self._max_cycles = max_cycles

    def observation_space(self, agent: str) -> "spaces.Space[Any]":
        """Give what an agent may see."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> "spaces.Space[Any]":
        """Give what an agent may do."""
        return self.action_spaces[agent]

    def observe(self, agent: str) -> Any:
        """Show an agent what it sees."""
        level = self.possible_agents.index(agent)
        if self._over and level in self._play.ended:
            return self._play.ended[level][1]
        return self._play.observe(level)

    def render(self) -> Any:
        """Draw the world, and below it what every level has in force, has done and has received.

        Returns:
            For ``"rgb_array"`` a picture, uint8 of shape (height, width, 3); otherwise None.
        """
        return self._play.picture()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._play.close()

    def _begin(self, seed: int | None) -> None:
        self._play.begin(seed)
        self.agents = self.possible_agents.copy()
        self._cycles = 0
        self._over = self._terminated = False
        self._costs = dict.fromkeys(self.agents, 0.0)

    def _move(self, action: Any, received: dict[str, float]) -> None:
        """Let the level that is due act, and give what is paid to those who receive it."""
        play, level = self._play, self._play.due
        assert level is not None
        paid = play.move(action)
        for agent in self.possible_agents[level:]:
            received[agent] += paid
        self._costs[self.possible_agents[level]] = play.costs[level]
        self._cycles += level == 0
        self._over = play.due is None or self._cycles == self._max_cycles
        self._terminated = play.due is None and play.ended[play.depth - 1][0]

    def _is_due(self, level: int) -> bool:
        return not self._over and self._play.due is not None and level <= self._play.due

    def _infos(self) -> dict[str, dict[str, Any]]:
        return {agent: self._info(level, agent) for level, agent in enumerate(self.possible_agents)}

    def _info(self, level: int, agent: str) -> dict[str, Any]:
        play = self._play
        info = {**play.describe(level), "due": self._is_due(level), "cost": self._costs[agent]}
        if level in play.ended:
            info["final_terminated"], info["final_obs"] = play.ended[level]
        return info


class LevelsAEC(_Agents, pettingzoo.AECEnv):  # type: ignore[misc]
    """Levels that take turns: each sees what those above it have decided before it acts.

    Args:
        levels: `Levels`, or a function that makes them, or where to find one, as in
            ``"reworld.changing.levels.games:cartpole_levels"``.
        render_mode: None, ``"rgb_array"`` or ``"human"``.
        max_cycles: After how many steps of the world a game is truncated; None for no such limit.
        changes: Other values of the fields of the levels, such as ``persistent=True, steps=10``.
    """

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin a game.

        Args:
            seed: Of this game and, without a new one, of those that follow.
            options: Not read: there are none, and PettingZoo's own tests give some.
        """
        self._begin(seed)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = self._infos()
        self._skip_agent_selection = None
        self.agent_selection = self.possible_agents[-1]

    def step(self, action: Any) -> None:
        """Let the selected agent act.

        Args:
            action: An element of its action space; None if its game is over.

        Raises:
            gymnasium.error.ResetNeeded: If no game is under way.
            gymnasium.error.InvalidAction: If the action is none of this agent's. All is then as before.
        """
        if not self.agents:
            raise ResetNeeded("No game is under way: it has not begun, or it is over. Call reset() first.")
        agent = self.agent_selection
        if self._over:
            self._was_dead_step(action)
            return
        received = dict.fromkeys(self.agents, 0.0)
        self._costs = dict.fromkeys(self.agents, 0.0)
        self._move(action, received)
        self._cumulative_rewards[agent] = 0.0
        self.rewards = received
        self._accumulate_rewards()
        self.infos = self._infos()
        if self._play.due is not None:
            self.agent_selection = self.possible_agents[self._play.due]
        if self._over:
            self.terminations = dict.fromkeys(self.agents, self._terminated)
            self.truncations = dict.fromkeys(self.agents, not self._terminated)
            self._deads_step_first()


class LevelsParallel(_Agents, pettingzoo.ParallelEnv):  # type: ignore[misc]
    """Levels that act all at once: first those above the world change what they change, the highest first; then level 0 acts.

    Nobody sees what the others decide in the same step, and level 0 may act in another configuration than it sees. An action is
    read only where it is ``due``, which is when an episode of the level below has ended: the others may be left out. With
    ``persistent=True, steps=10`` a change is possible in every tenth step, with ``steps=1`` in each.

    Args:
        levels: As for `LevelsAEC`, as are the following.
        render_mode: None, ``"rgb_array"`` or ``"human"``.
        max_cycles: After how many steps a game is truncated.
        changes: Other values of the fields of the levels.
    """

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin a game.

        Args:
            seed: Of this game and, without a new one, of those that follow.
            options: Not read: there are none, and PettingZoo's own tests give some.

        Returns:
            What each agent sees, and its info.
        """
        self._begin(seed)
        return {agent: self.observe(agent) for agent in self.agents}, self._infos()

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Let all agents act.

        Args:
            actions: An element of its action space for each agent that is due.

        Returns:
            Observations, rewards, terminations, truncations and infos.

        Raises:
            gymnasium.error.ResetNeeded: If no game is under way.
            gymnasium.error.InvalidAction: If an action is missing, or none of its agent's. All is then as before.
        """
        if not self.agents:
            raise ResetNeeded("No game is under way: it has not begun, or it is over. Call reset() first.")
        agents = self.agents
        due = [agent for level, agent in enumerate(agents) if self._is_due(level)][::-1]
        for agent in due:
            if agent not in actions:
                raise InvalidAction(f"{agent} is due, and its action is missing: give one for each of {', '.join(due)}.")
            self._play.check(agents.index(agent), actions[agent])
        received = dict.fromkeys(agents, 0.0)
        self._costs = dict.fromkeys(agents, 0.0)
        for agent in due:
            self._move(actions[agent], received)
        if self._over:
            self.agents = []
        return (
            {agent: self.observe(agent) for agent in agents},
            received,
            dict.fromkeys(agents, self._terminated),
            dict.fromkeys(agents, self._over and not self._terminated),
            self._infos(),
        )


_GAMES = {
    "reworld/CartPoleLevels-v0": "reworld.changing.levels.games:cartpole_levels",
    "reworld/RiverSwimLevels-v0": "reworld.changing.levels.games:river_swim_levels",
}


def _register_all() -> None:
    for id, levels in _GAMES.items():
        pettingzoo.register("aec", id, "reworld.changing.levels.multi:LevelsAEC", kwargs={"levels": levels})
        pettingzoo.register("parallel", id, "reworld.changing.levels.multi:LevelsParallel", kwargs={"levels": levels})


_register_all()
