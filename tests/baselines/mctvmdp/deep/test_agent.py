"""The bi-level agent: learning in phases, storing, evaluating."""

import dataclasses

import numpy as np
import pytest

from reworld.changing.levels import Level, Levels, OneLevel
from reworld.changing.levels.games import cartpole_levels
from reworld.errors import InvalidOption
from reworld.worlds.platform import WORLD as PLATFORM_WORLD
from reworld_baselines.mctvmdp.deep import BilevelAgent, BilevelSettings
from reworld_baselines.mctvmdp.deep.agent import UPPER
from reworld_baselines.mctvmdp.deep.ranges import BayesianSettings, CrossEntropySettings
from reworld_baselines.mctvmdp.deep.upper import DQNSettings
from reworld_baselines.runs import RunError
from reworld_baselines.stable_baselines3 import PPOSettings

CARTPOLE = cartpole_levels()
PLATFORM = "reworld/ConfigurablePlatform-v0"
SMALL = BilevelSettings(
    lower_steps=256,
    episodes=10,
    decisions=64,
    ppo=PPOSettings(n_envs=8, n_steps=8, batch_size=64, n_epochs=1),
    upper_ppo=PPOSettings(n_envs=8, n_steps=4, batch_size=32, n_epochs=1),
    dqn=DQNSettings(n_envs=8, gradient_steps=1, learning_starts=16),
    cross_entropy=CrossEntropySettings(generations=2, population=4, elite=2, episodes=5),
    bayesian=BayesianSettings(candidates=3, episodes=5),
)


def learned(problem=CARTPOLE, seed=0, directory=None, **changes):
    agent = BilevelAgent(problem, dataclasses.replace(SMALL, **changes), seed)
    agent.learn(directory, quiet=True)
    return agent


def assert_alike(agent, other):
    np.testing.assert_array_equal(agent.policy, other.policy)
    for j in range(agent.lower.size):
        mine, its = agent.lower.get_state(j), other.lower.get_state(j)
        for name in mine:
            np.testing.assert_array_equal(mine[name], its[name])


@pytest.mark.parametrize(("problem", "upper"), [(CARTPOLE, name) for name in UPPER[type(CARTPOLE)]] + [(PLATFORM, "bayesian")])
def test_the_same_seed_learns_the_same(problem, upper):
    assert_alike(learned(problem, upper=upper), learned(problem, upper=upper))


@pytest.mark.parametrize("lower", ["conditioned", "per_configuration"])
def test_a_stored_agent_is_the_same(tmp_path, lower):
    agent = learned(directory=tmp_path, lower=lower)
    other = BilevelAgent.load(tmp_path, cartpole_levels())
    assert other.settings == agent.settings
    assert_alike(agent, other)
    np.testing.assert_array_equal(agent.measured, other.measured)
    assert str(agent.evaluate(20)) == str(other.evaluate(20))
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_what_was_learned_before_is_stored_when_there_is_where(tmp_path):
    agent = learned()
    agent.learn(tmp_path, quiet=True)
    assert_alike(agent, BilevelAgent.load(tmp_path, CARTPOLE))


def test_within_ranges_it_is_stored_likewise(tmp_path):
    agent = learned(PLATFORM, directory=tmp_path, upper="cross_entropy")
    assert_alike(agent, BilevelAgent.load(tmp_path, PLATFORM))


def test_after_a_kill_it_goes_on_with_the_phase_that_was_not_done(tmp_path):
    agent = learned(directory=tmp_path, lower="per_configuration")
    kept = {name: (tmp_path / name).stat().st_mtime_ns for name in ("lower_0.safetensors", "lower_1.safetensors")}
    for name in ("lower_2.safetensors", "lower_3.safetensors", "upper.safetensors"):
        (tmp_path / name).unlink()
    trained = []
    resumed = BilevelAgent.load(tmp_path, CARTPOLE)
    assert resumed.policy is None
    train = resumed.lower.train
    resumed.lower.train = lambda steps, bar: (trained.append(len(resumed.lower.networks)), train(steps, bar))
    resumed.learn(tmp_path, quiet=True)
    assert trained == [2, 3]
    assert_alike(agent, resumed)
    assert kept.keys() <= {file.name for file in tmp_path.iterdir()}


def test_another_agent_is_not_overwritten(tmp_path):
    learned(directory=tmp_path)
    before = (tmp_path / "agent.json").read_bytes()
    for other in ({"seed": 1}, {"episodes": 11}):
        with pytest.raises(RunError, match="another directory"):
            learned(directory=tmp_path, **other)
    dearer = dataclasses.replace(CARTPOLE, discount=0.99)
    with pytest.raises(RunError, match="another problem"):
        BilevelAgent.load(tmp_path, dearer)
    assert (tmp_path / "agent.json").read_bytes() == before


