"""The benchmark of bi-level agents."""

import json

import pytest

from reworld_baselines.benchmark import bilevel


def test_what_is_measured_is_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(bilevel, "BLOCK_WORLD_DECISIONS", 600)
    output = tmp_path / "out" / "bilevel.json"
    first = bilevel.measure(1, output, tmp_path, "block")
    second = bilevel.measure(2, output, tmp_path, "block")
    assert [row["seed"] for row in second["rows"]] == [0, 1]
    assert second["rows"][0] == first["rows"][0]
    assert json.loads(output.read_text()) == second
    assert (output.with_suffix(".md").read_text(), output.with_suffix(".png").exists()) == (bilevel.to_markdown(second), True)
    assert second["rows"][0]["worth"]["levels"] == pytest.approx(8.8172940979)
    assert second["rows"][0]["worth"]["oracle"] == pytest.approx(13.0467449534)


def row(study, lower, upper, **figures):
    return {"study": study, "seed": 0, "lower": lower, "upper": upper, **figures}


def test_a_page_and_a_figure_show_every_study(tmp_path):
    worth = {"agent": 4700.0, "levels": 4710.0, "none": 1700.0, "random": 2400.0, "myopic": 4600.0, "oracle": 5000.0}
    values = {"gale": 170.0, "ballast": 500.0}
    rows = [
        row("cartpole", lower, upper, values=values, worth=worth, games=[4690.0, 4600.0, 4800.0])
        for lower in ("conditioned", "per_configuration")
        for upper in ("value_iteration", "dqn")
    ]
    rows.append(row("block_world", "exact", "dqn", decisions=40_000, worth={**worth, "none": -10.0, "levels": 9410.0}))
    rows += [
        row("platform", "conditioned", upper, worth={"agent": 0.8, "none": 0.4}) for upper in ("cross_entropy", "bayesian")
    ]
    outcome = {"rows": rows, "commit": "0" * 40, "command": "python"}
    page = bilevel.to_markdown(outcome)
    assert "| conditioned | 1 | 170.0 | 500.0 | 194 % |" in page
    assert page.count("| 99.3 % |") == 4  # 4690 of 4722.58.
    assert "| 50.0 % |" in page  # (4700 + 10) of (9410 + 10).
    assert page.count("| 0.400 | 0.800 |") == 2
    again = [row | {"seed": 1, "worth": {name: value + 0.2 for name, value in row["worth"].items()}} for row in rows]
    # Half the interval of two values 0.2 apart: 12.706, of Student's law, times 0.1.
    assert bilevel.to_markdown(outcome | {"rows": rows + again}).count("| 0.500 ± 1.271 | 0.900 ± 1.271 |") == 2
    bilevel.draw(outcome, tmp_path / "bilevel.png")
    assert (tmp_path / "bilevel.png").stat().st_size > 10_000
