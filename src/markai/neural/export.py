"""Writes what ships from a training run: ``python -m markai.neural.export RUN`` (needs the extra ``torch`` and onnx).

``RUN`` holds ``weights.safetensors`` and ``state.json``. Into the package go both networks in half precision, a graph
of each, and the checksums of the three in ``digests.py``, which the last step prints.
"""

import argparse
import json
import sys
from hashlib import sha256
from pathlib import Path

from torch import nn

from markai.files import write_atomically
from markai.neural import checkpoint, graphs, shipped
from markai.neural.model import Pair

DIGESTS = Path(__file__).parent / "digests.py"
PLANES = {shipped.WRITER: (4, 2), shipped.READER: (2, 2)}  # in and out of each network


def files_of(pair: Pair) -> dict[str, bytes]:
    """Return the three files by name, made from the weights rounded to half precision: the same weights in each."""
    from safetensors.torch import save

    halves = {name: value.detach().cpu().half().contiguous() for name, value in pair.state_dict().items()}
    networks: dict[str, nn.Module] = {
        shipped.WRITER: pair.embedder.network,
        shipped.READER: pair.extractor.network,
    }
    made = {name: graphs.graph_of(network, *PLANES[name]) for name, network in networks.items()}
    return {shipped.WEIGHTS: save(halves), **made}


def digests_of(files: dict[str, bytes], size: str) -> str:
    """Return the text of ``digests.py`` for those files and that size of the networks."""
    lines = [f'    "{name}": "{sha256(data).hexdigest()}",' for name, data in files.items()]
    head = '"""Which weights ship; ``python -m markai.neural.export`` writes this file beside them."""'
    return "\n".join([head, "", f'SIZE = "{size}"  # of the networks: model.SIZES', "SHA256 = {", *lines, "}", ""])


def export(run: Path, folder: Path = shipped.FOLDER, digests: Path = DIGESTS) -> str:
    """Write the files of a training run into ``folder`` and their checksums into ``digests``; return the latter.

    Raises:
        OSError: if the run's folder has no weights or no state, or something cannot be written.
    """
    size = json.loads((run / checkpoint.STATE).read_text())["config"]["size"]
    files = files_of(checkpoint.load_weights(run / checkpoint.WEIGHTS, size))
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        write_atomically(folder / name, data)
    text = digests_of(files, size)
    write_atomically(digests, text.encode())
    return text


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, export and print the checksums."""
    parser = argparse.ArgumentParser(prog="python -m markai.neural.export", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a training run")
    sys.stdout.write(export(parser.parse_args(arguments).run))


if __name__ == "__main__":
    main()
