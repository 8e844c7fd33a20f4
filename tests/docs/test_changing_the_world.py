"""What the page on changing the world shows works, and prints what it says."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from reworld.changing import Changing, Cost
from reworld.changing.setup import COSTS

pytest.importorskip("pettingzoo")
pytest.importorskip("stable_baselines3")

PAGE = (Path(__file__).parents[2] / "docs" / "changing_the_world.md").read_text()


def test_code_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, namespace)
        assert capsys.readouterr().out.splitlines() == re.findall(r"^(?:print\(.*\)  )?# (.*)$", code, re.MULTILINE)


def test_every_term_is_explained() -> None:
    for name in [*(field.name for offer in (Changing, Cost) for field in fields(offer)), *COSTS]:
        assert re.search(rf"\b{name}\b", PAGE), f"{name} is not on the page."
