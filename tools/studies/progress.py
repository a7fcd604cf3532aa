"""Shorten Snakemake's log to a few lines: what has started and finished, the number of the step, the approximate time left,
and the end of the log of a job that fails; for a dry run, the number of jobs of each kind.

    snakemake ... --quiet reason host 2>&1 | python tools/studies/progress.py STUDY.yaml

Given the study's config, it names the line at which the YAML cannot be read. Unknown lines, such as errors, are printed
unchanged. The exit status is 130 if the user stopped the study, and 3 if it was refused before any job started.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.words import duration
from planewise.text_files import read_yaml

#: For each rule, a description of a finished job and its relative duration.
RULES = {
    "phantom": ("phantom exams written", 4),
    "index": ("exams indexed", 1),
    "inspect": ("planes drawn", 1),
    "pretrain": ("a pretext trained", 12),
    "pretrain_alone": ("a pretext trained", 12),
    "finetune": ("a network fine-tuned", 8),
    "probe": ("an encoder's frozen features scored", 1),
    "predict_masks": ("masks of the labelled exams predicted", 3),
    "forest": ("diagnosis fitted to reference masks", 2),
    "forest_of_fold": ("a fold diagnosed from masks", 2),
    "diagnose": ("test exams diagnosed", 2),
    "plan": ("views planned", 2),
    "report": ("page written", 2),
}
_IDLE = re.compile(
    r"Select jobs to execute|Execute \d+ jobs|Assuming unrestricted|Using shell|Provided cores|Rules claiming|Building DAG|"
    r"Touching output|Elapsed time: |Complete log|\[\w{3} \w{3} .*\]$|Job stats:|-+  -+$|job +count$|total +\d+$|all +\d+$|"
    # in a dry run, about its records of results, which stay behind if a study is moved; these lines refer to hidden lines
    r"\d+ jobs have \w+ provenance/metadata|Some jobs were triggered by provenance|If you prefer that only modification|"
    r"If you are sure that a change|Rules with (?:\w+ metadata|provenance triggered jobs): |"
    # around a failed job
    r"RuleException:$|CalledProcessError in |Exiting because a job|At least one job did not|"
    # bash, about a job that was killed
    r"\S*bash: line \d+: +\d+ Killed"
)
#: A job that starts, or one that failed; lines about it follow, indented.
_ABOUT = re.compile(r"(?:local)?rule (\w+):$|Error in rule \w+:$")
_ABOUT_LINE = re.compile(r"    (?:(jobid|wildcards): )?(.*)$")
#: Snakemake prints this line before jobs start; in a dry run, it does not.
_STARTING = re.compile(r"Execute \d+ jobs")
#: The last line of a dry run, and the first of a paragraph about jobs that our options hide.
_DRY_RUN, _REASONS = "This was a dry-run", "Reasons:"
#: Snakemake's words for a study that label_efficiency.smk refuses, and the places in that file, which follow the message.
REFUSED, PLACE = re.compile(r"WorkflowError in file "), re.compile(r'  File ".*", line \d+, in ')
#: Its words for a config that it cannot read; they do not say where.
_NO_YAML = "Config file is not valid JSON or YAML."
_NOT_STARTED = "Nothing was started. Correct this, then run the same command again."
#: The command of a failed job; its output is the log.
_FAILED = re.compile(r"Command '.* > (\S+\.log) 2>&1.*' (?:returned non-zero )?(.*?)\.?$")
_WAITING = "Shutting down, this might take some time"
#: What Snakemake prints after SIGTERM, and again whenever a job ends.
_ENDING = "Will exit after finishing currently running jobs"
_LAST_JOBS = "no new job starts; jobs that still run finish first, unless Ctrl-C stops them ..."
#: Number of lines to show of a failed job's log. If a message of planewise begins in them, only the message is shown.
_LAST_LINES = 8
_STOPPED = "Terminating processes on user request"
_STOPPING = "stopping: each training writes a checkpoint first ..."
_COUNT = re.compile(r"(\w+) +(\d+)$")
_FINISHED = re.compile(r"Finished jobid: (\d+) \(Rule: (\w+)\)")
_STEPS = re.compile(r"(\d+) of (\d+) steps")


def shortened(
    lines: Iterable[str], clock: Callable[[], float] = time.monotonic, config: Path | None = None
) -> Iterator[str]:
    """Yield the lines of Snakemake's log that a person should see.

    Args:
        lines: lines of the log.
        clock: function that returns the time in seconds.
        config: the study's config, to find out why Snakemake cannot read it.
    """
    began, finished, left = clock(), "", dict.fromkeys(RULES, 0)
    total, steps_in_all, stopped, failed, starts, refused, ending = 0.0, 0, False, False, False, False, False
    # what the current paragraph is about: a job (its rule; empty for an error), or something that is not shown
    rule: str | None = None
    hidden = False
    about: dict[str, str] = {}
    names: dict[str, str] = {}
    for line in (line.rstrip("\n") for line in lines):
        if rule is not None:
            if part := _ABOUT_LINE.match(line):
                about |= {part[1]: part[2]} if part[1] else {}
                continue
            if rule in RULES and starts and not stopped:
                names[about.get("jobid", "")] = _in_words(about.get("wildcards", ""))
                yield f"started: {' '.join(filter(None, (rule, names[about.get('jobid', '')])))}"
            rule = None
        if hidden and line.startswith("    "):
            continue
        hidden = line == _REASONS
        starts = starts or bool(_STARTING.match(line))
        if REFUSED.match(line):
            refused = True
            continue
        if config and line.startswith(_NO_YAML):
            refused = True
            yield _why_unreadable(config) or line
            continue
        if config and line == "WorkflowError:" and not starts:
            continue  # the message follows
        if refused and PLACE.match(line):
            continue
        if stopped or not line or hidden or _IDLE.match(line):
            continue
        if job := _ABOUT.match(line):
            rule, about = job[1] or "", {}
            continue
        if line.startswith(_STOPPED):  # the errors that follow are those of jobs that were told to stop
            stopped = True
            yield _STOPPING
            continue
        if failure := _FAILED.match(line):
            failed = True
            yield from _last_words(Path(failure[1]), failure[2])
        elif line.startswith(_DRY_RUN):
            yield f"jobs: {', '.join(f'{number} {name}' for name, number in left.items() if number)}"
            yield line
        elif failed and line.startswith(_WAITING):
            yield _LAST_JOBS
        elif line.startswith(_ENDING):
            if not ending:
                yield _LAST_JOBS
            ending = True
        elif (failed and line == "WorkflowError:") or (ending and line.startswith(("WorkflowError:", _WAITING))):
            continue
        elif (count := _COUNT.match(line)) and count[1] in RULES:
            left[count[1]] = int(count[2])
            total, steps_in_all = _cost(left), sum(left.values())
        elif found := _FINISHED.match(line):
            job_id, finished = found.groups()
            if finished in left:
                left[finished] -= 1
        elif (steps := _STEPS.match(line)) and finished in RULES:
            done = total - _cost(left)
            rest = (clock() - began) * (total - done) / done if done > 0 else 0.0
            when = f", about {duration(rest)} left" if rest > 0 else ""
            which = f" ({names[job_id]})" if names.get(job_id) else ""
            yield f"{steps[1]} of {steps_in_all}: {RULES[finished][0]}{which}{when}"
        elif not steps:
            yield line
    if refused and not starts:
        yield _NOT_STARTED


def _why_unreadable(config: Path) -> str:
    """Why a study's config cannot be read; empty if it can."""
    try:
        read_yaml(config, "a study")
    except InputError as error:
        return str(error)
    return ""


