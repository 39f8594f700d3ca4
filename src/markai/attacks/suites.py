"""Which attacks to run: the suite of the benchmark, and a short one for a first look."""

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
    *("webp:50", "avif:50", "jpeg2000:50", "palette:256"),
    *("resize:0.75", "resize:0.5", "resize:0.35", "resize:2", "resize-bicubic:0.5", "resize-bilinear:0.5"),
    *("resize-back:0.75", "resize-back:0.5"),
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
    *("denoise-nlm:10", "denoise-nlm:25", "denoise-tv:0.1", "denoise-wiener:5"),
    *("regen-nlm:13", "regen-nlm:25", "regen-tv:13", "regen-lowpass:4", "regen-lowpass:8", "regen-avif:10"),
    *("regen-nlm:13+regen-nlm:13",),
)

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
