"""The shape of the package: imports only downward, small modules, a small surface, nothing dangerous."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import markai
from markai._kernels import _native

SRC = Path(__file__).parents[1] / "src" / "markai"
MODULES = {
    path.relative_to(SRC.parent).with_suffix("").as_posix().replace("/", "."): path for path in SRC.rglob("*.py")
}
MODULES = {name.removesuffix(".__init__"): path for name, path in MODULES.items()}
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in MODULES.items()}

# Lowest first. A module imports from its own layer and from those below it.
LAYERS = [
    {"errors", "detection"},
    {"stats", "keys"},
    {"_kernels"},
    {
        *("payload", "files"),
        *("image", "image_arrays", "image_containers", "image_export", "image_files", "image_tensors", "image_tiff"),
    },
    {"watermarks", "text", "attacks", "metrics"},
    {"neural"},  # the learned mark, and the training of the regeneration proxies; nothing below imports it
    {"api"},
    {"bench", "provenance"},
    {"marker", "marker_text", "marked", "leftovers", "inspection", "inspector"},
    {"audit"},
    {"cli", "integrations"},
]
LAYER = {name: height for height, names in enumerate(LAYERS) for name in names}
PUBLIC = {
    *(
        "Detection",
        "Geometry",
        "Inspector",
        "Key",
        "KeyRing",
        "MarkaiError",
        "Marker",
        "NotDetected",
        "Signer",
        "Trust",
    ),
    *("detect", "detect_all", "embed", "sign", "verify"),
}
# The version, and the names that are loaded when first used: not an import of what lies above.
TOP = "markai"


def imports(tree):
    """Every module that is imported anywhere in a tree, by full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == TOP:
                yield from (f"{TOP}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def part(module):
    """errors for markai.errors, cli for markai.cli.embed, None for markai itself."""
    return module.split(".")[1] if "." in module else None


def test_every_module_has_a_layer():
    assert {part(name) for name in MODULES} - {None} == set(LAYER)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {TOP}))
def test_imports_point_downward(name):
    for imported in imports(TREES[name]):
        if not imported.startswith(f"{TOP}."):
            continue
        target = part(imported)
        if target in PUBLIC or target == "__version__":  # through the package: as high as where it lives
            target = part(getattr(markai, target).__module__) if target in PUBLIC else "errors"
        assert LAYER[target] <= LAYER[part(name)], f"{name} imports {imported}"


def test_no_cycles_among_modules():
    graph = {
        name: {each for each in imports(tree) if each in MODULES} - {TOP} for name, tree in TREES.items() if name != TOP
    }
    done = set()
    while graph:
        ready = {name for name, needed in graph.items() if needed <= done | {name}}
        assert ready, f"a cycle among {sorted(graph)}"
        done |= ready
        graph = {name: needed for name, needed in graph.items() if name not in ready}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_are_short_and_say_what_they_are(name):
    assert len(MODULES[name].read_text().splitlines()) <= 500
    assert ast.get_docstring(TREES[name]), "a module says what it is for"


def test_only_the_image_modules_know_pillow():
    """For reading and writing pictures, that is: attacks recode in memory, doctor and reports draw, peers take them."""
    knowing = {part(name) for name, tree in TREES.items() if any(m.split(".")[0] == "PIL" for m in imports(tree))}
    image = {"image", "image_arrays", "image_export", "image_files", "image_tiff"}
    assert knowing <= image | {"attacks", "audit", "bench", "cli"}


def test_only_the_adapter_knows_c2pa():
    """It imports it when it is first used, by name."""
    knowing = {name for name, path in MODULES.items() if 'import_module("c2pa")' in path.read_text()}
    assert knowing == {"markai.provenance.c2pa_adapter"}
    assert not [name for name, tree in TREES.items() if any(m.split(".")[0] == "c2pa" for m in imports(tree))]


