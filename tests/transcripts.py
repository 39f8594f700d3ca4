"""Transcripts of the command line: commands as they are typed, below each what it prints and how it exits."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from click.testing import CliRunner

from markai.cli import cli

TOOL = " | python -m json.tool"
HIDDEN = (  # what is another each time, or on another machine
    (r'(?m)^( *)("\w+": )?-?\d+\.\d+(e[+-]\d+)?(?=,?$)', r"\1\2<number>"),
    (r'(?<="tests": )\d+', "<number>"),
    (r'(?<="serial": ")[0-9a-f]+', "<serial>"),
    (r"urn:c2pa:[0-9a-f-]{36}", "<manifest>"),
    (r"urn:uuid:[0-9a-f-]{36}", "<uuid>"),
    (r"\b[0-9a-f]{64}\b", "<digest>"),
    (r"\b[0-9a-f]{16}\b", "<id>"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?(Z|\+00:00))?", "<time>"),
    (r"p = [\d.e+-]+", "p = <p>"),
    (r"agreement -?\d\.\d+", "agreement <score>"),
    (r"(?<=registry )/\S*/(?=none.db)", ""),
)


def play(script: str, hidden: Iterable[tuple[str, str]] = HIDDEN) -> str:
    """Run the commands of a transcript and return it as it turned out, without what is another each time.

    Commands are ``markai ...``, with ``| python -m json.tool`` where a row of JSON is to be read, ``cat FILE`` and
    ``python -c ...`` for what somebody else does to the files.
    """
    lines = []
    for command in re.findall(r"^\$ (.*)$", script, re.MULTILINE):
        output, code = run(command)
        output = re.sub(r"^(warning: dev/chain.pem|Usage|Try).*\n| +$", "", output, flags=re.MULTILINE)
        for pattern, name in hidden:
            output = re.sub(pattern, name, output)
        lines.append(f"$ {command}\n{output.lstrip()}" + (f"[exit {code}]\n" if code else ""))
    return "".join(lines)


def run(command: str) -> tuple[str, int]:
    """Return what a command prints, and its exit code."""
    name, *arguments = shlex.split(command.removesuffix(TOOL))
    if name == "cat":
        return Path(*arguments).read_text(), 0
    if name == "python":
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        return done.stdout + done.stderr, done.returncode
    assert name == "markai"
    result = CliRunner().invoke(cli, arguments, prog_name="markai")
    if command.endswith(TOOL):
        return json.dumps(json.loads(result.stdout), indent=4) + "\n", 0  # the exit code is that of json.tool
    return result.output, result.exit_code
