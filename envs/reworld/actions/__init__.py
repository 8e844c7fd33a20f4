"""The action space in the shapes that other codebases take.

reworld's own form is ``Tuple((Discrete(K), Tuple((Box_0, …, Box_{K-1}))))`` in physical units: a branch, and every branch's
own parameters; or ``Discrete(K)`` if no branch has parameters. These wrappers offer the same choices in another form:

- `RescaleParameters`: the same form, every parameter in [-1, 1].
- `FlatTupleAction`: ``Tuple((Discrete(K), Box))``, the parameters of all branches in one row. The fastest.
- `DictAction`: ``Dict``, a branch and one entry for each branch that has parameters.
- `OneOfAction`: ``OneOf``, a branch with its own parameters and no others.
- `FlatBoxAction`: one flat ``Box``, for libraries that know no other continuous space.
- `DiscreteAction`: ``Discrete``, every branch with every combination of a few values of its parameters.
- `MultiDiscreteAction`: ``MultiDiscrete``, a branch and one of a few values of every parameter.

Each is for a `gymnasium.Env` of reworld and has a version named ``Vector…`` for the native batch (`OneOfAction` excepted, whose
batches would be tuples of single actions). `FlatTupleAction`, `DictAction` and `OneOfAction` keep the units: physical ones, or
[-1, 1] around `RescaleParameters`. Values outside [-1, 1] are not clipped here: they are scaled like all others and passed on,
and the world clips what lies beyond its bounds.

``info["action_mask"]`` tells which branches may be chosen, or which actions in `DiscreteAction`. `FlatBoxAction` chooses among
those branches alone; the others pass on what they are given.
"""

from reworld.actions.forms import read_flat
from reworld.actions.layout import Layout, read_layout, to_physical, to_scaled
from reworld.actions.wrappers import (
    DictAction,
    DiscreteAction,
    FlatBoxAction,
    FlatTupleAction,
    MultiDiscreteAction,
    OneOfAction,
    RescaleParameters,
    VectorDictAction,
    VectorDiscreteAction,
    VectorFlatBoxAction,
    VectorFlatTupleAction,
    VectorMultiDiscreteAction,
    VectorRescaleParameters,
)

__all__ = [
    "DictAction",
    "DiscreteAction",
    "FlatBoxAction",
    "FlatTupleAction",
    "Layout",
    "MultiDiscreteAction",
    "OneOfAction",
    "RescaleParameters",
    "VectorDictAction",
    "VectorDiscreteAction",
    "VectorFlatBoxAction",
    "VectorFlatTupleAction",
    "VectorMultiDiscreteAction",
    "VectorRescaleParameters",
    "read_flat",
    "read_layout",
    "to_physical",
    "to_scaled",
]
