"""Conditions over rows, written as data: what rules and policies are made of. Nothing in them is ever run as code.

A condition is one of

* ``all: [...]``, ``any: [...]``, ``not: ...``: of other conditions;
* ``use: NAME``: a condition that was defined under a name;
* ``path: manifest.status`` with exactly one of ``equals``, ``in``, ``present``, ``contains``, ``matches``, ``min``,
  ``max``: of a value of the row. In a path ``*`` stands for every item of a list or member of a mapping; then it is
  enough that the condition holds for one of them.

A path that leads nowhere makes every test false except ``present: false``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markai.audit.yamlfile import Node

Row = Mapping[str, Any]
Condition = Callable[[Row], bool]

PATH = re.compile(r"(?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_ -]+|\*))*")
LOGIC = ("all", "any", "not", "use")
TESTS = ("equals", "in", "present", "contains", "matches", "min", "max")
# The first part of every path: what a row holds, and what its caller adds to it.
ROOTS = {
    *("path", "status", "error", "sha256", "bytes", "type", "width", "height", "watermark", "watermarks", "manifest"),
    *("metadata", "record", "recovered", "contradictions", "verdict", "rules", "declared", "settings", "selftest"),
    *("totals", "markai"),
}
MAX_DEPTH, MAX_MATCHED, MAX_VALUES = 30, 1000, 10_000


@dataclass(frozen=True, slots=True)
class Definitions:
    """Conditions under names, for ``use``; each may use those that were defined before it."""

    known: Mapping[str, Condition]

    def with_those_of(self, node: Node | None) -> "Definitions":
        """Return these and those that a mapping in a file defines.

        Raises:
            PolicyError: if one is not a condition, or has the name of another.
        """
        known = dict(self.known)
        for name, each in node.mapping().items() if node else ():
            if name in known:
                raise each.wrong(f"{name!r} is defined already - choose another name")
            known[name] = parse(each, Definitions(known))
        return Definitions(known)


def parse(node: Node, definitions: Definitions = Definitions({}), depth: int = 0) -> Condition:
    """Return the condition that a part of a file states.

    >>> from markai.audit.yamlfile import parse as yaml
    >>> condition = parse(yaml(b"{path: 'metadata.traces.*.kind', in: [comfyui, midjourney]}", "example"))
    >>> condition({"metadata": {"traces": [{"kind": "exif"}, {"kind": "comfyui"}]}}), condition({})
    (True, False)

    Raises:
        PolicyError: if it is none; the message names the file and the line.
    """
    if depth > MAX_DEPTH:
        raise node.wrong(f"conditions are nested more than {MAX_DEPTH} deep - define parts under names")
    given = node.mapping()
    if "path" in given:
        return _test(node, given)
    kinds = [name for name in given if name in LOGIC]
    if len(kinds) != 1 or len(given) != 1:
        raise node.wrong(f"a condition is a path with a test, or one of {', '.join(LOGIC)} - write one of them")
    inner = given[kinds[0]]
    if kinds[0] == "use":
        name = inner.text()
        if name not in definitions.known:
            raise inner.wrong(f"nothing is defined as {name!r} - use one of {', '.join(sorted(definitions.known))}")
        return definitions.known[name]
    if kinds[0] == "not":
        negated = parse(inner, definitions, depth + 1)
        return lambda row: not negated(row)
    if not isinstance(inner.value, list) or not inner.value:
        raise inner.wrong(f"{kinds[0]!r} takes a list of conditions - write each behind a dash")
    parts = [parse(each, definitions, depth + 1) for each in inner.items()]
    together = all if kinds[0] == "all" else any
    return lambda row: together(part(row) for part in parts)


def values(row: Row, path: str) -> Iterator[Any]:
    """Yield what a path leads to, which is several values where it has a ``*``.

    >>> list(values({"a": [{"b": 1}, {"b": 2}, {}]}, "a.*.b")), list(values({"a": None}, "a.b"))
    ([1, 2], [])
    """
    return _follow(row, path.split("."))


def _follow(value: Any, parts: list[str]) -> Iterator[Any]:
    if not parts:
        yield value
    elif parts[0] == "*":
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        for each in list(inner)[:MAX_VALUES]:
            yield from _follow(each, parts[1:])
    elif isinstance(value, Mapping) and parts[0] in value:
        yield from _follow(value[parts[0]], parts[1:])


def is_present(value: Any) -> bool:
    """Say whether there is anything: not None, nor an empty text, list or mapping. False and 0 are something."""
    return value is not None and not (isinstance(value, str | list | tuple | Mapping) and len(value) == 0)


def _test(node: Node, given: dict[str, Node]) -> Condition:
    path = given["path"].text(200)
    if not PATH.fullmatch(path) or path.split(".")[0] not in ROOTS:
        roots = ", ".join(sorted(ROOTS))
        raise given["path"].wrong(f"{path!r} is no path into a row - names with dots between them, of {roots}")
    tests = [name for name in given if name != "path"]
    if len(tests) != 1 or tests[0] not in TESTS:
        raise node.wrong(f"a path takes exactly one test - write one of {', '.join(TESTS)}")
    name, wanted = tests[0], given[tests[0]]
    if name == "present":
        expected = wanted.truth()
        return lambda row: any(is_present(each) for each in values(row, path)) == expected
    holds = _comparison(name, wanted)
    return lambda row: any(holds(each) for each in values(row, path))


def _comparison(name: str, wanted: Node) -> Callable[[Any], bool]:
    if name in ("min", "max"):
        bound = wanted.number()
        return lambda value: _is_number(value) and (value >= bound if name == "min" else value <= bound)
    if name == "matches":
        return _matching(wanted)
    if name == "in":
        if not isinstance(wanted.value, list):
            raise wanted.wrong("'in' takes a list of values - write [one, another]")
        accepted = [each.plain() for each in wanted.items()]
        return lambda value: any(_same(value, each) for each in accepted)
    expected = wanted.plain()
    if isinstance(expected, dict | list):
        raise wanted.wrong(f"{name!r} takes one plain value - for several use 'in' or 'any'")
    if name == "contains":
        return lambda value: (
            isinstance(value, list | tuple) and any(_same(each, expected) for each in value[:MAX_VALUES])
        )
    return lambda value: _same(value, expected)


def _matching(wanted: Node) -> Callable[[Any], bool]:
    try:
        pattern = re.compile(wanted.text(500))
    except re.error as error:
        raise wanted.wrong(f"this is no regular expression ({error}) - correct it") from error
    return lambda value: isinstance(value, str) and pattern.search(value[:MAX_MATCHED]) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: Any, expected: Any) -> bool:
    """Compare without taking 1 for true: JSON and YAML keep the two apart."""
    return isinstance(value, bool) == isinstance(expected, bool) and bool(value == expected)
