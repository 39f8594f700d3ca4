"""Every example in a docstring and every Python block of the documentation runs."""

import doctest
import importlib
import pkgutil
import re
import shutil
from pathlib import Path

import pytest

import markai

ROOT = Path(__file__).parents[1]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(markai.__path__, "markai.")
    if not module.name.endswith(("__main__", "_native"))
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]) if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("name", ["markai", *MODULES])
def test_doctests(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_there_are_doctests():
    finder = doctest.DocTestFinder(exclude_empty=True)
    tested = {name for name in MODULES if any(test.examples for test in finder.find(importlib.import_module(name)))}
    assert {"markai.api", "markai.detection", "markai.keys", "markai.stats", "markai.payload"} <= tested


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, photo_path, tmp_path, monkeypatch):
    """All blocks of a page in one namespace, in order, in a directory that holds photo.png."""
    text = page.read_text()
    shutil.copy(photo_path, tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        # Padded, so that a traceback names the line of the page.
        source = "\n" * text[: block.start(1)].count("\n") + block[1]
        exec(compile(source, str(page), "exec"), namespace)