def test_a_damaged_agent_is_named(tmp_path):
    with pytest.raises(RunError, match=r"agent\.json cannot be read"):
        BilevelAgent.load(tmp_path, CARTPOLE)
    learned(directory=tmp_path)
    (tmp_path / "lower_0.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"lower_0\.safetensors is damaged"):
        BilevelAgent.load(tmp_path, CARTPOLE)
    (tmp_path / "agent.json").write_text("{")
    for use in (lambda: BilevelAgent.load(tmp_path, CARTPOLE), lambda: learned(directory=tmp_path)):
        with pytest.raises(RunError, match=r"agent\.json is damaged"):
            use()


def test_it_plays_both_levels_of_a_game():
    problem = dataclasses.replace(CARTPOLE, steps=12, levels=[dataclasses.replace(CARTPOLE.levels[0], discount=0.5)])
    agent = learned(problem)
    env = OneLevel(problem, level=1, policies={0: lambda observation: agent.act(0, observation)})
    returns = []
    for game in range(150):
        observation, _ = env.reset(seed=game)
        returns.append(0.0)
        ended = False
        while not ended:
            observation, reward, ended, _, _ = env.step(int(agent.act(1, observation)))
            returns[-1] += reward
    report = agent.evaluate(200, games=200)
    worth, games = report.worth["agent"], report.games
    for other, error in ((worth.value, worth.error), (games.mean(), games.std() / 200**0.5)):
        assert abs(np.mean(returns) - other) < 4.0 * np.hypot(np.std(returns) / 150**0.5, error)


def test_it_plays_games_of_a_hybrid_world():
    level = Level.graph({"heavy": ["light"], "light": ["heavy"]}, price=0.1, discount=0.5)
    problem = Levels(PLATFORM_WORLD, {"heavy": {"gravity": 17.0}, "light": {"gravity": 5.0}}, [level], steps=20)
    agent = learned(problem, upper="dqn")
    env = OneLevel(problem, level=1, policies={0: lambda observation: agent.act(0, observation)})
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        observation, reward, ended, _, _ = env.step(int(agent.act(1, observation)))
        assert -0.1 <= reward <= 1.0
        if ended:
            observation, _ = env.reset()


def test_a_report_tells_what_choosing_is_worth():
    report = learned(lower="per_configuration").evaluate(50, games=4)
    assert (
        report.worth["levels"].value >= max(report.worth[name].value for name in ("agent", "none", "random", "myopic")) - 1e-9
    )
    assert report.worth["oracle"].value == pytest.approx(10.0 * report.values.max())
    assert report.worth["none"].value == pytest.approx(10.0 * report.values[0])
    assert report.worth["none"].error == pytest.approx(10.0 * report.errors[0])
    assert ((report.intervals[:, 0] <= report.values) & (report.values <= report.intervals[:, 1])).all()
    for word in ("gale", "ballast", "myopic", "games played"):
        assert word in str(report)


def test_a_report_of_ranges_names_the_change():
    report = learned(PLATFORM, upper="cross_entropy").evaluate(20)
    assert list(report.targets) == ["gravity", "gap1", "gap2"]
    assert (report.agent.shape, report.nominal.shape) == ((20,), (20,))
    assert "gravity" in str(report)


def test_within_ranges_there_are_no_games():
    with pytest.raises(InvalidOption, match="no games of levels"):
        BilevelAgent(PLATFORM, dataclasses.replace(SMALL, upper="bayesian")).act(1, 0)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InvalidOption, match="Did you mean 'conditioned'"):
        BilevelSettings(lower="conditoned")
    with pytest.raises(InvalidOption, match="upper='dq' is unknown"):
        BilevelSettings(upper="dq")
    with pytest.raises(InvalidOption, match="episodes=1: give at least 2"):
        BilevelSettings(episodes=1)
    with pytest.raises(InvalidOption, match="cross_entropy, bayesian"):
        BilevelAgent(PLATFORM, SMALL)
    with pytest.raises(InvalidOption, match="value_iteration, dqn, ppo"):
        BilevelAgent(CARTPOLE, dataclasses.replace(SMALL, upper="bayesian"))
    with pytest.raises(InvalidOption, match="named configurations"):
        BilevelAgent(PLATFORM, dataclasses.replace(SMALL, upper="bayesian", lower="per_configuration"))


@pytest.mark.slow
def test_it_rebuilds_cartpole():
    agent = BilevelAgent(CARTPOLE, BilevelSettings(lower_steps=500_000), seed=0)
    agent.learn(quiet=True)
    report = agent.evaluate(500)
    assert report.values.max() >= 1.84 * report.values[0]
    assert report.worth["agent"].value >= 0.95 * 4722.583431952664
