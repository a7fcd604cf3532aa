"""The console script: one file per subcommand, each a typed function whose docstring is its help."""

import gc
import logging
import signal
import sys

import typer

from planewise.commands import align, check, index, inspect, package, phantom, plan, report, segment

# says when MONAI is imported that a GPU decoder is missing, which nobody asked for
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)

app = typer.Typer(name="planewise", no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def planewise() -> None:
    """Exams in; datalists, pictures, reports and bundles out; training is `python -m monai.bundle run` in bundles/."""
    # `kill` and a cluster's time limit end a command as Ctrl-C does: with the processes that it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # an import of MONAI makes 400,000 objects that stay; a look through them after every 700 takes a fifth of its time
    gc.set_threshold(20_000)


app.command(name="index")(index.index)
app.command(name="align")(align.align)
app.command(name="inspect")(inspect.inspect)
app.add_typer(phantom.app, name="phantom")
app.command(name="plan")(plan.plan)
app.command(name="segment")(segment.segment)
app.command(name="report")(report.report)
app.command(name="package")(package.package)
app.command(name="check")(check.check)
