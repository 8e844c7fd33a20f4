"""Figures of a run."""

from pathlib import Path

from matplotlib.figure import Figure

from reworld_baselines.evaluation import Array, Evaluation


def draw_learning_curve(file: Path, title: str, curve: Array, random: Evaluation) -> None:
    """Draw the mean return against the steps learned from, beside that of the random agent.

    Args:
        file: Where to, a PNG.
        title: What was trained on what.
        curve: One row for each evaluation, float64 of shape (n, 4): steps, mean return, both ends of its interval.
        random: The random agent's evaluation.
    """
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    steps, mean, low, high = curve.T
    axes.fill_between(steps, low, high, color="tab:blue", alpha=0.2, linewidth=0.0, label="95 % interval of the mean")
    axes.plot(steps, mean, color="tab:blue", marker="o", markersize=3.5, label="agent, without exploration")
    axes.axhline(random.mean, color="tab:grey", linestyle="--", label=f"random agent: {random.mean:.3g}")
    axes.set(title=title, xlabel="environment steps", ylabel="mean return")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
    figure.savefig(file, dpi=150)
