"""Learned methods whose weights the user brings: TrustMark, VideoSeal, Pixel Seal and Watermark Anything (WAM).

Nothing here downloads. Environment variables name what lies on this machine; where they are not set, the method is not
available, and says why. All run on the CPU. They load their files with ``torch.load`` or ``torch.jit.load``: use torch
2.6 or newer, which reads weights only, and files of those who made the method.
"""

import hashlib
import importlib
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from markai.bench.peers.common import Bits, Pixels, checked, quietly, require, to_pixels, to_tensor, weights_at
from markai.errors import MethodError, MissingExtraError

TORCH = "'markai[torch]'"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TrustMark:
    """``trustmark/B``, ``C``, ``P`` or ``Q`` (trustmark 0.9.2, MIT, by Adobe): its 100 raw bits, without its BCH code.

    MARKAI_TRUSTMARK_DIR is a folder with ``trustmark_Q.yaml``, ``encoder_Q.ckpt`` and ``decoder_Q.ckpt`` (or of another
    letter) as the package fetches them; their MD5 must be those that the package knows. ``strength`` is its
    WM_STRENGTH, which scales the residual. Bui et al. 2023, arXiv:2311.18297.
    """

    bits = 100
    adjustable = True

    def __init__(self, variant: str) -> None:
        """
        Raises:
            MissingExtraError: if trustmark or torch is not installed.
            MethodError: if there are no weights.
        """
        self.variant = variant
        self.name = f"trustmark/{variant}"
        require(self.name, trustmark="trustmark==0.9.2", torch=TORCH)
        what = f"the folder with trustmark_{variant}.yaml, encoder_{variant}.ckpt and decoder_{variant}.ckpt"
        self._folder = weights_at(self.name, "MARKAI_TRUSTMARK_DIR", what)

    def embed(self, pixels: Pixels, message: Bits, strength: float = 1.0) -> Pixels:
        """Return the marked pixels, as the package makes them.

        Raises:
            PayloadError: if the message is not 100 zeros and ones.
            MethodError: if a file is missing or not the one that the package knows.
        """
        from PIL import Image

        text = "".join(map(str, checked(message, self.bits, self.name)))
        return np.array(self._model.encode(Image.fromarray(pixels), text, MODE="binary", WM_STRENGTH=strength))

    def extract(self, pixels: Pixels, strength: float = 1.0) -> Bits:  # noqa: ARG002
        """Return the 100 bits read.

        Raises:
            MethodError: if a file is missing or not the one that the package knows.
        """
        from PIL import Image

        text, *_ = self._model.decode(Image.fromarray(pixels), MODE="binary")
        return np.array([*text], np.uint8)

    @cached_property
    def _model(self) -> Any:
        with imports_of(self.name), redirect_stdout(sys.stderr):
            return offline_trustmark(self._folder)(
                use_ECC=False, verbose=False, device="cpu", model_type=self.variant, loadRemover=False
            )


def offline_trustmark(folder: Path) -> Any:
    """Return the package's class, changed to take its files from a folder and from nowhere else.

    The original looks inside the installed package, downloads what is not there, and where that fails prints a line and
    goes on without a model.
    """
    from trustmark.trustmark import MODEL_CHECKSUMS
    from trustmark.trustmark import TrustMark as Original

    class Offline(Original):  # type: ignore[misc]
        def check_and_download(self, filename: str) -> None:
            path = Path(filename)
            if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != MODEL_CHECKSUMS[path.name]:
                raise MethodError(f"{path} is not the file that trustmark knows by that name - fetch it again")

        def load_model(self, config_path: str, weight_path: str, *args: Any, **others: Any) -> Any:
            paths = [folder / Path(each).name for each in (config_path, weight_path)]
            for path in paths:
                if not path.is_file():
                    raise MethodError(f"{path} is not there - put it there, or set MARKAI_TRUSTMARK_DIR to where it is")
                self.check_and_download(str(path))
            return super().load_model(*map(str, paths), *args, **others)

    return Offline


