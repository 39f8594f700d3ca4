"""How figures are written: one place for digits, dashes and signs, for the page and for Markdown alike."""

import math
from collections.abc import Mapping
from typing import Any

DASH = "\N{EN DASH}"
UNKNOWN = DASH  # what was not measured


def finite(value: Any) -> float | None:
    """Return a number that can be drawn, or None.

    >>> finite(0.5), finite(None), finite(float("nan"))
    (0.5, None, None)
    """
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure with so many digits after the point.

    >>> number(42.567), number(1234.5, 0), number(float("inf")), number(None)
    ('42.57', '1,234', '∞', '–')
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.{digits}f}"


def fraction(value: float | None, digits: int = 3) -> str:
    """Return a share; only none and all of it are written as 0 and 1.

    >>> fraction(0.967), fraction(1), fraction(0.9999), fraction(1e-5), fraction(None)
    ('0.967', '1.000', '>0.999', '<0.001', '–')
    """
    if finite(value) is None:
        return UNKNOWN
    assert value is not None
    step = 10.0**-digits
    if 0 < value < step / 2:
        return f"<{step:.{digits}f}"
    if 1 - step / 2 <= value < 1:
        return f">{1 - step:.{digits}f}"
    return f"{value:.{digits}f}"


def interval(share: Mapping[str, Any] | None, digits: int = 3, to: str = DASH) -> str:
    """Return the interval of a share or of a mean; nothing where there is none.

    >>> interval({"value": 0.967, "low": 0.907, "high": 0.993, "n": 91})
    '0.907–0.993'
    >>> interval({"value": None, "low": None, "high": None, "n": 0})
    ''
    """
    low, high = (finite(share.get(end)) if share else None for end in ("low", "high"))
    return "" if low is None or high is None else f"{low:.{digits}f}{to}{high:.{digits}f}"


def power(log10_p: float | None) -> str:
    """Return a p-value, as small as it may be.

    >>> power(-6), power(-412.3), power(-0.4), power(None)
    ('1.0e-6', '5.0e-413', '0.40', '–')
    """
    if log10_p is None or not math.isfinite(log10_p):
        return UNKNOWN
    if log10_p > -2:
        return f"{10**log10_p:.2f}"
    exponent = math.floor(log10_p)
    digits = f"{10 ** (log10_p - exponent):.1f}"
    return f"1.0e{exponent + 1}" if digits == "10.0" else f"{digits}e{exponent}"


def small(value: float | None) -> str:
    """Return a rate that may be tiny, with two digits.

    >>> small(0.0952), small(0.1), small(0.00033), small(7.24e-5), small(0), small(None)
    ('0.095', '0.10', '0.00033', '7.2e-5', '0', '–')
    """
    known = finite(value)
    if known is None:
        return UNKNOWN
    return "0" if known == 0 else power(math.log10(known)) if known < 1e-4 else f"{known:#.2g}"


def milliseconds(value: float | None) -> str:
    """Return a time with three digits or more.

    >>> milliseconds(5.31), milliseconds(1248.2), milliseconds(None)
    ('5.3', '1,248', '–')
    """
    return number(value, 1 if value is None or value < 100 else 0)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    >>> plural(1, "picture"), plural(1200, "picture")
    ('1 picture', '1,200 pictures')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Return how long something took, in the two largest units.

    >>> duration(42), duration(3725), duration(None)
    ('42 s', '1 h 2 min', '–')
    """
    if finite(seconds) is None:
        return UNKNOWN
    assert seconds is not None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
