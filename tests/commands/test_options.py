"""Test that each option of all commands reaches the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planewise.commands import app
from planewise.errors import InputError
from typer.main import get_command
from typer.testing import CliRunner

#: Command lines with every option, the function that does the work, and the arguments that it must get.
EVERY_OPTION = [
    (
        "index in -o out/list.json --anatomy knee --view sax --contrast any --channels t1,t2 --split 0.5 0.2 0.3 "
        "--stratify acl --sections s.csv --all-views --seed 4 --labels masks "
        "--classes c.csv --label-map m.yaml",
        "planewise.index",
        {
            0: Path("in"), "anatomy": "knee", "view": "sax", "contrast": "any", "channels": "t1,t2", "split": (0.5, 0.2, 0.3),
            "stratify": "acl", "sections": Path("s.csv"), "all_views": True, "seed": 4,
            "labels_dir": Path("masks"), "classes": Path("c.csv"),
            "label_map": Path("m.yaml"),
        },
    ),
    (
        "inspect d.json --exam 7f --slices 4 -o out/a.png",
        "planewise.own_exams.exam_figure.exam_figure",
        {0: Path("d.json"), 1: "7f", 2: 4},
    ),
    (
        # tests/own_exams/test_archive.py uses --jobs, which does not change what is found
        "plan in -o out --weights w --min_obliquity 3 --anonymous --jobs 2",
        "planewise.own_exams.planning",
        {0: Path("in"), "weights": Path("w"), "min_obliquity": 3.0, "anonymous": True},
    ),
    (
        "segment in -o out --weights w --min_obliquity 3 --per-series --anonymous --jobs 2",
        "planewise.own_exams.segmenting",
        {0: Path("in"), "weights": Path("w"), "min_obliquity": 3.0, "per_series": True, "anonymous": True},
    ),
    (
        "segment in -o out --weights w --min_obliquity 0 --view 4ch",
        "planewise.own_exams.label_maps.segment_long_axis",
        {0: Path("in"), 1: Path("out"), "weights": Path("w"), "unrecognised": True},
    ),
    (
        "segment in.json -o out --weights w",
        "planewise.own_exams.segment_datalist",
        {0: Path("in.json"), 1: Path("out"), "weights": Path("w")},
    ),
    (
        "export d.json -o Dataset101_Heart --structures RV,,LV",
        "planewise.data.nnunet.export_nnunet",
        {0: Path("d.json"), 1: Path("Dataset101_Heart"), 2: ("RV", "LV")},
    ),
    (
        "report study -o out/a.html",
        "planewise.workshop.study.study_report.write_study_report",
        {0: Path("study"), 1: Path("out/a.html")},
    ),
    (
        "report study",
        "planewise.workshop.study.study_report.write_study_report",
        {1: Path("study/report/index.html")},
    ),
    (
        # tests/packaging/test_hub.py uses --hub, which works on the finished package
        "package b --weights w -o out --data exams --hub --zoo https://x.org",
        "planewise.workshop.packaging.package_bundle",
        {0: Path("b"), 1: Path("w"), 2: Path("out"), "data": "exams", "zoo_url": "https://x.org"},
    ),
    (
        "phantom cardiac out --exams 3 --seed 5 --layout dsbcc --size demo --set phases=4 "
        "--set extra_views=0.5 --set noise=0,0 --set patient_name=Doe^Jane "
        "--set birth_date=19470501 --workers 2",
        "planewise.workshop.phantoms.write_exams",
        {
            1: Path("out"), 2: 3, 3: 2, "layout": "dsbcc", "seed": 5, "extra_views": 0.5,
            "patient_name": "Doe^Jane", "birth_date": "19470501", "phases": 4, "noise": (0.0, 0.0),
        },
    ),
    (
        "phantom knee out --exams 3 --seed 5 --layout fastmri --size demo --set noise=0,0 "
        "--set patient_name=Doe^Jane --set birth_date=19470501 --workers 2",
        "planewise.workshop.phantoms.write_exams",
        {
            1: Path("out"), 2: 3, 3: 2, "layout": "fastmri", "seed": 5,
            "patient_name": "Doe^Jane", "birth_date": "19470501", "noise": (0.0, 0.0),
        },
    ),
    (
        "phantom volume out --exams 3 --seed 5 --layout brats --set side=20 --set tumour=0 --workers 2",
        "planewise.workshop.phantoms.write_exams",
        {1: Path("out"), 2: 3, 3: 2, "layout": "brats", "seed": 5, "side": 20, "tumour": 0},
    ),
    (
        "phantom photograph out --exams 3 --seed 5 --layout aptos --set side=90 --set blur=0,0 --workers 2",
        "planewise.workshop.phantoms.write_exams",
        {1: Path("out"), 2: 3, 3: 2, "layout": "aptos", "seed": 5, "side": 90},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("words", "function", "wanted"), EVERY_OPTION, ids=lambda value: str(value)[:18])
def test_every_option_reaches_the_work(words, function, wanted, monkeypatch, tmp_path):
    given: dict[Any, Any] = {}

    def work(*arguments: Any, **options: Any) -> None:
        given.update(dict(enumerate(arguments)) | options)
        raise InputError("nothing is done in a test")

    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in.json").write_text("{}")
    Path("d.json").write_text("{}")
    monkeypatch.setattr(function, work)
    outcome = CliRunner().invoke(app, words.split())
    assert outcome.exit_code == 1 and "nothing is done in a test" in outcome.output, outcome.output
    if "phantom" in words:
        recipe = given[0]
        given |= vars(recipe.population) | vars(recipe)
    assert {key: given[key] for key in wanted} == wanted


def test_the_command_lines_above_have_every_option():
    lists = {"--help"}
    elsewhere = {"compare"}  # tests/commands/test_compare.py

    def missing(name: str, command: Any) -> set[str]:
        if subs := getattr(command, "commands", {}):
            return {each for part, sub in subs.items() for each in missing(f"{name} {part}".strip(), sub)}
        lines = " ".join(words for words, *_ in EVERY_OPTION if words.startswith(f"{name} ")).split()
        options = [
            option for option in command.params if option.opts[0].startswith("-") and option.opts[0] not in lists
        ]
        return {
            f"{name} {option.opts}" for option in options if not {*option.opts, *option.secondary_opts} & set(lines)
        }

    assert {each for each in missing("", get_command(app)) if each.split()[0] not in elsewhere} == set()
