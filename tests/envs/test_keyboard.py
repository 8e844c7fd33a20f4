"""Keys make up an action; a window shows what comes of it."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.error import Error
from hypothesis import given
from hypothesis import strategies as st

import reworld
from reworld.environment import WorldEnv
from reworld.errors import InvalidConfiguration, InvalidOption
from reworld.keyboard import Choice, first_choice, press
from reworld.world import Branch, Quantity, World
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.platform import WORLD as PLATFORM

pygame = pytest.importorskip("pygame")


def world_of(*counts: int) -> World:
    """A world whose branches have so many parameters, from -1 to 3."""
    own = [tuple(Quantity(f"x{k}", -1.0, 3.0, "m", "a length") for k in range(count)) for count in counts]
    return World(**{**vars(CARTPOLE), "branches": tuple(Branch(str(k), "", each) for k, each in enumerate(own))})


def pressed(world: World, *keys: str) -> Choice:
    choice = first_choice(world)
    for key in keys:
        choice = press(world, choice, key)
    return choice


class TestPress:
    def test_begins_with_the_first_branch_in_the_middle_of_the_bounds(self) -> None:
        assert first_choice(world_of(2, 0, 1)) == Choice(((1.0, 1.0), (), (1.0,)), branch=0)

    @pytest.mark.parametrize(
        ("branches", "keys", "expected"),
        [
            (3, ["2"], 2),
            (3, ["[2]"], 2),  # On the keypad.
            (3, ["3"], 0),  # There is none.
            (3, ["1", "2"], 2),
            (16, ["1", "5"], 15),
            (16, ["1", "6"], 6),  # There is no 16.
            (16, ["1", "tab", "5"], 5),  # A number ends where something else is pressed.
            (1024, ["1", "0", "2", "3"], 1023),
            (1024, ["1", "0", "2", "4"], 4),
        ],
    )
    def test_a_number_chooses_the_branch(self, branches: int, keys: list[str], expected: int) -> None:
        assert pressed(world_of(*[1] * branches), *keys).branch == expected

    def test_arrows_change_the_first_two_parameters_in_twenty_notches(self) -> None:
        world = world_of(0, 2)
        assert pressed(world, "1", "right").values[1] == pytest.approx((1.2, 1.0))
        assert pressed(world, "1", "left").values[1] == pytest.approx((0.8, 1.0))
        assert pressed(world, "1", "up").values[1] == pytest.approx((1.0, 1.2))
        assert pressed(world, "1", "down").values[1] == pytest.approx((1.0, 0.8))
        assert pressed(world, "1", *["right"] * 10, *["down"] * 10).values[1] == (3.0, -1.0)

    def test_tab_goes_on_to_the_next_two_and_around(self) -> None:
        world = world_of(3)
        assert pressed(world, "tab", "right", "up").values[0] == pytest.approx((1.0, 1.0, 1.2))
        assert pressed(world, "tab", "tab", "right").values[0] == pytest.approx((1.2, 1.0, 1.0))

    def test_every_branch_keeps_its_parameters(self) -> None:
        assert pressed(PLATFORM, "right", "1", "right", "0").values[:2] == ((16.5,), (396.0,))

    @given(st.lists(st.sampled_from([*"0123456789", "left", "right", "up", "down", "tab", "x"]), max_size=60))
    def test_whatever_is_pressed_is_an_action_within_its_bounds(self, keys: list[str]) -> None:
        world = world_of(0, 1, 2, 3, 5)
        choice = pressed(world, *keys)
        own = world.branches[choice.branch].parameters
        assert len(choice.values[choice.branch]) == len(own)
        assert choice.first < max(1, len(own))
        assert all(p.low <= value <= p.high for p, value in zip(own, choice.values[choice.branch], strict=True))


PLATFORM_ID, CARTPOLE_ID = "reworld/Platform-v0", "reworld/CartPole-v0"


class Screen:
    """A window that nobody sees, with keys that nobody presses.

    Attributes:
        asked: What the environment was asked to do.
        shown: The window after every change of it.
        ticks: How many pictures had their time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.shown: list[Any] = []
        self.ticks = 0
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        monkeypatch.setattr(pygame.time, "Clock", lambda: self)
        monkeypatch.setattr(pygame.display, "flip", self.flip)
        for name in ("reset", "step"):
            monkeypatch.setattr(WorldEnv, name, self.spy(name, getattr(WorldEnv, name)))

    def spy(self, name: str, method: Any) -> Any:
        def ask(env: WorldEnv, *arguments: Any, **named: Any) -> Any:
            self.asked.append((name, *arguments, *named.values()))
            return method(env, *arguments, **named)

        return ask

    def flip(self) -> None:
        self.shown.append(pygame.surfarray.array3d(pygame.display.get_surface()))

    def tick(self, frames_per_second: int) -> None:
        self.ticks += 1

    def press(self, *keys: int) -> None:
        """Press keys as fast as one can, the last of them q."""
        pygame.display.init()
        pygame.event.clear()
        for key in (*keys, pygame.K_q):
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    yield Screen(monkeypatch)
    pygame.display.quit()


