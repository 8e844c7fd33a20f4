"""Environments that run as plain Python, so that a test may try any number of settings without waiting for a compiler.

That compiled and plain code give the same bits is a part of the contract of every world.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from reworld.changing import Changing, SetUp
from reworld.engine import loops
from reworld.engine.kernels import Kernels, replacements_for
from reworld.engine.linking import link
from reworld.environment import WorldEnv
from reworld.generator import uniform


class PlainEnv(WorldEnv):
    """A `WorldEnv` whose loops are linked, and not compiled.

    Args:
        world: As that of `WorldEnv`.
        changing: Likewise.
        draw: What to call in place of `reworld.generator.uniform`, if not that.
        arguments: Further ones of `WorldEnv`.
    """

    def __init__(
        self,
        world: Any,
        changing: Changing | SetUp | dict[str, Any] | None = None,
        draw: Callable[..., float] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(world, changing=changing, **arguments)
        replacements = replacements_for(self.world) | ({uniform: draw} if draw else {})
        names = Kernels.__dataclass_fields__
        self._kernels = Kernels(**{name: link(getattr(loops, name), replacements, self.world.constants) for name in names})
        self._instances: Any = self._instances.view(np.recarray)
