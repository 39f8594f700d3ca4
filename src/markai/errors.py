"""Every error that markai raises on purpose.

MarkaiError
  x ImageError(ValueError)           the picture cannot be read, or is not one of the accepted kinds
    + CapacityError                  the picture is sound but cannot carry the mark that was asked for
  x PayloadError(ValueError)         the payload is too long or not bytes
  x KeyFileError(ValueError)         a key is damaged, too short or of an unknown version
  x MethodError(ValueError)          there is no such watermark method, or it does not apply here
  x CertificateError(ValueError)     a certificate, its key or a trust list cannot be used; names the rules broken
  x SigningError(ValueError)         the file could not be signed; nothing was written
    + TimestampError                 a time stamp is required, and the authority gave none
  x OutputError(OSError)             the result could not be written; nothing was left behind
  x RegistryError(OSError)           the registry cannot be opened, read or written
    + PayloadTakenError              it has a record with this payload and key, or of this manifest, already
  x WeightsError(OSError)            weights or a checkpoint of the learned mark are missing or damaged
  x PolicyError(ValueError)          a file of rules or a policy is not what is accepted; the message names the line
  x MissingExtraError(ImportError)   an optional package is needed; the message holds the pip line
  x NotDetected(LookupError)         only from Detection.require(): no mark was found

A message says what is wrong, then what to do about it.
"""


class MarkaiError(Exception):
    """Base of every error that markai raises on purpose."""


class ImageError(MarkaiError, ValueError):
    """The picture cannot be read, or is not one of the accepted kinds."""


class CapacityError(ImageError):
    """The picture is sound but cannot carry the mark that was asked for."""


class PayloadError(MarkaiError, ValueError):
    """The payload is longer than 16 bytes, or not bytes."""


class KeyFileError(MarkaiError, ValueError):
    """A key is damaged, too short, readable by others, or of an unknown version."""


class MethodError(MarkaiError, ValueError):
    """There is no such watermark method, or it does not apply to this input."""


class CertificateError(MarkaiError, ValueError):
    """A certificate, its key or a list of trusted ones cannot be used; the message names each rule that it breaks."""


class SigningError(MarkaiError, ValueError):
    """The file could not be signed; nothing was written."""


class TimestampError(SigningError):
    """A time stamp is required, and the authority gave none."""


class OutputError(MarkaiError, OSError):
    """The result could not be written; nothing half-written was left behind."""


class RegistryError(MarkaiError, OSError):
    """The registry cannot be opened, read or written; nothing half-written was left behind."""


class PayloadTakenError(RegistryError):
    """The registry has a record with this payload and key, or of this manifest, already."""


class WeightsError(MarkaiError, OSError):
    """Weights of the learned mark are not those that the code names by checksum, or a checkpoint is not whole."""


class PolicyError(MarkaiError, ValueError):
    """A file of rules or a policy is not what is accepted; the message names the file and the line."""


class MissingExtraError(MarkaiError, ImportError):
    """An optional package is needed for this.

    >>> str(MissingExtraError.naming("opencv-python-headless", "deep", "16-bit colour PNG files"))
    "16-bit colour PNG files need opencv-python-headless: pip install 'markai[deep]'"
    """

    @classmethod
    def naming(cls, package: str, extra: str, purpose: str) -> "MissingExtraError":
        return cls(f"{purpose} need {package}: pip install 'markai[{extra}]'")


class NotDetected(MarkaiError, LookupError):
    """Raised by ``Detection.require()`` when no mark was found."""
