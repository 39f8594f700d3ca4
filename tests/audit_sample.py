"""Rows of an audit: every verdict, every status, contradictions, rules, policy, odd names; always the same.

``python tests/audit_sample.py FOLDER [ROWS]`` writes a report of them, to be looked at.
"""

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from markai.audit.report import write
from markai.audit.tally import totals
from markai.audit.thumbnails import Thumbnails, thumbnail

ODD_NAMES = (
    "plain.png",
    "quotes \"and\" 'more'.png",
    "<script>alert(1)</script>.png",
    "a&amp;b <b>bold</b>.png",
    "invoice\u202egpj.exe",
    "new\nline\ttab\x07bell.png",
    "not utf-8 \udcff.png",
    "사진/강릉 바다 01.jpg",
    "שלום.png",
    '=HYPERLINK("http://x").png',
    "-cmd|' /C calc'!A0.png",
    "archive.zip!/inner/name.png",
    "a/" * 30 + "deep.png",
    "x" * 200 + ".png",
    "</script><!--.png",
    "100%25 #fragment?.png",
)
FOLDERS = ("export/2026-11", "campaign/summer", "사진", "archive.zip!/assets", "uploads")
RULES = [
    {
        "id": "EU-1",
        "regime": "eu-ai-act",
        "title": {"en": "Signed, machine-readable metadata", "ko": "서명된 기계 판독 메타데이터"},
        "source": "Regulation (EU) 2024/1689, Art. 50(2); Code of Practice 1.1.1",
        "todo": {"en": "Sign the output with markai.sign.", "ko": "markai.sign으로 출력물에 서명하십시오."},
    },
    {
        "id": "EU-2",
        "regime": "eu-ai-act",
        "title": {"en": "Imperceptible watermark", "ko": "보이지 않는 워터마크"},
        "source": "Regulation (EU) 2024/1689, Art. 50(2); Code of Practice 1.1.2",
        "todo": {"en": "Mark the output with markai.embed.", "ko": "markai.embed로 출력물을 표시하십시오."},
    },
    {
        "id": "KR-1",
        "regime": "korea-ai-basic-act",
        "title": {"en": "Exported file is labelled", "ko": "내보낸 파일의 표시"},
        "source": {
            "en": "AI Basic Act, Art. 31(2); Decree, Art. 22",
            "ko": "인공지능기본법 제31조제2항, 시행령 제22조",
        },
        "todo": {"en": "Add a mark and tell the user once.", "ko": "표시를 넣고 이용자에게 한 번 이상 알리십시오."},
    },
    {
        "id": "KR-2",
        "regime": "korea-ai-basic-act",
        "title": {"en": "The user was told once", "ko": "이용자에게 한 번 이상 안내"},
        "source": {
            "en": "AI Basic Act, Art. 31(2); Decree, Art. 22",
            "ko": "인공지능기본법 제31조제2항, 시행령 제22조",
        },
        "todo": {"en": "Declare the notice in the policy.", "ko": "정책에 안내 여부를 신고하십시오."},
    },
    {
        "id": "CA-1",
        "regime": "california-sb-942",
        "title": {"en": "Latent disclosure has five fields", "ko": "잠재 고지의 다섯 항목"},
        "source": "Cal. Bus. & Prof. Code § 22757.3(b)",
        "todo": {"en": "Pass provider, system and version to the claim.", "ko": "제공자, 시스템, 버전을 지정하십시오."},
    },
]
UNKNOWN_NOTICE = {
    "en": "Whether the user was told does not stand in the file.",
    "ko": "이용자에게 안내했는지는 파일만으로 알 수 없습니다.",
}
NOTES = {
    "generated": ["Only marks on words were looked for: those on tokens need the tokenizer of the model."],
    "recovered": ["Whether the record is of this content cannot be told: a copied mark is not ruled out."],
    "damaged": ["The pixels cannot be read: <b>broken</b> PNG file (chunk \x07)", "What no version ever noted."],
    "unknown": ["It looks like record 3f9a1c20:61636d653a3432 (3 of 64 bits differ)."],
}
REGIMES = {
    "eu-ai-act": {"en": "EU AI Act, Article 50", "ko": "EU 인공지능법 제50조"},
    "korea-ai-basic-act": {"en": "Korea, AI Basic Act, Article 31", "ko": "한국 인공지능기본법 제31조"},
    "california-sb-942": {"en": "California, SB 942", "ko": "캘리포니아주 SB 942"},
}
# How often each kind of row comes: a provider's folder looks so.
KINDS = (
    *("generated",) * 9, *("unknown",) * 6, *("generated-claimed",) * 4, *("camera",) * 2,
    "edited", "recovered", "copied", "damaged", "unreadable", "too large", "changed", "skipped",
)  # fmt: skip
CLAIM = {
    "provider": "Acme GmbH",
    "system": "AcmeGen",
    "version": "2.1",
    "created": "2026-11-20T09:30:00Z",
    "id": "urn:uuid:0d7a4a3e-3f1b-4c55-9f5e-6d2f5a3f4b11",
    "sourceType": "trainedAlgorithmicMedia",
}
BY = {"provider": "Acme GmbH", "system": "AcmeGen", "version": "2.1"}
SENTENCES = {"generated": "Made by AcmeGen 2.1 of Acme GmbH.", "unknown": "Nothing was found."}


