"""The error tree: one base, a builtin beside it, and messages that say what to do."""

import builtins
import inspect
import re

import pytest

from markai import errors
from markai.errors import MarkaiError, MissingExtraError

TREE = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^ +[x+] (\w+)", errors.__doc__, re.MULTILINE)
    assert {"MarkaiError", *drawn} == set(TREE)
    for name, builtin in re.findall(r"^  x (\w+)\((\w+)\)", errors.__doc__, re.MULTILINE):
        assert TREE[name].__bases__ == (MarkaiError, getattr(builtins, builtin))


@pytest.mark.parametrize("error", [cls for cls in TREE.values() if cls is not MarkaiError])
def test_each_is_a_markai_error_and_a_builtin_one(error):
    assert issubclass(error, MarkaiError)
    assert issubclass(error, (ValueError, OSError, ImportError, LookupError))
    assert inspect.getdoc(error)


def test_missing_extra_names_the_pip_line():
    message = str(MissingExtraError.naming("torch", "torch", "learned marks"))
    assert message == "learned marks need torch: pip install 'markai[torch]'"
