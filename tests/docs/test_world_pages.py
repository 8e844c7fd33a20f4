"""The page of every world says what its file says."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "make_world_pages.py"


def test_pages_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_world_pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = module.pages()
    assert len(pages) >= 2
    for file, text in pages.items():
        assert file.read_text() == text, f"{file.name} is old: run python docs/make_world_pages.py."
