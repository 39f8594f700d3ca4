"""The ``markai`` command. Importing it loads click and no NumPy: ``markai --help`` answers at once."""

import logging
import os
import signal
import sys
from typing import Any

import click

from markai import __version__
from markai.cli.audit import audit
from markai.cli.bench import bench
from markai.cli.certs import certs
from markai.cli.detect import detect
from markai.cli.doctor import doctor
from markai.cli.embed import embed
from markai.cli.inspect import inspect
from markai.cli.keygen import keygen
from markai.cli.mark import mark
from markai.cli.sign import sign
from markai.cli.text import text
from markai.cli.train import train
from markai.cli.verify import verify
from markai.errors import MarkaiError

EXIT_ERROR = 2
EXIT_INTERRUPT, EXIT_PIPE, EXIT_TERMINATE = (128 + number for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM))


class Commands(click.Group):
    """The one place where errors become a line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPT)
        except BrokenPipeError:  # whoever read stdout has seen enough
            _drop_stdout()
            ctx.exit(EXIT_PIPE)
        except (MarkaiError, OSError) as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"error: {error}", err=True)
            if not isinstance(error, MarkaiError):  # stdout itself, most likely: a full disk behind it
                _drop_stdout()
            ctx.exit(EXIT_ERROR)


class EchoHandler(logging.Handler):
    """Shows log records on stderr, also while a progress bar owns it."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.levelname.lower()}: {self.format(record)}", err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks and the debug log on stderr.")
def cli(debug: bool) -> None:
    """Mark what generative models make, and prove it later.

    \b
    markai keygen my.key
    markai embed picture.png -o marked.png --key my.key --payload acme:42
    markai detect marked.png --key my.key

    Results go to stdout, everything else to stderr. Exit code 0: found, or done; 1: not found; 2: an error.
    """
    log = logging.getLogger("markai")
    log.handlers = [EchoHandler()]
    log.setLevel(logging.DEBUG if debug else logging.WARNING)


for command in (keygen, embed, detect, text, certs, sign, verify, mark, inspect, audit, bench, train, doctor):
    cli.add_command(command)


def main() -> None:
    """Run the command line; the entry point of the ``markai`` script."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATE))  # by way of every ``finally``
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a payload or a name that the terminal cannot show
    cli(prog_name="markai")


def _drop_stdout() -> None:
    """Send what is still buffered nowhere; at exit it would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
