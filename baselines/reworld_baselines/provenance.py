"""What made a result: versions and commit."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import reworld

_PACKAGES = (
    "clarabel",
    "cvxpy",
    "gymnasium",
    "highspy",
    "numba",
    "numpy",
    "optuna",
    "safetensors",
    "scipy",
    "stable-baselines3",
    "torch",
)


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that matter; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "reworld": reworld.__version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def commit() -> dict[str, Any] | None:
    """Commit of the checkout that holds this code, and whether it was changed; None outside a checkout."""
    # Installed as a wheel, this file may lie inside someone else's checkout, which then does not track it.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return {"hash": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))}


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
