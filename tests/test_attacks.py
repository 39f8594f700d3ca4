"""Attacks: seeded and pure, strengths that mean what they say, refusals that name the choices.

What single attacks do to the pixels stands in test_attack_families.py.
"""

import doctest
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from markai import attacks
from markai.attacks import chains, registry
from markai.errors import ImageError, MethodError
from markai.metrics import psnr

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "data" / "lighthouse.png"
RANDOM = {
    *("noise", "salt-and-pepper", "speckle", "light"),
    *("crop", "crop-back", "perspective", "drop-lines", "bend"),
    *("erase", "paste", "inpaint", "logo", "text", "splice", "collage"),
    *("regen-nlm", "regen-tv"),
    *("screenshot", "print-photo"),
    *("waves-resizedcrop", "waves-erasing", "waves-noise", "waves-geo", "waves-deg", "waves-all"),
}
RESIZING = {
    *("crop", "resize", "resize-bicubic", "resize-bilinear", "resize-width", "aspect"),
    *("rotate-expand", "rotate-crop", "border", "drop-lines"),
    *("social", "screenshot"),
}
# The others: test_diffusion_attacks and test_proxies.
NEEDS_TORCH = {attacks.parse(spec)[0].name for spec in attacks.PROXIES}
WITHOUT_MODEL = [name for name in attacks.names() if name not in {*attacks.NEEDS_MODEL, *NEEDS_TORCH}]

# What the first version of these attacks made of the photograph, with seed 5. Benchmarks of different versions can
# be compared only as long as these hold. The codecs are left out: their output changes with their version.
FIRST_VERSION = {
    "none": "8136a49844f16ad1",
    "blur": "c57177a86c603cb4",
    "blur:0.1": "8136a49844f16ad1",
    "blur:20": "3669262c0e79bcbf",
    "median": "4f51934910c69c6d",
    "noise": "343a6d61840bc630",
    "noise:1": "79b413b45d3fcecb",
    "brightness": "0331680feb479a03",
    "contrast": "6026613d057aa299",
    "gamma": "3eba3dfc2f1d2174",
    "grayscale": "8ae33933d3ddc8c2",
    "crop": "95f283d74495b3ec",
    "crop:0.01": "01ba5d791db03c40",
    "erase": "9df46878cc80a5f6",
    "erase:0.01": "82c07465ab56cd12",
    "resize-back": "ab64a1d888850d57",
    "resize-back:4": "2b21a2199f721fb8",
}


@pytest.fixture(scope="module")
def photograph():
    pixels = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))[150:310, 200:440]
    pixels.flags.writeable = False  # whatever changes its input fails
    return pixels


@pytest.mark.parametrize("name", WITHOUT_MODEL)
def test_same_seed_same_pixels_in_memory_of_their_own(name, photograph):
    first = attacks.apply(name, photograph, seed=5)
    assert np.array_equal(first, attacks.apply(name, photograph, seed=5))
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert not np.shares_memory(first, photograph)
    assert (first.shape == photograph.shape) == (name not in RESIZING)


@pytest.mark.parametrize("name", WITHOUT_MODEL)
def test_only_random_attacks_depend_on_the_seed(name, photograph):
    same = np.array_equal(attacks.apply(name, photograph, seed=1), attacks.apply(name, photograph, seed=2))
    assert same == (name not in RANDOM)


@pytest.mark.parametrize("spec", FIRST_VERSION)
def test_the_attacks_of_the_first_version_still_do_the_same(spec, photograph):
    attacked = attacks.apply(spec, photograph, seed=5)
    digest = hashlib.sha256(repr(attacked.shape).encode() + attacked.tobytes()).hexdigest()
    assert digest[:16] == FIRST_VERSION[spec]


@pytest.mark.parametrize("name", WITHOUT_MODEL)
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 2, 3), (3, 31, 3)])
def test_tiny_pictures(name, shape):
    tiny = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    strength = attacks.parse(name)[0].strength
    specs = [name] if strength is None else [f"{name}:{strength.low}", name, f"{name}:{strength.high}"]
    for spec in specs:
        assert attacks.apply(spec, tiny).size > 0


