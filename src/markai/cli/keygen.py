"""``markai keygen``."""

import json
from pathlib import Path

import click

from markai.cli.common import json_option


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def keygen(path: Path, as_json: bool) -> None:
    """Write a new secret key to PATH, print its id.

    The file can be read by its owner only (mode 0600); an existing file is never overwritten. Keep a backup:
    without the key nobody finds its marks, and whoever has it can make them.
    """
    from markai.keys import Key

    key = Key.generate()
    key.save(path)
    click.echo(json.dumps({"path": str(path), "key_id": key.id}) if as_json else key.id)
