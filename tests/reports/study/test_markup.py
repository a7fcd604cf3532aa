"""Test that markup in any field of a study's files is escaped on its page."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from planewise.workshop.study import paired, tasks
from planewise.workshop.study.page import Page, Picture
from planewise.workshop.study.study_report import write_study_report

from tests.reports.study.studies import write
from tests.reports.study.test_tasks import grades, segmentation, two_phases  # noqa: F401  (fixtures)
from tests.reports.test_study_page import study as classification  # noqa: F401

PLANTED = "<i id=planted>"
LOADERS = {".json": json.loads, ".yaml": yaml.safe_load}


def texts(content: Any) -> Iterator[str]:
    """All names and texts in a file's content."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from (key, *texts(value))
    elif isinstance(content, list):
        for value in content:
            yield from texts(value)


def replaced(content: Any, text: str) -> Any:
    """The same content with markup appended to a text, wherever it occurs."""
    if isinstance(content, dict):
        return {replaced(key, text): replaced(value, text) for key, value in content.items()}
    if isinstance(content, list):
        return [replaced(value, text) for value in content]
    return content + PLANTED if content == text else content


def dumped(file: Path, content: Any) -> str:
    return json.dumps(content) if file.suffix == ".json" else yaml.safe_dump(content, sort_keys=False)


@pytest.fixture
def without_figures(monkeypatch):
    """Keep the captions but draw nothing, because drawing takes most of the time."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, format="png")
    shown = buffer.getvalue()
    monkeypatch.setattr(
        Page, "figure", lambda self, _, caption, main=False, lead=False: self.body.append(Picture(shown, caption))
    )
    monkeypatch.setattr(tasks, "validation_curves", lambda *_: None)
    monkeypatch.setattr(paired, "paired_draws", lambda *_: None)


@pytest.mark.parametrize(
    "kind",
    [
        "segmentation",
        "grades",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("classification", "two_phases")),
    ],
)
@pytest.mark.usefixtures("without_figures")
def test_no_markup_of_a_file_gets_into_the_page(kind, request, tmp_path_factory):
    study = request.getfixturevalue(kind)
    study = getattr(study, "path", study)
    config = json.loads((study / "study.json").read_text())
    first = config["pretexts"][0]
    write(study / "pretrain" / first / "run.json", {"packages": {"torch": "2"}, "python": "3.11", "commit": "abc"})
    (study / "pretrain" / first).mkdir(parents=True, exist_ok=True)
    (study / "pretrain" / first / "config.yaml").write_text(
        yaml.safe_dump({"samples_per_epoch": 810, "batch_size": 16})
    )
    (study / "pretrain" / first / "history.csv").write_text("epoch,learning_rate,val_loss\n1,0.1,1\n2,0.1,0.5\n")
    if not (study / "pretrain" / first / "test/metrics.json").exists():
        write(study / "pretrain" / first / "test/metrics.json", {"retrieval": {"top1": 0.5, "chance1": 0.1}})
    write(study / "plan" / "7f3a" / "plan.json", {"views": {"2ch": {"verdict": "plane"}}})
    (study / "plan" / "7f3a" / "plan.png").touch()
    files = {
        file.relative_to(study): LOADERS[file.suffix](file.read_text())
        for file in study.rglob("*")
        if file.suffix in LOADERS and file.is_file()
    }
    work = tmp_path_factory.mktemp("study")
    pages = 0

    def look(changed: dict[Path, Any], renamed: str | None = None) -> None:
        nonlocal pages
        place = work / str(pages)
        shutil.copytree(study, place, ignore=shutil.ignore_patterns("*.json", "*.png"))
        for file, content in changed.items():
            parts = [part + PLANTED if part == renamed else part for part in file.parts]
            target = place.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(dumped(file, content))
        try:
            write_study_report(place, work / "page.html")
        except (AssertionError, OSError):
            raise
        except Exception:  # such a file is not usable at all
            return
        finally:
            shutil.rmtree(place)
        pages += 1
        assert "<i id" not in (work / "page.html").read_text(), f"{kind}: {renamed or changed}"

    look(files)
    assert pages == 1  # unchanged, the files give a page
    # keep one of the texts that differ only in a number, such as the names of exams
    alike = {re.sub(r"\d+", "0", text): text for content in files.values() for text in texts(content)}
    for text in alike.values():
        look({file: replaced(content, text) for file, content in files.items()}, text)
    assert pages > 20
