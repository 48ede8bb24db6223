"""Numbers, durations and names as a reader wants to see them."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
NOTHING = "\N{EN DASH}"

DECIMALS = {"mm": 2, "ml": 2, "%": 1}


def number(value: float | None, unit: str = "", *, signed: bool = False) -> str:
    """Return a value with as many decimals as its unit deserves (3 for a share between 0 and 1).

    Examples
    --------
    >>> number(0.87654), number(1.5, "mm"), number(-0.01234, signed=True), number(float("inf"), "mm")
    ('0.877', '1.50', '−0.012', '∞')
    >>> number(-0.0004), number(0.5, "%", signed=True)
    ('0.000', '+0.5')
    """
    if value is None or math.isnan(value):
        return NOTHING
    size = "\N{INFINITY}" if math.isinf(value) else f"{abs(value):.{DECIMALS.get(unit, 3)}f}"
    zero = not size.strip("0.")
    return ("" if zero else MINUS if value < 0 else "+" if signed else "") + size


def interval(low: float | None, high: float | None, unit: str = "", *, signed: bool = False) -> str:
    """Return an interval as text, empty where it is not defined.

    Examples
    --------
    >>> interval(0.861, 0.884), interval(None, None)
    ('0.861 to 0.884', '')
    """
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"{number(low, unit, signed=signed)} to {number(high, unit, signed=signed)}"


def compact(value: float) -> str:
    """Return a value with about three significant digits, as on an axis or for a learning rate.

    Examples
    --------
    >>> compact(0.00031), compact(1250.0), compact(0.5), compact(0)
    ('3.1e−4', '1250', '0.5', '0')
    """
    if value == 0 or math.isnan(value):
        return "0" if value == 0 else NOTHING
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
        return text.replace("-", MINUS)
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Return a time span in the two units that matter.

    Examples
    --------
    >>> duration(8.24), duration(252), duration(7500), duration(None)
    ('8.2 s', '4 min 12 s', '2 h 5 min', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def moment(iso: str | None) -> str:
    """Return an ISO time as a reader's date, in UTC where it has a time zone.

    Examples
    --------
    >>> moment("2026-11-20T20:30:05+00:00"), moment("yesterday"), moment(None)
    ('20 November 2026, 20:30 UTC', 'yesterday', '–')
    """
    if not iso:
        return NOTHING
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = " UTC" if time.tzinfo else ""
    return f"{(time.astimezone(UTC) if time.tzinfo else time):%-d %B %Y, %H:%M}{zone}"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """Return an amount with its noun.

    Examples
    --------
    >>> count(1, "case"), count(28, "case"), count(2, "voxel", "voxels")
    ('1 case', '28 cases', '2 voxels')
    """
    return f"{amount} {noun if amount == 1 else plural or noun + 's'}"


def span(values: Sequence[float], unit: str = "") -> str:
    """Return the range of some values, or their common value.

    Examples
    --------
    >>> span([3.0, 3.0]), span([31, 43]), span([0.5, 1.25], "mm")
    ('3', '31–43', '0.5–1.25 mm')
    """
    if not values:
        return NOTHING
    low, high = min(values), max(values)
    text = compact(low) if low == high else f"{compact(low)}{DASH}{compact(high)}"
    return f"{text} {unit}".rstrip()


def listing(names: Sequence[str]) -> str:
    """Return names as a phrase.

    Examples
    --------
    >>> listing(["a"]), listing(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
