"""Sections of a study's page besides its fine-tunings: the exams, the pretrainings (Zhang 2024, Table 2), frozen features,
diagnoses from masks (Zhang 2024, Table 3), and what ran. Each function adds its section, or nothing if its
runs are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.files.datalists import SECTIONS, exams_in, parsed_datalist
from planewise.reports.main_score import main_score
from planewise.workshop.study.folder import FineTunings, StudyFolder, read_json
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.numbers import over_draws
from planewise.workshop.study.page import Page
from planewise.workshop.study.paired import Compared, add_differences, add_paired
from planewise.workshop.study.shared_patients import seen_before

#: The control of the probes: the same network with random weights.
UNTRAINED = "untrained"


def add_data(page: Page, study: StudyFolder) -> None:
    """Add the number of exams, whether pretexts learned from test images, and a picture of one exam."""
    page.add("<h2>Data</h2><ul>")
    lists = {kind: study.datalist(kind) for kind in ("unlabelled", "labelled")}
    one = lists["unlabelled"] == lists["labelled"]
    for kind, path in lists.items():
        if not path.is_file() or (one and kind == "unlabelled"):
            continue
        content, texts = parsed_datalist(path), []
        for split in SECTIONS:
            count, known = (exams_in(content, split, labelled=labelled) for labelled in (False, True))
            texts.append(f"{count} {split}" + (f" ({known} with labels)" if 0 < known < count else ""))
        page.add(f"<li>{kind} exams: {', '.join(texts)}</li>")
    if study.pretexts and one:
        page.add("<li>pretraining learns from the same exams without labels, except the test exams</li>")
    elif study.pretexts and all(path.is_file() for path in lists.values()):
        seen = seen_before(lists["unlabelled"], lists["labelled"])
        if seen:
            page.add(
                "<li><b>{}, so the pretexts learned from test images, and their gains may be too large</b></li>", seen
            )
        else:
            page.add("<li>no image of the labelled test exams was found among those that pretexts learned from</li>")
    page.add("</ul>")
    page.figure(study.path / "inspect.png", f"An exam: {study.anatomy.exam}.")


def add_pretexts(page: Page, study: StudyFolder) -> None:
    """Add the main score of each entry of pretexts' ``metrics.json``, next to that of guessing, and pictures of the multitask
    pretext, or of the first."""
    metrics = {name: read_json(study.path / "pretrain" / name / "test" / "metrics.json") for name in study.pretexts}
    metrics = {name: content for name, content in metrics.items() if content}
    if not metrics:
        return
    page.add("<h2>Pretexts</h2><p>Scored on the test exams of the images of each pretext.</p>")
    rows = []
    for name, content in metrics.items():
        for score in filter(None, (main_score({part: entry}) for part, entry in content.items())):
            chance = "-" if score.chance is None else f"{score.chance:.3g}{' (!)' * score.is_guess}"
            rows.append([method_name(name), score.name, score.value, chance])
    page.table(
        "Scores in the pretexts' own tasks",
        ["pretext", "score", "value", "by chance"],
        rows,
        "(!): no better than chance, so its gains say nothing about the method; train it longer.",
    )
    page.note("The time that each pretraining took is in logs/pretrain_NAME.tsv.")
    best = "multitask" if "multitask" in metrics else next(iter(metrics))
    pictures = {
        "regression.png": f"Predicted against true relative location, {study.anatomy.location}; {best} (as in Zhang "
        f"2024, {study.anatomy.regression}).",
        "heatmaps.png": f"Heatmaps on test exams, {best} (as in Zhang 2024, {study.anatomy.heatmaps}).",
    }
    for picture, caption in pictures.items():
        page.figure(study.path / "pretrain" / best / "test" / picture, caption)


def add_label_probe(page: Page, study: StudyFolder) -> None:
    """Add how well the frozen features of every encoder predict the labels of the task."""
    found = {
        encoder: content
        for encoder in dict.fromkeys((UNTRAINED, *study.pretexts, *study.methods))
        if (content := read_json(study.path / "probe" / encoder / "test" / "metrics.json"))
    }
    if not found:
        return
    first = next(iter(found.values()))
    score = str(first["score"])
    # a pretext that was added later may have been probed with other counts
    counts = sorted({int(count) for content in found.values() for count in content["linear"]})
    page.add(
        "<h2>The labels from frozen features, before any fine-tuning</h2><p>A ridge regression learns from draws of "
        f"{study.labelled}s and predicts {{}} others. Cells are the mean (standard deviation) over the draws; each row is "
        "one pretraining.</p>",
        first["exams"],
    )
    scores = {}
    for encoder, content in found.items():
        for count in counts:
            draws = enumerate(content["linear"].get(str(count), []))
            scores[encoder, count] = {draw: value for draw, value in draws if value is not None}
    rows = [[method_name(each), *(over_draws(scores[each, count].values()) for count in counts)] for each in found]
    title = f"{score[0].upper()}{score[1:]} of the linear probe on frozen features"
    page.table(title, ["encoder", *counts], rows)
    compared = [Compared(count, each, UNTRAINED) for count in counts for each in found if each != UNTRAINED]
    add_differences(page, f"Paired differences from {UNTRAINED} in {score} of the linear probe", scores, compared)


def add_diagnosis(page: Page, study: StudyFolder) -> None:
    """Add diagnoses by a random forest from reference masks and from predicted masks, of the test exams or
    cross-validated."""
    folder = study.path / "diagnose"
    runs = FineTunings.found(study, "macro_auc", "diagnose", scored="")
    scores = {run: draws for run, draws in runs.values(lambda content: content["macro_auc"]).items() if draws}
    rows: list[list[Any]] = []
    if reference := read_json(folder / "reference" / "test" / "metrics.json"):
        rows.append(["reference masks", reference["macro_auc"], reference["exams"]])
    for count, method, _ in runs.cells():
        if (method, count) in scores:
            rows.append([f"{count}, {method_name(method)}", over_draws(scores[method, count].values()), ""])
    folds = []
    for masks in ("reference", "predicted"):
        found = [read_json(path) or {} for path in sorted((folder / "folds" / masks).glob("*/metrics.json"))]
        if found:
            means = (over_draws(each.get(key) for each in found) for key in ("macro_auc", "accuracy"))
            folds.append([f"{masks} masks", *means, sum(each["exams"] for each in found), len(found)])
    if not rows and not folds:
        return
    page.add(
        "<h2>Diagnosis from masks (Zhang 2024, Table 3)</h2><p>A random forest on ten features of the masks is fitted to "
        "reference masks, and sees no images: what a perfect segmentation would score, and a control for methods on hearts "
        "alone. The score is the area under the ROC curve, averaged over the diagnoses. Cross-validated, it learns from all "
        "folds but one and is scored on this fold; cells are the mean (standard deviation) over the folds.</p>"
    )
    page.table("Macro AUC by the masks", ["masks", "macro AUC", "accuracy", "exams", "folds"], folds)
    page.table("Macro AUC", ["labelled exams, method", "macro AUC", "test exams"], rows)
    add_paired(page, "macro AUC", scores)
    page.figure(folder / "reference" / "test" / "roc.png", "ROC curves and confusion from reference masks.")


def add_provenance(page: Page, study: StudyFolder) -> None:
    """Add versions, commits and devices."""
    page.add("<h2>What ran</h2>")
    if runs := run_records(study.path):
        packages = ", ".join(f"{name} {number}" for name, number in runs[0]["packages"].items() if number)
        commits = dict.fromkeys(str(run["commit"]) for run in runs if "commit" in run)
        page.note(
            "{}; Python {}; commit {}; trained on {}. A commit that ends in -dirty had changes that were not committed.",
            packages,
            runs[0]["python"],
            ", ".join(commits),
            "; ".join(", ".join(values) for values in devices_and_precisions(runs) if values)
            or "a device that is not recorded",
        )
    page.note("The study's settings are in study.json, in its folder.")


def run_records(study: Path) -> list[dict[str, Any]]:
    """The records of a study's runs, in the order of their folders; a broken record is left out."""
    found = []
    for path in sorted(study.glob("*/**/run.json")):
        with suppress(InputError):
            found.append(read_json(path))
    return [record for record in found if record]


def devices_and_precisions(runs: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The processors and GPUs, and the precisions, of runs that recorded them."""
    devices = {name for run in runs for name in run.get("devices", [])}
    return sorted(devices), sorted({run["precision"] for run in runs if run.get("precision")})
