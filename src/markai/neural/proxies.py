"""Training of the regeneration proxies: ``python -m markai.neural.proxies --data FOLDER --out FOLDER``.

First the autoencoder of ``attacks.proxy_networks``, then the denoiser of its latents; their weights, as 16-bit floats
in safetensors files, are what ``markai.attacks`` ships. They see unmarked pictures only. Step n of a part draws
everything from a generator seeded by (seed, part, n), so a run that was interrupted goes on, with ``--resume``, as if
it had not been. Progress goes to stderr and, as JSON, into ``log.jsonl``; ``figures.json`` says what came of it.
"""

import argparse
import copy
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from markai.attacks.proxy_networks import FACTOR, Autoencoder, Denoiser, add_noise, signal_shares, velocity_of
from markai.errors import MethodError
from markai.files import write_atomically
from markai.image import open_picture
from markai.neural import checkpoint
from markai.neural.data import HELD_OUT, read

PARTS = ("autoencoder", "denoiser")
FILES = ("average", "model", "first", "second")
WARM_UP = 100  # steps
CLIP = 1.0  # of the gradient's norm
ZOOM = (0.6, 1.6)  # window that a crop is made of, in sides of the crop
LATENT_NOISE, LATENT_WEIGHT = 0.05, 1e-3  # keep the latents small, and the pictures that are near each other alike
SCALES = 4  # at which pictures are compared
JUDGED = 128  # pixels: side of the middles of held-out pictures

Report = Callable[[str], object]
Loss = Callable[[Any, torch.Generator], Tensor]  # of a network, with random numbers


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does; the defaults are those of the weights that ship, half an hour of one core."""

    seed: int = 20_270_114
    autoencoder_steps: int = 5_200
    denoiser_steps: int = 2_600
    autoencoder_batch: int = 8
    denoiser_batch: int = 16
    side: int = 96  # pixels of a crop
    latent_side: int = 24
    rate: float = 1e-3
    last_time: int = 700  # the noisiest level that the denoiser learns
    average: float = 0.998  # decay of the weights' moving average, which is what ships
    mixed: bool = True  # compute in bfloat16 where that is safe
    save_every: int = 400
    log_every: int = 100


@dataclass(frozen=True, slots=True)
class Pictures:
    """What to train on and what is held out: (H, W, 3) uint8 each."""

    trained: list[NDArray[np.uint8]]
    held: list[NDArray[np.uint8]]

    @classmethod
    def load(cls, source: Path, limit: int = 0) -> "Pictures":
        """Decode a folder or a pack of pictures; every tenth is held out, and the only one of a single one both.

        Raises:
            ImageError: if there is none, or one cannot be read.
        """
        every = [_rgb_of(data) for data in read(source)[: limit or None]]
        return cls([each for i, each in enumerate(every) if i % HELD_OUT] or every, every[::HELD_OUT])


def _rgb_of(data: bytes) -> NDArray[np.uint8]:
    pixels = open_picture(data, read_only=True).pixels
    scale = {"uint8": 1.0, "uint16": 1 / 257, "float32": 255.0}[pixels.dtype.name]
    values = pixels if scale == 1 else np.asarray(np.rint(pixels * scale), np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)), np.uint8)


def crops(pictures: list[NDArray[np.uint8]], batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Return (batch, 3, side, side) float32 from -1 to 1: random windows, zoomed, half of them mirrored.

    >>> crops([np.zeros((40, 60, 3), np.uint8)], 2, 32, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 32, 32])
    """
    made = []
    for which, zoom, down, right, turn in torch.rand(batch, 5, generator=generator).tolist():
        picture = pictures[int(which * len(pictures))]
        height, width = picture.shape[:2]
        window = max(1, min(height, width, round(side * (ZOOM[0] + (ZOOM[1] - ZOOM[0]) * zoom))))
        top, left = int(down * (height - window + 1)), int(right * (width - window + 1))
        values = tensor_of(picture[top : top + window, left : left + window])
        scaled = F.interpolate(values, (side, side), mode="bilinear", antialias=True, align_corners=False)
        made.append(scaled.flip(3) if turn < 0.5 else scaled)
    return torch.cat(made)


