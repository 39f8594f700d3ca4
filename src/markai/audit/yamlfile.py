"""YAML files that people write, read strictly: plain values only, every key once, and the line of whatever is wrong."""

from pathlib import Path
from typing import Any, NamedTuple

from markai.errors import MissingExtraError, PolicyError

MAX_BYTES, MAX_DEPTH = 1 << 20, 100
TEXT, LIST, MAP = "a text", "a list", "a mapping"


class Node(NamedTuple):
    """A value of a file with the line that it starts in: text, number, truth, None, a list or a mapping of nodes.

    Every reader raises PolicyError with the file and the line where the value is of another kind.
    """

    value: Any
    line: int
    source: str

    def wrong(self, problem: str) -> PolicyError:
        """Return the error that says what is wrong here."""
        return PolicyError(f"{self.source}, line {self.line}: {problem}")

    def mapping(self, known: "set[str] | None" = None, needed: "set[str] | None" = None) -> dict[str, "Node"]:
        """Return the members of a mapping, which has only known keys and all that are needed."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"this must be {MAP} - write KEY: VALUE lines")
        for name, node in self.value.items():
            if known is not None and name not in known:
                raise node.wrong(f"there is no key {name!r} here - use {', '.join(sorted(known))}")
        for name in sorted((needed or set()) - self.value.keys()):
            raise self.wrong(f"the key {name!r} is missing - add it")
        return self.value

    def items(self) -> list["Node"]:
        """Return the items of a list; a single value counts as a list of one."""
        return self.value if isinstance(self.value, list) else [self]

    def text(self, limit: int = 2000) -> str:
        """Return a text that is not empty."""
        if not isinstance(self.value, str) or not self.value.strip() or len(self.value) > limit:
            raise self.wrong(f"this must be {TEXT} of 1 to {limit} characters - put quotes around it")
        return self.value

    def choice(self, known: "tuple[str, ...]") -> str:
        """Return one of the known texts."""
        if self.value not in known:
            raise self.wrong(f"{self.plain()!r} is not known here - use one of {', '.join(known)}")
        return str(self.value)

    def truth(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("this must be true or false - write one of them without quotes")
        return self.value

    def number(self) -> float:
        """Return a number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("this must be a number - write it without quotes")
        return float(self.value)

    def plain(self) -> Any:
        """Return the value without lines, as JSON has it."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


def load(path: Path) -> Node:
    """Return what a YAML file says.

    Raises:
        PolicyError: if it cannot be read, or is not the YAML that is accepted.
        MissingExtraError: without PyYAML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror} - check the path") from error
    return parse(raw, str(path))


def parse(raw: bytes, source: str) -> Node:
    """Return what YAML says; ``source`` names it in errors. Aliases, tags and keys that come twice are refused.

    >>> parse(b"rules:\\n- id: one\\n", "p.yaml").mapping()["rules"].items()[0].mapping()["id"]
    Node(value='one', line=2, source='p.yaml')

    Raises:
        PolicyError: if it is not the YAML that is accepted.
        MissingExtraError: without PyYAML.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError.naming("PyYAML", "audit", "rules and policies") from error
    if len(raw) > MAX_BYTES:
        raise PolicyError(f"{source} has more than {MAX_BYTES:,} bytes - split it")
    try:
        text = raw.decode("utf-8-sig")
        _check_tokens(yaml.scan(text, Loader=yaml.SafeLoader), source)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        return Node({}, 1, source) if tree is None else _node(tree, source)
    except UnicodeDecodeError as error:
        raise PolicyError(f"{source} is not UTF-8 text - save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise PolicyError(f"{source}{line}: this is no YAML ({problem}) - check indents, colons and quotes") from error


def _check_tokens(tokens: Any, source: str) -> None:
    """Refuse, before there is a tree, what makes one without bounds: aliases that multiply, and nesting without end."""
    import yaml

    depth = 0
    for token in tokens:
        where = f"{source}, line {token.start_mark.line + 1}"
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
            raise PolicyError(f"{where}: anchors, aliases and tags are not accepted - write the value out")
        kind = type(token).__name__
        depth += kind.endswith(("SequenceStartToken", "MappingStartToken"))
        depth -= kind.endswith(("SequenceEndToken", "MappingEndToken", "BlockEndToken"))
        if depth > MAX_DEPTH:
            raise PolicyError(f"{where}: this is nested more than {MAX_DEPTH} deep - write it flat")


def _node(tree: Any, source: str) -> Node:
    """Turn the tree of PyYAML into plain values, each with its line."""
    import yaml

    line = tree.start_mark.line + 1
    if isinstance(tree, yaml.SequenceNode):
        return Node([_node(each, source) for each in tree.value], line, source)
    if isinstance(tree, yaml.MappingNode):
        members: dict[str, Node] = {}
        for key, value in tree.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in members or key.tag.endswith(":merge"):
                raise PolicyError(
                    f"{source}, line {key.start_mark.line + 1}: a key is a text that comes once - rename it"
                )
            members[name] = _node(value, source)
        return Node(members, line, source)
    return Node(_scalar(tree), line, source)


def _scalar(tree: Any) -> Any:
    """Return a plain value; dates and all that YAML makes of a text besides stay texts."""
    import yaml

    kind = tree.tag.rpartition(":")[2]
    if kind not in ("bool", "int", "float", "null"):
        return tree.value
    constructor = yaml.constructor.SafeConstructor()
    made = getattr(constructor, f"construct_yaml_{kind}")
    try:
        return made(tree)
    except (ValueError, KeyError):
        return tree.value
