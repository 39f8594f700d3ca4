"""Marks in text: speed beside transformers, power, false positives, what decoding and encoding costs.

    python benchmarks/text.py [speed] [power] [null] [tokens] [--trials 1100000] [--work FOLDER] [--jobs 2]

Each section is taken up where it was stopped, but for the speed, which takes minutes. Writes ``results/text.json``,
section by section, and ``results/text.md``; ``readme.py`` fills the README from the first. Texts come from what ships
with Python, from ``tests/text_corpora.py`` and, where it is there, from the collection beside the repository.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from common import RESULTS, ROOT, machine, save  # noqa: E402

sys.path.append(str(ROOT / "tests"))  # for the corpora
NAME = "text"


def speed(_args: argparse.Namespace) -> dict[str, Any]:
    import text_speed

    return text_speed.measure()


def power(args: argparse.Namespace) -> dict[str, Any]:
    import text_power

    return text_power.measure(tuple(args.runs or text_power.PLANS), args.work, args.jobs)


def null(args: argparse.Namespace) -> dict[str, Any]:
    import text_null

    return text_null.measure(args.trials, args.work / "null", args.jobs)


def tokens(_args: argparse.Namespace) -> dict[str, Any]:
    import text_tokens

    return text_tokens.measure()


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "power": power,
    "null": null,
    "tokens": tokens,
    "speed": speed,
}


def merged(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the results with a section in place of what was there; of power also the runs that were there before."""
    path = RESULTS / f"{NAME}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    if name == "power":  # whose runs say by themselves what they were made on
        return before | {name: before.get(name, {}) | found}
    return before | {name: found | {"machine": machine()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*SECTIONS], default=[*SECTIONS])
    parser.add_argument("--runs", nargs="*", help="only these runs of power")
    parser.add_argument("--trials", type=int, default=1_100_000, help="texts times keys, of every scheme")
    parser.add_argument("--work", type=Path, default=ROOT / "scratch" / "text")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    for name in args.names:
        result = merged(name, SECTIONS[name](args))
        save(NAME, result)
        import text_tables

        (RESULTS / f"{NAME}.md").write_text(text_tables.document(result))


if __name__ == "__main__":
    main()
