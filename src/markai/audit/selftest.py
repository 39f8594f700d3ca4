"""A self-test: how well the operator's own keys and settings hold, measured here and now, with what it does not show.

Pictures are marked, attacked and read, and unmarked ones are read under random keys. Every rate comes with exact
bounds (Clopper and Pearson) that count pictures, not rows: what happens to one picture under two attacks, or under
two payloads, is not independent.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai import api, attacks, watermarks
from markai.bench.pictures import Source, from_files, generated
from markai.bench.statistics import Interval, share
from markai.errors import CapacityError, MethodError
from markai.keys import Key, KeyRing
from markai.metrics import psnr

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
Both = dict[str, str]

# What happens to published pictures, and in words for reports. Each needs Pillow and NumPy only.
ATTACKS: dict[str, tuple[str, str]] = {
    "none": ("no change", "변경 없음"),
    "jpeg:70": ("JPEG at quality 70", "JPEG 품질 70"),
    "jpeg:30": ("JPEG at quality 30", "JPEG 품질 30"),
    "webp:50": ("WebP at quality 50", "WebP 품질 50"),
    "resize:0.5": ("half the size", "절반 크기로 축소"),
    "crop:0.5": ("a crop of half the area", "면적 절반 자르기"),
    "crop:0.25": ("a crop of a quarter of the area", "면적 4분의 1 자르기"),
    "rotate:5": ("a turn of 5 degrees", "5도 회전"),
    "mirror": ("mirroring", "좌우 반전"),
    "screenshot": ("a screenshot (crop, smaller, JPEG 60)", "화면 캡처 (자르기, 축소, JPEG 60)"),
    "social": ("a social network (1080 wide, JPEG 75)", "소셜 네트워크 (너비 1080, JPEG 75)"),
    "grayscale": ("grayscale", "흑백 변환"),
    "blur:2": ("blur of 2 pixels", "2화소 흐림"),
    "noise:0.05": ("noise of 5 %", "5% 잡음"),
    "brightness:1.5": ("half brighter", "밝기 1.5배"),
    "erase:0.25": ("a quarter of the area erased", "면적 4분의 1 지우기"),
}
CALIBRATION = 0.01  # p-values of unmarked pictures are this small in at most this share of cases
CONFIDENCE = 0.95
SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the test is run. ``strength``, ``method``, ``fpr`` and ``payload_bytes`` are what the operator marks with."""

    attacks: tuple[str, ...] = tuple(ATTACKS)
    trials: int = 1  # markings of each picture
    null_keys: int = 40  # random keys per unmarked picture
    strength: float = 1.0
    method: str = api.DEFAULT_METHOD
    fpr: float = 1e-6
    payload_bytes: int = 8
    short_side: int | None = 512  # larger pictures are shrunk to it, for time
    seed: int = 0
    seconds: float | None = SECONDS

    def __post_init__(self) -> None:
        for spec in self.attacks:
            attacks.steps(spec)
        counts = {"trials": self.trials, "null_keys": self.null_keys, "payload_bytes": self.payload_bytes}
        if wrong := [name for name, value in counts.items() if value < 1]:
            raise MethodError(f"{wrong[0]} is {counts[wrong[0]]} - give 1 or more")
        if not self.attacks or (self.seconds is not None and self.seconds <= 0):
            raise MethodError("a self-test needs an attack and some time - name attacks, and give seconds above 0")


@dataclass(slots=True)
class _Rows:
    """What was seen, row by row."""

    attacked: list[tuple[str, str, bool, bool, bool]] = field(
        default_factory=list
    )  # attack, picture, found, exact, wrong
    null: list[float] = field(default_factory=list)  # p-values under random keys
    own: list[bool] = field(default_factory=list)  # whether the operator's keys were found where they are not
    psnr: list[float] = field(default_factory=list)
    refused: list[Both] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


