"""Films hold every picture of an episode, sub-steps included, and no other."""

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

import reworld  # noqa: F401
from reworld.errors import InvalidOption
from reworld.video import RecordVideo, film_episode, save_film

pygame = pytest.importorskip("pygame")

PLATFORM, CARTPOLE = "reworld/Platform-v0", "reworld/CartPole-v0"
RUN = (0, tuple(np.array([value], np.float32) for value in (1.0, 0.0, 0.0)))
SUBSTEPS = 20  # Of a run: a second, in steps of 0.05 s.


def count_frames(video: Path) -> int:
    from imageio_ffmpeg import count_frames_and_secs

    return int(count_frames_and_secs(str(video))[0])


class TestRecordVideo:
    def record(self, folder: Path, mode: str = "rgb_array_list", **arguments: Any) -> RecordVideo:
        return RecordVideo(gymnasium.make(PLATFORM, render_mode=mode), str(folder / "new"), **arguments)

    def test_shows_every_substep(self, tmp_path: Path) -> None:
        env = self.record(tmp_path)
        env.reset(seed=0)
        env.step(RUN)
        env.step(RUN)
        env.close()
        # moviepy rounds the duration.
        assert abs(count_frames(tmp_path / "new" / "rl-video-episode-0.mp4") - (1 + 2 * SUBSTEPS)) <= 1

    def test_gymnasiums_own_shows_one_picture_per_step(self, tmp_path: Path) -> None:
        """The reason for ours; if this fails, ours may be no longer needed."""
        env = gymnasium.wrappers.RecordVideo(gymnasium.make(PLATFORM, render_mode="rgb_array_list"), str(tmp_path / "new"))
        env.reset(seed=0)
        env.step(RUN)
        env.step(RUN)
        env.close()
        assert abs(count_frames(tmp_path / "new" / "rl-video-episode-0.mp4") - 3) <= 1

    @pytest.mark.parametrize("wrapper", [gymnasium.wrappers.RecordVideo, RecordVideo], ids=["Gymnasium", "reworld"])
    def test_one_picture_per_step_in_mode_rgb_array(self, tmp_path: Path, wrapper: Any) -> None:
        env = wrapper(gymnasium.make(CARTPOLE, render_mode="rgb_array"), str(tmp_path / "new"))
        env.reset(seed=0)
        for branch in (0, 1, 0, 1, 0):
            env.step(branch)
        env.close()
        assert abs(count_frames(tmp_path / "new" / "rl-video-episode-0.mp4") - 6) <= 1

    def test_one_file_per_chosen_episode(self, tmp_path: Path) -> None:
        env = self.record(tmp_path, episode_trigger=lambda episode: episode in {0, 2})
        for steps in (1, 3, 2):
            env.reset(seed=0)
            for _ in range(steps):
                env.step(RUN)
        env.close()
        frames = {file.name: count_frames(file) for file in (tmp_path / "new").iterdir()}
        assert frames.keys() == {"rl-video-episode-0.mp4", "rl-video-episode-2.mp4"}
        assert abs(frames["rl-video-episode-0.mp4"] - (1 + SUBSTEPS)) <= 1
        assert abs(frames["rl-video-episode-2.mp4"] - (1 + 2 * SUBSTEPS)) <= 1

    def test_a_recording_that_begins_within_an_episode_begins_with_the_present(self, tmp_path: Path) -> None:
        env = self.record(tmp_path, step_trigger=lambda step: step == 1)
        env.reset(seed=0)
        for _ in range(3):
            env.step(RUN)
        assert len(env.recorded_frames) == 1 + SUBSTEPS
        env.close()

    def test_length_counts_pictures(self, tmp_path: Path) -> None:
        env = self.record(tmp_path, video_length=SUBSTEPS + 5)
        env.reset(seed=0)
        for _ in range(3):
            env.step(RUN)
        env.close()
        assert abs(count_frames(tmp_path / "new" / "rl-video-episode-0.mp4") - (1 + 2 * SUBSTEPS)) <= 1

    def test_pictures_can_be_looked_at_meanwhile(self, tmp_path: Path) -> None:
        env = self.record(tmp_path)
        env.reset(seed=0)
        env.step(RUN)
        assert len(env.render()) == 1 + SUBSTEPS
        env.step(RUN)
        assert len(env.render()) == SUBSTEPS
        assert len(env.recorded_frames) == 1 + 2 * SUBSTEPS
        env.step(RUN)
        env.reset()
        assert len(env.render()) == 1
        env.close()

    def test_spec_can_be_made_again(self, tmp_path: Path) -> None:
        env = self.record(tmp_path, name_prefix="hops")
        assert env.spec is not None
        with pytest.warns(UserWarning, match="Overwriting existing videos"):
            again = gymnasium.make(env.spec)
        assert isinstance(again, RecordVideo)
        assert again.name_prefix == "hops"


class TestFilmEpisode:
    def test_gives_every_picture_of_one_episode(self) -> None:
        env: Any = gymnasium.make(PLATFORM, render_mode="rgb_array_list")
        pictures = list(film_episode(env, lambda _: RUN, seed=0))
        seen = env.get_wrapper_attr("get_state")()
        assert seen["ended"]
        assert len(pictures) % SUBSTEPS == 1 + seen["state"]["substeps"] % SUBSTEPS
        assert len(pictures) > 2 * SUBSTEPS

    def test_ends_at_the_time_limit(self) -> None:
        env = gymnasium.make(CARTPOLE, render_mode="rgb_array_list", max_episode_steps=5)
        assert len(list(film_episode(env, lambda _: 0, seed=0))) == 6

    def test_a_window_shows_its_pictures_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        env = gymnasium.make(CARTPOLE, render_mode="human", max_episode_steps=2)
        assert list(film_episode(env, lambda _: 0, seed=0)) == []
        env.close()

    def test_of_single_pictures_there_is_no_film(self) -> None:
        with pytest.raises(
            InvalidOption, match="render_mode='rgb_array' has no film: make the environment with 'rgb_array_list'"
        ):
            next(film_episode(gymnasium.make(CARTPOLE, render_mode="rgb_array"), lambda _: 0))


PICTURES = [np.full((30, 40, 3), shade, np.uint8) for shade in range(0, 250, 10)]


class TestSaveFilm:
    @pytest.mark.parametrize("suffix", [".mp4", ".gif"])
    def test_has_every_picture(self, tmp_path: Path, suffix: str) -> None:
        file = tmp_path / "folder" / f"film{suffix}"
        assert save_film(file, iter(PICTURES), 25) == 25
        assert count_frames(file) == 25

    def test_png_is_the_last_picture(self, tmp_path: Path) -> None:
        file = tmp_path / "picture.png"
        assert save_film(file, iter(PICTURES), 25) == 25
        assert np.array_equal(pygame.surfarray.array3d(pygame.image.load(file)).transpose(1, 0, 2), PICTURES[-1])

    def test_unknown_kind_of_file(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidOption, match=r"film\.avi' is no film: give a name that ends in \.mp4"):
            save_film(tmp_path / "film.avi", PICTURES, 25)

    def test_without_moviepy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "moviepy.video.io.ffmpeg_writer", None)
        with pytest.raises(DependencyNotInstalled, match=r'pip install "reworld\[render\]"'):
            save_film(tmp_path / "film.mp4", PICTURES, 25)
