"""What a method looks like everywhere on the page: its colour, dash and marker, alone and in a legend."""

from collections.abc import Iterable

from markai.bench.report.elements import Markup, tag

COLOURS = 8  # in style.css: Okabe and Ito's palette, darkened where white paper asks for it
DASHES = (None, "7 3", "2 2.5", "8 3 2 3")
MARKERS = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "M-2.8-2.8h5.6v5.6h-5.6z",
    "M0-3.8L3.6 2.6H-3.6z",
    "M0-3.9L3.9 0L0 3.9L-3.9 0z",
    "M0 3.8L3.6-2.6H-3.6z",
    "M-3.4-1.1h2.3v-2.3h2.2v2.3h2.3v2.2h-2.3v2.3h-2.2v-2.3h-2.3z",
)


def colour(style: int) -> str:
    """Return the class that carries the colour of a style."""
    return f"m{style % COLOURS}"


def dash(style: int) -> str | None:
    """Return the dashes of a line; the second round of colours starts one further, so that no two lines are equal."""
    return DASHES[(style + style // COLOURS) % len(DASHES)]


def marker(style: int) -> str:
    """Return the path of a marker around the origin, 7 units wide."""
    return MARKERS[style % len(MARKERS)]


def swatch(style: int) -> Markup:
    """Return a piece of a method's line with its marker, to stand beside its name."""
    return tag(
        "svg",
        tag("path", d="M1 6H27", class_="line", stroke_dasharray=dash(style)),
        tag("path", d=marker(style), class_="dot", transform="translate(14 6)"),
        class_=f"swatch {colour(style)}",
        viewBox="0 0 28 12",
        width=28,
        height=12,
        aria_hidden="true",
    )


def breakable(name: str) -> list[Markup | str]:
    """Return a long name that may break after a slash, a plus, an underscore, a colon or an at sign."""
    pieces: list[Markup | str] = []
    for character in name:
        pieces.append(character)
        if character in "/+_:@":
            pieces.append(Markup("<wbr>"))
    return pieces


def legend(names: Iterable[tuple[int, str]]) -> Markup:
    """Return the list of methods with their lines."""
    return tag("ul", [tag("li", swatch(style), " ", name) for style, name in names], class_="legend")
