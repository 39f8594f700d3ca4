"""Which generator wrote a file's metadata: by the fields that it is known to write, and by names in fields of software.

Prompts are recognised and never repeated; of the settings beside them only a few harmless ones are.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from markai.audit.fields import Field, Fields, clean

Kind = Literal[
    "stable-diffusion",
    "comfyui",
    "midjourney",
    "dall-e",
    "firefly",
    "novelai",
    "invokeai",
    "fooocus",
    "tc260",
    "iptc",
    "exif",
    "xmp",
    "c2pa-actions",
    "other",
]


class Hit(NamedTuple):
    """A generator that a field points to: its kind, its name with the version, and the settings that may be shown."""

    kind: Kind
    generator: str
    field: Field
    settings: str = ""


# What a generator writes into a field of software, a credit or a comment. "Imagen" alone is Spanish for picture,
# "Firefly" and "Gemini" alone are also cameras and names.
NAMES: tuple[tuple[Kind, str, str], ...] = (
    ("midjourney", "Midjourney", r"\bmid ?journey\b|\bniji[ ·・-]?journey\b"),
    ("dall-e", "DALL-E", r"\bdall[ ·・-]?e(?: ?[23])?\b"),
    ("dall-e", "OpenAI", r"\bopenai\b|\bchatgpt\b|\bgpt-(?:4o|image)"),
    ("firefly", "Adobe Firefly", r"\badobe[ _]firefly\b|\bfirefly image\b"),
    ("novelai", "NovelAI", r"\bnovelai\b"),
    ("invokeai", "InvokeAI", r"\binvoke ?ai\b"),
    ("fooocus", "Fooocus", r"\bfooocus\b"),
    ("comfyui", "ComfyUI", r"\bcomfyui\b"),
    (
        "stable-diffusion",
        "Stable Diffusion",
        r"\bstable ?diffusion\b|\bautomatic1111\b|\bdreamstudio\b|\bstability ai\b",
    ),
    ("stable-diffusion", "SwarmUI", r"\bswarmui\b"),
    ("stable-diffusion", "Draw Things", r"^draw things\b"),
    ("other", "Google", r"\b(?:made|edited) with google ai\b|\bgoogle (?:imagen|gemini)\b|\bimagen [2-9]\b"),
    ("other", "FLUX", r"\bblack forest labs\b|\bflux\.[12]\b"),
    ("other", "Microsoft Designer", r"\bbing image creator\b|\bimage creator from (?:microsoft )?designer\b"),
    ("other", "Meta AI", r"\bimagine with meta\b|\bmeta ai\b"),
    ("other", "xAI Grok", r"\bgrok\b|\bxai\b"),
    ("other", "Ideogram", r"\bideogram ai\b|\bideogram\.ai\b"),
    ("other", "Leonardo.Ai", r"\bleonardo\.ai\b"),
    ("other", "Recraft", r"\brecraft\b"),
    ("other", "Krea", r"\bkrea\.ai\b"),
    ("other", "Playground", r"\bplayground(?: ai|\.com)\b"),
    ("other", "NightCafe", r"\bnightcafe\b"),
    ("other", "Craiyon", r"\bcraiyon\b"),
    ("other", "Runway", r"\brunwayml\b"),
    ("other", "Doubao", r"\bdoubao\b|豆包|\bseedream\b"),
    ("other", "Jimeng", r"\bjimeng\b|即梦|\bdreamina\b"),
    ("other", "Kling", r"\bkling ?ai\b|可灵"),
    ("other", "Tongyi Wanxiang", r"\btongyi\b|通义万相|\bwanxiang\b"),
    ("other", "Kandinsky", r"\bkandinsky [2-9]"),
)
NAMED = tuple((kind, name, re.compile(pattern, re.IGNORECASE)) for kind, name, pattern in NAMES)
EDITED = re.compile(r"\bedited with google ai\b|\bgenerative (?:fill|expand|edit|erase)\b", re.IGNORECASE)
# The fields in which a name of software is a statement about the file, and not a word of its subject.
SOFTWARE = {
    *("software", "creatortool", "softwareagent", "make", "imageeditor", "imageeditingsoftware", "producer", "isft"),
    *("originatingprogram", "credit", "generator", "tsse", "tenc", "source", "xmptoolkit", "hostcomputer"),
}
LOOSE = {"comment", "title", "usercomment", "creator", "artist", "author", "by-line", "xpcomment"}  # where it is all
LOOSE_BEFORE = re.compile(
    r"\W*(?:(?:made|created|generated|drawn|image|picture|by|with|using|via|from|in|the|an?|ai)\W+)*", re.IGNORECASE
)
LOOSE_BEHIND = 20  # characters, for a version; a longer text speaks of other things as well

STEPS = re.compile(r"(?:^|\n|,\s?)Steps: \d{1,5}, ")
SETTINGS = re.compile(r"(?:^|, )(Steps|Sampler|Model|Version|Size): ([^,\n\"]{1,80})")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
MIDJOURNEY_JOB = re.compile(rf"\bJob ID: ({UUID})", re.IGNORECASE)
MIDJOURNEY_VERSION = re.compile(r"(?:^|\s)--(v|version|niji) (\d{1,2}(?:\.\d{1,2})?)\b")
MIDJOURNEY_OPTION = re.compile(
    r"\s--(ar|aspect|stylize|s|quality|q|chaos|c|weird|w|style|raw|tile)(?: ([\w.:]{1,20}))?(?=\s|$)"
)
MIDJOURNEY_FIELDS = {"description", "imagedescription", "caption", "usercomment", "comment", "xptitle"}
GROK_SIGNATURE = re.compile(r"Signature:\s?[A-Za-z0-9+/=]{64,}")
NODE = re.compile(r'"class_type"\s?:\s?"([^"]{1,80})"')
MODEL = re.compile(r'"(?:ckpt_name|unet_name|model_name|base_model)"\s?:\s?"([^"]{1,300})"')
VERSION = re.compile(r'"(?:app_version|swarm_version|version)"\s?:\s?"([^"]{1,40})"')
COMFY_FIELDS = {"prompt", "workflow", "make", "model", "imagedescription", "usercomment", "comment"}
INVOKE_FIELDS = {"invokeai_metadata", "invokeai_graph", "invokeai_workflow", "sd-metadata", "dream"}
SHOWN_MODELS = 3


def hits(found: Fields) -> Iterator[Hit]:
    """Yield every sign of a generator among the fields of a file; several of one generator where it wrote several.

    >>> fields = Fields()
    >>> fields.add("PNG tEXt", "parameters", "a cat\\nSteps: 20, Sampler: Euler, Seed: 1, Model: v1-5, Version: v1.9.0")
    >>> [(each.kind, each.generator, each.settings) for each in hits(fields)]
    [('stable-diffusion', 'Stable Diffusion WebUI v1.9.0', 'Steps: 20, Sampler: Euler, Model: v1-5')]
    """
    for each in found.items:
        name = each.name.lower().rpartition(":")[2]
        for recognise in RECOGNISERS:
            if hit := recognise(each, name):
                yield hit
                break
    yield from _novelai(found)
    yield from _grok(found)


def _webui(each: Field, _name: str) -> Hit | None:
    """Recognise the line of settings behind a prompt, as AUTOMATIC1111's WebUI and its kin write it."""
    starts = [match.end() for match in STEPS.finditer(each.value)]
    if not starts:
        return None
    line = each.value[each.value.rindex("Steps: ", 0, starts[-1]) :][:20_000]
    line = QUOTED.sub("", line).split('"', 1)[0]  # quoted are further prompts
    given = dict(SETTINGS.findall(line))
    version = given.pop("Version", "")
    if "Sampler" not in given and "CFG scale: " not in line:
        return None
    if "Model" in given:
        given["Model"] = _stem(given["Model"])
    settings = ", ".join(f"{key}: {value}" for key, value in given.items())
    if version.lower().startswith("fooocus"):
        return Hit("fooocus", version, each, settings)
    family = "Stable Diffusion WebUI Forge" if version.startswith("f") else "Stable Diffusion WebUI"
    family = "SD.Next" if "App: SD.Next" in line else family
    return Hit("stable-diffusion", f"{family} {version}".strip(), each, settings)


