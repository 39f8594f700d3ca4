"""Bars and intervals as drawings of one line each, to stand in the cells of tables; their figures stand beside them."""

from collections.abc import Sequence

from markai.bench.report.elements import Markup, tag

WIDTH, HEIGHT = 100, 8
LEAST = 0.75  # width of a part that is there at all


def bar(parts: Sequence[tuple[int, str]], total: int) -> Markup:
    """Return a bar of parts, each a count with the class that colours it, as shares of a total.

    >>> bar([(1, "good"), (1, "bad")], 4).count('<rect width="25"')
    2
    """
    # What is there is seen, however small its share; the others make room.
    widths = [max(LEAST, WIDTH * count / total) if count and total else 0.0 for count, _ in parts]
    fitting = WIDTH / max(WIDTH, sum(widths))
    rects, at = [], 0.0
    for width, (_, kind) in zip(widths, parts, strict=True):
        if width:
            start = _short(at) if at else None
            rects.append(tag("rect", width=_short(width * fitting), height=HEIGHT, x=start, class_=kind))
        at += width * fitting
    return _drawing(rects, "bar")


def interval(value: float, low: float, high: float, kind: str = "") -> Markup:
    """Return a share from 0 to 1 as a dot, on the line that its interval spans.

    >>> interval(0.5, 0.25, 0.75).count("<path")
    3
    """
    paths = [
        tag("path", d=f"M0 4H{WIDTH}", class_="rail"),
        tag("path", d=f"M{_short(WIDTH * low)} 4H{_short(WIDTH * high)}", class_="span"),
        tag("path", d=f"M{_short(WIDTH * value)} 4h0", class_=f"point {kind}".strip()),
    ]
    return _drawing(paths, "interval")


def _drawing(inside: Sequence[Markup], kind: str) -> Markup:
    return tag(
        "svg", inside, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", class_=kind, aria_hidden="true"
    )


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
