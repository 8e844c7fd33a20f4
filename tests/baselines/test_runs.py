import json

import numpy as np
import pytest

from reworld_baselines import checkpoints, runs
from reworld_baselines.runs import Run, RunError


def a_run(**changes):
    given = {"seed": 0, "steps": 10, "evaluation_episodes": 5, "device": "cpu", **changes}
    return Run("reworld/Platform-v0", "ppo", {"n_envs": 4}, **given)


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = a_run()
    runs.create(tmp_path / "a" / "b", run)
    assert runs.read(tmp_path / "a" / "b") == run
    assert run.versions["python"]
    assert run.versions["torch"]
    assert run.commit is None or len(run.commit["hash"]) == 40


def test_the_steps_done_are_recorded(tmp_path):
    runs.create(tmp_path, a_run())
    runs.record_steps(tmp_path, 7)
    assert runs.read(tmp_path) == a_run(steps_done=7, started=runs.read(tmp_path).started)


def test_a_directory_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty: give another --run-dir"):
        runs.create(tmp_path, a_run())
    with pytest.raises(RunError, match="not empty"):
        runs.create(tmp_path / "thesis.txt", a_run())
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": 0}, "steps is 0: give a number from 1"),
        ({"seed": -1}, "seed is -1: give a number from 0 to 4294967295"),
        ({"evaluation_episodes": 1}, "evaluation_episodes is 1: give a number from 2"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, reason):
    with pytest.raises(RunError, match=reason):
        a_run(**changes)


def test_what_is_no_run_directory_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"is no run directory: its run\.json cannot be read"):
        runs.read(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "{", "[1]", json.dumps({"steps": 1}), json.dumps({"unknown": 1}), "\xff"])
def test_a_damaged_run_file_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        runs.read(tmp_path)
    assert (tmp_path / "run.json").read_bytes() == content.encode("latin-1")


def test_a_write_that_is_cut_short_leaves_the_old_content(tmp_path, monkeypatch):
    file = tmp_path / "file"
    runs.write_whole(file, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        runs.write_whole(file, b"new")
    assert file.read_bytes() == b"old"


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    arrays = {
        "scalar": np.array(3.5),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "flags": np.array([True, False]),
        "keys": np.array([1, 2**32 - 1], np.uint32),
        "empty": np.empty((0, 4)),
    }
    checkpoints.write(tmp_path / "checkpoint", arrays)
    again = checkpoints.read(tmp_path / "checkpoint")
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array, strict=True)


@pytest.mark.parametrize("length", [0, 5, 60, -1])
def test_a_truncated_checkpoint_is_named_and_left_alone(tmp_path, length):
    file = tmp_path / "checkpoint"
    checkpoints.write(file, {"weights": np.arange(100.0)})
    file.write_bytes(file.read_bytes()[:length])
    content = file.read_bytes()
    with pytest.raises(RunError, match=r"checkpoint is damaged .* left as it is|was left as it is"):
        checkpoints.read(file)
    assert file.read_bytes() == content


def test_a_missing_checkpoint_is_said_to_be_missing(tmp_path):
    with pytest.raises(RunError, match="no checkpoint to load"):
        checkpoints.read(tmp_path / "checkpoint")
