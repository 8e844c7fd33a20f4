import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reworld_baselines import checkpoints, runs
from reworld_baselines.__main__ import main
from reworld_baselines.stable_baselines3 import GymnasiumVecEnv
from reworld_baselines.training import load_agent

PLATFORM, CARTPOLE = "reworld/Platform-v0", "reworld/CartPole-v0"
SMALL = ["--ppo.n-envs", "4", "--ppo.n-steps", "16", "--ppo.batch-size", "32", "--ppo.n-epochs", "2"]


def train(*arguments):
    return main(["train", "--steps", "256", "--evaluation-episodes", "5", *SMALL, *map(str, arguments)])


def checkpoint(directory):
    return checkpoints.read(directory / "checkpoint.safetensors")


def assert_refused(capsys, status, *words):
    out, err = capsys.readouterr()
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    for word in words:
        assert word in err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "finished"
    assert train("--env", PLATFORM, "--run-dir", directory) == 0
    return directory


def test_a_run_leaves_everything_in_its_directory(finished):
    names = {file.name for file in finished.iterdir()}
    assert {
        "run.json",
        "checkpoint.safetensors",
        "evaluation.json",
        "learning_curve.png",
        "episode.mp4",
        "progress.csv",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not any(name.endswith(".unfinished") for name in names)
    assert all(file.stat().st_size > 0 for file in finished.iterdir())
    run = runs.read(finished)
    assert (run.environment, run.agent, run.seed, run.steps, run.steps_done) == (PLATFORM, "ppo", 0, 256, 256)
    assert run.settings["n_envs"] == 4
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert len(evaluation["ppo"]["returns"]) == len(evaluation["random"]["returns"]) == 5
    assert evaluation["ppo"]["mean"] == np.mean(evaluation["ppo"]["returns"])


def test_the_log_holds_the_updates_and_the_evaluations(finished):
    header = (finished / "progress.csv").read_text().splitlines()[0].split(",")
    assert {"eval/mean_return", "rollout/ep_rew_mean", "rollout/success_rate", "train/loss", "time/total_timesteps"} <= set(
        header
    )
    assert checkpoint(finished)["curve"][:, 0].tolist() == [0, 64, 128, 192, 256]


def test_a_finished_run_is_evaluated_again(finished, capsys):
    before = (finished / "evaluation.json").read_text()
    assert main(["evaluate", str(finished), "--episodes", "5"]) == 0
    assert (finished / "evaluation.json").read_text() == before
    out = capsys.readouterr().out
    assert "ppo, 256 steps, seed 0" in out
    assert "random" in out


def test_an_agent_is_loaded_from_its_run(finished):
    first, second = load_agent(finished), load_agent(finished)
    observations = np.random.default_rng(0).uniform(size=(3, 9)).astype(np.float32)
    for one, other in zip(first.act(observations)[1], second.act(observations)[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("environment", [PLATFORM, CARTPOLE])
def test_a_run_that_was_interrupted_ends_like_one_that_was_not(environment, tmp_path, capsys, monkeypatch):
    assert train("--env", environment, "--run-dir", tmp_path / "whole") == 0
    plain_step, steps = GymnasiumVecEnv.step_wait, iter(range(10**9))

    def step(self):
        if next(steps) == 40:
            raise KeyboardInterrupt
        return plain_step(self)

    monkeypatch.setattr(GymnasiumVecEnv, "step_wait", step)
    capsys.readouterr()
    assert train("--env", environment, "--run-dir", tmp_path / "cut") == 130
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line.startswith(
        "Interrupted after 128 steps, which are kept. Continue with: python -m reworld_baselines train "
    )
    assert main(["evaluate", str(tmp_path / "cut"), "--episodes", "5"]) == 0
    assert main(["train", "--resume", str(tmp_path / "cut")]) == 0
    whole, cut = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], cut[name], err_msg=name, strict=True)
    evaluations = [(tmp_path / name / "evaluation.json").read_text() for name in ("whole", "cut")]
    assert evaluations[0] == evaluations[1]
    assert (tmp_path / "cut" / "progress.csv").exists()
    assert (tmp_path / "cut" / "progress_from_128.csv").exists()


def test_resuming_a_finished_run_only_reports_again(finished, capsys):
    before = checkpoint(finished)
    assert main(["train", "--resume", str(finished)]) == 0
    assert "ppo, 256 steps, seed 0" in capsys.readouterr().out
    for name, array in checkpoint(finished).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_process_that_is_stopped_leaves_a_usable_run(tmp_path, number, status):
    directory = tmp_path / "run"
    root = Path(runs.__file__).parents[2]
    command = [sys.executable, "-m", "reworld_baselines", "train", "--env", CARTPOLE, "--run-dir", str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "envs"), str(root / "baselines")])}
    with subprocess.Popen(
        [*command, "--steps", "10000000"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # A shell without job control has what it starts in the background ignore SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while not (directory / "checkpoint.safetensors").exists() or runs.read(directory).steps_done < 2000:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert "Traceback" not in errors
    assert load_agent(directory).steps >= 2000


def test_an_unknown_environment_is_refused(tmp_path, capsys):
    status = train("--env", "reworld/Platfrom-v0", "--run-dir", tmp_path / "run")
    assert_refused(capsys, status, "Did you mean: `Platform`")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", PLATFORM, "--agent", "pppo"], ["There is no agent 'pppo'", "'ppo'"]),
        (["--env", "CartPole-v1"], ["no environment of reworld"]),
        ([], ["--env reworld/Platform-v0"]),
        (["--env", PLATFORM, "--seed", "-1"], ["seed is -1"]),
    ],
)
def test_what_does_not_exist_is_refused(arguments, words, tmp_path, capsys):
    assert_refused(capsys, train("--run-dir", tmp_path / "run", *arguments), *words)
    assert not (tmp_path / "run").exists()