def _comfyui(each: Field, name: str) -> Hit | None:
    """Recognise a graph of nodes; in EXIF it stands in whatever tag was free, behind its name and a colon."""
    if name not in COMFY_FIELDS or "{" not in each.value[:40]:
        return None
    nodes = len(NODE.findall(each.value))
    if not nodes and not ('"nodes"' in each.value and '"last_link_id"' in each.value):
        return None
    counted = f"{nodes} nodes" if nodes else "a workflow"
    return Hit("comfyui", "ComfyUI", each, ", ".join([counted, *_models(each.value)]))


def _swarm(each: Field, _name: str) -> Hit | None:
    if '"sui_image_params"' not in each.value:
        return None
    return Hit("stable-diffusion", _versioned("SwarmUI", each.value), each, ", ".join(_models(each.value)))


def _fooocus(each: Field, name: str) -> Hit | None:
    scheme = name == "fooocus_scheme" or (name == "makernote" and each.value in ("fooocus", "a1111"))
    if not scheme and not ('"base_model"' in each.value and '"metadata_scheme"' in each.value):
        return None
    version = VERSION.search(each.value)
    named = clean(version[1], 40) if version and version[1].startswith("Fooocus") else "Fooocus"
    return Hit("fooocus", named, each, ", ".join(_models(each.value)))


