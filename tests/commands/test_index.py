"""Test the output and messages of `planewise index`."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import typer
from planewise.commands.index import _exam_table, _label_counts, _reason_table, _remark, _spacing_text, index
from planewise.exams import index_folder, refusals
from rich.console import Console
from typer.testing import CliRunner

from tests.exams.conftest import flawed, sound_phantom, usual_exam, write_usual_exam  # noqa: F401  (fixtures)
from tests.exams.files import write_image
from tests.exams.knees import PD, write_knee, write_mrnet
from tests.exams.test_labels import write_mask
from tests.exams.test_volumes import write_acdc

app = typer.Typer()
app.command()(index)


def run(*arguments, width=200):
    return CliRunner(env={"COLUMNS": str(width)}).invoke(app, [str(argument) for argument in arguments])


def test_it_prints_a_table_and_writes_the_datalist(usual_exam, tmp_path):  # noqa: F811
    outcome = run(usual_exam, "-o", tmp_path / "list.json", "--split", "1", "0", "0")
    assert outcome.exit_code == 0, outcome.output
    (name,) = json.loads((tmp_path / "list.json").read_text())["exams"]
    row = next(line for line in outcome.output.splitlines() if name in line)
    assert row.split() == [name, "training", "sax", "1.00", "5", "6", "10.0"]
    assert re.search(r"^\s+4ch\s+(1\.00|0\.9\d)\s+1\s+6\s+-", outcome.output, re.MULTILINE)
    seconds, speed = re.search(r"42 files in ([\d.]+) s \((\d+) files/s\), 1 exam\.", outcome.output).groups()
    assert int(speed) * (float(seconds) + 0.05) > 41
    assert "Items: 30 training, 0 validation, 0 test." in outcome.output
    assert "Sections: by a hash of the patient: 1 0 0, seed 0." in outcome.output


def test_exams_that_lack_a_view_come_first(tmp_path):
    """Exams of one kind are sorted by hash."""
    for number in range(6):
        identity = {"PatientID": f"P-{number}", "StudyInstanceUID": f"1.2.8.{number}"}
        write_usual_exam(tmp_path / f"in/{number}", ("2ch", "4ch")[: 1 + number % 2], 3, phases=5, **identity)
    outcome = run(tmp_path / "in", "-o", tmp_path / "list.json")
    exams = json.loads((tmp_path / "list.json").read_text())["exams"]
    shown = sorted(exams, key=outcome.output.index)
    assert ["4ch" in exams[name]["stacks"] for name in shown] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    ("stack", "remark"),
    [
        (
            {"view": "2ch", "runners_up": {"rv2ch": 0.3, "3ch": 0.05, "4ch": 0.05, "rvot": 0.04}},
            "or rv2ch 0.30, 3ch 0.05",
        ),
        ({"view": "2ch", "runners_up": {"rv2ch": 0.04}, "named": "rv"}, "named rv"),
        (
            {"view": "undecided", "runners_up": {"2ch": 0.5}, "remark": {"code": "localizer"}},
            "undecided: 2ch 0.50; localizer",
        ),
    ],
)
def test_remarks_name_the_two_likeliest_views_from_a_twentieth_on(stack, remark):
    assert _remark(stack) == remark


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((9.9, 10.0), "10.0"),
        ((9.7, 10.0), "9.7 to 10.0"),
        ((10.0, 12.5), "10.0 to 12.5"),
    ],
)
def test_uneven_distances_are_told_with_their_range(ends, text):
    assert _spacing_text({"spacing": 10.0, "spacing_range": list(ends)}) == text
    assert _spacing_text({}) == "-"


def test_the_longest_row_fits_into_80_columns():
    stack = {"view": "other", "slices": 12, "phases": [24, 25], "spacing": 10.0, "spacing_range": [9.7, 120.5]}
    console = Console(width=80, file=io.StringIO())
    console.print(_exam_table([("0123456789", {"section": "validation", "stacks": {"other-1": stack}})]))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines[2].endswith("remark") and lines[4].endswith("12 24 to 25 9.7 to 120.5 unused")


def test_classes_of_zero_and_one_are_counted_by_section():
    def items(*values):
        return [
            {"exam": f"e{number}", "acl": value, "grade": 2 * value, "age": 40} for number, value in enumerate(values)
        ]

    lists = {"training": items(1, 0, 0, 0), "validation": items(1, 1), "test": [*items(0), *items(0)]}
    for item in lists["training"]:
        item["acl"] = float(item["acl"])  # the table has 1.0
    lines = [
        "grade 0: 3 training, 0 validation, 1 test.",
        "grade 2: 1 training, 2 validation, 0 test.",
        "acl: 1 of 4 training, 2 of 2 validation, 0 of 1 test.",
    ]
    assert _label_counts(lists, None) == _label_counts(lists, "label") == lines
    ages = "age 40: 4 training, 2 validation, 1 test."
    assert _label_counts(lists, "age") == [*lines[:2], ages, lines[2]], "the class that stratifies the sections"


def test_a_terminal_does_not_obey_a_file(usual_exam, tmp_path):  # noqa: F811
    write_image(usual_exam / "\x1b[31mred\nline[bold].dcm", (0, 0, 0), (1, 0, 0), (0, 1, 0), SamplesPerPixel=3)
    outcome = run(usual_exam, "-o", tmp_path / "list.json")
    assert outcome.exit_code == 0, outcome.output
    assert "\x1b" not in outcome.output and r"\x1b[31mred" in outcome.output and "line[bold].dcm" in outcome.output


def test_any_organ_lists_every_stack_and_what_is_left(usual_exam, tmp_path):  # noqa: F811
    outcome = run(usual_exam, "-o", tmp_path / "list.json", "--anatomy", "any", "--split", "1", "0", "0")
    assert outcome.exit_code == 0, outcome.output
    (name,) = json.loads((tmp_path / "list.json").read_text())["exams"]
    row = next(line for line in outcome.output.splitlines() if name in line)
    assert row.split() == [name, "training", "stack", "1.00", "5", "6", "10.0"]
    assert re.search(rf"{name}\s+2 stacks of fewer than 4 slices: not used", outcome.output)
    assert "Items: 30 training" in outcome.output


def test_a_private_table_says_which_folder_a_hash_is(usual_exam, tmp_path):  # noqa: F811
    assert run(usual_exam, "-o", tmp_path / "list.json").exit_code == 0
    (name,) = json.loads((tmp_path / "list.json").read_text())["exams"]
    table = tmp_path / "list_folders.csv"
    assert table.read_text() == f"exam,folder\n{name},exam\n"
    assert {file.stat().st_mode & 0o777 for file in (table, tmp_path / "list.json")} == {0o600}, "both contain paths"
    write_acdc(tmp_path / "acdc", 1)
    assert run(tmp_path / "acdc", "-o", tmp_path / "list.json").exit_code == 0
    assert not table.exists(), "volumes are in the datalist; the table of other exams must not stay"


def test_folder_names_of_any_bytes_in_a_locale_without_letters(tmp_path):
    """A separate process with an ASCII-only terminal: names that cannot be written are left out with a reason, and the others
    are kept.
    """
    write_usual_exam(tmp_path / "data" / "plain")
    write_usual_exam(tmp_path / "a", PatientID="P-2", StudyInstanceUID="1.2.8", FrameOfReferenceUID="1.2.8.1")
    os.rename(tmp_path / "a", os.fsencode(tmp_path) + b"/data/M\xfcller")
    command = [sys.executable, "-m", "planewise", "index", "data", "-o", "list.json", "--split", "1", "0", "0"]
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=os.environ | locale)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert len(json.loads((tmp_path / "list.json").read_text())["exams"]) == 1
    assert str(refusals.ODD_PATH)[:20] in done.stdout.decode(errors="replace")
    assert not list(tmp_path.glob("*.tmp"))


def test_the_table_fits_an_ordinary_terminal(usual_exam, tmp_path):  # noqa: F811
    (usual_exam / "a long name of a file that is not an image at all, by far.txt").write_text("x")
    outcome = run(usual_exam, "-o", tmp_path / "list.json", width=80)
    table = outcome.stdout.split("files that were left out")[0]
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= 80


def test_left_out_files_are_listed_with_one_example(flawed, tmp_path):  # noqa: F811
    outcome = run(flawed("burnt_in", "zero_byte"), "-o", tmp_path / "list.json")
    assert re.search(r"1 +empty file \(0 bytes\) +\S+", outcome.output)
    assert re.search(r"1 +burnt-in annotation.* +\S+", outcome.output)


def test_reasons_are_listed_by_exam(flawed, tmp_path):  # noqa: F811
    tree = flawed("mixed_matrix")
    outcome = run(tree, "-o", tmp_path / "list.json")
    assert "left out, and why" not in outcome.output
    assert "like the short axis" in outcome.output.partition("used, with a remark")[2]
    other = {"PatientID": "P-8", "StudyInstanceUID": "1.2.8", "FrameOfReferenceUID": "1.3.8"}
    write_usual_exam(tree / "other", slices=1, **other)
    left_out, _, used = run(tree, "-o", tmp_path / "list.json").output.partition("used, with a remark")
    assert "no stack of 3 or more parallel slices" in left_out.partition("left out, and why")[2]
    assert "like the short axis" in used


def test_exams_and_reasons_beyond_the_table_are_counted(tmp_path, monkeypatch):
    for number in range(4):
        identity = {"PatientID": f"P-{number}", "StudyInstanceUID": f"1.2.8.{number}"}
        write_usual_exam(tmp_path / f"in/{number}", (), 3, phases=2, **identity)
    monkeypatch.setattr("planewise.commands.index._MOST_EXAMS", 1)
    outcome = run(tmp_path / "in", "-o", tmp_path / "list.json")
    first, *others = sorted(json.loads((tmp_path / "list.json").read_text())["exams"])
    table = outcome.output.partition("... and 3 exams more: see `exams` in the datalist.")[0]
    assert first in table and not any(name in table for name in others), outcome.output
    text = "".join(
        map(
            str,
            _reason_table("left out, and why", "why", {"another": ["dd"], "a reason": ["aa", "bb", "cc"]})
            .columns[0]
            .cells,
        )
    )
    assert text == "aa and 2 moredd"


def test_nobody_is_named_on_the_screen(flawed, tmp_path):  # noqa: F811
    """The output shows hashes only; paths appear in two places, in the example of a left-out file and as the name of the
    written file.
    """
    root = flawed("identity")
    outcome = run(root, "-o", tmp_path / "list.json")
    assert outcome.exit_code == 0
    for part in {part for path in root.rglob("*") for part in path.relative_to(root).parts if len(part) > 4}:
        assert part not in outcome.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{tmp}/nowhere"], "does not exist"),
        (["{tmp}/empty"], "there is nothing in"),
        (["{exam}", "-o", "/dev/null/list.json"], "cannot be created"),
        (["{exam}", "-o", "{tmp}/empty"], "is a folder; name the file to write"),
        (["{exam}", "--views", "{tmp}/nowhere.yml"], "cannot be read as a list of views"),
        (["{exam}", "--classes", "{tmp}/nowhere.csv"], "cannot be read as CSV"),
        (["{exam}", "--labels", "{tmp}/empty"], "no NIfTI file"),
        (["{exam}", "--label-map", "{tmp}/nowhere.yml"], "cannot be read as a label map"),
        (["{exam}", "--split", "0", "0", "0"], "three non-negative shares"),
        (["{exam}", "--anatomy", "liver"], "is not known; choose one of cardiac, knee"),
        (["{exam}", "--division", "folder"], "choose one of auto, hash, folders"),
        (["{exam}", "--sections", "{tmp}/nowhere.csv"], "cannot be read as CSV"),
        (["{exam}", "--stratify", "fat"], "no exam has this class; known classes: none"),
        (["{exam}", "--contrast", "any"], "is not known for anatomy 'cardiac'; leave --contrast out"),
    ],
)
def test_what_cannot_be_done_is_one_message(usual_exam, tmp_path, arguments, words):  # noqa: F811
    (tmp_path / "empty").mkdir()
    arguments = [argument.format(tmp=tmp_path, exam=usual_exam) for argument in arguments]
    if "-o" not in arguments:
        arguments += ["-o", str(tmp_path / "list.json")]
    outcome = run(*arguments)
    assert outcome.exit_code == 1
    assert "planewise index:" in outcome.output
    assert words in outcome.output
    assert "Traceback" not in outcome.output
    assert isinstance(outcome.exception, SystemExit)
    assert not (tmp_path / "list.json").exists()


def test_unused_labels_are_listed(usual_exam, tmp_path):  # noqa: F811
    (tmp_path / "classes.csv").write_text("exam,group\nnobody,DCM\nexam,DCM\nexam,NOR\n")
    outcome = run(usual_exam, "-o", tmp_path / "list.json", "--classes", tmp_path / "classes.csv")
    assert re.search(r"nobody +no exam or image", outcome.output)
    assert re.search(r"exam +rows or copies of it disagree in group", outcome.output)


def test_a_knee_at_a_hundred_columns(tmp_path):
    write_knee(tmp_path / "knee")
    outcome = run(
        tmp_path / "knee", "--anatomy", "knee", "-o", tmp_path / "list.json", "--split", "1", "0", "0", width=100
    )
    assert outcome.exit_code == 0, outcome.output
    text = " ".join(outcome.output.split())
    assert re.search(r"training sagittal 0\.9\d 15 1 4\.0 contrast T2w FS by name, TE/TR and scan", text)
    assert max(map(len, outcome.output.splitlines()[:10])) <= 100
    assert "Items: 15 training, 0 validation, 0 test." in outcome.output


def test_another_contrast_is_said_and_can_be_taken(tmp_path):
    write_knee(tmp_path / "knee", name="SAG_PD", sagittal=PD)
    arguments = [tmp_path / "knee", "--anatomy", "knee", "-o", tmp_path / "list.json"]
    outcome = run(*arguments)
    assert outcome.exit_code == 1
    assert "--contrast any takes it" in outcome.output
    outcome = run(*arguments, "--contrast", "any")
    assert outcome.exit_code == 0
    assert "PDw by name and TE/TR" in outcome.output


def test_labels_of_volumes_are_counted(tmp_path):
    write_mrnet(tmp_path / "MRNet-v1.0")
    outcome = run(tmp_path, "--anatomy", "knee", "-o", tmp_path / "list.json")
    assert outcome.exit_code == 0, outcome.output
    assert "Found 16 exams in " in outcome.output and " files: 16 with NIfTI or MRNet volumes" in outcome.output
    counts = re.search(r"meniscus: (\d) of 10 training, (\d) of 3 validation, (\d) of 3 test", outcome.output)
    assert sum(map(int, counts.groups())) == 4


def test_several_processes_from_the_command_line(tmp_path):
    """The command runs as for a user, in a separate process that starts further processes."""
    write_usual_exam(tmp_path / "exam")
    code = (
        "import typer; from planewise.exams import scan; scan._SERIAL_FILES = 0\n"
        "from planewise.commands.index import index\n"
        "if __name__ == '__main__': typer.run(index)"
    )
    (tmp_path / "run.py").write_text(code)
    command = [sys.executable, "run.py", "exam", "-o", "list.json", "--workers", "2", "--split", "1", "0", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"})
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "list.json").read_text())["training"]) == 30


def test_it_says_where_the_masks_went(usual_exam, tmp_path):  # noqa: F811
    plain = index_folder(usual_exam).datalist
    (name,) = plain["exams"]
    items = [item for section in ("training", "validation", "test") for item in plain[section]]
    first, last = (np.array(next(item["affine"] for item in items if item["slice"] == rank)) for rank in (0, 4))
    affine = first.copy()
    affine[:3, 2] = (last - first)[:3, 3] / 4
    for file in ("nobody_frame01", f"{name}_frame03", f"{name}_frame99"):
        write_mask(tmp_path / f"masks/{file}.nii.gz", affine, (24, 20, 5))
    outcome = run(usual_exam, "-o", tmp_path / "list.json", "--labels", tmp_path / "masks", "--split", 1, 0, 0)
    assert (
        "Items: 30 training, 0 validation, 0 test; with a mask: 10 training, 0 validation, 0 test.\n" in outcome.output
    )
    assert "Masks: 2 of 3 NIfTI files used, for 1 exam.\n" in outcome.output
    grid = f"Matched by their grid alone, because no exam has their name: nobody_frame01.nii.gz to exam {name}.\n"
    assert grid in outcome.output
    assert "Masks: " not in run(usual_exam, "-o", tmp_path / "list.json").output
