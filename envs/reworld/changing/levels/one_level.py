"""One level: a level of `reworld.changing.levels` as a `gymnasium.Env`, while given policies play the others."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded

from reworld.changing.levels.model import Levels, find_levels
from reworld.changing.levels.play import Play
from reworld.environment import read_options
from reworld.errors import InvalidOption

Policy = Callable[[Any], Any]
"""From what a level sees to an element of its action space."""


class OneLevel(gymnasium.Env[Any, Any]):
    """The process that one level sees, its episodes those of `reworld.changing.levels`.

    A step lasts until the level decides again: all that is paid meanwhile, at this level and those below, is its reward. After
    an episode the game goes on, so that the next one begins in what the levels above then decide; a seed, the end of the game,
    or a reset in mid-episode begins a new one.

    Spaces are those of `reworld.changing.levels.multi`. `info` has ``kernel``, ``begins``, and the ``action_mask`` of a level
    above the world, or the ``world``'s own info.

    Args:
        levels: `Levels`, or a function that makes them, or where to find one, as in
            ``"reworld.changing.levels.games:cartpole_levels"``.
        level: Which one is played.
        policies: What plays each of the other levels, by its number.
        render_mode: None, ``"rgb_array"`` or ``"human"``.
        changes: Other values of the fields of the levels, such as ``persistent=True, steps=10``.

    Raises:
        InvalidOption: If there is no such level, or a policy is missing or one too many.
    """

    metadata = {"render_modes": ["human", "rgb_array"]}  # noqa: RUF012 (declared so by Gymnasium)

    def __init__(
        self,
        levels: Levels | Callable[[], Levels] | str,
        level: int,
        policies: Mapping[int, Policy],
        render_mode: str | None = None,
        **changes: Any,
    ) -> None:
        self._play = Play(find_levels(levels, **changes), render_mode)
        others = set(range(self._play.depth)) - {level}
        if not 0 <= level < self._play.depth:
            raise InvalidOption(f"level={level!r}: these levels are 0 to {self._play.depth - 1}.")
        if set(policies) != others:
            raise InvalidOption(f"policies are given for the levels {sorted(policies)}: give one for each of {sorted(others)}.")
        self.level, self.policies = level, policies
        self.observation_space = self._play.observation_spaces[level]
        self.action_space = self._play.action_spaces[level]
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": self._play.levels.world.frames_per_second}
        self._ended = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of this level.

        Args:
            seed: Of a new game and, without a new one, of all that follow.
            options: None: there are none.

        Returns:
            What this level sees, and info.

        Raises:
            InvalidOption: If an option is given, or the seed is out of range.
        """
        read_options(options, ())
        super().reset(seed=seed)
        if seed is not None or self._play.due is None or not self._ended:
            self._play.begin(seed)
        self._ended = False
        while self._play.due != self.level:
            self._move_other()
        return self._play.observe(self.level), self._play.describe(self.level)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Let this level decide, and those below it play until it decides again.

        Args:
            action: An element of the action space.

        Returns:
            Observation, reward, terminated, truncated (if a number of steps has ended the episode) and info.

        Raises:
            gymnasium.error.ResetNeeded: If no episode is under way.
            gymnasium.error.InvalidAction: If the action is none of this level's. All is then as before.
        """
        play = self._play
        if play.due != self.level:
            raise ResetNeeded("No episode is under way: it has not begun, or it has ended. Call reset() first.")
        reward = play.move(action)
        while play.due != self.level and self.level not in play.ended:
            reward += self._move_other()
        if self.level not in play.ended:
            return play.observe(self.level), reward, False, False, play.describe(self.level)
        self._ended = True
        terminated, observation = play.ended[self.level]
        return observation, reward, terminated, not terminated, play.describe(self.level)

    def render(self) -> Any:
        """Draw the world, and below it what every level has in force, has done and has received.

        Returns:
            For ``"rgb_array"`` a picture, uint8 of shape (height, width, 3); otherwise None.
        """
        return self._play.picture()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._play.close()

    def _move_other(self) -> float:
        due = self._play.due
        assert due is not None
        return self._play.move(self.policies[due](self._play.observe(due)))