@pytest.mark.parametrize(
    ("name", "rising"),
    [
        ("jpeg", (90, 50, 30, 10)),
        ("webp", (90, 50, 20, 1)),
        ("avif", (90, 60, 30, 5)),
        ("blur", (0.5, 1, 2, 4)),
        ("noise", (0.01, 0.05, 0.1, 0.3)),
        ("median", (3, 5, 9, 15)),
        ("brightness", (0.9, 0.7, 0.5, 0.2)),
        ("brightness", (1.1, 1.3, 1.5, 2)),
        ("contrast", (0.9, 0.7, 0.5, 0.2)),
        ("gamma", (1.1, 1.4, 2, 3)),
        ("gamma", (0.9, 0.7, 0.5, 0.3)),
        ("erase", (0.05, 0.25, 0.5, 1)),
        ("resize-back", (0.9, 0.5, 0.25, 0.1)),
        ("jpeg-444", (90, 50, 30, 10)),
        ("jpeg-shifted", (90, 50, 30, 10)),
        ("jpeg2000", (5, 20, 50, 200)),
        ("jpeg-xl", (99, 90, 50, 20, 5)),
        ("jpeg-double", (90, 50, 30, 10)),
        ("resize-back-bicubic", (0.9, 0.5, 0.25, 0.1)),
        ("resize-back-bilinear", (0.9, 0.5, 0.25, 0.1)),
        ("palette", (256, 64, 16, 4)),
        ("motion-blur", (3, 9, 21)),
        ("sharpen", (0.5, 1, 2, 4)),
        ("salt-and-pepper", (0.01, 0.05, 0.2, 1)),
        ("speckle", (0.02, 0.1, 0.3)),
        ("saturation", (0.8, 0.5, 0)),
        ("saturation", (1.2, 1.5, 2)),
        ("hue", (0.02, 0.1, 0.3)),
        ("posterize", (6, 4, 2, 1)),
        ("print-tone", (0.2, 0.5, 1)),
        ("light", (0.1, 0.4, 0.8)),
        ("rotate", (0.5, 1, 2, 5)),
        ("shear", (0.5, 1, 3, 8)),
        ("shift", (1, 2, 4, 16)),
        ("perspective", (0.01, 0.05, 0.2, 0.5)),
        ("bend", (0.002, 0.005, 0.02)),
        ("logo", (0.01, 0.05, 0.2)),
        ("text", (0.02, 0.08, 0.2)),
        ("splice", (0.9, 0.5, 0.2)),
        ("denoise-nlm", (3, 10, 25)),
        ("denoise-tv", (0.02, 0.1, 0.3)),
        ("denoise-wavelet", (3, 10, 25, 50)),
        ("denoise-wiener", (3, 7, 15)),
        ("regen-nlm", (5, 13, 25)),
        ("regen-tv", (5, 13, 25)),
        ("regen-lowpass", (2, 4, 8)),
        ("regen-pca", (128, 64, 16, 4, 1)),
        ("regen-avif", (30, 10, 1)),
        ("print-photo", (0.1, 0.5, 1)),
        ("waves-deg", (0.1, 0.3, 0.6, 1)),
    ],
)
def test_stronger_attacks_do_more_harm(name, rising, photograph):
    quality = [psnr(attacks.apply(f"{name}:{strength}", photograph), photograph) for strength in rising]
    assert quality == sorted(set(quality), reverse=True)


@pytest.mark.parametrize(
    "spec",
    [
        *("none", "png", "webp-lossless", "mirror+mirror", "rotate-expand:90+rotate-expand:-90"),
        *("brightness:1", "contrast:1", "gamma:1", "saturation:1", "noise:0", "speckle:0", "salt-and-pepper:0"),
        *("blur:0", "motion-blur:1", "sharpen:0", "posterize:8", "print-tone:0", "light:0"),
        *(
            "crop:1",
            "crop-back:1",
            "resize:1",
            "resize-back:1",
            "aspect:1",
            "rotate:0",
            "rotate-expand:0",
            "rotate-crop:0",
        ),
        *("shear:0", "perspective:0", "shift:0", "border:0", "drop-lines:0", "bend:0"),
        *("resize-back-bicubic:1", "resize-back-bilinear:1", "regen-pca:192"),
        *("erase:0", "paste:0", "inpaint:0", "splice:1", "collage:1", "waves-geo:0", "waves-photo:0"),
    ],
)
def test_strengths_that_change_nothing(spec, photograph):
    assert np.array_equal(attacks.apply(spec, photograph), photograph)


@pytest.mark.parametrize("spec", ["nope", "", ":50", "JPEG:50", "jpeg 50"])
def test_unknown_names_list_the_choices(spec):
    with pytest.raises(MethodError, match=r"no attack .* choose from none, jpeg, webp"):
        attacks.parse(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "jpeg:0",
        "jpeg:101",
        "jpeg:50.5",
        "jpeg:",
        "jpeg:x",
        "jpeg:nan",
        "crop:0",
        "crop:inf",
        "median:4",
        "noise:-0.1",
        "rotate:181",
    ],
)
def test_strengths_out_of_range_name_the_range(spec):
    name = spec.partition(":")[0]
    with pytest.raises(MethodError, match=rf"out of range - {name} takes .*, [-\d.]+ to \d+"):
        attacks.parse(spec)


