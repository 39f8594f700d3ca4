"""A plane of cells as tiles, and the key's symbols in each: what every part of a picture says about every symbol."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from markai._kernels import gather_symbols, scatter_symbols
from markai.watermarks.carriers import FX, FY, RING, SYMBOLS, TILE, Carriers, Complex, phase

Plane = NDArray[np.float32]

AT = FY % TILE * (TILE // 2 + 1) + FX  # where the points lie in rfft2 of a tile
FIRMNESS = 0.7  # how sharply weak symbols are preferred to strong ones
MOST_WINDOWS = 16  # places of a window along each side; only a picture of 32 tiles or more has more, 8:1 and beyond


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the picture that must decode by themselves: the whole, its windows, and every single tile.

    ``member`` (large, tiles) says what the whole and the windows hold; ``weight`` (large + tiles,) is of every part.
    """

    member: NDArray[np.float32]
    weight: NDArray[np.float32]

    @property
    def large(self) -> int:
        """How many parts are more than a tile."""
        return len(self.member)

    @classmethod
    def of(cls, down: int, across: int) -> "Parts":
        """Return the whole, windows of half the side, and every tile."""
        tall, wide = max(1, round(down / 2)), max(1, round(across / 2))
        windows = _windows(down, across, tall, wide)
        counts_and_shares = ((1, 1.0), (len(windows), 1.0), (down * across, 0.3))
        weight = np.concatenate([np.full(count, share / count, np.float32) for count, share in counts_and_shares])
        return cls(np.concatenate([np.ones((1, down * across), np.float32), windows]), weight)


def _windows(down: int, across: int, tall: int, wide: int) -> NDArray[np.float32]:
    tops, lefts = (
        np.linspace(0, last, min(last + 1, MOST_WINDOWS)).astype(int)[:, None] for last in (down - tall, across - wide)
    )
    rows = (np.arange(down) >= tops) & (np.arange(down) < tops + tall)
    columns = (np.arange(across) >= lefts) & (np.arange(across) < lefts + wide)
    return np.asarray(np.einsum("ty,lx->tlyx", rows, columns).reshape(-1, down * across), np.float32)


class Tiles:
    """A plane of cells as tiles, and the key's symbols in each: both ways."""

    def __init__(self, shape: tuple[int, int], carriers: Carriers, values: NDArray[np.float32], shift: tuple[int, int]):
        self.shape = shape
        self.down, self.across = -(-shape[0] // TILE), -(-shape[1] // TILE)
        self._symbol = carriers.symbol
        self._signed = carriers.direction * values[carriers.symbol]
        self._phase = phase(slice(None), shift)

    def spectra(self, plane: Plane) -> Complex:
        """Return the (tiles, POINTS) coefficients of a plane."""
        from scipy.fft import rfft2

        padded = np.zeros((self.down * TILE, self.across * TILE), np.float32)
        padded[: self.shape[0], : self.shape[1]] = plane
        tiles = padded.reshape(self.down, TILE, self.across, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE)
        return np.take(rfft2(tiles, overwrite_x=True).reshape(len(tiles), -1), AT, axis=1)

    def symbols(self, spectra: Complex, scale: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (tiles, SYMBOLS): how far each tile speaks for the right sign of each symbol."""
        turn = np.asarray(self._phase / scale[RING], np.complex64)
        return gather_symbols(spectra, turn, self._symbol, self._signed, SYMBOLS)

    def plane(self, amplitude: NDArray[np.float32], scale: NDArray[np.float32]) -> Plane:
        """Return the plane in which every tile holds its symbols with the given (tiles, SYMBOLS) amplitudes."""
        from scipy.fft import irfft2

        turn = np.asarray(self._phase.conj() / scale[RING], np.complex64)
        if (amplitude == amplitude[0]).all():  # as in the first round: one transform for all
            amplitude = amplitude[:1]
        grid = np.zeros((len(amplitude), TILE * (TILE // 2 + 1)), np.complex64)
        grid[:, AT] = scatter_symbols(amplitude, turn, self._symbol, self._signed)
        tiles = irfft2(grid.reshape(-1, TILE, TILE // 2 + 1), overwrite_x=True)
        each = np.broadcast_to(tiles, (self.down * self.across, TILE, TILE))
        rows = each.reshape(self.down, self.across, TILE, TILE).swapaxes(1, 2)
        whole = rows.reshape(self.down * TILE, self.across * TILE)
        return np.ascontiguousarray(whole[: self.shape[0], : self.shape[1]], np.float32)


def wishes(seen: NDArray[np.float32], parts: Parts) -> NDArray[np.float32]:
    """Return (tiles, symbols) amplitudes: each part asks for its symbols by their logistic shortfall."""
    sums = np.concatenate([parts.member @ seen, seen])
    middle = np.maximum(sums.mean(1, keepdims=True), 0.3 * sums.std(1, keepdims=True)) + 1e-9
    short = parts.weight[:, None] / (1 + np.exp(np.clip(sums * (FIRMNESS / middle), -30, 30)))
    wish = parts.member.T @ short[: parts.large] + short[parts.large :]
    return np.asarray(wish / np.sqrt((wish**2).mean()), np.float32)