def _invokeai(each: Field, name: str) -> Hit | None:
    return Hit("invokeai", _versioned("InvokeAI", each.value), each) if name in INVOKE_FIELDS else None


def _midjourney(each: Field, name: str) -> Hit | None:
    """Recognise a prompt by the identifier of its job, or by the version of the model in Midjourney's own notation."""
    if name not in MIDJOURNEY_FIELDS:
        return None
    job, version = MIDJOURNEY_JOB.search(each.value), MIDJOURNEY_VERSION.search(each.value)
    if not job and not version:
        return None
    options = [f"--{option} {value}".strip() for option, value in MIDJOURNEY_OPTION.findall(each.value)[:10]]
    model = "" if version is None else f" {'niji ' * (version[1] == 'niji')}{version[2]}"
    shown = [*options, *([f"Job ID: {job[1]}"] if job else [])]
    return Hit("midjourney", f"Midjourney{model}", each, " ".join(shown))


def _samsung(each: Field, name: str) -> Hit | None:
    return Hit("other", "Samsung Galaxy AI", each, f"genAIType {each.value}") if name == "genaitype" else None


def _software(each: Field, name: str) -> Hit | None:
    """Recognise the name of a generator where software is named; in comments only where that is all they say."""
    if name not in SOFTWARE and name not in LOOSE:
        return None
    text = each.value[:500]
    for kind, generator, pattern in NAMED:
        match = pattern.search(text)
        if match and name in SOFTWARE:
            return Hit(kind, generator, each, clean(text, 100))
        if match and len(each.value) - match.end() <= LOOSE_BEHIND and LOOSE_BEFORE.fullmatch(text[: match.start()]):
            return Hit(kind, generator, each)
    return None


def edits(hit: Hit) -> bool:
    """Say whether a sign is of a generative tool that changed a picture, not of one that made it."""
    return hit.generator == "Samsung Galaxy AI" or bool(EDITED.search(hit.field.value[:500]))


def _novelai(found: Fields) -> Iterator[Hit]:
    """Yield the settings that NovelAI writes beside its name: a comment in JSON, in WebP inside EXIF."""
    model = next((each.value for each in found.named("source") if "diffusion" in each.value.lower()), "")
    for each in found.named("comment", "usercomment"):
        inside = '"Software": "NovelAI"' in each.value or '"Software":"NovelAI"' in each.value
        beside = each.value.startswith("{") and any("NovelAI" in named.value[:40] for named in found.named("software"))
        if inside or (beside and '"uc"' in each.value):
            yield Hit("novelai", "NovelAI", each, clean(model, 60))


def _grok(found: Fields) -> Iterator[Hit]:
    """Yield the pair that xAI's Grok writes: a signature as the description, the picture's UUID as the artist."""
    artists = [each for each in found.named("artist") if re.fullmatch(UUID, each.value, re.IGNORECASE)]
    for each in found.named("imagedescription"):
        if artists and GROK_SIGNATURE.match(each.value):
            yield Hit("other", "xAI Grok", each, "a signature and an identifier, which only xAI can check")


def _models(text: str) -> list[str]:
    """Return the names of a few models, without the folders that they lay in."""
    return [_stem(name) for name in dict.fromkeys(MODEL.findall(text[: 1 << 20]))][:SHOWN_MODELS]


def _stem(path: str) -> str:
    return clean(re.split(r"[\\/]+", path)[-1], 60)


def _versioned(name: str, text: str) -> str:
    version = VERSION.search(text)
    return f"{name} {clean(version[1], 40)}" if version else name


RECOGNISERS: tuple[Callable[[Field, str], Hit | None], ...] = (
    _fooocus,
    _swarm,
    _invokeai,
    _webui,
    _comfyui,
    _midjourney,
    _samsung,
    _software,
)
