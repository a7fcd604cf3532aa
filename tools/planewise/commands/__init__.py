"""The console script: one file per subcommand, each a typed function whose docstring is its help."""

import typer

from planewise.commands import index, inspect, phantom, report

app = typer.Typer(
    name="planewise",
    help="Exams in, datalists, pictures and reports out; training is `python -m monai.bundle run` in bundles/.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(name="index")(index.index)
app.command(name="inspect")(inspect.inspect)
app.add_typer(phantom.app, name="phantom")
app.command(name="report")(report.report)
