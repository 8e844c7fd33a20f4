"""Worlds take the trajectories that were recorded of the published environments, bit for bit."""

from functools import cache

import numpy as np
import pytest

from golden.recordings import RECORDINGS
from golden.replay import FOLDER, Recording, columns_of, replay, replay_resets

every_recording = pytest.mark.parametrize("recording", RECORDINGS.values(), ids=RECORDINGS)
both_modes = pytest.mark.parametrize("forget_rounding", [False, True], ids=["whole episodes", "step by step"])

replay_once = cache(replay)


def assert_equal(found: np.ndarray, expected: np.ndarray, recording: Recording) -> None:
    """The same bits, or within the tolerance of a recording that has one."""
    if recording.tolerance:
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=recording.tolerance, strict=True)
    else:
        np.testing.assert_array_equal(found, expected, strict=True)


def assert_observed(found: np.ndarray, expected: np.ndarray, recording: Recording) -> None:
    """Equal observations, those entries apart in which a library fused operations."""
    fused = list(recording.fused)
    others = [k for k in range(expected.shape[1]) if k not in fused]
    assert_equal(found[:, others], expected[:, others], recording)
    np.testing.assert_array_equal(found[:, fused].astype(np.float32), expected[:, fused].astype(np.float32))
    np.testing.assert_allclose(found[:, fused], expected[:, fused], rtol=0.0, atol=5e-16)


@both_modes
@every_recording
class TestSteps:
    def test_state(self, recording: Recording, forget_rounding: bool) -> None:
        run = replay_once(recording, forget_rounding)
        assert_equal(run.states, recording.arrays["state"][:, columns_of(recording, recording.fields)], recording)

    def test_observation(self, recording: Recording, forget_rounding: bool) -> None:
        run = replay_once(recording, forget_rounding)
        assert_observed(run.observations, recording.arrays[recording.observations], recording)

    def test_reward(self, recording: Recording, forget_rounding: bool) -> None:
        assert_equal(replay_once(recording, forget_rounding).rewards, recording.arrays["reward"], recording)

    def test_termination(self, recording: Recording, forget_rounding: bool) -> None:
        run = replay_once(recording, forget_rounding)
        np.testing.assert_array_equal(run.terminated, recording.arrays["done"], strict=True)

    def test_substeps(self, recording: Recording, forget_rounding: bool) -> None:
        np.testing.assert_array_equal(replay_once(recording, forget_rounding).substeps, recording.arrays["substeps"])

    def test_all_draws_are_used(self, recording: Recording, forget_rounding: bool) -> None:
        run = replay_once(recording, forget_rounding)
        np.testing.assert_array_equal(run.draws_used, np.diff(recording.arrays["draw_start"]))


@every_recording
def test_resets(recording: Recording) -> None:
    states, recorded_states, observations, recorded_observations = replay_resets(recording)
    np.testing.assert_array_equal(states, recorded_states, strict=True)
    assert_observed(observations, recorded_observations, recording)


def test_every_recorded_file_is_replayed() -> None:
    trajectories = {file.name for file in FOLDER.glob("*.npz") if "ep_start" in np.load(file)}
    assert trajectories == {recording.file for recording in RECORDINGS.values()}
