"""The bi-level agent as a method of `reworld_baselines.mctvmdp.solve`."""

import dataclasses
from pathlib import Path

import numpy as np

from reworld.changing.levels import Levels
from reworld_baselines.mctvmdp.deep import upper as upper_level
from reworld_baselines.mctvmdp.deep.agent import BilevelAgent, BilevelSettings, LevelsReport
from reworld_baselines.mctvmdp.results import Certificate, Result, Search


def deep(
    problem: Levels,
    search: Search,
    *,
    seed: int = 0,
    upper: str = BilevelSettings.upper,
    lower: str = BilevelSettings.lower,
    lower_steps: int = BilevelSettings.lower_steps,
    decisions: int = BilevelSettings.decisions,
    episodes: int = BilevelSettings.episodes,
    device: str = "cpu",
    directory: Path | None = None,
) -> Result:
    """Learn to play a world in every configuration of a level, and then which one to bring about: see `BilevelAgent`.

    Source: Lu, Hassibi, Lai, Xu (arXiv 2510.15056), whose lower level is one policy for each configuration.

    Nothing is guaranteed of the networks. What the upper level may lose because returns were measured is bounded, and stands in
    the notes of the certificate. `Result.value` is that of the upper policy with returns from new episodes; `Result.predicted`
    is what the plan made of the returns that it was made from. The policy of level 0 is left empty, as that is a network, and
    `Result.kernels` is the kernel of the upper level, shape (n, actions, n): give `directory` to keep the networks.

    Args:
        problem: One level above a world that is observed as a Box.
        search: Counts the networks trained, and the upper level.
        seed: Of everything.
        upper: ``"value_iteration"``, ``"dqn"`` or ``"ppo"``.
        lower: ``"conditioned"`` or ``"per_configuration"``.
        lower_steps: Environment steps that the lower level learns from.
        decisions: That ``"dqn"`` and ``"ppo"`` learn from.
        episodes: By which returns are measured, in each configuration.
        device: Where the networks live.
        directory: Where to keep the agent, and to go on from if it is there; nowhere if left out.

    Raises:
        InvalidOption: If the problem is of another form, or an option out of range.
        RunError: If the directory holds another agent.
    """
    settings = dataclasses.replace(
        BilevelSettings(), upper=upper, lower=lower, lower_steps=lower_steps, decisions=decisions, episodes=episodes
    )
    agent = BilevelAgent(problem, settings, seed, device)
    agent.learn(directory, quiet=search.quiet)
    search.count(agent.lower.size + 1)
    report = agent.evaluate(episodes)
    assert isinstance(report, LevelsReport)
    level = upper_level.only_level(problem)
    agents, nominal = report.worth["agent"], report.worth["none"]
    search.record(nominal.value, nominal.cost)
    search.record(agents.value, agents.cost)
    predicted = None
    notes = [f"The value has a standard error of {agents.error:.3g}, from {episodes} episodes in each configuration."]
    if agent.measured is not None:
        values, errors = agent.measured
        predicted = upper_level.execute(level, agent.policy, values, errors).value
        bound = upper_level.regret_bound(level, errors)
        notes.append(f"With a probability of 95 % better measurements would gain at most {bound:.3g}.")
    return Result(
        problem=problem,
        method="deep",
        value=agents.value,
        nominal_value=nominal.value,
        policies=(np.empty(0, np.int64), agent.policy),
        kernels=np.ascontiguousarray(level.kernel[0].transpose(1, 0, 2)),
        cost=agents.cost,
        certificate=Certificate("none", upper_bound=None, notes=notes),
        trace=search.trace,
        predicted=predicted,
        solves=search.solves,
        seconds=search.seconds,
    )
