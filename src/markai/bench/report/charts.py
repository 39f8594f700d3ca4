"""Line charts as SVG: axes, logarithmic ones too, bands, dashes, markers that tell their figures when pointed at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markai.bench.report.elements import Markup, tag
from markai.bench.report.marks import colour, dash, marker

WIDTH, HEIGHT = 340, 228
LEFT, RIGHT, TOP, BOTTOM = 36, 12, 22, 38
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_TICKS = 6
MOST_BANDS = 6  # more lie over each other until none can be told apart


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high``, both finite and different; ``marks`` are ticks instead of the round ones.

    >>> Axis("share", 0, 1).at(0.25), Axis("p", 1e-4, 1, log=True).at(1e-3)
    (0.25, 0.25)
    """

    label: str
    low: float
    high: float
    log: bool = False
    marks: Sequence[tuple[float, str]] = ()

    def at(self, value: float) -> float:
        """Return where a value lies, from 0 to 1; what lies outside is drawn on the edge."""
        low, high = (math.log10(end) if self.log else end for end in (self.low, self.high))
        known = (math.log10(value) if value > 0 else low) if self.log else value
        return min(1.0, max(0.0, (known - low) / (high - low)))

    def ticks(self) -> list[tuple[float, str]]:
        """Return values and how they are written: at most six, at round steps.

        >>> Axis("", 0, 90).ticks()
        [(0.0, '0'), (20.0, '20'), (40.0, '40'), (60.0, '60'), (80.0, '80')]
        >>> Axis("", 1e-6, 1, log=True).ticks()
        [(1e-06, '10⁻⁶'), (0.0001, '10⁻⁴'), (0.01, '10⁻²'), (1.0, '1')]
        """
        if self.marks:
            return list(self.marks)
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = -(-(last - first + 1) // MOST_TICKS)
            return [(10.0**k, _power_of_ten(k)) for k in range(last, first - 1, -every)][::-1]
        step = _round_step((self.high - self.low) / (MOST_TICKS - 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(k * step, f"{k * step:.10g}") for k in range(first, last + 1)]


def _power_of_ten(exponent: int) -> str:
    return "1" if exponent == 0 else f"10{str(exponent).translate(SUPERSCRIPTS)}"


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least this."""
    decade = 10.0 ** math.floor(math.log10(least))
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= least * (1 - 1e-9))


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line, its interval where it has one, and what is said when it is pointed at."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A method's points in the order in which they are joined; ``staircase`` joins them by steps."""

    name: str
    style: int
    points: Sequence[Point]
    staircase: bool = False
    marked: bool = True


@dataclass(frozen=True, slots=True)
class Plane:
    """Where values lie on the paper."""

    x: Axis
    y: Axis
    width: float = field(default=WIDTH - LEFT - RIGHT)
    height: float = field(default=HEIGHT - TOP - BOTTOM)

    def place(self, x: float, y: float) -> str:
        """Return coordinates as a path writes them."""
        return f"{_short(LEFT + self.width * self.x.at(x))} {_short(TOP + self.height * (1 - self.y.at(y)))}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def chart(x: Axis, y: Axis, lines: Sequence[Line], label: str, ground: Sequence[Markup] = ()) -> Markup:
    """Return a chart: the grid, the ``ground`` (``region``, ``curve``, ``note``), bands, lines, markers, in this order.

    ``label`` says in words what is drawn, to those who cannot see it.
    """
    plane = Plane(x, y)
    return tag(
        "svg",
        _grid(plane),
        ground,
        [_band(plane, line) for line in lines] if len(lines) <= MOST_BANDS else None,
        [_path(plane, line) for line in lines],
        [_dots(plane, line) for line in lines if line.marked],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
    )


def region(x: Axis, y: Axis, corners: Sequence[tuple[float, float]]) -> Markup:
    """Return a shaded region of the plane."""
    plane = Plane(x, y)
    return tag("path", d="M" + "L".join(plane.place(*corner) for corner in corners) + "z", class_="region")


def curve(x: Axis, y: Axis, points: Sequence[tuple[float, float]]) -> Markup:
    """Return a thin line to compare with."""
    plane = Plane(x, y)
    return tag("path", d="M" + "L".join(plane.place(*point) for point in points), class_="guide")


def note(x: Axis, y: Axis, point: tuple[float, float], text: str, *, shaded: bool = False) -> Markup:
    """Return words on the plane: to the right of a point, or to the left of it on a shaded region."""
    across, down = Plane(x, y).place(*point).split()
    return tag(
        "text",
        text,
        x=across,
        y=down,
        text_anchor="end" if shaded else None,
        class_="note shaded" if shaded else "note",
    )


def _grid(plane: Plane) -> list[Markup]:
    bottom, end = TOP + plane.height, LEFT + plane.width
    across = [(LEFT + plane.width * plane.x.at(value), text) for value, text in plane.x.ticks()]
    up = [(bottom - plane.height * plane.y.at(value), text) for value, text in plane.y.ticks()]
    rules = [f"M{LEFT} {_short(at)}H{_short(end)}" for at, _ in up] + [
        f"M{_short(at)} {TOP}V{_short(bottom)}" for at, _ in across
    ]
    return [
        tag("path", d="".join(rules), class_="grid"),
        tag("path", d=f"M{LEFT} {TOP}V{_short(bottom)}H{_short(end)}", class_="axis"),
        *(tag("text", text, x=_short(at), y=_short(bottom + 14), text_anchor="middle") for at, text in across),
        *(tag("text", text, x=LEFT - 6, y=_short(at + 3.5), text_anchor="end") for at, text in up),
        tag(
            "text", plane.x.label, x=_short(LEFT + plane.width / 2), y=HEIGHT - 6, text_anchor="middle", class_="label"
        ),
        tag("text", plane.y.label, x=4, y=12, class_="label"),
    ]


def _band(plane: Plane, line: Line) -> Markup | None:
    known = [
        (point.x, point.low, point.high) for point in line.points if point.low is not None and point.high is not None
    ]
    if len(known) < 2:
        return None
    outline = [plane.place(x, high) for x, _, high in known] + [plane.place(x, low) for x, low, _ in reversed(known)]
    return tag("path", d="M" + "L".join(outline) + "z", class_=f"band {colour(line.style)}")


def _path(plane: Plane, line: Line) -> Markup | None:
    if not line.points:
        return None
    places = [plane.place(point.x, point.y) for point in line.points]
    if line.staircase:
        joined = places[0] + "".join(f"H{place.split()[0]}V{place.split()[1]}" for place in places[1:])
    else:
        joined = "L".join(places)
    title = tag("title", line.name)
    return tag("path", title, d="M" + joined, class_=f"line {colour(line.style)}", stroke_dasharray=dash(line.style))


def _dots(plane: Plane, line: Line) -> Markup:
    dots = [
        tag(
            "path",
            tag("title", point.title) if point.title else None,
            d=marker(line.style),
            transform=f"translate({plane.place(point.x, point.y)})",
        )
        for point in line.points
    ]
    return tag("g", dots, class_=f"dot {colour(line.style)}")
