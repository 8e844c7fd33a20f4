"""Gymnasium worlds that the agent can change.

Importing this package registers them: ``gymnasium.make("reworld:reworld/Platform-v0")``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from reworld.registration import register, register_all
from reworld.world import Branch, Parameter, Quantity, World

if TYPE_CHECKING:
    from reworld.catalogue import list_worlds
    from reworld.changing.reference import reference
    from reworld.keyboard import play

__all__ = ["Branch", "Parameter", "Quantity", "World", "list_worlds", "play", "reference", "register"]
__version__ = "0.1.0"

# They load the compiler, when first used.
_LATER = {"list_worlds": "reworld.catalogue", "play": "reworld.keyboard", "reference": "reworld.changing.reference"}


def __getattr__(name: str) -> Any:
    """Load what is loaded when first used."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register_all()