class TorchScript:
    """``videoseal`` or ``pixelseal`` (MIT, by Meta) as one TorchScript file with ``embed`` and ``detect``: 256 bits.

    MARKAI_VIDEOSEAL_JIT is the file ``y_256b_img.jit`` of docs/torchscript.md in facebookresearch/videoseal;
    MARKAI_PIXELSEAL_JIT a file with the same two functions, scripted from the published checkpoint. ``strength`` scales
    the residual, as their ``blender.scaling_w`` does. Marked pixels are rounded, not cut. Fernandez et al. 2024,
    arXiv:2412.09492; Pixel Seal 2025, arXiv:2512.16874.
    """

    adjustable = True

    def __init__(self, name: str, variable: str, bits: int = 256) -> None:
        """
        Raises:
            MissingExtraError: if torch is not installed.
            MethodError: if there is no file.
        """
        self.name, self.bits = name, bits
        require(name, torch=TORCH)
        self._path = weights_at(name, variable, "its TorchScript file")

    def embed(self, pixels: Pixels, message: Bits, strength: float = 1.0) -> Pixels:
        """Return the marked pixels.

        Raises:
            PayloadError: if the message is not as many zeros and ones as the method hides.
            MethodError: if the file is no TorchScript model.
        """
        import torch

        bits = torch.from_numpy(checked(message, self.bits, self.name)).float()[None]
        picture = to_tensor(pixels)
        with torch.no_grad():
            return to_pixels(stronger(picture, self._model.embed(picture, bits), strength))

    def extract(self, pixels: Pixels, strength: float = 1.0) -> Bits:  # noqa: ARG002
        """Return the bits read: the signs of all outputs but the first, which is a mask that is not used.

        Raises:
            MethodError: if the file is no TorchScript model, or one of another number of bits.
        """
        import torch

        with torch.no_grad():
            scores = self._model.detect(to_tensor(pixels))[0, 1:]
        if len(scores) != self.bits:
            raise MethodError(
                f"{self._path} reads {len(scores)} bits, {self.name} has {self.bits} - use the right file"
            )
        return np.asarray((scores.reshape(self.bits, -1).mean(1) > 0).numpy(), np.uint8)

    @cached_property
    def _model(self) -> Any:
        import torch

        try:
            with quietly(DeprecationWarning):  # TorchScript is; it is also what is published
                load: Any = torch.jit.load
                return load(str(self._path), map_location="cpu").eval()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise MethodError(f"{self._path} is no TorchScript model ({reason}) - {self.name} needs one") from error


class WatermarkAnything:
    """``wam`` (facebookresearch/watermark-anything; code and the weights ``wam_mit.pth`` MIT): 32 bits everywhere.

    MARKAI_WAM_REPO is a clone of the repository with its requirements installed, MARKAI_WAM_CHECKPOINT the weights.
    ``strength`` scales the residual, as its ``scaling_w`` (2.0) does. Reading takes the pixels that its mask head holds
    for marked. Sander et al. 2024, arXiv:2411.07231.
    """

    name = "wam"
    bits = 32
    adjustable = True

    def __init__(self) -> None:
        """
        Raises:
            MissingExtraError: if torch is not installed.
            MethodError: if there is no repository or no checkpoint.
        """
        require(self.name, torch=TORCH)
        self._repo = weights_at(self.name, "MARKAI_WAM_REPO", "a clone of facebookresearch/watermark-anything")
        self._checkpoint = weights_at(self.name, "MARKAI_WAM_CHECKPOINT", "wam_mit.pth")

    def embed(self, pixels: Pixels, message: Bits, strength: float = 1.0) -> Pixels:
        """Return the marked pixels.

        Raises:
            PayloadError: if the message is not 32 zeros and ones.
            MissingExtraError: if the repository's code needs a package that is not installed.
        """
        import torch

        bits = torch.from_numpy(checked(message, self.bits, self.name)).float()[None]
        picture = normalised(to_tensor(pixels))
        model, _ = self._parts
        with torch.no_grad():
            return to_pixels(denormalised(stronger(picture, model.embed(picture, bits)["imgs_w"], strength)))

    def extract(self, pixels: Pixels, strength: float = 1.0) -> Bits:  # noqa: ARG002
        """Return the 32 bits read; zeros where its mask is empty.

        Raises:
            MissingExtraError: if the repository's code needs a package that is not installed.
        """
        import torch

        model, message_of = self._parts
        with torch.no_grad():
            found = model.detect(normalised(to_tensor(pixels)))["preds"]
            bits = message_of(found[:, 1:], torch.sigmoid(found[:, 0]))[0]
        return np.asarray(bits.numpy(), np.uint8)

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Return the model and the function that turns its output into bits. Its configuration names relative paths."""
        sys.path.insert(0, str(self._repo))
        try:
            with imports_of(self.name), chdir(self._repo), redirect_stdout(sys.stderr):
                utilities = importlib.import_module("notebooks.inference_utils")
                metrics = importlib.import_module("watermark_anything.data.metrics")
                model = utilities.load_model_from_checkpoint("checkpoints/params.json", str(self._checkpoint))
        finally:
            sys.path.remove(str(self._repo))
        return model.eval(), metrics.msg_predict_inference


def stronger(picture: Any, marked: Any, strength: float) -> Any:
    """Return the picture with the mark's residual scaled; as it was at 1."""
    return marked if strength == 1 else picture + strength * (marked - picture)


def normalised(tensor: Any) -> Any:
    """Return a picture in [0, 1] as networks trained on ImageNet's mean and deviation take it."""
    return (tensor - _channels(IMAGENET_MEAN)) / _channels(IMAGENET_STD)


def denormalised(tensor: Any) -> Any:
    """Undo :func:`normalised`."""
    return tensor * _channels(IMAGENET_STD) + _channels(IMAGENET_MEAN)


def _channels(values: tuple[float, float, float]) -> Any:
    import torch

    return torch.tensor(values).view(3, 1, 1)


@contextmanager
def imports_of(name: str) -> Iterator[None]:
    """Turn a package that the code of others misses into an error that says so."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(f"{name} needs what its own requirements list ({error}) - install those") from error
