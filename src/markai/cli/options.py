"""Options about signers, claims, trust and registries that several commands take, and what is made of them."""

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from markai.errors import RegistryError

PASSWORD_VARIABLE = "MARKAI_PRIVATE_KEY_PASSWORD"
REGISTRY_VARIABLE = "MARKAI_REGISTRY"
MAX_URL_BYTES = 4096
PASSWORD = re.compile(r"://[^/@]*:[^/]*@|[?&]password=")

Decorator = Callable[[Any], Any]
file_type = click.Path(path_type=Path)


def _several(*options: Decorator) -> Decorator:
    """Return one decorator for several options, listed in that order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


signer_options = _several(
    click.option(
        "--chain",
        metavar="CHAIN.pem",
        type=file_type,
        envvar="MARKAI_CHAIN_FILE",
        show_envvar=True,
        help="The certificates, the signer's own first.",
    ),
    click.option(
        "--private-key",
        "--signing-key",
        metavar="KEY.pem",
        type=file_type,
        envvar="MARKAI_PRIVATE_KEY_FILE",
        show_envvar=True,
        help=f"The signer's private key; the password of an encrypted one is taken from {PASSWORD_VARIABLE}.",
    ),
    click.option("--tsa", metavar="URL", help="Ask this authority for a time stamp (RFC 3161)."),
    click.option(
        "--timestamp",
        type=click.Choice(["require", "best-effort", "off"]),
        help="What to do without a time stamp.  [default: require with --tsa, else off]",
    ),
)
claim_options = _several(
    click.option("--provider", required=True, help="Who offers the system that made the content."),
    click.option("--system", required=True, help="The system that made it."),
    click.option("--system-version", "--version", required=True, metavar="VERSION", help="Its version."),
    click.option(
        "--source-type",
        default="trainedAlgorithmicMedia",
        show_default=True,
        help="How the content came to be, a name of IPTC's list.",
    ),
    click.option("--tc260-producer", metavar="NAME", help="Also write China's label (GB 45438), with this producer."),
)
trust_options = _several(
    click.option(
        "--trust",
        "lists",
        metavar="FILE",
        multiple=True,
        type=file_type,
        envvar="MARKAI_TRUST_FILE",
        show_envvar=True,
        help="Certificates of authorities to trust: PEM, or C2PA's own list (PEM or JSON). May be repeated.",
    ),
    click.option(
        "--tsa-trust",
        "tsa_lists",
        metavar="FILE",
        multiple=True,
        type=file_type,
        help="The same for authorities that give the time.",
    ),
    click.option(
        "--allowed",
        metavar="FILE",
        multiple=True,
        type=file_type,
        help="Certificates of signers to trust, or their SHA-256 digests in base64, one a line.",
    ),
)
registry_options = _several(
    click.option(
        "--registry",
        metavar="URL",
        envvar=REGISTRY_VARIABLE,
        show_envvar=True,
        help="sqlite:///FILE.db or postgresql://USER@HOST/NAME; one with a password only from the variable or a file.",
    ),
    click.option("--registry-file", metavar="FILE", type=file_type, help="A file that holds the URL."),
)

tokenizer_option = click.option(
    "--tokenizer",
    "tokenizer_file",
    metavar="FILE",
    type=file_type,
    help="The tokenizer.json of the model that may have written the texts.",
)


def load_tokenizer(file: Path | None) -> Any:
    """Return the tokenizer in a file, or None without one.

    Raises:
        MethodError: if it is none.
        MissingExtraError: if the tokenizers package is missing.
    """
    from markai.text.tokens import loaded

    return None if file is None else loaded(file)


def registry_url(ctx: click.Context, url: str | None, file: Path | None) -> str | None:
    """Return the URL of the registry, which is never shown: it may hold a password.

    Raises:
        RegistryError: if the file cannot be read, or a password stands on the command line, where others see it.
    """
    given_here = ctx.get_parameter_source("registry") is ParameterSource.COMMANDLINE
    if file is not None:
        if given_here:
            raise click.UsageError("pass --registry or --registry-file, not both")
        return _first_line(file)
    if url and given_here and PASSWORD.search(url):
        advice = f"put the URL into {REGISTRY_VARIABLE} or a --registry-file"
        raise RegistryError(f"others can see a password on the command line - {advice}")
    return url or None


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as text:
            url = text.read(MAX_URL_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text"
        raise RegistryError(f"cannot read {file}: {said} - it holds the URL of the registry") from None
    if not url or "\n" in url:
        raise RegistryError(f"{file} does not hold one URL of a registry - write it there, on a line of its own")
    return url