def detection(rng, found=True, covered=1.0):
    """A Detection as a row holds it."""
    log10 = -float(rng.uniform(7, 60)) if found else -float(rng.uniform(0, 1.5))
    presence = np.ones((12, 16))
    if covered < 1:
        presence[2 : 2 + round(8 * (1 - covered) + 2), 3:12] = 0
        presence[1, 3:12] = 0.5
    return {
        "detected": found,
        "p_value": 10**log10,
        "log10_p_value": log10,
        "fpr": 1e-6,
        "payload": "61636d653a3432" if found else None,
        "payload_text": "acme:42" if found else None,
        "method": "dwt-dct",
        "key_id": "3f9a1c20" if found else None,
        "geometry": {
            "scale_x": 0.5, "scale_y": 0.5, "rotation": 2.0 if covered < 1 else 0.0, "flipped": False,
            "offset": [0.0, 0.0], "period": 128.0,
        } if found else None,
        "tests": 4096,
        "reasons": [],
        "coverage": {"share": round(float(presence.mean()), 4), "presence": presence.tolist()} if found else None,
    }  # fmt: skip


def signer(name="Acme GmbH", development=False):
    return {
        "organization": name, "common_name": f"{name} signing", "issuer": "Example CA", "alg": "es256",
        "serial": "5f", "not_before": "2026-01-01T00:00:00+00:00", "not_after": "2027-01-01T00:00:00+00:00",
        "development": development,
    }  # fmt: skip


def reason(code):
    return {"code": code, "sentence": f"{code} happened.", "where": "", "detail": ""}


def manifest(status, reasons=(), ingredients=(), name="Acme GmbH"):
    """A Verification as a row holds it."""
    there = status not in ("none", "unsupported")
    return {
        "status": status,
        "ok": status == "trusted",
        "chain_intact": all(each["status"] != "invalid" for each in ingredients),
        "manifest_id": "urn:c2pa:9f5e-6d2f" if there else None,
        "signer": signer(name, development=status == "valid") if there else None,
        "time": "2026-11-20T09:30:02+00:00" if there else None,
        "time_trusted": status == "trusted",
        "generator": "markai 0.1.0" if there else None,
        "claim": CLAIM if there else None,
        "source_type": "trainedAlgorithmicMedia" if there else None,
        "actions": ["c2pa.created", "c2pa.watermarked.bound"] if there else [],
        "soft_bindings": [{"alg": "com.markai.dwt-dct.1", "value": "YWNtZTo0Mg=="}] if there else [],
        "ingredients": list(ingredients),
        "reasons": [reason(code) for code in reasons],
        "mime": "image/png",
        "embedded": there,
        "remote_url": None,
        "trust_given": True,
        "is_ai": there,
    }


def ingredient(status, reasons=(), ingredients=(), title="layer <1>.png"):
    return manifest(status, reasons, ingredients, "Other Studio") | {"title": title, "relationship": "parentOf"}


def metadata(*traces, camera=None, personal=(), tc260=None):
    return {"traces": list(traces), "iptc": {}, "tc260": tc260, "camera": camera, "personal": list(personal)}


def trace(kind, generator, field, value, claims):
    return {"kind": kind, "generator": generator, "field": field, "value": value, "claims": claims}