def tensor_of(pixels: NDArray[np.uint8]) -> Tensor:
    """Return (1, 3, H, W) float32 from -1 to 1 of (H, W, 3) uint8."""
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def likeness_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute error of values and of their differences to the neighbours, summed over four scales."""
    total = made.new_zeros(())
    for scale in range(SCALES):
        if scale:
            made, wanted = F.avg_pool2d(made, 2), F.avg_pool2d(wanted, 2)
        error = made - wanted
        total = total + error.abs().mean() + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return total


class Part:
    """One network in training, resumable: the network, its moving average and its optimiser."""

    def __init__(self, name: str, network: nn.Module, loss: Loss, plan: Plan) -> None:
        self.name, self.loss, self.plan = name, loss, plan
        self.steps: int = getattr(plan, f"{name}_steps")
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=plan.rate, weight_decay=1e-4)
        self.step, self.seconds = 0, 0.0

    @property
    def rate(self) -> float:
        """The learning rate: up over the first steps, then down a cosine."""
        falling = (1 + math.cos(math.pi * self.step / self.steps)) / 2
        return self.plan.rate * min(1.0, (self.step + 1) / WARM_UP) * falling

    def take_step(self) -> float:
        """Take one step; return the loss."""
        seed = (self.plan.seed * len(PARTS) + PARTS.index(self.name)) * 1_000_003 + self.step
        self.optimiser.param_groups[0]["lr"] = self.rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(self.network, torch.Generator().manual_seed(seed))
        torch.autograd.backward([loss])
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()
        decay = min(self.plan.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
        self.step += 1
        return float(loss.detach())

    def train(self, out: Path, report: Report) -> None:
        """Go on until the last step, with progress and checkpoints on the way."""
        start, total = time.monotonic() - self.seconds, 0.0
        while self.step < self.steps:
            total += self.take_step()
            self.seconds = time.monotonic() - start
            if self.step % self.plan.log_every == 0 or self.step == self.steps:
                since = (self.step - 1) % self.plan.log_every + 1
                _log(out, report, {"part": self.name, "step": self.step, "of": self.steps, "loss": total / since})
                total = 0.0
            if self.step % self.plan.save_every == 0 or self.step == self.steps:
                self.save(out / self.name)

    def save(self, folder: Path) -> None:
        """Write the checkpoint."""
        moments = [self.optimiser.state.get(each, {}) for each in self.network.parameters()]
        files = {"average": self.average.state_dict(), "model": self.network.state_dict()}
        for name, key in (("first", "exp_avg"), ("second", "exp_avg_sq")):
            files[name] = {str(i): state[key] for i, state in enumerate(moments) if state}
        state = {"step": self.step, "seconds": self.seconds, "plan": asdict(self.plan)}
        checkpoint.save(folder, files, state)

    def resume(self, folder: Path) -> None:
        """Go on where :meth:`save` left off, if it ever did.

        Raises:
            ImageError: if the checkpoint is not whole.
            MethodError: if it is of another plan.
        """
        if not (folder / checkpoint.STATE).exists():
            return
        files, state = checkpoint.load(folder, FILES)
        if state["plan"] != asdict(self.plan):
            raise MethodError(f"{folder} was begun with another plan - take the same seed, or another --out")
        self.average.load_state_dict(files["average"])
        self.network.load_state_dict(files["model"])
        for i, parameter in enumerate(self.network.parameters()):
            first, second = (files[name][str(i)].to(parameter) for name in ("first", "second"))
            moments = {"step": torch.tensor(float(state["step"])), "exp_avg": first, "exp_avg_sq": second}
            self.optimiser.state[parameter] = moments
        self.step, self.seconds = state["step"], state["seconds"]


def _log(out: Path, report: Report, row: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    report(f"{row['part']}: step {row['step']} of {row['of']}, loss {row['loss']:.4f}\n")


def _autoencoder_loss(pictures: Pictures, plan: Plan) -> Loss:
    def loss(network: Any, generator: torch.Generator) -> Tensor:
        wanted = crops(pictures.trained, plan.autoencoder_batch, plan.side, generator)
        wanted = wanted.contiguous(memory_format=torch.channels_last)
        with _mixed(plan):
            latents = network.encode(wanted).float()
            noise = LATENT_NOISE * torch.randn(latents.shape, generator=generator)
            made = network.decode(latents + noise)
        total: Tensor = likeness_loss(made.float(), wanted) + LATENT_WEIGHT * latents.square().mean()
        return total

    return loss


def _denoiser_loss(latents: list[Tensor], plan: Plan) -> Loss:
    shares = signal_shares()

    def loss(network: Any, generator: torch.Generator) -> Tensor:
        clean = latent_crops(latents, plan.denoiser_batch, plan.latent_side, generator)
        times = torch.randint(plan.last_time, (len(clean),), generator=generator)
        share = shares[times][:, None, None, None]
        noise = torch.randn(clean.shape, generator=generator)
        noisy = add_noise(clean, noise, share).contiguous(memory_format=torch.channels_last)
        with _mixed(plan):
            velocity = network(noisy, times)
        error: Tensor = F.mse_loss(velocity.float(), velocity_of(clean, noise, share))
        return error

    return loss


def _mixed(plan: Plan) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=plan.mixed)


def latent_crops(latents: list[Tensor], batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Return (batch, 8, side, side) random windows of latents (8, h, w), both sides at least ``side``."""
    made = []
    for which, down, right in torch.rand(batch, 3, generator=generator).tolist():
        chosen = latents[int(which * len(latents))]
        top, left = int(down * (chosen.shape[1] - side + 1)), int(right * (chosen.shape[2] - side + 1))
        made.append(chosen[:, top : top + side, left : left + side])
    return torch.stack(made)