class TestPlay:
    def test_space_takes_the_action_that_was_chosen(self, screen: Screen) -> None:
        screen.press(pygame.K_1, pygame.K_RIGHT, pygame.K_SPACE, pygame.K_RETURN)
        reworld.play(PLATFORM_ID, seed=3)
        begin, *steps = screen.asked
        assert begin == ("reset", 3, None)
        assert [name for name, _ in steps] == ["step", "step"]
        for _, (branch, parameters) in steps:
            assert branch == 1
            assert [own.tolist() for own in parameters] == [[0.0], [396.0], [0.0]]

    def test_begins_again_as_it_was_made_or_in_a_random_configuration(self, screen: Screen) -> None:
        screen.press(pygame.K_r, pygame.K_n)
        reworld.play(PLATFORM_ID, seed=3)
        assert screen.asked == [("reset", 3, None), ("reset", None, None), ("reset", None, {"configuration": "random"})]

    def test_after_the_end_space_begins_another_episode(self, screen: Screen) -> None:
        screen.press(pygame.K_1, pygame.K_SPACE, pygame.K_SPACE, pygame.K_SPACE)
        reworld.play(PLATFORM_ID, seed=0, max_episode_steps=1)
        assert [name for name, *_ in screen.asked] == ["reset", "step", "reset", "step"]

    def test_every_substep_is_shown(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = iter([pygame.K_SPACE, pygame.K_q])
        monkeypatch.setattr(pygame.event, "wait", lambda: pygame.event.Event(pygame.KEYDOWN, key=next(keys)))
        reworld.play(PLATFORM_ID, seed=0)
        assert screen.ticks == 1 + 20  # The first picture, and a run of a second in steps of 0.05 s.
        assert len({shown.tobytes() for shown in screen.shown}) >= 20

    def test_the_next_key_does_not_wait_for_the_film(self, screen: Screen) -> None:
        screen.press(pygame.K_SPACE, pygame.K_SPACE)
        reworld.play(PLATFORM_ID, seed=0)
        assert screen.ticks == 0

    def test_the_choice_is_below_the_picture(self, screen: Screen) -> None:
        screen.press(pygame.K_2, pygame.K_RIGHT)
        reworld.play(PLATFORM_ID, seed=0)
        width, height = PLATFORM.picture
        chosen, changed = screen.shown
        assert chosen.shape[0] == width
        assert np.array_equal(chosen[:, :height], changed[:, :height])
        assert not np.array_equal(chosen[:, height:], changed[:, height:])

    def test_help_is_shown_until_the_next_key(self, screen: Screen) -> None:
        screen.press(pygame.K_x, pygame.K_h, pygame.K_h, pygame.K_h, pygame.K_x)
        reworld.play(PLATFORM_ID, seed=0)
        without, *shown = screen.shown
        assert [np.array_equal(each, without) for each in shown] == [False, True, False, True]

    def test_a_world_without_parameters(self, screen: Screen) -> None:
        screen.press(pygame.K_1, pygame.K_UP, pygame.K_SPACE)
        reworld.play(CARTPOLE_ID, seed=0)
        assert screen.asked[1:] == [("step", 1)]

    def test_closing_the_window_quits(self, screen: Screen) -> None:
        screen.press()
        pygame.event.clear()
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        reworld.play(PLATFORM_ID)
        assert not pygame.display.get_init()

    def test_takes_what_make_takes(self, screen: Screen) -> None:
        with pytest.raises(InvalidConfiguration, match="Did you mean 'gravity'"):
            reworld.play(PLATFORM_ID, configuration={"gravty": 3.0})
        with pytest.raises(InvalidOption, match=f"Did you mean '{PLATFORM_ID}'"):
            reworld.play("reworld/Plattform-v0")

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
    def test_without_a_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pygame.display.quit()
        for variable in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"):
            monkeypatch.delenv(variable, raising=False)
        with pytest.raises(Error, match="there is no display here"):
            reworld.play(PLATFORM_ID)