SD = trace(
    "stable-diffusion", "Stable Diffusion 1.10", "PNG tEXt parameters", "Steps: 28, Sampler: <DPM++ 2M>", "generated"
)
PHOTO = trace("exif", "Canon EOS R5", "EXIF Model", "Canon EOS R5", "camera")
RECORD = {
    "id": "3f9a1c20:61636d653a3432",
    "created": "2026-11-20T09:30:00+00:00",
    **BY,
    "manifest_id": "urn:c2pa:9f5e-6d2f",
}
RECOVERED = {
    "by": "watermark", "record": RECORD, "intact": True, "trusted": True, "logged": True, "exact": False,
    "agreement": {"verdict": "same"}, "manifest": manifest("invalid", ["assertion.dataHash.mismatch"]),
}  # fmt: skip
TC260 = {"Label": "1", "ContentProducer": "00119144", "ProduceID": "A-77"}


def verdict(code, sure, by=None, layers=()):
    return {"code": code, "sentence": SENTENCES.get(code, f"{code}."), "by": by, "layers": list(layers), "sure": sure}


def contradiction(code, **evidence):
    return {"code": code, "sentence": f"Something about {code} is odd.", "evidence": evidence}


def layers_of(kind, number, rng):
    """The part of a row that depends on its kind."""
    none, nothing = manifest("none", ["com.markai.noManifest"]), metadata()
    unmarked = {"watermark": detection(rng, found=False), "manifest": none, "metadata": nothing}
    if kind == "generated":
        chain = [ingredient("trusted", (), [ingredient("none", title="photo.jpg")])] if number % 5 == 0 else []
        return {
            "watermark": detection(rng),
            "manifest": manifest("trusted", ["signingCredential.trusted", "timeStamp.trusted"], chain),
            "metadata": metadata(tc260=TC260 if number % 3 == 0 else None),
            "record": RECORD if number % 2 else None,
            "verdict": verdict("generated", "proven", BY, ["watermark", "manifest"]),
        }
    if kind == "edited":
        return unmarked | {
            "watermark": detection(rng, covered=0.5),
            "manifest": manifest("invalid", ["assertion.dataHash.mismatch", "signingCredential.untrusted"]),
            "contradictions": [contradiction("edited-after-signing", reasons=["assertion.dataHash.mismatch"])],
            "verdict": verdict("edited", "proven", BY, ["watermark", "manifest"]),
        }
    if kind == "recovered":
        return unmarked | {
            "watermark": detection(rng), "record": RECORD, "recovered": RECOVERED,
            "verdict": verdict("recovered", "proven", BY, ["watermark", "record"]),
        }  # fmt: skip
    if kind == "copied":
        return unmarked | {
            "watermark": detection(rng, covered=0.7), "record": RECORD,
            "contradictions": [
                contradiction("copied-mark", record="3f9a1c20:61636d653a3432", likeness="0.04"),
                contradiction("source-disagrees", says="digitalCapture", where="metadata"),
            ],
            "metadata": metadata(PHOTO, camera={"make": "Canon", "model": "EOS R5"}),
            "verdict": verdict("copied", "none", None, ["watermark", "record"]),
        }  # fmt: skip
    if kind == "generated-claimed":
        odd = [contradiction("an-operator's <own> code", left=["a", "b"], right="c")] if number % 7 == 0 else []
        by = {"provider": None, "system": "Stable Diffusion", "version": "1.10"}
        return unmarked | {
            "metadata": metadata(
                SD, personal=["XMP dc:creator", "PNG tEXt prompt"], tc260=TC260 if number % 2 else None
            ),
            "verdict": verdict("generated-claimed", "claimed", by, ["metadata"]),
            "contradictions": odd,
        }
    if kind == "camera":
        camera = {"make": "Canon", "model": "EOS R5", "exposure": True}
        return unmarked | {
            "metadata": metadata(PHOTO, camera=camera, personal=["EXIF GPSLatitude", "EXIF BodySerialNumber"]),
            "verdict": verdict("camera", "claimed", None, ["metadata"]),
        }
    if kind == "damaged":
        damaged = manifest("none", ["com.markai.damaged"]) | {"status": "damaged"}
        return unmarked | {"manifest": damaged, "verdict": verdict("damaged", "none")}
    return unmarked | {"verdict": verdict("unknown", "none")}


