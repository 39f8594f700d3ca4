"""A training run on disk: safetensors for what is tensors, JSON for the rest; no pickle.

``weights.safetensors`` is what ships (the moving average, both networks). ``model``, ``first`` and ``second`` (the
optimiser's moments) and ``state.json``, written last, are what a run resumes from. Four files, because a machine may
give back only files below a limit: at most 7 MB each in the size ``base``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from markai.errors import WeightsError
from markai.files import write_atomically
from markai.neural.model import Pair

WEIGHTS = "weights.safetensors"
STATE = "state.json"
Tensors = dict[str, Tensor]


def save(folder: Path, files: Mapping[str, Tensors], state: Mapping[str, Any]) -> None:
    """Write ``files`` (name to tensors) and the JSON-able ``state``; each file says which step it belongs to."""
    from safetensors.torch import save as serialise

    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in files.items():
        whole = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        write_atomically(folder / f"{name}.safetensors", serialise(whole, {"step": str(state["step"])}))
    write_atomically(folder / STATE, json.dumps(state, indent=1).encode())


def load(folder: Path, names: tuple[str, ...]) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Return what :func:`save` wrote.

    Raises:
        WeightsError: if there is none, or its files are of different steps, as after a copy that was cut off.
    """
    from safetensors import safe_open

    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
    except FileNotFoundError as error:
        raise WeightsError(f"there is no checkpoint in {folder} to resume from - check the path") from error
    files = {}
    for name in names:
        with safe_open(folder / f"{name}.safetensors", "pt") as opened:
            if opened.metadata()["step"] != str(state["step"]):
                raise WeightsError(f"{folder}/{name} is not of step {state['step']} - restore the whole checkpoint")
            files[name] = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - not a dict
    return files, state


def joined(**modules: nn.Module) -> Tensors:
    """Return the tensors of several modules, each name behind its module's."""
    return {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}


def part(tensors: Mapping[str, Tensor], name: str) -> Tensors:
    """Return what :func:`joined` put behind ``name``."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def load_weights(path: Path, size: str) -> Pair:
    """Return both networks in evaluation mode, float32, from a weights file."""
    return pair_of(path.read_bytes(), size)


def pair_of(data: bytes, size: str) -> Pair:
    """Return both networks in evaluation mode, float32, from the bytes of a weights file."""
    from safetensors.torch import load

    pair = Pair(size)
    pair.load_state_dict({key: value.float() for key, value in load(data).items()})
    return pair.eval()
