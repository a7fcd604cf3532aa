"""Test the progress that a user sees, with real lines of Snakemake's log and a clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
        "1 of 6: phantom exams written, about 17 minutes left",
        "2 of 6: phantom exams written, about 15 minutes left",
    ]


def test_the_last_step_has_nothing_left():
    times = iter(range(100))
    order = ["phantom", "phantom", "pretrain", "finetune", "finetune", "report", "all"]
    lines = STATS + [line for step, rule in enumerate(order, 1) for line in finished(rule, step)]
    assert list(shortened(lines, lambda: float(next(times))))[-1] == "6 of 6: page written"


#: What Snakemake prints for a study that label_efficiency.smk refuses.
REFUSED = [
    'WorkflowError in file "/a/label_efficiency.smk", line 258:',
    "overrides: no config has finetune: max_epoch",
    '  File "/a/label_efficiency.smk", line 531, in <module>',
    '  File "/a/label_efficiency.smk", line 258, in refuse_misspelt_overrides',
]


def test_a_refused_study_is_said_not_to_have_started():
    end = "Nothing was started. Correct this, then run the same command again."
    assert list(shortened(REFUSED)) == [REFUSED[1], end]
    # the place of an error of the program is kept
    error = [line.replace("WorkflowError", "KeyError") for line in REFUSED]
    assert list(shortened(error)) == error
    command = [sys.executable, ROOT / "tools/studies/progress.py"]
    assert subprocess.run(command, input="\n".join(REFUSED), text=True, stdout=subprocess.PIPE).returncode == 3


def test_the_line_of_a_config_that_cannot_be_read_is_named(tmp_path):
    """Snakemake only says that it is neither JSON nor YAML."""
    (tmp_path / "study.yaml").write_text("title: mine\ndraws: [0, 1\nout: work/mine\n")
    words = (
        "Config file is not valid JSON or YAML. In case of YAML, make sure to not mix whitespace and tab indentation."
    )
    command = [sys.executable, ROOT / "tools/studies/progress.py", tmp_path / "study.yaml"]
    done = subprocess.run(command, input=f"WorkflowError:\n{words}\n", text=True, stdout=subprocess.PIPE)
    assert done.returncode == 3 and done.stdout == (
        f"{tmp_path}/study.yaml cannot be read as a study (line 3, column 4: expected ',' or ']', but got ':')\n"
        "Nothing was started. Correct this, then run the same command again.\n"
    )


def test_what_it_does_not_know_passes():
    error = [
        "MissingInputException:",
        "Nothing to be done (all requested files are present).",
    ]
    assert list(shortened(STATS + error)) == error


def started(rule: str, job: int, wildcards: str) -> list[str]:
    about = [f"rule {rule}:", "    input: /x/unlabelled.json", "    output: /x/metrics.json", f"    jobid: {job}"]
    return ["[Mon Nov 23 08:40:06 2026]", *about, f"    wildcards: {wildcards}", "    resources: tmpdir=/tmp", ""]


def test_a_job_is_named_when_it_starts_and_when_it_ends():
    lines = STATS + started("pretrain", 3, "pretraining=multitask") + started("probe", 4, "encoder=untrained")
    lines += started("finetune", 5, "method=none, exams=4, draw=0") + finished("pretrain", 3) + finished("finetune", 5)
    assert [line.partition(", about")[0] for line in shortened(lines)] == [
        "started: pretrain multitask",
        "started: probe untrained",
        "started: finetune none, 4 exams, draw 0",
        "3 of 6: a pretext trained (multitask)",
        "5 of 6: a network fine-tuned (none, 4 exams, draw 0)",
    ]


def test_a_dry_run_counts_its_jobs():
    """Snakemake would say that the reasons are above, where this program hides them; nothing has started. Its records of
    results, which a moved study lacks, are not named either.
    """
    planned = STATS[:-2] + started("pretrain", 3, "pretraining=multitask")
    end = ["This was a dry-run (flag -n). The order of jobs does not reflect the order of execution."]
    reasons = ["Reasons:", "    (check individual jobs above for details)", "    input files updated by another job:"]
    records = [
        "Some jobs were triggered by provenance information, see 'reason' section in the rule displays above.",
        "If you prefer that only modification time is used to determine whether a job shall be executed, use the command "
        "line option '--rerun-triggers mtime' (also see --help).",
        "If you are sure that a change for a certain output file (say, <outfile>) won't change the result, you can also "
        "wipe its metadata to skip such a trigger via 'snakemake --cleanup-metadata <outfile>'. ",
        "Rules with provenance triggered jobs: report", "",
        "4 jobs have missing provenance/metadata so that it in part cannot be used to trigger re-runs.",
        "Rules with missing metadata: index phantom",
    ]  # fmt: skip
    counts = "jobs: 2 phantom, 1 pretrain, 2 finetune, 1 report"
    lines = [*planned, *STATS[3:-2], *reasons, "        finetune", "", *records, *end]
    assert list(shortened(lines)) == [counts, *end]


#: What Snakemake prints if a job fails; the log and the end of the command follow.
FAILED = [
    "[Mon Nov 23 08:40:06 2026]", "Error in rule finetune:", "    jobid: 7", "    log: {log} (check log file(s))",
    "    shell:", "        (cd /x && python -m monai.bundle run)", "",
    "/usr/bin/bash: line 1: 27378 Killed                  ( cd /x && python -m monai.bundle run )",
    "RuleException:", 'CalledProcessError in file "/x/label_efficiency.smk", line 420:',
    "Command 'set -euo pipefail;  (cd /x && python -m monai.bundle run --features '[24, 48]') > {log} 2>&1 && "
    "printf %s '{{}}' > /y/job.json' {status}.",
    "Shutting down, this might take some time.", "Exiting because a job execution failed. Look above for error messages",
    "WorkflowError:", "At least one job did not complete successfully.",
]  # fmt: skip


def test_after_sigterm_it_says_once_that_running_jobs_finish():
    """Snakemake repeats the line whenever a job ends."""
    ends = ["Will exit after finishing currently running jobs (scheduler)."] * 3
    lines = [*ends, *finished("pretrain", 1), *ends, "Shutting down, this might take some time.", "WorkflowError:"]
    first, done = shortened(STATS + lines)
    assert first.startswith("no new job starts") and done.startswith("1 of 6: a pretext trained")


@pytest.mark.parametrize(
    ("status", "log", "shown"),
    [
        (
            "exit status 1",
            "INFO epoch 1\nplanewise: no mask of exam 12ab;\nindex again\n",
            ["planewise: no mask", "index"],
        ),
        ("exit status 1", "planewise: early\n" + "step\n" * 9 + "KeyError: 'x'\n", ["step"] * 7 + ["KeyError: 'x'"]),
        ("exit status 137", "INFO epoch 1\n", ["INFO epoch 1", "the system often kills a job because memory ran"]),
        ("exit status 137", "\n", ["the system often kills a job because memory ran"]),
        (
            "died with <Signals.SIGKILL: 9>",
            "INFO epoch 1\n",
            ["INFO epoch 1", "the system often kills a job because memory ran"],
        ),
        ("exit status 1", None, ["(no log: No such file"]),
    ],
)
def test_a_failed_job_is_named_with_its_last_words_and_its_log(tmp_path, status, log, shown):
    path = tmp_path / "finetune_none_1_0.log"
    if log is not None:
        path.write_text(log)
    ended = status if status.startswith("died") else f"returned non-zero {status}"
    lines = [line.replace("{log}", str(path)).replace("{status}", ended) for line in FAILED]
    first, *words, where, waiting = shortened(STATS + lines)
    what = "killed from outside" if "137" in status or "SIGKILL" in status else "failed"
    ends = "Its last lines:" if log != "\n" else "Its log is empty."
    assert first == f"{what}: finetune_none_1_0 ({status}). {ends}" and where == f"The whole log: {path}"
    assert len(words) == len(shown) and all(
        word.startswith(f"    {start}") for word, start in zip(words, shown, strict=True)
    )
    assert waiting.startswith("no new job starts")


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


@pytest.mark.parametrize(
    ("line", "status"),
    [("Terminating processes on user request, this might take some time.", 130), ("WorkflowError:", 0)],
)
def test_only_ctrl_c_changes_the_exit_status(line, status):
    """`tools/demo` uses the status to decide whether to ask the user to correct a cause."""
    command = [sys.executable, "tools/studies/progress.py"]
    assert subprocess.run(command, cwd=ROOT, input=line, text=True, capture_output=True).returncode == status


def test_it_ends_with_its_input():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/studies/progress.py"],
        input="Select jobs\nA line\n",
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("Select jobs\nA line\n", "", 0)
