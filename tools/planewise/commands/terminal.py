"""Terminal output of all commands: progress, and errors in the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from planewise.errors import InputError


def literal(text: str) -> str:
    """Escape markup and control characters in text from files, so that neither rich nor the terminal interprets them."""
    plain = (sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in text)
    return escape("".join(plain))


def say(console: Console, text: str) -> None:
    """Print a line as it is: no line breaks within it, no markup, and no colours for numbers and paths."""
    console.print(literal(text), soft_wrap=True, highlight=False)


def print_table(
    console: Console,
    title: str,
    rows: Sequence[Sequence[str]],
    names: Sequence[str] = (),
    numbers: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> None:
    """Print a table, if it has rows. Its columns of names and numbers are never wrapped, and no text is cut off."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for name in texts:
        table.add_column(name, overflow="fold", min_width=len(name))
    for row in rows:
        table.add_row(*map(literal, row))
    if rows:
        console.print(table)


@contextmanager
def refusals(command: str) -> Iterator[None]:
    """Print an input error, or what the operating system says about a file, on the error stream, and end the command.

    Args:
        command: name of the command, such as ``index``.
    """
    try:
        yield
    except (InputError, OSError) as error:
        if isinstance(error, OSError) and (error.errno is None or isinstance(error, BrokenPipeError)):
            raise  # errors without a number are not from the operating system; typer handles a closed pipe
        Console(stderr=True).print(f"[bold red]planewise {command}:[/] {literal(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None


def begin(text: str) -> None:
    """Print a line about work that begins, at once and on the error stream, also if that is a pipe or a file."""
    say(Console(stderr=True), f"{text} ...")


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the error stream that disappears when the work is done.

    Args:
        doing: the label of the bar.

    Yields:
        A function to call with (done, total).
    """
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
