"""`planewise report`: write a study's results as one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from planewise.commands.terminal import literal, refusals, say


def report(
    study: Annotated[Path, typer.Argument(help="Folder of a study: `out` in its configuration.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file to write.", show_default="STUDY/report/index.html")
    ] = None,
) -> None:
    """Write a study's results as one HTML file with embedded pictures, and as three CSV files next to it.

    The page shows the steps that ran, with their versions; tables of scores; learning curves; location
    regression; heatmaps, planned planes, segmentations and ROC curves. Steps that have not run yet are left out.
    runs.csv has the scores of each fine-tuning, scores.csv those of each test case, and differences.csv the differences
    from training from scratch. If the page is not called index.html, the names of the CSV files begin with its name.

    Example: planewise report work/study
    """
    with refusals("report"):
        # imported late, so that --help does not wait for matplotlib
        from planewise.workshop.study.study_report import write_study_report

        output = output or study / "report" / "index.html"
        tables = write_study_report(study, output)
    # output to a log is not limited to the width of a terminal
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables:
        grid = Table(
            *map(literal, table.header), title=literal(table.title), title_justify="left", box=None, pad_edge=False
        )
        for row in table.rows:
            grid.add_row(*map(literal, row.cells))
        console.print(grid)
        console.print()
    say(console, f"Wrote {output}")
