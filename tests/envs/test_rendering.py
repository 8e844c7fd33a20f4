"""Pictures show what happens, and change nothing of it."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled, Error
from gymnasium.utils.save_video import save_video
from gymnasium.wrappers import RecordVideo

import reworld  # noqa: F401
from reworld.engine.tracing import trace
from reworld.environment import WorldEnv
from reworld.errors import InvalidOption
from reworld.policies import compose_action
from reworld.rendering import Canvas

pygame = pytest.importorskip("pygame")

WORLDS = ["reworld.worlds.cartpole:WORLD", "reworld.worlds.platform:WORLD"]
PLATFORM = "reworld.worlds.platform:WORLD"


def hop(distance: float) -> Any:
    return 1, tuple(np.array([value], np.float32) for value in (0.0, distance, 0.0))


@pytest.mark.parametrize("world", WORLDS)
class TestPictures:
    def test_present_state(self, world: str) -> None:
        env = WorldEnv(world, render_mode="rgb_array")
        env.reset(seed=0)
        before = env.render()
        env.step(env.action_space.sample())
        assert before.dtype == np.uint8
        assert before.shape == (300, 720, 3)
        assert before.flags.c_contiguous
        assert not np.array_equal(before, env.render())
        assert np.array_equal(env.render(), env.render())

    def test_every_configuration_can_be_drawn(self, world: str) -> None:
        env = WorldEnv(world, configuration="random", render_mode="rgb_array")
        env.action_space.seed(0)
        for seed in range(20):
            env.reset(seed=seed)
            env.step(env.action_space.sample())
            assert env.render().shape == (300, 720, 3)

    def test_rendering_changes_no_trajectory(self, world: str) -> None:
        plain = WorldEnv(world, configuration="random")
        drawn = WorldEnv(world, configuration="random", render_mode="rgb_array_list")
        drawn.action_space.seed(0)
        for seed in range(3):
            assert np.array_equal(plain.reset(seed=seed)[0], drawn.reset(seed=seed)[0])
            terminated = False
            while not terminated:
                action = drawn.action_space.sample()
                expected, actual = plain.step(action), drawn.step(action)
                assert np.array_equal(expected[0], actual[0])
                assert expected[1:3] == actual[1:3]
                terminated = actual[2]
                if seed == 0:
                    drawn.render()
            assert plain.get_state().tobytes() == drawn.get_state().tobytes()

    def test_copies(self, world: str) -> None:
        env = WorldEnv(world, render_mode="rgb_array_list")
        env.reset(seed=0)
        env.render()
        env.step(env.action_space.sample())
        for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
            assert np.array_equal(twin.render(), copy.deepcopy(env).render())


class TestSubsteps:
    def test_list_shows_every_one(self) -> None:
        env = WorldEnv(PLATFORM, render_mode="rgb_array_list")
        env.reset(seed=0)
        assert len(env.render()) == 1
        env.step(hop(100.0))
        pictures = env.render()
        assert len(pictures) == env.get_state()["state"]["substeps"] > 100
        assert all(picture.shape == (300, 720, 3) for picture in pictures)
        assert env.render() == []

    @pytest.mark.parametrize("configuration", [None, "random"])
    def test_last_one_is_what_the_step_led_to(self, configuration: Any) -> None:
        env = WorldEnv(PLATFORM, configuration=configuration)
        env.action_space.seed(0)
        env.reset(seed=0)
        for _ in range(100):
            before, action = env.get_state(), env.action_space.sample()
            _, _, terminated, _, _ = env.step(action)
            seen = trace(env.world, before, int(action[0]), action[1][action[0]].astype(np.float64))
            after = env.get_state()
            assert len(seen) == after["state"]["substeps"]
            for field in set(env.world.state) - {"substeps"}:  # Counted after the sub-step has returned.
                assert seen[-1]["state"][field] == after["state"][field], field
            if terminated:
                env.reset()

    def test_canvas_shows_the_way_to_the_present(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[int] = []
        monkeypatch.setattr(Canvas, "landscape", lambda canvas: seen.append(len(canvas.past)))
        env = WorldEnv(PLATFORM, render_mode="rgb_array_list")
        env.reset(seed=0)
        env.step(hop(100.0))
        assert len(env.render()) == len(seen)
        assert seen == list(range(len(seen)))

    def test_film_that_nobody_looks_at_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("reworld.rendering._LONGEST_FILM", 3)
        env = WorldEnv("reworld.worlds.cartpole:WORLD", render_mode="rgb_array_list")
        env.reset(seed=0)
        for branch in (0, 1, 0, 1, 0, 1):
            env.step(branch)
        assert len(env.render()) == 3


class TestVideo:
    def test_save_video_shows_substeps(self, tmp_path: Path) -> None:
        env = gymnasium.make("reworld/Platform-v0", render_mode="rgb_array_list")
        env.reset(seed=0)
        for distance in (200.0, 50.0):
            env.step(hop(distance))
        pictures: Any = env.render()
        save_video(pictures, str(tmp_path), fps=env.metadata["render_fps"])
        # moviepy rounds the duration.
        assert abs(count_frames(tmp_path / "rl-video-episode-0.mp4") - len(pictures)) <= 1
        assert len(pictures) > 200

    @pytest.mark.parametrize("mode", ["rgb_array", "rgb_array_list"])
    def test_record_video_shows_one_picture_per_step(self, tmp_path: Path, mode: str) -> None:
        env = RecordVideo(gymnasium.make("reworld/CartPole-v0", render_mode=mode), str(tmp_path / "new"))
        env.reset(seed=0)
        for branch in (0, 1, 0, 1, 0):
            env.step(branch)
        env.close()
        assert abs(count_frames(tmp_path / "new" / "rl-video-episode-0.mp4") - 6) <= 1  # moviepy rounds the duration.


def count_frames(video: Path) -> int:
    from imageio_ffmpeg import count_frames_and_secs

    return count_frames_and_secs(str(video))[0]


class TestPygame:
    def test_is_imported_at_the_first_picture(self) -> None:
        script = """if True:
            import sys
            from reworld.environment import WorldEnv
            env = WorldEnv("reworld.worlds.cartpole:WORLD", render_mode="rgb_array")
            env.reset(seed=0)
            env.step(0)
            assert "pygame" not in sys.modules
            env.render()
            assert "pygame" in sys.modules
        """
        subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})

    def test_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pygame", None)
        env = WorldEnv(PLATFORM, render_mode="rgb_array")
        env.reset(seed=0)
        with pytest.raises(DependencyNotInstalled, match=r'pip install "reworld\[render\]"'):
            env.render()


class TestWindow:
    def test_without_a_screen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        env = WorldEnv("reworld.worlds.cartpole:WORLD", render_mode="human")
        for seed in range(2):
            env.reset(seed=seed)
            env.step(0)
            assert env.render() is None
            window = pygame.surfarray.array3d(pygame.display.get_surface())
            assert window.shape == (720, 300, 3)
            assert np.unique(window).size > 50
            pickle.dumps(env)
            env.close()

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
    def test_without_a_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pygame.display.quit()
        for variable in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"):
            monkeypatch.delenv(variable, raising=False)
        with pytest.raises(Error, match="there is no display here: use render_mode='rgb_array'"):
            WorldEnv(PLATFORM, render_mode="human")
        assert not pygame.display.get_init()


def test_unknown_mode() -> None:
    with pytest.raises(InvalidOption, match="'ascii' is unknown"):
        WorldEnv(PLATFORM, render_mode="ascii")


def test_caption_shows_as_many_changes_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = Canvas._text
    monkeypatch.setattr(Canvas, "_text", lambda canvas, text, *rest: written.append(text) or write(canvas, text, *rest))
    env = WorldEnv(PLATFORM, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(hop(100.0))
    env.render()
    assert written[0] == "Platform    hop, distance 100 units"
    assert written[-1] == "default configuration"
    env.reset(seed=0, options={"configuration": {"gravity": 20.0, "height2": 55.5}})
    env.render()
    assert written[-1] == "gravity 9.8 -> 20    height2 40 -> 55.5"
    env.reset(seed=0, options={"configuration": "random"})
    env.render()
    assert written[-1].endswith(" more")


def test_caption_leaves_out_the_name_where_there_is_no_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = Canvas._text
    monkeypatch.setattr(Canvas, "_text", lambda canvas, text, *rest: written.append(text) or write(canvas, text, *rest))
    env = gymnasium.make("reworld/ConfigurableHardMove-v0", render_mode="rgb_array")
    env.reset(seed=0)
    env.step(compose_action(env.unwrapped.world, 16, (1.0,)))
    env.render()
    assert "shift_force: 2 -> 3, cost 1" in written
    assert "paid 1.00" in written