def test_a_strength_where_there_is_none():
    with pytest.raises(MethodError, match="grayscale takes no strength"):
        attacks.parse("grayscale:1")


def test_a_combination_is_its_steps_one_after_the_other(photograph):
    step_by_step = photograph
    for spec in ("crop:0.9", "noise:0.02", "jpeg:60"):
        step_by_step = attacks.apply(spec, step_by_step, seed=3)
    assert np.array_equal(attacks.apply("crop:0.9+noise:0.02+jpeg:60", photograph, seed=3), step_by_step)


def test_the_same_attack_twice_draws_twice():
    gray = np.full((200, 200, 3), 128, np.uint8)
    noisy = attacks.apply("noise:0.05+noise:0.05", gray).astype(float)
    assert noisy.std() == pytest.approx(0.05 * 255 * 2**0.5, rel=0.02)


@pytest.mark.parametrize("spec", ["jpeg:50+", "+jpeg:50", "jpeg:50+nope", "jpeg:50 + crop:0.5"])
def test_every_step_of_a_combination_must_be_an_attack(spec):
    with pytest.raises(MethodError, match=r"no attack .* choose from"):
        attacks.apply(spec, np.zeros((8, 8, 3), np.uint8))


def test_one_attack_is_not_a_combination():
    with pytest.raises(MethodError, match="out of range"):
        attacks.parse("crop:0.9+jpeg:60")


def test_nothing_happens_before_every_step_is_known(monkeypatch):
    monkeypatch.setattr("markai.attacks.codecs._recode", None)
    with pytest.raises(MethodError, match="no attack 'nope'"):
        attacks.apply("jpeg:50+nope", np.zeros((8, 8, 3), np.uint8))


def test_flags():
    every = [attacks.parse(name)[0] for name in attacks.names()]
    assert {attack.family for attack in every} == {"codec", "photometric", "geometry", "local", "regeneration", "chain"}
    stand_ins = {attack.name for attack in every if attack.family == "regeneration"} - {"regen-vae", "regen-diffusion"}
    assert {attack.name for attack in every if attack.proxy} == stand_ins
    still = {attack.name for attack in every if attack.family == "geometry" and not attack.geometric}
    moving = {attack.name for attack in every if attack.family not in ("geometry", "chain") and attack.geometric}
    assert still == {"resize-back", "resize-back-bicubic", "resize-back-bilinear"}
    assert moving == {"collage"}


@pytest.mark.parametrize(
    ("spec", "families", "proxy", "geometric"),
    [
        ("jpeg:50", ("codec",), False, False),
        ("crop:0.9+resize:0.7+jpeg:60", ("geometry", "codec"), False, True),
        ("erase+regen-lowpass:4", ("local", "regeneration"), True, False),
        ("screenshot", ("chain",), False, True),
        ("waves-deg:0.5", ("chain",), False, False),
    ],
)
def test_traits_of_combinations(spec, families, proxy, geometric):
    assert attacks.traits(spec) == attacks.Traits(families, proxy, geometric)


def test_a_chain_does_what_its_combination_does(photograph):
    chained = attacks.apply("social", photograph)
    assert np.array_equal(chained, attacks.apply("resize-width:1080+jpeg:75", photograph))
    assert chained.shape == (720, 1080, 3)


@pytest.mark.parametrize(
    ("name", "strength", "same"),
    [
        ("rotation", 1, "rotate:45"),
        ("brightness", 1, "brightness:2"),
        ("contrast", 0.5, "contrast:1.5"),
        ("blurring", 1, "blur:20"),
        ("compression", 0, "jpeg:90"),
        ("compression", 1, "jpeg:10"),
        ("photo", 1, "brightness:2+contrast:2"),
    ],
)
def test_waves_has_the_published_strengths(name, strength, same, photograph):
    assert np.array_equal(attacks.apply(f"waves-{name}:{strength}", photograph), attacks.apply(same, photograph))


@pytest.mark.parametrize("part", chains.WAVES)
def test_waves_is_in_range_at_every_relative_strength(part):
    for strength in np.linspace(0, 1, 201):
        assert attacks.steps(chains.WAVES[part](float(strength)))