def encoded(autoencoder: Autoencoder, pictures: list[NDArray[np.uint8]], side: int) -> list[Tensor]:
    """Return the latents (8, h, w) of each picture, cut to whole ones, small pictures enlarged to ``side`` latents."""
    found = []
    for picture in pictures:
        values = tensor_of(picture)
        scale = max(1.0, side * FACTOR / min(picture.shape[:2]))
        size = [FACTOR * max(side, int(scale * length / FACTOR)) for length in picture.shape[:2]]
        if scale > 1:
            values = F.interpolate(values, size, mode="bilinear", align_corners=False)
        with torch.inference_mode():
            found.append(autoencoder.encode(values[:, :, : size[0], : size[1]])[0].clone())
    return found


def normalise(autoencoder: Autoencoder, pictures: list[NDArray[np.uint8]], side: int) -> list[Tensor]:
    """Let the latents of these pictures have mean 0 and deviation 1 per channel; return them, as ``encoded`` does."""
    latents = encoded(autoencoder, pictures, side)
    flat = torch.cat([each.flatten(1) for each in latents], 1)
    mean, deviation = flat.mean(1)[:, None, None], flat.std(1)[:, None, None].clamp_min(1e-6)
    autoencoder.mean.copy_(mean)
    autoencoder.deviation.copy_(deviation)
    return [(each - mean) / deviation for each in latents]


def train(
    data: Path, out: Path, plan: Plan | None = None, *, resume: bool = False, report: Report | None = None
) -> None:
    """Train both proxies on the pictures of a folder or a pack; write weights, figures, log and checkpoints to ``out``.

    Raises:
        ImageError: if there are no pictures, one cannot be read, or a checkpoint is not whole.
        MethodError: if a checkpoint is of another plan.
        OutputError: if the results cannot be written.
    """
    plan, report = plan or Plan(), report or sys.stderr.write
    pictures = Pictures.load(data)
    report(f"{len(pictures.trained)} pictures to train on, {len(pictures.held)} held out\n")
    torch.manual_seed(plan.seed)
    networks = Autoencoder(), Denoiser()
    autoencoder = _trained(Part(PARTS[0], networks[0], _autoencoder_loss(pictures, plan), plan), out, resume, report)
    latents = normalise(autoencoder, pictures.trained, plan.latent_side)
    denoiser = _trained(Part(PARTS[1], networks[1], _denoiser_loss(latents, plan), plan), out, resume, report)
    figures: dict[str, Any] = {"plan": asdict(plan), "pictures": len(pictures.trained), "held": len(pictures.held)}
    figures["psnr"] = round(held_out_psnr(autoencoder, pictures.held), 2)
    figures["denoised"] = round(
        held_out_error(denoiser, encoded(autoencoder, pictures.held, plan.latent_side), plan), 4
    )
    for name, network in (("proxy-autoencoder", autoencoder), ("proxy-diffusion", denoiser)):
        figures[name] = write_weights(network, out / f"{name}.safetensors")
    write_atomically(out / "figures.json", json.dumps(figures, indent=1).encode())
    report(json.dumps(figures) + "\n")


def _trained(part: Part, out: Path, resume: bool, report: Report) -> Any:
    if resume:
        part.resume(out / part.name)
    part.train(out, report)
    return part.average.eval()


def write_weights(network: nn.Module, path: Path) -> str:
    """Write the tensors of a network as 16-bit floats; return the SHA-256 of the file."""
    from safetensors.torch import save

    data = save({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()})
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def held_out_psnr(autoencoder: Autoencoder, pictures: list[NDArray[np.uint8]]) -> float:
    """Return the mean PSNR, in dB, of the middles of pictures, encoded and decoded."""
    found = []
    for picture in pictures:
        top, left = (max(0, (length - JUDGED) // 2) for length in picture.shape[:2])
        middle = tensor_of(picture[top : top + JUDGED, left : left + JUDGED])
        middle = middle[:, :, : middle.shape[2] // FACTOR * FACTOR, : middle.shape[3] // FACTOR * FACTOR]
        if middle.numel():
            with torch.inference_mode():
                made = autoencoder.decode(autoencoder.encode(middle)).clamp(-1, 1)
            found.append(10 * math.log10(4 / max(1e-4, float(F.mse_loss(made, middle)))))
    return float(np.mean(found)) if found else math.nan


def held_out_error(denoiser: Denoiser, latents: list[Tensor], plan: Plan) -> float:
    """Return the mean squared error of velocities over latents that were not trained on, at random noise levels."""
    loss = _denoiser_loss(latents, plan)
    generator = torch.Generator().manual_seed(plan.seed)
    with torch.inference_mode():
        return float(np.mean([float(loss(denoiser, generator)) for _ in range(16)]))


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m markai.neural.proxies", description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path, help="a folder of unmarked pictures, or a pack of one")
    parser.add_argument("--out", required=True, type=Path, help="where weights, figures, log and checkpoints go")
    parser.add_argument("--seed", type=int, default=Plan().seed, help="another seed gives other networks")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in --out")
    given = parser.parse_args(arguments)
    train(given.data, given.out, Plan(seed=given.seed), resume=given.resume)


if __name__ == "__main__":
    main()
