"""Test what the page says of a study's starts, and whether they may have seen the test patients."""

from __future__ import annotations

import json
import shutil

import torch
from planewise.files.checksum import sha256
from planewise.workshop.study.sections import add_starts, trained_on, warnings_of

from tests.conftest import ROOT
from tests.reports.study.studies import study_folder, tables_of, write

SHIPPED = ROOT / "bundles/pretext_cardiac_multitask/models/model.pt"


def own_run(folder, datalist, start=None):
    """The folder of a run that learned from a datalist."""
    write(folder / "run.json", {"files": {"datalist.json": sha256(datalist)}})
    write(folder / "config.yaml", {"datalist": str(datalist), "pretrained": start and str(start)})
    (folder / "models").mkdir(exist_ok=True)
    torch.save({"a": torch.zeros(1)}, folder / "models/model.pt")
    return folder


def datalists(folder):
    """Labelled exams in a folder ACDC, and an own datalist with a copy of the test image."""
    (folder / "acdc").mkdir()
    (folder / "acdc/a.nii").write_bytes(b"pixels")
    shutil.copy(folder / "acdc/a.nii", folder / "copy.nii")
    empty = {"training": [], "validation": [], "test": []}
    write(folder / "labelled.json", empty | {"test": [{"exam": "a", "patient": "1", "image": "acdc/a.nii"}]})
    write(folder / "own.json", empty | {"training": [{"exam": "z", "patient": "9", "image": "copy.nii"}]})
    return folder / "labelled.json", folder / "own.json"


def kinds(methods, labelled):
    return [(found.subject, found["kind"]) for found in warnings_of(methods, labelled)]


def test_a_start_that_saw_the_test_patients_is_named(tmp_path):
    labelled, own = datalists(tmp_path)
    before = own_run(tmp_path / "before", own)
    after = own_run(tmp_path / "after", labelled, before)
    methods = {"none": None, "mine": {"weights": str(before)}, "later": {"weights": str(after)}}
    assert [found for found in kinds(methods, labelled) if found[1] == "seen"] == [("mine", "seen"), ("later", "seen")]


def test_a_start_whose_first_run_is_gone_is_unknown(tmp_path):
    labelled, own = datalists(tmp_path)
    after = own_run(tmp_path / "after", own, own_run(tmp_path / "before", own))
    methods = {"a": {"pretext": "simclr", "overrides": {"pretrain": {"pretrained": str(after)}}}}
    assert ("a", "seen") in kinds(methods, labelled)
    shutil.rmtree(tmp_path / "before")
    assert ("a", "unknown") in kinds(methods, labelled)


def test_the_data_of_a_start_come_from_the_files_next_to_it_or_from_the_study(tmp_path):
    labelled, _ = datalists(tmp_path)
    zoo = tmp_path / "zoo"
    write(zoo / "configs/metadata.json", {"data_source": "the patients of ACDC"})
    (zoo / "models").mkdir()
    for path in (zoo / "models/model.pt", tmp_path / "lone.pt"):
        torch.save({"a": torch.zeros(1)}, path)
    phantoms = json.loads(SHIPPED.with_name("record.json").read_text())["data"]
    assert trained_on({"weights": str(SHIPPED)}) == phantoms
    methods = {
        "none": None,
        "simclr": {"pretext": "simclr"},
        "released": {"weights": str(SHIPPED)},
        "zoo": {"weights": str(zoo)},
        "lone": {"weights": str(tmp_path / "lone.pt")},
        "told": {"weights": str(tmp_path / "lone.pt"), "trained_on": "hearts of <UK Biobank>"},
    }
    assert kinds(methods, labelled) == [("lone", "unknown")]
    study = study_folder(tmp_path, methods=methods)
    tables, page = tables_of(add_starts, study)
    ((_, *rows),) = tables.values()
    assert [row[1] for row in rows] == [
        "nothing", "the unlabelled images of this study", phantoms, "the patients of ACDC", "not known",
        "hearts of <UK Biobank>",
    ]  # fmt: skip
    assert len(page.head) == 1 and "<UK" not in page.html("")
    assert not tables_of(add_starts, study_folder(tmp_path, methods=["none", "multitask"]))[0]