# The attacks on which the default mark has targets.
TARGETS = [
    *("none", "png", "webp-lossless", "avif:50", "jpeg:90", "jpeg:70", "jpeg:50", "jpeg:30", "jpeg:10", "webp:50"),
    *("resize:0.5", "resize:0.75", "resize-back:0.5", "resize-back:0.75", "resize:2", "resize:0.35+jpeg:60"),
    *("blur:2", "noise:0.05", "median:5", "gamma:0.7", "gamma:1.4", "brightness:0.5", "brightness:1.5"),
    *("contrast:0.5", "contrast:1.5", "saturation:0", "hue:0.1", "grayscale", "crop:0.5", "crop:0.25", "crop:0.1"),
    *("rotate:2", "rotate:5", "rotate:15", "rotate:45", "rotate:90", "rotate:180", "mirror"),
    *("rotate-expand:2", "rotate-expand:5", "rotate-expand:15", "rotate-expand:45", "rotate-expand:90"),
    *("aspect:0.8", "shear:3", "perspective:0.1", "erase:0.25", "paste:0.25", "text:0.08"),
    *("screenshot", "social", "rotate:5+crop:0.7+jpeg:70"),
]


def test_the_suite_holds_every_attack_with_a_target():
    assert set(TARGETS) <= set(attacks.SUITE)


@pytest.mark.parametrize("suite", [attacks.SUITE, attacks.QUICK])
def test_suites_hold_known_specs_once(suite):
    assert len(set(suite)) == len(suite)
    for spec in suite:
        assert not {step.name for step, _ in attacks.steps(spec)} & {*attacks.NEEDS_MODEL, *NEEDS_TORCH}
    assert {"none", "jpeg:50", "crop:0.25", "rotate:5", "mirror", "erase:0.25"} <= set(suite)


def test_the_suite_holds_every_attack_on_pictures():
    """Except those that need a model or torch, single distortions of WAVES, and parts of chains."""
    parts = {f"waves-{name}" for name in chains.WAVES} | {"light", "print-tone", "resize-width"}
    families = ("codec", "photometric", "geometry", "local", "regeneration", "chain")
    known = {name for name in WITHOUT_MODEL if attacks.parse(name)[0].family in families}
    assert known - {step.name for spec in attacks.SUITE for step, _ in attacks.steps(spec)} == parts


def test_sweeps_go_from_mild_to_strong_within_range(photograph):
    for name, strengths in attacks.SWEEP.items():
        assert 6 <= len(strengths) <= 9
        assert list(strengths) in (sorted(set(strengths)), sorted(set(strengths), reverse=True))
        for strength in strengths:
            assert attacks.parse(f"{name}:{strength:g}")[1] == strength
        mild, strong = (attacks.apply(f"{name}:{strength:g}", photograph) for strength in (strengths[0], strengths[-1]))
        if mild.shape == photograph.shape:
            assert psnr(mild, photograph) > psnr(strong, photograph) + 2
        else:
            assert photograph.size > mild.size > strong.size


def test_published_rows_are_what_they_say():
    assert all(attacks.steps(spec) for spec in attacks.PUBLISHED.values())
    assert attacks.parse(attacks.PUBLISHED["noise25"])[1] == pytest.approx(25 / 255, abs=1e-6)
    assert [step.name for step, _ in attacks.steps(attacks.PUBLISHED["screenshot"])] == ["resize", "crop", "jpeg"]
    assert not attacks.traits(attacks.PUBLISHED["resize.25&back"]).geometric


def test_the_quick_suite_is_quick(photograph):
    assert len(attacks.QUICK) <= 16
    assert set(attacks.QUICK) <= set(attacks.SUITE)
    for spec in attacks.QUICK:
        assert attacks.apply(spec, photograph).size


@pytest.mark.parametrize("name", attacks.names())
def test_defaults_are_in_range(name):
    attack, default = attacks.parse(name)
    assert attack.strength is None or attack.strength.allows(default)
    assert attack.function.__doc__
    assert "+" not in name
    assert ":" not in name


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_pixels_are_refused(pixels):
    with pytest.raises(ImageError, match="uint8 RGB"):
        attacks.apply("none", pixels)


def test_a_picture_that_the_codec_cannot_hold():
    with pytest.raises(ImageError, match="20000x1 picture cannot go through WEBP"):
        attacks.apply("webp:50", np.zeros((1, 20000, 3), np.uint8))


@pytest.mark.parametrize("module", [attacks, registry])
def test_the_examples_in_the_docstrings(module):
    tried = doctest.testmod(module)
    assert tried.attempted
    assert not tried.failed
