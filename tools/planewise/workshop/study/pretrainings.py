"""Pretrainings of a study: their scores, pictures and frozen features (Zhang 2024, Table 2 and Figs. 4 to 6)."""

from __future__ import annotations

from collections.abc import Mapping

from planewise.files.shared_patients import seen_tests
from planewise.reports.main_score import main_score
from planewise.workshop.study.folder import StudyFolder, read_json
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.numbers import over_draws
from planewise.workshop.study.page import Page, Row
from planewise.workshop.study.paired import Compared, Measured, add_differences

#: The control of the probes: the same network with random weights.
UNTRAINED = "untrained"
#: Words for each probe of ``metrics.json``.
_PROBES = {"linear": "linear probe", "neighbours": "nearest neighbours"}
#: Number of planned exams that are shown.
_PLANNED = 3


def add_pretexts(page: Page, study: StudyFolder) -> None:
    """Add the scores of pretexts in their own tasks, and their pictures."""
    metrics = {name: read_json(study.path / "pretrain" / name / "test" / "metrics.json") for name in study.pretexts}
    metrics = {name: content for name, content in metrics.items() if content}
    if not metrics:
        return
    path = study.datalist("unlabelled")
    # the test exams of DSBCC are for validation, too
    seen, count = seen_tests(path, path) if path.is_file() else (0, 0)
    said = (
        f"{seen} of their {count} patients also validated or trained them" if seen else "no pretext learned from them"
    )
    page.add(f"<h2>Pretexts</h2><p>Scored on the test exams of the images of each pretext; {said}.</p>")
    _add_main_scores(page, metrics)
    page.note("The time that each pretraining took is in logs/pretrain_NAME.tsv.")
    best = "multitask" if "multitask" in metrics else next(iter(metrics))
    pictures = {
        "regression.png": f"Predicted against true relative location, {study.anatomy.location}; {best} (as in Zhang "
        f"2024, {study.anatomy.regression}).",
        "heatmaps.png": f"Heatmaps on test exams, {best} (as in Zhang 2024, {study.anatomy.heatmaps}).",
    }
    for picture, caption in pictures.items():
        page.figure(study.path / "pretrain" / best / "test" / picture, caption)


def _add_main_scores(page: Page, metrics: Mapping[str, dict]) -> None:
    """Add the main score of each entry of ``metrics.json``, next to that of guessing."""
    rows = []
    for name, content in metrics.items():
        for part, entry in content.items():
            if score := main_score({part: entry}):
                chance = "-" if score.chance is None else f"{score.chance:.3g}{' (!)' * score.is_guess}"
                rows.append(Row.of(method_name(name), score.name, score.value, chance))
    page.table(
        "Scores in the pretexts' own tasks",
        ["pretext", "score", "value", "by chance"],
        rows,
        "(!): no better than chance, so its gains say nothing about the method; train it longer.",
    )


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
        "<h2>The labels from frozen features, before any fine-tuning</h2><p>A ridge regression and up to 20 nearest "
        f"neighbours learn from draws of {study.labelled}s and predict {{}} others. Cells are the mean (standard "
        "deviation) over the draws; each row is one pretraining.</p>",
        first["exams"],
    )
    for probe, words in _PROBES.items():
        scores = {
            (encoder, count): {
                draw: value for draw, value in enumerate(content[probe].get(str(count), [])) if value is not None
            }
            for encoder, content in found.items()
            for count in counts
        }
        rows = [
            Row.of(method_name(encoder), *(over_draws(scores[encoder, count].values()) for count in counts))
            for encoder in found
        ]
        page.table(
            f"{score[0].upper()}{score[1:]} of the {words} on frozen features", ["encoder", *map(str, counts)], rows
        )
        if probe == "linear" and UNTRAINED in found:
            title = f"Paired differences from {UNTRAINED} in {score} of the linear probe"
            others = [encoder for encoder in found if encoder != UNTRAINED]
            compared = [Compared(count, encoder, UNTRAINED) for count in counts for encoder in others]
            add_differences(page, title, Measured(score, scores), compared)


def add_plans(page: Page, study: StudyFolder) -> None:
    """Add planes that the network planned for test exams without seeing the acquired views."""
    pictures = sorted((study.path / "plans").glob("*/plan.png"))
    if not pictures:
        return
    page.add(
        f"<h2>View planning from the {study.anatomy.stack} alone</h2><p>These are test exams; the network did not "
        f"see their {study.anatomy.views}. Dashed lines show the planes fitted over the stack.</p>"
    )
    for number, picture in enumerate(pictures[:_PLANNED]):
        plan = read_json(picture.with_name("plan.json")) or {"views": {}}
        verdicts = "; ".join(f"{name}: {view['verdict']}" for name, view in plan["views"].items())
        page.figure(picture, f"Exam {picture.parent.name}. {verdicts}.", lead=number == 0)