def _in_words(wildcards: str) -> str:
    """``"method=simclr, exams=4, draw=0"`` as ``"simclr, 4 exams, draw 0"``."""
    found = []
    for part in filter(None, wildcards.split(", ")):
        name, _, value = part.partition("=")
        found.append({"exams": f"{value} exam{'' if value == '1' else 's'}", "draw": f"draw {value}"}.get(name, value))
    return ", ".join(found)


def _last_words(log: Path, status: str) -> Iterator[str]:
    """The name of a failed job, the end of its log, and what its exit status means."""
    killed = status.endswith(" 137") or "SIGKILL" in status
    what = f"killed from outside: {log.stem}" if killed else f"failed: {log.stem}"
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError as error:
        lines = [f"(no log: {error.strerror})"]
    yield f"{what} ({status}). {'Its last lines:' if lines else 'Its log is empty.'}"
    starts = [number for number, line in enumerate(lines) if line.startswith("planewise")]
    first = starts[-1] if starts and starts[-1] >= len(lines) - _LAST_LINES else -_LAST_LINES
    yield from (f"    {line}" for line in lines[first:])
    if killed:
        yield "    the system often kills a job because memory ran out; run fewer jobs at a time with --cores"
    yield f"The whole log: {log}"


def _cost(jobs: dict[str, int]) -> float:
    return float(sum(RULES[rule][1] * number for rule, number in jobs.items()))


if __name__ == "__main__":
    # leave Ctrl-C to Snakemake, so that its last messages are still shown
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = 0
    for text in shortened(sys.stdin, config=Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(text, flush=True)
        status = {_STOPPING: 130, _NOT_STARTED: 3}.get(text, status)
    sys.exit(status)
