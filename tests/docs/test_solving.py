"""What the page on solving shows works, and prints what it says."""

import re
from pathlib import Path
from typing import Any

import pytest

from reworld_baselines.mctvmdp import instances
from reworld_baselines.mctvmdp.solving import methods_of

PAGE = (Path(__file__).parents[2] / "docs" / "solving.md").read_text()


def test_code_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, namespace)
        assert capsys.readouterr().out.splitlines() == re.findall(r"^# (.*)$", code, re.MULTILINE)


def test_every_method_is_explained() -> None:
    for name in ("two_doors:B=2", "class_b:seed=0,B=1", "finite_horizon:B=2", "hull_s12", "bilevel_6state"):
        for method in methods_of(instances.load(name).problem):
            assert f"`{method}`" in PAGE, f"{method} is not on the page."
