"""A pytest plugin for `tools/test --gpu` that prints one line for each bundle after the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

#: The message on a machine without a GPU.
NO_GPU = (
    "nothing was run, because PyTorch finds no CUDA device; on a machine with an NVIDIA GPU, remove .venv and run "
    "TORCH_INDEX_URL=https://download.pytorch.org/whl/cu126 tools/test --gpu"
)

_results: dict[str, list[pytest.TestReport]] = {}


def pytest_sessionstart() -> None:
    if not torch.cuda.is_available():
        pytest.exit(NO_GPU, returncode=0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    # results are grouped by bundle; a test that is not about a bundle is a group of its own
    report.subject = (getattr(item, "callspec", None) and item.callspec.params.get("name")) or item.name
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called in the process that prints the lines, also if others run the tests (``-n``)."""
    if report.when == "call" or not report.passed:
        _results.setdefault(report.subject, []).append(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("on the GPU")
    width = max(map(len, _results), default=0)
    for subject, reports in sorted(_results.items()):
        terminalreporter.write_line(f"{subject:<{width}}  {_line(reports)}")
    if not _results:
        terminalreporter.write_line("no test was run")
    _results.clear()


def _line(reports: list[pytest.TestReport]) -> str:
    if failed := [report for report in reports if report.failed]:
        # the last line of the error message, which says what CUDA refused
        said = getattr(failed[0].longrepr, "reprcrash", None)
        return f"FAILED {len(failed)} of {len(reports)}: {said.message.splitlines()[0] if said else failed[0].longreprtext}"
    if skipped := [report for report in reports if report.skipped]:
        return skipped[0].longrepr[2] if isinstance(skipped[0].longrepr, tuple) else "skipped"
    return f"passed {len(reports)} of {len(reports)}, {sum(report.duration for report in reports):.1f} s"
