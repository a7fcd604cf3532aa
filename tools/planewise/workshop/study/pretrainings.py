"""Pretrainings of a study: their scores, pictures and frozen features (Zhang 2024, Table 2 and Figs. 4 to 6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planewise.files.shared_patients import seen_tests
from planewise.reports.history import read_history
from planewise.reports.main_score import main_score
from planewise.words import count_of
from planewise.workshop.study import paper_tables
from planewise.workshop.study.folder import StudyFolder, read_json
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.numbers import over_draws, spread
from planewise.workshop.study.page import Page, Row
from planewise.workshop.study.paired import Compared, Measured, add_differences
from planewise.workshop.study.study_figures import pretext_curves

_LOCATION = {"mse": "MSE", "mae": "MAE", "pearson_r": "r", "r2": "R²", "explained_variance": "explained var."}
_ORIENTATION = {
    "line_angle_deg": "line angle (deg)",
    "line_distance_mm": "line distance (mm)",
    "plane_angle_deg": "plane angle (deg)",
    "plane_offset_mm": "plane offset (mm)",
}
#: Entries of ``metrics.json`` that have a table of their own.
_OWN_TABLES = ("location", "orientation", "positions", "probe")
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
    papers = paper_tables.LOCATION.get(study.config["anatomy"], ())
    rows = [row for name, content in metrics.items() for row in _location_rows(name, content, papers)]
    page.table("Relative location (Zhang 2024, Table 2)", ["pretext", *_LOCATION.values()], rows)
    rows = [
        Row.of(
            method_name(name),
            view,
            *(spread(score[key]) for key in _ORIENTATION),
            content["orientation"]["heatmap_mse"],
        )
        for name, content in metrics.items()
        for view, score in content.get("orientation", {}).get("views", {}).items()
    ]
    page.table(
        "Relative orientation",
        ["pretext", "view", *_ORIENTATION.values(), "heatmap MSE"],
        rows,
        "Mean (standard deviation), with the error of the technologist who prescribed the planes; a dash: no line "
        f"was found on any test slice.{study.anatomy.planners}",
    )
    rows = [
        Row.of(method_name(name), square, f"{score['dice']:.3f}", spread(score["centre_mm"]), score["not_found"])
        for name, content in metrics.items()
        if (found := content.get("positions"))
        for square, score in {"all": found, **found["squares"]}.items()
    ]
    page.table(
        "Anatomical positions",
        ["pretext", "square", "Dice", "centre, error (mm)", "not found"],
        rows,
        "Errors of squares that lie wholly on their image and were found: mean (standard deviation).",
    )
    _add_main_scores(page, metrics)
    page.note("The time that each pretraining took is in logs/pretrain_NAME.tsv.")
    histories = {name: read_history(study.path / "pretrain" / name / "history.csv") for name in metrics}
    page.figure(pretext_curves(histories), "Learning curves of the pretexts.")
    best = "multitask" if "multitask" in metrics else next(iter(metrics))
    pictures = {
        "regression.png": f"Predicted against true relative location, {study.anatomy.location}; {best} (as in Zhang "
        f"2024, {study.anatomy.regression}).",
        "heatmaps.png": f"Heatmaps on test exams, {best} (as in Zhang 2024, {study.anatomy.heatmaps}).",
    }
    for picture, caption in pictures.items():
        page.figure(study.path / "pretrain" / best / "test" / picture, caption)
    for name in metrics:
        page.figure(
            study.path / "pretrain" / name / "test" / "squares.png",
            f"Squares on test exams, {method_name(name)}: from the headers, and predicted from the image.",
        )


def _location_rows(name: str, content: dict, papers: tuple[paper_tables.Published, ...]) -> Iterator[Row]:
    if "location" in content:
        yield Row.of(method_name(name), *(content["location"][key] for key in _LOCATION))
        for table in papers:
            if name in table.values:
                words = f"{table.paper.name}, {method_name(name)}"
                yield Row.of(words, *table.values[name].values(), published=table)


def _add_main_scores(page: Page, metrics: Mapping[str, dict]) -> None:
    """Add the main score of each entry of ``metrics.json`` without a table of its own, next to that of guessing."""
    rows = []
    for name, content in metrics.items():
        for part, entry in content.items():
            if part not in _OWN_TABLES and (score := main_score({part: entry})):
                chance = "-" if score.chance is None else f"{score.chance:.3g}{' (!)' * score.is_guess}"
                rows.append(Row.of(method_name(name), score.name, score.value, chance))
    page.table(
        "Scores in the pretexts' own tasks",
        ["pretext", "score", "value", "by chance"],
        rows,
        "(!): no better than chance, so its gains say nothing about the method; train it longer.",
    )


def add_probe(page: Page, study: StudyFolder) -> None:
    """Add how well the frozen features of every pretext predict a slice's location."""
    rows, scored = [], False
    for name in study.pretexts:
        content = read_json(study.path / "pretrain" / name / "test" / "metrics.json") or {}
        if probe := content.get("probe"):
            # the exams' slices may have no location, as in ACDC
            scored |= probe["location"]["mae"] is not None
            scores = [probe["location"][key] for key in ("pearson_r", "r2", "mae")]
            scores += [probe["neighbour_mae"], probe["chance_mae"]]
            scored_on = f"{count_of(probe['slices'], 'slice')} of {count_of(probe['exams'], 'exam')}"
            rows.append(Row.of(method_name(name), *scores, scored_on))
    if not scored:
        return
    page.add(
        "<h2>Slice location from frozen features, before any fine-tuning</h2><p>A ridge regression on the averaged "
        "deepest level of each frozen encoder predicts the relative location of a slice, each exam from other "
        "exams.</p>"
    )
    header = ["r", "R²", "MAE", "distance of the nearest neighbour", "of a random slice", "scored on"]
    page.table("Relative location from frozen features", ["pretext", *header], rows)


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
        page.figure(picture, f"Exam {picture.parent.name}. {verdicts}.", main=number == 0, lead=number == 0)
