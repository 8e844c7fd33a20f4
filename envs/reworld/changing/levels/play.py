"""Play: a game of `reworld.changing.levels` under way, whoever decides for its levels."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils import seeding

from reworld.changing.levels.model import Levels
from reworld.changing.levels.picture import Row, Strip, Window
from reworld.environment import WorldEnv, check_seed
from reworld.errors import InvalidOption
from reworld.rendering import Picture
from reworld.spaces import observation_space
from reworld.world import Vector


class Play:
    """A game of levels under way: who decides next, what is in force, and what was paid.

    Args:
        levels: What is played.
        render_mode: None, ``"rgb_array"`` (a picture of the present state) or ``"human"`` (a window).

    Attributes:
        due: The level that decides next; None when the game is over.
        kernels: What is in force: the index of the world's configuration, then that of the kernel of each level above it.
        ages: How many decisions each level has made in its episode.
        actions: The last action of each level; None where an episode has begun anew since.
        costs: What it cost; 0 at level 0.
        returns: What each level has received in its episode.
        ended: Of the levels whose episode the last move has ended, whether it was terminated (rather than cut off by its number
            of steps), and its last observation.
        info: The world's own.

    Raises:
        InvalidOption: If `render_mode` is unknown.
        gymnasium.error.Error: If ``"human"`` is asked for and there is no display.
    """

    def __init__(self, levels: Levels, render_mode: str | None = None) -> None:
        self.levels = levels
        self.depth = len(levels.levels) + 1
        if render_mode not in {None, "rgb_array", "human"}:
            raise InvalidOption(f"render_mode={render_mode!r} is unknown: give 'rgb_array', 'human' or None.")
        self.env = _World(levels.world, render_mode=render_mode and "rgb_array")
        self._values = levels.values
        self.observation_spaces = [self._world_space(), *(spaces.Discrete(k.own_kernels * k.states) for k in levels.levels)]
        self.action_spaces = [self.env.action_space, *(spaces.Discrete(len(level.actions)) for level in levels.levels)]
        self.due: int | None = None
        self._discounts = levels.discount, *(level.discount for level in levels.levels)
        self._limits = levels.steps, *(level.steps for level in levels.levels)
        self._strip = Strip(levels.world.picture[0]) if render_mode else None
        self._window = Window("reworld levels", levels.world.frames_per_second) if render_mode == "human" else None
        self._rng: np.random.Generator | None = None

    def begin(self, seed: int | None = None) -> None:
        """Begin a game.

        Args:
            seed: Of this game and, without a new one, of those that follow.
        """
        check_seed(seed)
        if seed is not None or self._rng is None:
            self._rng, _ = seeding.np_random(seed)
        self.kernels, self.ages = [0] * self.depth, [0] * self.depth
        self.actions: list[Any] = [None] * self.depth
        self.costs, self.returns = [0.0] * self.depth, [0.0] * self.depth
        self.ended: dict[int, tuple[bool, Any]] = {}
        for level in range(1, self.depth):
            self._draw_start(level)
        self._plan_episode()
        self._reset_world()
        self.due = self.depth - 1
        self._show()

    def move(self, action: Any) -> float:
        """Let the level that is due act.

        Args:
            action: An element of its action space.

        Returns:
            What is paid: this level and all above it receive it.

        Raises:
            gymnasium.error.ResetNeeded: If no game is under way.
            gymnasium.error.InvalidAction: If the action is none of this level's. All is then as before.
        """
        level = self.due
        if level is None:
            raise ResetNeeded("No game is under way: it has not begun, or it is over. Call reset() first.")
        paid = self._act(action) if level == 0 else self._decide(level, action)
        for k in range(level, self.depth):
            self.returns[k] += paid
        self._show()
        return paid

    def observe(self, level: int) -> Any:
        """Show a level what it sees.

        Args:
            level: Which one.
        """
        if level > 0:
            return np.int64(self.kernels[level] * self.levels.levels[level - 1].states + self.kernels[level - 1])
        if not self._seen:
            self._reset_world()
        if isinstance(self.levels.world.observation, int):
            return np.int64(self.kernels[0] * self.levels.world.observation + self._observation)
        marks = np.zeros(len(self._values), np.float32)
        marks[self.kernels[0]] = 1.0
        return np.concatenate([self._observation, marks])

    def describe(self, level: int) -> dict[str, Any]:
        """Say what a level should know beside its observation.

        Args:
            level: Which one.

        Returns:
            ``kernel``, the index of its own kernel (of the configuration, at level 0); ``begins``, whether its next action will
            be the first of an episode; and the ``action_mask`` of a level above the world, or the ``world``'s own info.
        """
        own = {"world": self.info} if level == 0 else {"action_mask": self._action_mask(level)}
        return {"kernel": self.kernels[level], "begins": self.ages[level] == 0, **own}

    def picture(self) -> Picture | None:
        """Draw the world, and below it what every level has in force, has done and has received.

        Returns:
            uint8 of shape (height, width, 3); None unless the render_mode is ``"rgb_array"``.
        """
        return None if self._window else self._picture()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window:
            self._window.close()

    def check(self, level: int, action: Any) -> None:
        """Refuse what is no action.

        Args:
            level: Whose.
            action: What was given.

        Raises:
            gymnasium.error.InvalidAction: If it is none of this level's.
        """
        if level == 0:
            self.env.read_action(action)
        elif not self.action_spaces[level].contains(action):
            names = ", ".join(f"{u} {name}" for u, name in enumerate(self.levels.levels[level - 1].actions[:12]))
            raise InvalidAction(f"{action!r} is no action of level {level}. Give the index of one: {names}.")

    def _action_mask(self, level: int) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        mask: np.ndarray[tuple[int], np.dtype[np.int8]]
        mask = self.levels.levels[level - 1].allowed[self.kernels[level - 1]].astype(np.int8)
        return mask

    def _show(self) -> None:
        if self._window:
            self._window.show(self._picture())

    def _picture(self) -> Any:
        if self._strip is None:
            raise InvalidOption("These levels were made without a render_mode: say render_mode='rgb_array' when you make them.")
        return np.concatenate([self.env.render(), self._strip.picture([self._row(level) for level in range(self.depth)])])

    def _row(self, level: int) -> Row:
        action, due = self.actions[level], level == self.due
        if level == 0:
            branches = self.levels.world.branches
            name = "" if action is None else branches[self.env.read_action(action)[0]].name
            return Row("level 0", due, (), 0, name, 0.0, self.returns[0])
        rules = self.levels.levels[level - 1]
        names = self.levels.names if level == 1 else self.levels.levels[level - 2].names
        name = "" if action is None else rules.actions[action]
        return Row(f"level {level}", due, names, self.kernels[level - 1], name, self.costs[level], self.returns[level])

    def _decide(self, level: int, action: Any) -> float:
        self.check(level, action)
        rules, here = self.levels.levels[level - 1], self.kernels[level - 1]
        self._note(level, action)
        self.costs[level] = float(rules.costs[here, action])
        self.kernels[level - 1] = self._draw(rules.kernel[self.kernels[level], action, here])
        self.due = level - 1
        if level == 1:
            self._configure()
        return -self.costs[level]

    def _act(self, action: Any) -> float:
        observation, reward, terminated, _, info = self.env.step(action)
        self._note(0, action)
        self._observation, self.info = observation, info
        self._under_way = True
        self._end(terminated)
        return reward

    def _note(self, level: int, action: Any) -> None:
        self.ended = {}
        if self.ages[level] == 0:
            self.returns[level] = 0.0
        self.ages[level] += 1
        self.actions[level] = action

    def _end(self, terminated: bool) -> None:
        """End the episodes that end after an action of level 0, and begin the next ones."""
        level = 0
        while level < self.depth:
            over = terminated and (level == 0 or self.levels.persistent)
            over = over or (self._discounts[level] < 1.0 and self._random() >= self._discounts[level])
            if not over and self.ages[level] != self._limits[level]:
                break
            self.ended[level] = over, self.observe(level)
            level += 1
        if level == self.depth:
            self.due = None
            return
        self.due = level
        for below in range(level):
            self.ages[below] = 0
        if level > 0 and not self.levels.persistent:
            for below in range(1, level):
                self._draw_start(below)
            self._plan_episode()

    def _plan_episode(self) -> None:
        """Fix the chances of the world's next episode, which begins when somebody looks, or the configuration is decided."""
        assert self._rng is not None
        self._seed = int(self._rng.integers(2**63))
        self._seen = self._under_way = False

    def _configure(self) -> None:
        """Bring the configuration into force: in a new episode by a reset, else where the world stands."""
        if self._under_way:
            self._observation, self.info = self.env.change(self._values[self.kernels[0]])
        else:
            self._reset_world()

    def _reset_world(self) -> None:
        self._observation, self.info = self.env.begin(self._seed, self._values[self.kernels[0]])
        self._seen = True

    def _draw_start(self, level: int) -> None:
        self.actions[level], self.costs[level] = None, 0.0
        self.kernels[level - 1] = self._draw(self.levels.levels[level - 1].start)

    def _draw(self, law: Any) -> int:
        assert self._rng is not None
        return int(self._rng.choice(len(law), p=law))

    def _random(self) -> float:
        assert self._rng is not None
        return float(self._rng.random())

    def _world_space(self) -> "spaces.Box | spaces.Discrete[np.int64]":
        own, count = observation_space(self.levels.world), len(self._values)
        if isinstance(own, spaces.Discrete):
            return spaces.Discrete(count * int(own.n))
        if not isinstance(own, spaces.Box):
            raise InvalidOption(
                f"{self.levels.world.name} is observed as {own}: levels need a Box, or one of a number of states."
            )
        marks = np.zeros(count, np.float32)
        return spaces.Box(np.concatenate([own.low, marks]), np.concatenate([own.high, marks + 1.0]), dtype=np.float32)


class _World(WorldEnv):
    """A world whose configurations were checked when the levels were made: to check them at each reset would cost more."""

    def begin(self, seed: int, configuration: Vector) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in a configuration."""
        self._starts = np.ascontiguousarray(np.stack([configuration, configuration])[None])
        return self.reset(seed=seed)

    def change(self, configuration: Vector) -> tuple[Any, dict[str, Any]]:
        """Go on in a configuration."""
        state = self.get_state()
        state["configuration"]["values"] = configuration
        film, self._film = self._film, None  # For the film no episode begins.
        try:
            return self.set_state(state)
        finally:
            self._film = film
