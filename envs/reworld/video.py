"""Films of an episode, with every sub-step of its actions."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.error import DependencyNotInstalled

from reworld.errors import InvalidOption
from reworld.rendering import Picture, import_pygame


# How many type parameters the parent has depends on Gymnasium's version.
class RecordVideo(gymnasium.wrappers.RecordVideo):
    """Gymnasium's `RecordVideo`, with every picture that an environment of mode ``"rgb_array_list"`` gives.

    Gymnasium's own keeps the last picture of an action, so that a hop is one jerk. The arguments are its own, except that
    ``video_length`` counts pictures: a video ends with the action in which that many have come together.
    """

    def reset(self, **arguments: Any) -> Any:
        """Begin an episode; pictures of the one before that nobody has looked at are forgotten."""
        self.render_history = []
        return super().reset(**arguments)

    def _capture_frame(self) -> None:
        if self.env.render_mode != "rgb_array_list":
            super()._capture_frame()  # type: ignore[no-untyped-call]
            return
        pictures: Any = self.env.render()
        self.render_history += pictures
        # A video that begins within an episode begins with the present, not with all that nobody had looked at.
        self.recorded_frames += pictures if self.recorded_frames else pictures[-1:]


def film_episode(env: Any, act: Callable[[Any], Any], seed: int | None = None) -> Iterator[Picture]:
    """Play an episode, and give its pictures as they come: those of a long one would fill the memory.

    Args:
        env: Made with ``render_mode="rgb_array_list"``; or with ``"human"``, which shows its pictures itself.
        act: From an observation to an action.
        seed: Of the episode.

    Raises:
        InvalidOption: If it was made with another render_mode.
    """
    if env.render_mode not in {"rgb_array_list", "human"}:
        raise InvalidOption(f"render_mode={env.render_mode!r} has no film: make the environment with 'rgb_array_list'.")
    observation, _ = env.reset(seed=seed)
    ended = False
    yield from env.render() or ()
    while not ended:
        observation, _, terminated, truncated, _ = env.step(act(observation))
        ended = terminated or truncated
        yield from env.render() or ()


def save_film(file: Path, pictures: Iterable[Picture], frames_per_second: int) -> int:
    """Write pictures to a file.

    Args:
        file: A film, ``.mp4`` or ``.gif``; or the last picture, ``.png``.
        pictures: At least one, uint8 of shape (height, width, 3).
        frames_per_second: How fast the film runs.

    Returns:
        How many pictures there were.

    Raises:
        InvalidOption: If the file's name ends in something else.
        gymnasium.error.DependencyNotInstalled: If moviepy is missing.
    """
    if file.suffix not in {*_CODECS, ".png"}:
        raise InvalidOption(f"{str(file)!r} is no film: give a name that ends in .mp4 or .gif, or .png for the last picture.")
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".png":
        [(count, last)] = deque(enumerate(pictures, 1), maxlen=1)
        _save_picture(file, last)
        return count
    iterator, count = iter(pictures), 0
    first = next(iterator)
    height, width, _ = first.shape
    with _writer()(str(file), (width, height), frames_per_second, **_CODECS[file.suffix]) as writer:
        for picture in chain([first], iterator):
            writer.write_frame(picture)
            count += 1
    return count


_CODECS: dict[str, dict[str, Any]] = {
    ".mp4": {},
    # One palette for the whole film keeps colours still.
    ".gif": {"codec": "gif", "ffmpeg_params": ["-vf", "split[all][seen];[seen]palettegen[palette];[all][palette]paletteuse"]},
}


def _writer() -> Any:
    try:
        from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter
    except ImportError as error:
        raise DependencyNotInstalled('A film needs moviepy: pip install "reworld[render]".') from error
    return FFMPEG_VideoWriter


def _save_picture(file: Path, picture: Picture) -> None:
    pygame = import_pygame()
    pygame.image.save(pygame.surfarray.make_surface(picture.transpose(1, 0, 2)), str(file))
