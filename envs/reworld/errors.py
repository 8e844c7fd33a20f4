"""What can go wrong, one class each. All are `gymnasium.error.Error`, so one handler catches every refusal."""

import difflib
from collections.abc import Iterable

from gymnasium.error import Error


class InvalidWorld(Error, ValueError):
    """The description of a world contradicts itself."""


class InvalidConfiguration(Error, ValueError):
    """A configuration names an unknown parameter, or gives one a value that it cannot have."""


class InvalidOption(Error, ValueError):
    """An option of ``make`` or ``reset`` is unknown or malformed."""


def nearest(name: object, known: Iterable[str]) -> str:
    """Say which of the known names was probably meant, or list them all.

    Args:
        name: What was given.
        known: The names that exist.

    Returns:
        A sentence to end an error message with.
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(repr(match) for match in close) + "?"
    return "Known names: " + ", ".join(names) + "."
