"""Gymnasium worlds that the agent can change.

Importing this package registers them: ``gymnasium.make("reworld:reworld/Platform-v0")``.
"""

from reworld.registration import register, register_all
from reworld.world import Branch, Parameter, Quantity, World

__all__ = ["Branch", "Parameter", "Quantity", "World", "register"]
__version__ = "0.1.0"

register_all()
