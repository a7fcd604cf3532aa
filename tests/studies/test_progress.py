"""Test the progress that a user sees, with real lines of Snakemake's log and a clock."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from tools.studies.progress import RULES, shortened

STATS = [
    "Building DAG of jobs...", "Using shell: /usr/bin/bash", "Provided cores: 2", "Job stats:", "job         count",
    "--------  -------", "phantom         2", "pretrain        1", "finetune        2", "report          1",
    "all             1", "total           7", "", "Select jobs to execute...", "Execute 1 jobs...",
]  # fmt: skip


def finished(rule: str, step: int) -> list[str]:
    return ["[Mon Nov 23 08:40:06 2026]", f"Finished jobid: {step} (Rule: {rule})", f"{step} of 7 steps (1%) done"]


def test_a_step_is_named_counted_and_the_rest_estimated():
    # 4 + 4 + 12 + 8 + 8 + 2 = 38 units of work: the first 4 take 120 s, so the rest takes 1020 s; later, 20 take 240 s,
    # and the rest 216 s
    times = iter([0.0, 120.0, 240.0, 240.0])
    lines = STATS + finished("phantom", 1) + finished("phantom", 2)[:2] + ["2 of 7 steps (1%) done"]
    said = list(shortened(lines, lambda: next(times)))
    assert said == [
        "1 of 6: phantom exams written, about 17 min left",
        "2 of 6: phantom exams written, about 15 min left",
    ]


def test_the_last_step_has_nothing_left():
    times = iter(range(100))
    order = ["phantom", "phantom", "pretrain", "finetune", "finetune", "report", "all"]
    lines = STATS + [line for step, rule in enumerate(order, 1) for line in finished(rule, step)]
    assert list(shortened(lines, lambda: float(next(times))))[-1] == "6 of 6: page written"


def test_what_it_does_not_know_passes():
    error = [
        "RuleException:",
        "CalledProcessError in file x, line 4:",
        "Nothing to be done (all requested files are present).",
    ]
    assert list(shortened(STATS + error)) == error


def test_after_ctrl_c_the_errors_of_stopped_jobs_are_not_shown():
    lines = ["Terminating processes on user request, this might take some time.", "RuleException:", "WorkflowError:"]
    assert list(shortened(STATS + lines)) == ["stopping: each training writes a checkpoint first ..."]


def test_every_rule_of_a_study_has_words():
    rules = [
        line.split()[-1].rstrip(":") if line.startswith("rule ") else line.split()[4]
        for line in (ROOT / "tools/studies/label_efficiency.smk").read_text().splitlines()
        if line.startswith(("rule ", "use rule "))
    ]
    assert set(rules) - {"all"} == set(RULES)


def test_it_ends_with_its_input():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/studies/progress.py"],
        input="Select jobs\nA line\n",
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("Select jobs\nA line\n", "", 0)
