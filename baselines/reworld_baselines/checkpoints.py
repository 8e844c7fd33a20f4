"""Checkpoints: named arrays in one safetensors file, which is replaced as a whole. Nothing is pickled."""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from reworld_baselines.runs import RunError, write_whole

Arrays = dict[str, np.ndarray[Any, Any]]


def write(file: Path, arrays: Arrays) -> None:
    """Write a checkpoint in the place of the one before.

    Args:
        file: Where.
        arrays: What, by name.
    """
    # safetensors stores the memory as it lies, so it must lie in order.
    write_whole(file, safetensors.numpy.save({name: np.array(array, order="C") for name, array in arrays.items()}))


def read(file: Path) -> Arrays:
    """Read a checkpoint.

    Args:
        file: Where it is.

    Raises:
        RunError: If there is none, or it is damaged. The file is left as it is.
    """
    try:
        return safetensors.numpy.load(file.read_bytes())
    except OSError as error:
        raise RunError(f"There is no checkpoint to load: {file} cannot be read ({error.strerror}).") from error
    except SafetensorError as error:
        raise RunError(f"The checkpoint {file} is damaged ({error}). It was left as it is.") from error
