"""The weights that come with the package, as bytes that have been checked."""

from hashlib import sha256
from pathlib import Path

from markai.errors import WeightsError
from markai.neural.digests import SHA256

FOLDER = Path(__file__).parent / "weights"
WEIGHTS, WRITER, READER = "learned.safetensors", "writer.onnx", "reader.onnx"


def read(name: str) -> bytes:
    """Return a file of ``FOLDER``: both networks in half precision (``WEIGHTS``), or one of them as a graph.

    Raises:
        WeightsError: if it is missing, or not the file whose SHA-256 is in the code.
    """
    path = FOLDER / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}) - reinstall markai") from error
    if sha256(data).hexdigest() != SHA256[name]:
        raise WeightsError(
            f"{path} is damaged or was changed: its SHA-256 is not the one in the code - reinstall markai"
        )
    return data
