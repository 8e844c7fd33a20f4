"""Varied ways to make worlds changeable, each a setting of its own kind, and all of them together all that there is."""

from typing import Any

from reworld.changing import Changing, Cost

WINDS: dict[str, dict[str, float]] = {"calm": {}, "gale": {"wind": 15.0}, "storm": {"wind": 30.0, "friction": 2.5}}


def choosing(**named: Any) -> Changing:
    """A wind for CartPole to be chosen."""
    return Changing(mode="choose", configurations=WINDS, **named)


STONES = {f"p_2_1_{t}": p for t, p in ((1, 0.05), (2, 0.45), (3, 0.5))}
SETTINGS: dict[str, tuple[str, Changing]] = {
    "Set": ("reworld.worlds.cartpole:WORLD", Changing(parameters=("gravity", "wind"), failure=0.2)),
    "SetUse": (
        "reworld.worlds.cartpole:WORLD",
        Changing(
            parameters={"wind": (0.0, 9.0)}, budget=2.0, budget_per="use", cost=Cost(kind="quadratic"), observe_budget=True
        ),
    ),
    "ShiftDict": (
        "reworld.worlds.cartpole:WORLD",
        Changing(
            parameters=("force", "friction"),
            mode="shift",
            largest_shift=0.3,
            epoch=3,
            takes_effect="next_epoch",
            observation="dict",
            budget=3.0,
            observe_budget=True,
            cost=Cost(kind="exponential", rate=2.0, measured_from="nominal", weights={"force": 0.5}),
        ),
    ),
    "ShiftSurvives": (
        "reworld.worlds.cartpole:WORLD",
        Changing(parameters=("half_length",), mode="shift", survives_reset=True, epoch="episode", observation="hidden"),
    ),
    "Graph": (
        "reworld.worlds.cartpole:WORLD",
        choosing(moves={"calm": {"gale": 3.0}, "gale": {"storm": 2.0, "calm": 0.5}}, failure=0.3, budget=6.0),
    ),
    "Platform": (
        "reworld.worlds.platform:WORLD",
        Changing(
            parameters=("gravity", "gap1"), nominal={"gap1": 300.0}, epoch="episode", takes_effect="next_epoch", budget=1.0
        ),
    ),
    "SlipLevels": (
        "reworld.worlds.block_world:block_world",
        Changing(
            mode="choose",
            configurations={"dry": {"slip": 0.1}, "wet": {"slip": 0.5, "wind": 0.1}, "icy": {"slip": 0.9}},
            epoch=2,
            takes_effect="next_epoch",
            cost=Cost(kind="wasserstein", scale=0.01),
            budget=1.0,
        ),
    ),
    "SlipDict": (
        "reworld.worlds.block_world:block_world",
        Changing(
            mode="choose",
            configurations={"dry": {"slip": 0.1}, "icy": {"slip": 0.9}},
            observation="dict",
            survives_reset=True,
            budget=0.5,
            budget_per="use",
            observe_budget=True,
        ),
    ),
    "SlipSet": (
        "reworld.worlds.block_world:block_world",
        Changing(parameters=("slip", "stay"), budget=0.4, budget_per="change"),
    ),
    "Rows": (
        "reworld.worlds.tabular:tabular",
        Changing(parameters=tuple(STONES), cost=Cost(kind="kl", measured_from="nominal"), cost_in_reward=False, budget=2.0),
    ),
    "RowsUse": (
        "reworld.worlds.tabular:tabular",
        Changing(
            parameters=tuple(STONES), mode="shift", cost=Cost(kind="wasserstein"), budget=3.0, budget_per="use", failure=0.2
        ),
    ),
    "Stones": (
        "reworld.worlds.tabular:tabular",
        Changing(mode="choose", configurations={"none": {}, "in_2": STONES}, epoch="episode", observation="hidden"),
    ),
}