def test_only_stats_knows_distributions():
    for name, tree in TREES.items():
        if name != "markai.stats":
            assert not {"scipy.special", "scipy.stats"} & set(imports(tree)), name


# What is never used

NEVER_IMPORTED = {
    *("pickle", "marshal", "shelve", "dill", "joblib"),
    *("urllib", "http", "requests", "httpx", "aiohttp", "ftplib", "telnetlib", "smtplib", "socket", "ssl"),
    *("random", "ctypes"),
}
NEVER_CALLED = {"eval", "exec", "compile", "__import__", "breakpoint"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_dangerous(name):
    assert not {module.split(".")[0] for module in imports(TREES[name])} & NEVER_IMPORTED
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            called = node.func
            assert not (isinstance(called, ast.Name) and called.id in NEVER_CALLED), ast.unparse(node)
            assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords), ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"os.system", "os.popen", "np.random.seed"}


@pytest.mark.parametrize("name", sorted(name for name in MODULES if part(name) != "cli"))
def test_the_library_does_not_print(name):
    calls = [node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    assert not any(isinstance(called, ast.Name) and called.id in {"print", "input"} for called in calls)


# The public surface


def test_the_surface():
    assert markai.__all__ == sorted(markai.__all__)
    assert len(markai.__all__) <= 15
    assert set(markai.__all__) == PUBLIC
    for name in markai.__all__:
        assert getattr(markai, name).__doc__
    assert set(markai.__all__) <= set(dir(markai))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = markai.nothing


def test_lazy_names_and_typed_names_are_the_same():
    typed = {
        alias.name: node.module
        for block in TREES[TOP].body
        if isinstance(block, ast.If)
        for node in block.body
        for alias in node.names
    }
    assert typed == {name: f"markai.{home}" for name, home in markai._HOME.items()}
    assert set(typed) == PUBLIC


def public_definitions(tree):
    """Functions and classes of a module that do not start with an underscore, and the methods of such classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef) and node.name in PUBLIC:
                yield from (
                    (f"{node.name}.{each.name}", each)
                    for each in node.body
                    if isinstance(each, kinds) and not each.name.startswith("_")
                )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_public_has_a_docstring(name):
    bare = [each for each, node in public_definitions(TREES[name]) if not ast.get_docstring(node)]
    assert not bare


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_public_is_annotated(name):
    for each, node in public_definitions(TREES[name]):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            missing = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not missing, f"{each}: {missing}"
            assert node.returns is not None, each


def test_errors_are_documented_where_they_are_raised():
    for name in ("embed", "detect", "detect_all", "sign", "verify"):
        assert "Raises:" in inspect.getdoc(getattr(markai, name))


def test_the_stub_is_the_native_module():
    stub = ast.parse((SRC / "_kernels" / "_native.pyi").read_text())
    declared = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    built = {name for name in dir(_native) if not name.startswith("_")}
    assert declared == built == set(importlib.import_module("markai._kernels").__all__)
    assert (SRC / "py.typed").exists()


# Laziness


def modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


HEAVY = {"torch", "numpy", "PIL", "scipy", "cryptography", "click", "rich", "cv2", "c2pa"}


def test_importing_markai_imports_next_to_nothing():
    assert not modules_after("import markai; markai.__version__; dir(markai)") & HEAVY


def test_a_key_needs_no_arrays():
    assert not modules_after("import markai; markai.Key.generate()") & (HEAVY - {"cryptography"})


def test_the_api_needs_neither_torch_nor_the_command_line():
    assert not modules_after("import markai; markai.embed; markai.detect") & {"torch", "cv2", "click", "rich"}


def test_attacks_need_no_torch_before_one_that_does_is_run():
    assert "torch" not in modules_after("import markai.attacks; markai.attacks.parse('proxy-diffusion')")


def test_provenance_loads_what_it_needs_when_it_is_used():
    assert not modules_after("import markai; markai.verify; markai.Signer; markai.Trust") & HEAVY
