"""The status codes of C2PA validation (C2PA 2.x, "Validation status codes"), a sentence for each."""

from dataclasses import dataclass

# markai's own, where C2PA has none: in its namespace, as the specification asks for.
NO_MANIFEST = "com.markai.noManifest"
UNSUPPORTED = "com.markai.unsupported"
DAMAGED = "com.markai.damaged"
INACCESSIBLE = "manifest.inaccessible"
UNTRUSTED, EXPIRED = "signingCredential.untrusted", "signingCredential.expired"
TRUSTED, TIME_TRUSTED, TIME_VALIDATED = "signingCredential.trusted", "timeStamp.trusted", "timeStamp.validated"
UNKNOWN_PROVENANCE = "ingredient.unknownProvenance"

SENTENCES = {
    NO_MANIFEST: "There is no C2PA manifest; that says nothing about how the content was made.",
    UNSUPPORTED: "This kind of file holds no manifest of its own; one beside it (a sidecar) can be checked.",
    DAMAGED: "The file or its manifest is damaged and cannot be read.",
    INACCESSIBLE: "The manifest is kept elsewhere and was not fetched.",
    "algorithm.deprecated": "A hash or signature algorithm is no longer considered safe.",
    "algorithm.unsupported": "A hash or signature algorithm is not known.",
    "assertion.action.ingredientMismatch": "An action names an ingredient that is not there.",
    "assertion.action.malformed": "An action is not well-formed.",
    "assertion.action.redacted": "An action was redacted, which is not allowed.",
    "assertion.action.redactionMismatch": "A redaction names an assertion that is not there.",
    "assertion.action.softBindingMissing": "An action says that there is a watermark, and no soft binding names it.",
    "assertion.bmffHash.malformed": "The hash over the file is not well-formed.",
    "assertion.bmffHash.match": "The content is what was signed.",
    "assertion.bmffHash.mismatch": "The content was changed after it was signed.",
    "assertion.boxesHash.mismatch": "The content was changed after it was signed.",
    "assertion.boxesHash.unknownBox": "The file holds a part that the signature does not know.",
    "assertion.cbor.invalid": "An assertion is not valid CBOR.",
    "assertion.cloud-data.labelMismatch": "Data kept elsewhere is not what the manifest says.",
    "assertion.collectionHash.malformed": "The hash over the files of the collection is not well-formed.",
    "assertion.collectionHash.mismatch": "A file of the collection was changed after it was signed.",
    "assertion.dataHash.additionalExclusionsPresent": "Parts of the file besides the manifest are not signed.",
    "assertion.dataHash.malformed": "The hash over the file is not well-formed.",
    "assertion.dataHash.match": "The content is what was signed.",
    "assertion.dataHash.mismatch": "The content was changed after it was signed.",
    "assertion.dataHash.redacted": "The hash over the file was redacted, which is not allowed.",
    "assertion.hashedURI.mismatch": "An assertion of the manifest was changed after it was signed.",
    "assertion.inaccessible": "An assertion is kept elsewhere and was not fetched.",
    "assertion.ingredient.malformed": "An ingredient is not well-formed.",
    "assertion.json.invalid": "An assertion is not valid JSON.",
    "assertion.metadata.disallowed": "An assertion holds metadata that it may not hold.",
    "assertion.missing": "An assertion that the manifest names is not there.",
    "assertion.multipleHardBindings": "The manifest binds the content more than once.",
    "assertion.notRedacted": "An assertion that is said to be redacted is still there.",
    "assertion.selfRedacted": "The manifest redacts an assertion of its own.",
    "assertion.timestamp.malformed": "A time stamp assertion is not well-formed.",
    "assertion.undeclared": "The manifest holds an assertion that its claim does not name.",
    "claim.cbor.invalid": "The claim is not valid CBOR.",
    "claim.hardBindings.missing": "The manifest does not say which content it belongs to.",
    "claim.malformed": "The claim is not well-formed.",
    "claim.missing": "The manifest has no claim.",
    "claim.multiple": "The manifest has more than one claim.",
    "claimSignature.insideValidity": "It was signed while the certificate was valid.",
    "claimSignature.mismatch": "The manifest was changed after it was signed.",
    "claimSignature.missing": "The manifest is not signed.",
    "claimSignature.outsideValidity": "It was signed while the certificate was not valid.",
    "claimSignature.validated": "The signature fits the manifest.",
    "general.error": "The manifest could not be checked.",
    "hashedURI.mismatch": "A part of the manifest was changed after it was signed.",
    "hashedURI.missing": "A part that the manifest names is not there.",
    "ingredient.claimSignature.mismatch": "The signature of an ingredient is not the one that was recorded.",
    "ingredient.claimSignature.missing": "The signature of an ingredient is not there.",
    "ingredient.manifest.mismatch": "The manifest of an ingredient was changed after it was recorded.",
    "ingredient.manifest.missing": "The manifest of an ingredient is not there.",
    UNKNOWN_PROVENANCE: "An ingredient has no manifest of its own.",
    "manifest.compressed.invalid": "A compressed manifest cannot be read.",
    "manifest.multipleParents": "The manifest names more than one parent.",
    "manifest.timestamp.invalid": "A manifest that only adds a time stamp adds something else.",
    "manifest.unreferenced": "The file holds a manifest that nothing refers to.",
    "manifest.update.invalid": "A manifest that only adds information says that content was changed.",
    "manifest.update.wrongParents": "A manifest that only adds information has no single parent.",
    EXPIRED: "The certificate has expired, and no trusted time stamp says that it was signed before.",
    "signingCredential.invalid": "The certificate is not one that may sign manifests.",
    "signingCredential.ocsp.inaccessible": "Whether the certificate was revoked could not be asked.",
    "signingCredential.ocsp.revoked": "The certificate was revoked.",
    "signingCredential.ocsp.unknown": "The authority does not know the certificate.",
    TRUSTED: "The signer is on the trust list.",
    UNTRUSTED: "The signer is not on a trust list that was given.",
    "timeStamp.malformed": "The time stamp is not well-formed.",
    "timeStamp.mismatch": "The time stamp belongs to something else.",
    "timeStamp.outsideValidity": "The authority's certificate was not valid when it gave the time.",
    TIME_TRUSTED: "The time comes from an authority on the list for time stamps.",
    "timeStamp.untrusted": "The time comes from an authority that is not on the list for time stamps.",
    TIME_VALIDATED: "The time stamp belongs to this signature.",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a status is what it is: a standard ``code``, a sentence, and ``where`` in the store it applies.

    ``detail`` is what the validator said, for the log.

    >>> str(Reason("assertion.dataHash.mismatch"))
    'The content was changed after it was signed. (assertion.dataHash.mismatch)'
    """

    code: str
    where: str = ""
    detail: str = ""

    @property
    def sentence(self) -> str:
        """What the code means."""
        return SENTENCES.get(self.code, "The validator reports a problem that this version has no words for.")

    def __str__(self) -> str:
        return f"{self.sentence} ({self.code})"

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"code": self.code, "sentence": self.sentence, "where": self.where, "detail": self.detail}
