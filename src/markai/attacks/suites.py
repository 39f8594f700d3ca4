"""Which attacks to run: the suite of the benchmark, a short one, sweeps for curves, and those of a published table."""

QUICK = (
    "none",
    "jpeg:50",
    "jpeg:10",
    "webp:50",
    "resize:0.5",
    "crop:0.25",
    "rotate:5",
    "mirror",
    "perspective:0.1",
    "noise:0.05",
    "blur:2",
    "brightness:1.5",
    "grayscale",
    "erase:0.25",
    "screenshot",
    "regen-lowpass:4",
)

# Mild before strong within each kind. Every attack that the targets of the default mark name is in it, and the
# attacks on which published marks are compared (WAVES, W-Bench, Omniseal Bench), at the strengths used there.
SUITE = (
    *("none", "png", "webp-lossless"),
    *("jpeg:90", "jpeg:70", "jpeg:50", "jpeg:30", "jpeg:10", "jpeg-444:50", "jpeg:85+jpeg-shifted:70"),
    *("jpeg-double:50", "webp:50", "avif:50", "jpeg-xl:50", "jpeg2000:50", "palette:256"),
    *("resize:0.75", "resize:0.5", "resize:0.35", "resize:2", "resize-bicubic:0.5", "resize-bilinear:0.5"),
    *("resize-back:0.75", "resize-back:0.5", "resize-back-bicubic:0.5", "resize-back-bilinear:0.5"),
    *("crop:0.75", "crop:0.5", "crop:0.25", "crop:0.1"),
    *("crop-back:0.75", "crop-back:0.5", "crop-back:0.25", "crop-back:0.1"),
    *(
        "rotate:1",
        "rotate:2",
        "rotate:5",
        "rotate:10",
        "rotate:15",
        "rotate:30",
        "rotate:45",
        "rotate:90",
        "rotate:180",
    ),
    *("rotate-expand:2", "rotate-expand:5", "rotate-expand:15", "rotate-expand:45", "rotate-expand:90"),
    *("rotate-crop:5", "rotate-crop:15", "mirror", "flip"),
    *("aspect:0.8", "shear:3", "perspective:0.1", "perspective:0.3", "perspective:0.5"),
    *("shift:16", "border:0.1", "drop-lines:0.01", "bend:0.01"),
    *("noise:0.02", "noise:0.05", "noise:0.1", "salt-and-pepper:0.02", "speckle:0.1"),
    *("blur:1", "blur:2", "blur:4", "motion-blur:9", "sharpen:1", "median:3", "median:5", "median:7"),
    *("brightness:0.5", "brightness:1.5", "brightness:2", "contrast:0.5", "contrast:1.5", "contrast:2"),
    *("saturation:0", "saturation:0.5", "saturation:1.5", "saturation:2", "hue:0.1", "grayscale"),
    *("gamma:0.7", "gamma:1.4", "posterize:4", "equalize"),
    *("erase:0.1", "erase:0.25", "paste:0.25", "inpaint:0.25", "text:0.08", "logo:0.05"),
    *("splice:0.5", "splice:0.2", "splice:0.1", "collage:0.5", "collage:0.2", "collage:0.1"),
    *("resize:0.35+jpeg:60", "rotate:5+crop:0.7+jpeg:70", "screenshot", "social", "print-photo:0.5"),
    *("waves-geo:0.5", "waves-photo:0.5", "waves-deg:0.5", "waves-all:0.2", "waves-all:0.5", "waves-all:1"),
    *("denoise-nlm:10", "denoise-nlm:25", "denoise-tv:0.1", "denoise-wavelet:10", "denoise-wavelet:25"),
    *("denoise-wiener:5", "regen-nlm:13", "regen-nlm:25", "regen-tv:13", "regen-lowpass:4", "regen-lowpass:8"),
    *("regen-pca:16", "regen-pca:4", "regen-avif:10", "regen-nlm:13+regen-nlm:13"),
)

# Regeneration by networks of the project's own. Apart from the suite, because they need the extra torch.
PROXIES = (
    *(f"proxy-autoencoder:{passes}" for passes in (1, 2, 3, 4, 5)),
    *(f"proxy-diffusion:{share:g}" for share in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)),
)

