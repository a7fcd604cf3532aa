"""The console script: each subcommand is a typed function whose docstring is its help."""

import gc
import logging
import signal
import sys
from typing import Annotated

import typer

from planewise import __version__
from planewise.commands.datalists import export, index, inspect
from planewise.commands.own_exams import plan, segment
from planewise.commands.package import package
from planewise.commands.phantom import phantom
from planewise.commands.studies import compare, report

app = typer.Typer(
    name="planewise",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # fills the lines of a docstring's paragraph to the terminal's width
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"planewise {__version__}")
        raise typer.Exit


@app.callback()
def planewise(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version, and exit.")
    ] = False,
) -> None:
    """Make datalists, pictures, reports and bundles from exams. To train, use `python -m monai.bundle run` in bundles/.

    Example: planewise phantom cardiac work/exams, then planewise index work/exams
    """
    # `kill` and the time limit of a cluster end a command as Ctrl-C does, together with the processes that it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # importing MONAI creates 400,000 permanent objects; scanning them after every 700 new objects, as Python does by
    # default, would take a fifth of a command's time
    gc.set_threshold(20_000)
    # if the home folder cannot be written to, matplotlib warns twice that it uses a temporary one
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


for command in (index, inspect, phantom, plan, segment, export, compare, report, package):
    app.command(no_args_is_help=command is phantom)(command)