def self_test(
    key: Key | KeyRing,
    pictures: Sequence[Path] | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return detection rates per attack and the rate of false alarms, with bounds and in words, as JSON has them.

    ``pictures`` are files and folders; without them pictures are drawn, and the result says so. With several keys the
    pictures are marked with one after the other, and read with all. The same seed gives the same answers; how many
    pictures are taken within ``settings.seconds`` depends on the machine, and at least one is. ``progress`` is called
    with the number of steps done and of all.

    >>> result = self_test(Key(bytes(32)), settings=Settings(attacks=("none",), null_keys=1, seconds=0.01))
    >>> result["attacks"][0]["exact"]["rate"], result["complete"], result["false_positives"]["found"]
    (1.0, False, 0)

    Raises:
        ImageError: if there are no pictures, or one cannot be read.
        MethodError: if a setting is out of range.
        MissingExtraError: if an attack needs a package that is not installed.
    """
    chosen = settings or Settings()
    ring = KeyRing.of(key)
    sources = _shuffled(generated() if pictures is None else from_files(pictures), chosen.seed)
    steps = chosen.trials * (1 + len(chosen.attacks)) + 1
    rows, started, longest = _Rows(), time.monotonic(), 0.0
    for number, source in enumerate(sources):
        begun = time.monotonic()
        if chosen.seconds is not None and number and begun - started + longest > chosen.seconds:
            break
        _one(source, ring, chosen, rows, _counting(progress, number * steps, len(sources) * steps))
        longest = max(longest, time.monotonic() - begun)
    if progress:
        progress(len(sources) * steps, len(sources) * steps)
    return _summary(rows, ring, chosen, drawn=pictures is None, of=len(sources), seconds=time.monotonic() - started)


def _shuffled(sources: list[Source], seed: int) -> list[Source]:
    """Return the pictures in an order of chance, so that those taken in the time are a fair sample."""
    return [sources[place] for place in np.random.default_rng(seed).permutation(len(sources))]


def _counting(progress: Progress | None, before: int, total: int) -> Callable[[], None]:
    done = before

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    return step


def _one(source: Source, ring: KeyRing, settings: Settings, rows: _Rows, step: Callable[[], None]) -> None:
    """Do all with one picture."""
    pixels = source.load(settings.short_side)
    rows.pictures.append(source.name)
    _unmarked(pixels, source, ring, settings, rows)
    step()
    keys = list(ring)
    for trial in range(settings.trials):
        rng = np.random.default_rng([settings.seed, trial, *source.name.encode()])
        payload, seed = rng.bytes(settings.payload_bytes), int(rng.integers(1 << 31))
        key = keys[(len(rows.pictures) + trial - 1) % len(keys)]
        try:
            marked = api.embed(pixels, key, payload, settings.method, settings.strength)
        except CapacityError as error:
            rows.refused.append({"picture": source.name, "error": str(error)})
            continue
        step()
        rows.psnr.append(min(100.0, psnr(pixels, marked)))
        for spec in settings.attacks:
            attacked = attacks.apply(spec, marked, seed)
            found = api.detect(attacked, ring, settings.fpr, settings.method)
            exact = found.payload == payload
            wrong = bool(found) and found.payload not in (None, payload)
            rows.attacked.append((spec, source.name, bool(found), exact, wrong))
            step()


def _unmarked(pixels: Pixels, source: Source, ring: KeyRing, settings: Settings, rows: _Rows) -> None:
    """Read the unmarked picture under random keys, and under the operator's own."""
    mark = watermarks.load(settings.method)
    look = mark.look(pixels)
    rng = np.random.default_rng([settings.seed, 1 << 20, *source.name.encode()])
    for _ in range(settings.null_keys):
        rows.null.append(mark.find(look, Key(rng.bytes(32)), settings.fpr).p_value)
    rows.own.append(bool(api.detect(pixels, ring, settings.fpr, settings.method)))


def _summary(rows: _Rows, ring: KeyRing, settings: Settings, *, drawn: bool, of: int, seconds: float) -> dict[str, Any]:
    per_attack = [_attack(spec, [row for row in rows.attacked if row[0] == spec]) for spec in settings.attacks]
    names = [row[1] for row in rows.attacked]
    overall = {
        "detected": _rate(share([row[2] for row in rows.attacked], names)),
        "exact": _rate(share([row[3] for row in rows.attacked], names)),
    }
    return {
        "method": settings.method,
        "strength": settings.strength,
        "fpr": settings.fpr,
        "payload_bytes": settings.payload_bytes,
        "key_ids": [key.id for key in ring],
        "seed": settings.seed,
        "confidence": CONFIDENCE,
        "seconds": round(seconds, 1),
        "complete": len(rows.pictures) == of,
        "pictures": _pictures(rows, settings, drawn, of),
        "psnr": round(float(np.mean(rows.psnr)), 2) if rows.psnr else None,
        "marked": len(rows.psnr),
        "refused": rows.refused,
        "attacks": per_attack,
        "overall": overall,
        "false_positives": _false_positives(rows, settings.fpr),
    }


def _attack(spec: str, seen: list[tuple[str, str, bool, bool, bool]]) -> dict[str, Any]:
    names = [row[1] for row in seen]
    detected, exact = share([row[2] for row in seen], names), share([row[3] for row in seen], names)
    known = ATTACKS.get(spec, (spec, spec))
    return {
        "attack": spec,
        "title": {"en": known[0], "ko": known[1]},
        "pictures": len(set(names)),
        "found": sum(row[2] for row in seen),
        **_rate(detected),
        "exact": _rate(exact),
        "wrong": sum(row[4] for row in seen),
        "sentence": _attack_sentence(known, detected, exact),
    }


def _attack_sentence(title: tuple[str, str], detected: Interval, exact: Interval) -> Both:
    if detected.value is None or exact.value is None:
        return {"en": "No picture could be marked.", "ko": "워터마크를 넣을 수 있는 이미지가 없었습니다."}
    n, low, high = detected.n, _percent(detected.low), _percent(detected.high)
    found, right = round(detected.value * n), round(exact.value * n)
    return {
        "en": f"After {title[0]}: the mark was found in {found} of {n} cases (95 % bounds: {low} to {high}), "
        f"with the exact payload in {right}.",
        "ko": f"{title[1]}: {n}건 중 {found}건에서 워터마크가 검출되었고(95% 신뢰구간 {low}~{high}), "
        f"{right}건에서 페이로드가 정확히 읽혔습니다.",
    }


def _false_positives(rows: _Rows, fpr: float) -> dict[str, Any]:
    """Return false alarms under random keys, which are independent whatever the pictures are: chance is in the keys."""
    alarms, small = share([p <= fpr for p in rows.null]), share([p <= CALIBRATION for p in rows.null])
    count, n = sum(p <= fpr for p in rows.null), len(rows.null)
    return {
        **_rate(alarms),
        "found": count,
        "stated": fpr,
        "pictures": len(rows.pictures),
        "own_keys": sum(rows.own),
        "calibration": {"level": CALIBRATION, **_rate(small), "holds": (small.low or 0.0) <= CALIBRATION},
        "sentence": _false_sentence(count, n, _percent(alarms.high), fpr),
    }


def _false_sentence(count: int, n: int, high: str, fpr: float) -> Both:
    return {
        "en": f"Among {n} readings of unmarked pictures under random keys there were {count} false alarms: this test "
        f"alone shows a rate of at most {high} (95 % bounds). The stated rate of {fpr:g} is a property of the "
        "statistic over the secret key, which so few readings cannot confirm.",
        "ko": f"표시되지 않은 이미지를 무작위 키로 {n}회 읽었을 때 오탐은 {count}건이었습니다. 이 시험만으로는 "
        f"오탐률이 {high} 이하라는 것만 알 수 있습니다(95% 신뢰구간). 명시된 오탐률 {fpr:g}은 비밀 키에 대한 통계량의 "
        "성질이며, 이만한 횟수로는 확인할 수 없습니다.",
    }


DRAWN: Both = {
    "en": "drawn by the package, not photographs or your own outputs",
    "ko": "도구가 그린 그림이며, 사진이나 실제 결과물이 아닙니다",
}
GIVEN: Both = {"en": "given by the operator", "ko": "운영자가 지정한 이미지입니다"}


def _pictures(rows: _Rows, settings: Settings, drawn: bool, of: int) -> dict[str, Any]:
    taken, side, said = len(rows.pictures), settings.short_side, DRAWN if drawn else GIVEN
    shrunk = {
        "en": f" Larger ones were shrunk to {side} pixels on the shorter side." if side else "",
        "ko": f" 큰 이미지는 짧은 변을 {side}화소로 줄였습니다." if side else "",
    }
    return {
        "drawn": drawn,
        "count": taken,
        "of": of,
        "names": rows.pictures,
        "short_side": side,
        "sentence": {
            "en": f"{taken} of {of} pictures, {said['en']}.{shrunk['en']}",
            "ko": f"이미지 {of}개 중 {taken}개. {said['ko']}.{shrunk['ko']}",
        },
    }


def _rate(interval: Interval) -> dict[str, Any]:
    """Return a share as an audit holds it: rate, the bounds low and high, and n; None where n is 0."""
    return {"rate": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}


def _percent(value: float | None) -> str:
    """Return a share with as many digits as bounds near 0 and 1 need."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if 0.01 <= value <= 0.999 else f"{100 * value:.3g} %"
