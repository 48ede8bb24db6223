"""Errors that a user can act on.

Whatever is wrong with a file, an argument or a configuration is raised as :class:`InputError` with a message that
names the argument or file, what was given and what is accepted. The command line prints exactly that message.
"""

import difflib
import math
from collections.abc import Iterable


class InputError(ValueError):
    """A file, argument or configuration that cannot be used.

    Examples
    --------
    >>> raise InputError("spacing must have 3 positive values; got (1.0, 0.0)")
    Traceback (most recent call last):
    ...
    shapewright.errors.InputError: spacing must have 3 positive values; got (1.0, 0.0)
    """


def suggest(given: str, accepted: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for a misspelt name, or an empty string where nothing is close.

    Examples
    --------
    >>> suggest("bondary-loss", ["boundary-loss", "supervised"])
    "; did you mean 'boundary-loss'?"
    >>> suggest("zzz", ["boundary-loss"])
    ''
    """
    close = difflib.get_close_matches(given, list(accepted), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, given: str, accepted: Iterable[str]) -> InputError:
    """Return the error for a name that is not among the accepted ones, with a suggestion.

    Examples
    --------
    >>> print(unknown("method", "bondary-loss", ["boundary-loss", "supervised"]))
    unknown method 'bondary-loss'; did you mean 'boundary-loss'? Accepted: boundary-loss, supervised
    """
    names = list(accepted)
    hint = suggest(given, names)
    return InputError(f"unknown {kind} {given!r}{hint or '.'} Accepted: {', '.join(names)}")


def check_number(
    name: str,
    value: object,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Refuse a number outside its range; NaN is outside every range.

    Parameters
    ----------
    name
        The option or argument, for the message.
    value
        What was given; from a file it may be anything.
    minimum, maximum
        Bounds that are themselves accepted.
    above, below
        Bounds that are not.

    Raises
    ------
    InputError
        The number is outside.

    Examples
    --------
    >>> check_number("trainer.epochs", 0, minimum=1)
    Traceback (most recent call last):
    ...
    shapewright.errors.InputError: trainer.epochs must be at least 1; got 0
    """
    if not isinstance(value, int | float):
        raise InputError(f"{name} must be a number; got {value!r}")
    if minimum <= value <= maximum and above < value < below:
        return
    bounds = (("at least", minimum), ("more than", above), ("at most", maximum), ("less than", below))
    wanted = " and ".join(f"{words} {bound}" for words, bound in bounds if math.isfinite(bound))
    raise InputError(f"{name} must be {wanted or 'a finite number'}; got {value}")