def test_settings_out_of_range_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as refusal:
        train("--env", PLATFORM, "--run-dir", tmp_path / "run", "--ppo.batch-size", "0")
    assert refusal.value.code == 2
    assert "batch_size is 0" in capsys.readouterr().err


def test_a_directory_that_is_not_empty_is_refused(finished, capsys):
    before = {file.name: file.read_bytes() for file in finished.iterdir()}
    assert_refused(capsys, train("--env", PLATFORM, "--run-dir", finished), str(finished), "not empty", "--resume")
    assert {file.name: file.read_bytes() for file in finished.iterdir()} == before


def test_a_resumed_run_takes_no_other_options(finished, capsys):
    assert_refused(capsys, main(["train", "--resume", str(finished), "--steps", "500"]), "give --resume alone")


@pytest.mark.parametrize("command", [["evaluate"], ["train", "--resume"]])
def test_what_is_no_run_directory_is_refused(command, tmp_path, capsys):
    assert_refused(capsys, main([*command, str(tmp_path)]), str(tmp_path), "is no run directory")


@pytest.mark.parametrize("command", [["evaluate"], ["train", "--resume"]])
def test_a_truncated_checkpoint_is_named_and_left_alone(command, finished, tmp_path, capsys):
    (tmp_path / "run.json").write_bytes((finished / "run.json").read_bytes())
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes((finished / "checkpoint.safetensors").read_bytes()[:-100])
    before = file.read_bytes()
    assert_refused(capsys, main([*command, str(tmp_path)]), str(file), "damaged", "left as it is")
    assert file.read_bytes() == before


@pytest.mark.parametrize("changes", [{"environment": CARTPOLE}, {"settings": {"hidden": [8]}}, {"settings": {"n_envs": 2}}])
def test_a_checkpoint_of_another_run_is_refused(changes, finished, tmp_path, capsys):
    content = json.loads((finished / "run.json").read_text())
    content["settings"].update(changes.pop("settings", {}))
    (tmp_path / "run.json").write_text(json.dumps({**content, **changes}))
    (tmp_path / "checkpoint.safetensors").write_bytes((finished / "checkpoint.safetensors").read_bytes())
    assert_refused(capsys, main(["evaluate", str(tmp_path)]), "checkpoint.safetensors", "of another agent")


def test_an_evaluation_needs_two_episodes(finished, capsys):
    assert_refused(capsys, main(["evaluate", str(finished), "--episodes", "1"]), "at least 2")
