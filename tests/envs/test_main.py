"""The command line: what it prints, what it writes, and how it refuses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reworld
from reworld.__main__ import main

PLATFORM, RING = "reworld/Platform-v0", "main/Ring-v0"


@pytest.fixture(autouse=True)
def _register() -> None:
    reworld.register(RING, "worlds.ring:ring", max_episode_steps=20)


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "reworld", "list"]
    outcome = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert "reworld/Platform-v0 3 1 each 9 numbers 24 parameters 200 0.97" in squeezed(outcome.stdout)
    assert not outcome.stderr


def test_only_pictures_need_an_extra(tmp_path: Path) -> None:
    script = f"""if True:
        import sys
        sys.modules["pygame"] = sys.modules["moviepy"] = None
        from reworld.__main__ import main
        assert main(["list"]) == main(["describe", "{PLATFORM}"]) == 0
        assert main(["render", "{PLATFORM}", "--output", "{tmp_path}/x.png"]) == 2
        assert main(["play", "{PLATFORM}"]) == 2
    """
    command = [sys.executable, "-c", script]
    outcome = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert outcome.stderr.splitlines() == ['reworld: Drawing needs pygame: pip install "reworld[render]".'] * 2


def test_list_is_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == f"{reworld.list_worlds()}\n"


class TestDescribe:
    def test_tells_all_there_is_to_know(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["describe", PLATFORM]) == 0
        lines = squeezed(capsys.readouterr().out)
        for expected in (
            PLATFORM,
            "Platform: run, hop and leap over three platforms to the far end, past two enemies and two gaps.",
            "Time limit: 200. Solved from a mean return of: 0.97.",
            "1 hop jump high distance 0 720 units how far to aim",
            "1 vx 0 2 horizontal speed: vx / 100",
            "gravity 9.8 2 30 units/s² downward acceleration in the air",
        ):
            assert expected in lines

    def test_a_member_of_a_family(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["describe", RING, "--arguments", "size=7"]) == 0
        assert "Observation: one of 7 states." in squeezed(capsys.readouterr().out)

    def test_a_changeable_world_says_what_changes_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["describe", "reworld/ConfigurablePlatform-v0"]) == 0
        lines = squeezed(capsys.readouterr().out)
        for expected in (
            "Platform: run, hop and leap over three platforms to the far end, past two enemies and two gaps.",
            "Platform, on a planet too heavy to leap its gaps: who prepares the course before the start reaches the end.",
            "3 set_gravity change gravity value 3 17 units/s² downward acceleration in the air",
        ):
            assert expected in lines

    def test_many_branches_are_cut_short(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["describe", RING, "--arguments", "branches=40"]) == 0
        assert "and 8 more" in squeezed(capsys.readouterr().out)


class TestRender:
    @pytest.fixture(autouse=True)
    def _needs_pygame(self) -> None:
        pytest.importorskip("pygame")

    def test_films_an_episode(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from imageio_ffmpeg import count_frames_and_secs

        file = tmp_path / "platform.mp4"
        assert main(["render", PLATFORM, "--output", str(file), "--seed", "1", "--policy", "random"]) == 0
        frames = count_frames_and_secs(str(file))[0]
        assert frames > 20
        assert capsys.readouterr().out == f"{file}: {frames} pictures\n"

    def test_what_is_asked_for_changes_the_film_and_nothing_else_does(self, tmp_path: Path) -> None:
        films = []
        for words in (
            ["--policy", "random"],
            ["--policy", "random"],
            ["--policy", "random", "--seed", "4"],
            ["--policy", "random", "--configuration", "gravity=20", "half_length=0.3"],
            ["--policy", "random", "--configuration", "random"],
        ):
            file = tmp_path / "picture.png"
            assert main(["render", "reworld/CartPole-v0", "--output", str(file), *words]) == 0
            films.append(file.read_bytes())
        assert films[0] == films[1]
        assert len(set(films)) == 4

    def test_the_scripted_policy_plays_unless_another_one_is_asked_for(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["render", RING, "--output", str(tmp_path / "ring.png"), "--configuration", "slip=0"]) == 0
        assert "ring.png: 7 pictures" in capsys.readouterr().out  # The first, and three jumps in two sub-steps each.

    def test_in_a_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import pygame

        shown: list[Any] = []
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        monkeypatch.setattr(
            pygame.display, "flip", lambda: shown.append(pygame.surfarray.array3d(pygame.display.get_surface()))
        )
        assert main(["render", RING, "--human", "--arguments", "size=3", "--configuration", "slip=0"]) == 0
        assert len(shown) == 5  # Two actions of two sub-steps each lead there.
        assert not pygame.display.get_init()


def test_play_passes_on_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("reworld.__main__.play", lambda *arguments, **named: asked.append((arguments, named)))
    words = ["--arguments", "n=6", "mode=easy", "--configuration", "gravity=[5, 10]", "wind=0.5", "--seed", "3"]
    assert main(["play", PLATFORM, *words]) == 0
    assert main(["play", PLATFORM]) == 0
    assert asked == [
        ((PLATFORM, 3), {"n": 6, "mode": "easy", "configuration": {"gravity": [5, 10], "wind": 0.5}}),
        ((PLATFORM, 0), {"configuration": None}),
    ]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["describe", "reworld/Plaform-v0"], "There is no world 'reworld/Plaform-v0'. Did you mean 'reworld/Platform-v0'"),
        (["describe", RING, "--arguments", "siez=3"], "This world takes no argument 'siez'. Did you mean 'size'?"),
        (["play", RING, "--arguments", "size"], "'size' is not understood: write NAME=VALUE, without spaces."),
        (["render", PLATFORM, "--output", "x.avi"], "'x.avi' is no film: give a name that ends in .mp4 or .gif"),
        (
            ["render", PLATFORM, "--output", "x.mp4", "--configuration", "gravty=3"],
            "Platform has no parameter 'gravty'. Did you mean 'gravity'?",
        ),
        (
            ["render", PLATFORM, "--output", "x.mp4", "--configuration", "gravity=999"],
            "gravity=999 is outside [2, 30] units/s², the range of this parameter of Platform.",
        ),
        (["render", PLATFORM, "--output", "x.mp4", "--seed", "-1"], "seed=-1 is out of range"),
    ],
)
def test_a_refusal_is_one_line(
    words: list[str], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"reworld: {answer}")
    assert output.err.count("\n") == 1
    assert not output.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["paly", PLATFORM], "invalid choice: 'paly'"),
        (["render", PLATFORM], "one of the arguments --output --human is required"),
        (["render", PLATFORM, "--human", "--output", "x.mp4"], "not allowed with argument"),
    ],
)
def test_a_command_line_that_is_none(words: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert refused.value.code == 2
    assert answer in capsys.readouterr().err