# For curves of robustness over quality: strengths from mild to strong. All 187 take about 1 minute per picture of
# 768 x 512 on one core, SUITE 18 seconds; median filters, AVIF and non-local means take most of it.
SWEEP: dict[str, tuple[float, ...]] = {
    "jpeg": (95, 80, 65, 50, 35, 25, 15, 10, 5),
    "webp": (90, 70, 50, 35, 20, 10, 5, 1),
    "avif": (80, 65, 50, 40, 30, 20, 10, 5),
    "jpeg-xl": (90, 70, 50, 35, 20, 10, 5),
    "resize": (0.9, 0.75, 0.5, 0.35, 0.25, 0.18, 0.12),
    "resize-back": (0.9, 0.75, 0.5, 0.35, 0.25, 0.18, 0.12),
    "crop": (0.9, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05),
    "crop-back": (0.9, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05),
    "rotate": (0.5, 1, 2, 5, 10, 20, 30, 45),
    "perspective": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8),
    "bend": (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05),
    "blur": (0.5, 1, 1.5, 2, 3, 4, 6, 8),
    "median": (3, 5, 7, 9, 11, 13, 15),
    "noise": (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3),
    "brightness": (1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4),
    "contrast": (1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4),
    "saturation": (0.9, 0.75, 0.5, 0.25, 0.1, 0),
    "erase": (0.05, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85),
    "splice": (0.9, 0.75, 0.5, 0.35, 0.2, 0.1, 0.05),
    "waves-all": (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1),
    "denoise-nlm": (3, 6, 10, 15, 20, 25, 35),
    "denoise-wavelet": (3, 6, 10, 15, 20, 30, 50),
    "regen-lowpass": (2, 3, 4, 5, 6, 8, 12),
    "regen-pca": (64, 48, 32, 16, 8, 4, 2, 1),
    "regen-avif": (50, 35, 25, 15, 10, 5, 1),
}

# The rows of a table in which invisible-watermark 0.2.0, blind_watermark 0.4.4 and imagewmark 0.6 were measured on 24
# Kodak pictures, by its names: to check the instrument against figures that are known. Its crops by 1 and by 8 pixels
# have no attack here; what its overlay over 10 % of the area was is not recorded, and a gray rectangle stands for it.
PUBLISHED = {
    "none": "none",
    **{f"jpeg{quality}": f"jpeg:{quality}" for quality in (95, 90, 70, 50, 30, 10)},
    "webp50": "webp:50",
    "resize.5&back": "resize-back:0.5",
    "resize.5": "resize:0.5",
    "resize1.5": "resize:1.5",
    "resize.25&back": "resize-back:0.25",
    "crop75": "crop:0.75",
    "crop50": "crop:0.5",
    "crop25": "crop:0.25",
    "crop75&back": "crop-back:0.75",
    "rot2": "rotate:2",
    "rot5": "rotate:5",
    "rot15": "rotate:15",
    "rot90": "rotate-expand:90",
    "hflip": "mirror",
    "blur1": "blur:1",
    "blur2": "blur:2",
    "noise5": f"noise:{5 / 255:.6f}",
    "noise10": f"noise:{10 / 255:.6f}",
    "noise25": f"noise:{25 / 255:.6f}",
    "bright.7": "brightness:0.7",
    "bright1.5": "brightness:1.5",
    "contrast.7": "contrast:0.7",
    "contrast1.5": "contrast:1.5",
    "gamma.7": "gamma:0.7",
    "gamma1.5": "gamma:1.5",
    "hue.1": "hue:0.1",
    "sat.5": "saturation:0.5",
    "gray": "grayscale",
    "median3": "median:3",
    "median5": "median:5",
    "overlay10": "erase:0.1",
    "screenshot": "resize:0.8+crop:0.9+jpeg:75",
    "social": "resize:0.5+jpeg:70",
}


TEXT_QUICK = (
    "none",
    "normalize",
    "lower",
    "homoglyphs:0.1",
    "zero-width:0.1",
    "typos:0.05",
    "substitute:0.3",
    "delete:0.3",
    "truncate:0.5",
    "copy-paste:0.25",
    "edit:0.3",
    "publish",
)

# Mild before strong within each kind. Snippets of 10 and 25 per cent are those of Kirchenbauer et al., "On the
# reliability of watermarks for large language models". Paraphrase and translation are for the user to add.
TEXT_SUITE = (
    *("none", "normalize", "lower", "upper", "title", "case:0.05", "case:0.2"),
    *("collapse", "wrap:72", "whitespace:0.1", "punctuation", "quotes", "markdown", "visible"),
    *("typos:0.02", "typos:0.05", "homoglyphs:0.01", "homoglyphs:0.1", "homoglyphs:0.5", "homoglyphs:0.1+normalize"),
    *("zero-width:0.1", "zero-width:0.1+visible"),
    *("substitute:0.1", "substitute:0.3", "substitute:0.5", "delete:0.1", "delete:0.3", "delete:0.5"),
    *("insert:0.1", "insert:0.3", "insert:0.5", "swap:0.1", "swap:0.3", "swap:0.5", "edit:0.1", "edit:0.3", "edit:0.5"),
    *("truncate:0.75", "truncate:0.5", "truncate:0.25", "truncate:0.1", "excerpt:0.5", "excerpt:0.25", "excerpt:0.1"),
    *("copy-paste:0.5", "copy-paste:0.25", "copy-paste:0.1", "copy-paste-1:0.5", "copy-paste-1:0.25"),
    *("copy-paste-1:0.1", "publish", "excerpt:0.5+edit:0.1+publish"),
)