def rules_of(kind):
    marked, signed = kind in ("generated", "edited", "recovered"), kind == "generated"
    applies = kind in ("generated", "edited", "recovered", "generated-claimed")

    def rule(name, passes, sentence):
        status = "not applicable" if not applies else "pass" if passes else "fail"
        todo = (
            next((each["todo"] for each in RULES if each["id"] == name), "Ask <legal>.") if status == "fail" else None
        )
        return {"id": name, "status": status, "sentence": sentence, "todo": todo}

    both = {"en": "There is a mark in the content.", "ko": "콘텐츠에 워터마크가 있습니다."}
    told = rule("KR-2", True, {"en": "This file is not meant.", "ko": "이 파일은 대상이 아닙니다."})
    if applies:
        told |= {"status": "not applicable", "open": True, "sentence": UNKNOWN_NOTICE, "todo": RULES[3]["todo"]}
    return {
        "rules": [
            told,
            rule("EU-1", signed, "The manifest is signed and intact."),
            rule("EU-2", marked, both),
            rule("KR-1", marked, both),
            rule("CA-1", signed, "Provider, system, version, time and id are there."),
        ],
        "policy": [rule("house/must-be-signed", signed, "Everything we publish is signed.")],
    }


def sample_row(number):
    """Row ``number`` of any sample."""
    rng = np.random.default_rng(number)
    kind = KINDS[number % len(KINDS)] if number < len(KINDS) else KINDS[int(rng.integers(len(KINDS)))]
    folder = FOLDERS[number % len(FOLDERS)]
    path = f"{folder}/{ODD_NAMES[number]}" if number < len(ODD_NAMES) else f"{folder}/picture {number:05}.png"
    file = {
        "path": path,
        "status": kind if kind in ("unreadable", "too large", "changed", "skipped") else "ok",
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "bytes": int(rng.integers(20_000, 9_000_000)),
    }
    if file["status"] != "ok":
        errors = {"unreadable": "cannot be read: Permission denied - check <the> path"}
        none = verdict("none", "none")
        return file | {"sha256": None, "error": errors.get(kind, f"the file is {kind}"), "verdict": none}
    return file | {
        "type": "image/png", "width": 1024, "height": 768,
        "record": None, "recovered": None, "contradictions": [],
        **layers_of(kind, number, rng), "notes": NOTES.get(kind, []),
        **rules_of(kind),
    }  # fmt: skip


def sample_rows(count=30):
    """The rows of a sample."""
    return [sample_row(number) for number in range(count)]


def rates(share):
    return {"rate": share, "low": max(0.0, share - 0.1), "high": min(1.0, share + 0.06)}


def selftest():
    found = {"none": 40, "jpeg:50": 40, "resize:0.5": 40, "crop:0.5": 39, "social": 37, "print-photo:0.5": 21}
    return {
        "fpr": 1e-6,
        "marked": 40,
        "attacks": [{"attack": name, "n": 40, "found": hits, **rates(hits / 40)} for name, hits in found.items()],
        "false_positives": {"n": 2000, "found": 0, "rate": 0.0, "low": 0.0, "high": 0.0018},
    }  # fmt: skip


def sample(count=30):
    """The whole audit."""
    rows = sample_rows(count)
    return {
        "markai": "0.1.0",
        "started": "2026-11-24T09:00:00+00:00",
        "finished": "2026-11-24T09:03:21+00:00",
        "command": "markai audit export/ campaign/ --key keys/2026.key --rules eu,kr,ca --html audit.html",
        "settings": {
            "inputs": ["export/", "campaign/"],
            "keys": ["3f9a1c20", "77aa0b1c"],
            "trust": {"for manifests": 3, "for time stamps": 1},
            "registry": "sqlite:///markai.db",
            "regimes": ["eu-ai-act", "korea-ai-basic-act", "california-sb-942"],
            "policy": "policy.yaml",
            "fpr": 1e-6,
        },
        "rules": RULES,
        "regimes": REGIMES,
        "totals": totals(rows),
        "selftest": selftest(),
        "rows": rows,
    }


def picture_of(row):
    """A small picture for a row that was examined."""
    if row["status"] != "ok":
        return None
    rng = np.random.default_rng(int(row["sha256"][:8], 16))
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((320, 240), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return thumbnail(buffer.getvalue())


if __name__ == "__main__":
    size = write(sample(*map(int, sys.argv[2:])), Path(sys.argv[1]) / "audit.html", thumbnails=Thumbnails(picture_of))
    print(f"{len(size):,} bytes")
