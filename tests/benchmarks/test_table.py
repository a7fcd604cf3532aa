"""Test the benchmark runner with modules that measure nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from textwrap import dedent

import page
import pytest
import table
from timing import Bar

from tests.conftest import ROOT

BENCHMARKS = ROOT / "tools" / "benchmarks"
OPTIONS = {"device": "cpu", "threads": 1, "repetitions": 2, "quick": False}
MODULES = {
    "good": """
        from timing import Bar
        def measure(options):
            return [Bar("ours / theirs", 0.5, 0.6, limit=options.threads, note="told")]
    """,
    "wrong": """
        def measure(options):
            raise OSError("/home/doe_jane/exam is gone")
    """,
    "killed": """
        import os, signal
        def measure(options):
            os.kill(os.getpid(), signal.SIGKILL)
    """,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """A folder like `tools/benchmarks`, with modules of its own."""
    folder = tmp_path_factory.mktemp("benchmarks")
    (folder / "bars").mkdir()
    (folder / "bars" / "__init__.py").touch()
    for name, text in MODULES.items():
        (folder / "bars" / f"{name}.py").write_text(dedent(text))
    return folder


@pytest.fixture(scope="module")
def groups(bench) -> dict[str, dict]:
    shutil.copy(BENCHMARKS / "measure.py", bench)
    good = table.measure("good", OPTIONS, bench)
    # the failing modules run without importing torch, which saves time
    (bench / "measure.py").write_text(
        "import importlib, sys\nimportlib.import_module(f'bars.{sys.argv[1]}').measure(None)"
    )
    failed = {name: table.measure(name, OPTIONS, bench) for name in ("wrong", "killed")}
    (bench / "measure.py").write_text(
        """import json, sys, time\nopen(sys.argv[3], "w").write('{"bars": [{"name": "first"}]}')\ntime.sleep(600)"""
    )
    return {"good": good, "stopped": table.measure("good", OPTIONS, bench, seconds=1)} | failed


def bar(name: str = "a bar", value: float | None = 1.0, **fields) -> dict:
    return Bar(name, value, **fields).as_dict()


def group(module: str, *bars: dict, **fields) -> dict:
    return {
        "module": module,
        **OPTIONS,
        "seconds": 1.0,
        "date": "2026-01-01",
        "commit": "abc",
        "bars": [*bars],
        **fields,
    }


def test_a_module_is_measured_in_a_process_of_its_own(groups):
    (measured,) = groups["good"]["bars"]
    assert (measured["value"], measured["median"], measured["limit"], measured["passed"]) == (0.5, 0.6, 1, True)
    assert "error" not in groups["good"]


def test_a_module_that_fails_is_a_row(groups):
    assert groups["wrong"]["error"] == "OSError", "only the type of the error, because a path may contain a name"
    assert groups["killed"]["error"] == "signal 9"
    shown = page.block(
        {"machine": table.machine(), "versions": table.versions(), "groups": [groups["wrong"], groups["killed"]]}
    )
    lines = [line for line in shown.splitlines() if line.startswith("Could not be measured")]
    assert lines == ["Could not be measured: OSError.", "Could not be measured: signal 9."]


def test_the_page_is_what_its_results_render_to():
    text = table.PAGE.read_text()
    assert page.render(text, table.RESULTS) == text, "run tools/benchmarks/run --only-page"


def test_every_page_tells_the_times_of_the_gpu_that_were_measured():
    result = table.RESULTS / "h100.json"
    devices = table.GPU_PAGE.read_text()
    assert page.with_block(devices, page.GPU_BEGIN, page.gpu_table(result)) == devices


def test_results_say_nothing_of_who_and_where():
    allowed = {"processor", "cores", "native_bfloat16", "memory_gib", "system", "gpus"}
    results = sorted(table.RESULTS.glob("*.json"))
    assert results
    for path in results:
        found = json.loads(path.read_text())
        assert set(found["machine"]) == allowed
        assert not any(entry["quick"] for entry in found["groups"])
        assert "/home/" not in path.read_text() and "/tmp/" not in path.read_text()


def test_a_page_is_made_of_every_result(tmp_path):
    machine = {"processor": "P", "cores": 2, "native_bfloat16": True, "memory_gib": 8, "system": "S", "gpus": ["G"]}
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(
            json.dumps(
                {
                    "machine": machine | {"processor": name},
                    "versions": {"torch": "2"},
                    "groups": [group("batch_path", bar("a | b", 2.0, limit=1.0, note="n")), group("b", error="E")],
                }
            )
        )
    before = f"# Speed\n\n{page.BEGIN}\nold\n{page.END}\nafter\n"
    text = page.render(before, tmp_path)
    assert text.startswith("# Speed\n") and text.endswith(f"{page.END}\nafter\n") and "old" not in text
    assert text.index("### one, 2 cores, G") < text.index("### two, 2 cores, G")
    assert "| a / b | ≤ 1 | 2 |  | **fail** | n |" in text
    assert "Could not be measured: E." in text
    assert page.render(text, tmp_path) == text
    with pytest.raises(ValueError, match="no block"):
        page.render("# Speed\n", tmp_path)
