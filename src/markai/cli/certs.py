"""``markai certs``."""

import json
from pathlib import Path

import click

from markai.cli.common import json_option, shown
from markai.errors import CertificateError


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--org", default="markai development", show_default=True, help="The organisation in the certificates.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 36_500), help="How long they are valid.")
@click.option(
    "--alg",
    default="es256",
    show_default=True,
    type=click.Choice(["es256", "es384", "ed25519", "ps256"]),
    help="The algorithm of the signer's key.",
)
@click.option("--check", metavar="CHAIN.pem", type=click.Path(path_type=Path), help="Check a chain instead.")
@click.option("--private-key", metavar="KEY.pem", type=click.Path(path_type=Path), help="Check that it fits as well.")
@json_option
@click.pass_context
def certs(
    ctx: click.Context,
    directory: Path | None,
    org: str,
    days: int,
    alg: str,
    check: Path | None,
    private_key: Path | None,
    as_json: bool,
) -> None:
    """Make a certificate chain for development, or check one.

    Writes chain.pem, key.pem (mode 0600) and root.pem into DIRECTORY: what "markai sign" needs, and what
    "markai verify --trust" needs. Nobody else trusts them; what a production certificate needs is said then.

    With --check, says rule by rule why C2PA would refuse a certificate. Exit code 0: it would not; 1: it would.
    """
    if (directory is None) == (check is None):
        raise click.UsageError("pass a DIRECTORY for a new chain, or --check CHAIN.pem")
    if check:
        findings = examine(check, private_key, as_json)
        ctx.exit(1 if findings else 0)
    assert directory is not None
    make(directory, org, days, alg, as_json)


def make(directory: Path, org: str, days: int, alg: str, as_json: bool) -> None:
    """Write a chain and say what it is not."""
    from markai.provenance.certs import PRODUCTION, make_chain, write_chain

    written = write_chain(make_chain(org, days, alg), directory)
    if as_json:
        click.echo(
            json.dumps({"organization": org, "days": days, "alg": alg, **{k: str(v) for k, v in written.items()}})
        )
    else:
        for path in written.values():
            click.echo(shown(path))
    click.echo(f"These are for development: only who is given root.pem trusts them.\n{PRODUCTION}", err=True)


def examine(chain: Path, private_key: Path | None, as_json: bool) -> int:
    """Show each rule that a chain breaks; return how many."""
    from markai.provenance.certs import lint
    from markai.provenance.trust import read_list

    try:
        findings = lint(read_list(chain), read_list(private_key) if private_key else None)
    except CertificateError as error:
        raise CertificateError(f"{shown(chain)}: {error}") from None
    if as_json:
        broken = [{"rule": each.rule, "problem": each.problem, "advice": each.advice} for each in findings]
        click.echo(json.dumps({"chain": str(chain), "ok": not findings, "findings": broken}))
    else:
        click.echo("\n".join(map(str, findings)) or f"ok  {shown(chain)}")
    return len(findings)
