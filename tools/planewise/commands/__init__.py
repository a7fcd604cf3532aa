"""The console script: one file per subcommand, each a typed function whose docstring is its help."""

import logging

import typer

from planewise.commands import align, check, index, inspect, package, phantom, plan, report, segment

# says when MONAI is imported that a GPU decoder is missing, which nobody asked for
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)

app = typer.Typer(
    name="planewise",
    help="Exams in; datalists, pictures, reports and bundles out; training is `python -m monai.bundle run` in bundles/.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(name="index")(index.index)
app.command(name="align")(align.align)
app.command(name="inspect")(inspect.inspect)
app.add_typer(phantom.app, name="phantom")
app.command(name="plan")(plan.plan)
app.command(name="segment")(segment.segment)
app.command(name="report")(report.report)
app.command(name="package")(package.package)
app.command(name="check")(check.check)
