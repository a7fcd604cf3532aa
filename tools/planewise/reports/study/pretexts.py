"""Scores and pictures of the pretrainings (Zhang 2024 Table 2 and Figs. 4 to 6; squares as in Bai 2019 Fig. 1)."""

from __future__ import annotations

from planewise.exams.shared_patients import seen_tests
from planewise.exams.words import count_of, listed
from planewise.reports import paper_tables
from planewise.reports.history import read_history
from planewise.reports.main_score import MainScore, main_score
from planewise.reports.methods import method_name
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.numbers import spread
from planewise.reports.study.page import Page, Row
from planewise.reports.study_figures import pretext_curves

_LOCATION = {"mse": "MSE", "mae": "MAE", "pearson_r": "r", "r2": "R²", "explained_variance": "explained var."}
#: Entries of ``metrics.json`` that have a table of their own.
_OWN_TABLES = ("location", "orientation", "positions", "probe")
_ORIENTATION = {
    "line_angle_deg": "line angle (deg)",
    "line_distance_mm": "line distance (mm)",
    "plane_angle_deg": "plane angle (deg)",
    "plane_offset_mm": "plane offset (mm)",
}


def add(page: Page, study: StudyFolder) -> None:
    metrics = {name: read_json(study.path / "pretrain" / name / "test" / "metrics.json") for name in study.pretexts}
    metrics = {name: content for name, content in metrics.items() if content}
    if not metrics:
        return
    page.add(f"<h2>Pretexts</h2><p>{_scored_on(study)}</p>")
    if rows := _location_rows(metrics, paper_tables.LOCATION.get(study.config["anatomy"], ())):
        page.table("Relative location (Zhang 2024, Table 2)", ["pretext", *_LOCATION.values()], rows)
    if rows := _orientation_rows(metrics):
        page.table("Relative orientation", ["pretext", "view", *_ORIENTATION.values(), "heatmap MSE"], rows)
        page.add(
            "<p class=note>Mean (standard deviation). Zhang 2024 reports heatmaps only. A technologist, real or "
            "simulated, prescribed the planes, and the technologist's own error is part of these numbers. Angle "
            f"and distance show what was learned, but the mean squared error hardly does.{study.anatomy.planners}</p>"
        )
        if lost := _without_lines(metrics):
            page.add(
                "<p class=note>A dash: the predicted heatmaps of the view contain no line on any test slice, so there is "
                "nothing to measure ({}).</p>",
                "; ".join(lost),
            )
    if rows := _position_rows(metrics):
        page.table("Anatomical positions", ["pretext", "square", "Dice", "centre, error (mm)", "not found"], rows)
        page.add(
            "<p class=note>The squares lie along the lines of two planes (Bai 2019 gives no scores for them). "
            "Centre errors: mean (standard deviation), for squares that lie wholly on their image and were "
            "found.</p>"
        )
    if scores := _main_scores(metrics):
        rows = [
            Row.of(name, score.name, score.value, "-" if score.chance is None else f"{score.chance:.3g}")
            for name, score in scores
        ]
        page.table("Scores in the pretexts' own tasks", ["pretext", "score", "value", "by chance"], rows)
        if guessing := [name for name, score in scores if score.is_guess]:
            page.add(
                "<p><b>No better than chance in their own task: {}.</b> These pretrainings learned hardly anything, so their "
                "gains say nothing about the methods; train them longer.</p>",
                listed(guessing),
            )
    if searching := [method_name(name) for name, content in metrics.items() if "retrieval" in content]:
        page.add(
            "<p class=note>{}: a prediction is correct if, of all compared images, the one with the most similar "
            "features is the augmented copy of the same image.</p>",
            ", ".join(searching),
        )
    histories = {name: read_history(study.path / "pretrain" / name / "history.csv") for name in metrics}
    page.figure(pretext_curves(histories), "Learning curves of the pretexts.")
    best = "multitask" if "multitask" in metrics else next(iter(metrics))
    folder = study.path / "pretrain" / best / "test"
    page.figure(
        folder / "regression.png",
        f"Predicted against true relative location, {study.anatomy.location}; {best} (as in Zhang "
        f"2024, {study.anatomy.regression}).",
    )
    page.figure(
        folder / "heatmaps.png", f"Heatmaps on test exams, {best} (as in Zhang 2024, {study.anatomy.heatmaps})."
    )
    for name in metrics:
        page.figure(
            study.path / "pretrain" / name / "test" / "squares.png",
            f"Squares on test exams, {method_name(name)}: from the headers, and predicted from the image.",
        )


def _scored_on(study: StudyFolder) -> str:
    """The exams on which pretexts are scored, which are not those of the task if the unlabelled images have a datalist of
    their own, and whether pretexts learned from them."""
    path = study.datalist("unlabelled")
    of = "" if path == study.datalist("labelled") else " of the unlabelled images"
    methods = study.config.get("methods")
    settings = methods.values() if isinstance(methods, dict) else ()
    if any((method or {}).get("images") == "labelled" for method in settings):
        of = " of each one's images"
    # the test exams of DSBCC are for validation, too
    seen, count = seen_tests(path, path) if path.is_file() else (0, 0)
    if seen:
        return (
            f"Scored on the test exams{of}, but {seen} of their {count_of(count, 'patient')} also validated or trained the "
            "pretexts, so the scores may be too good."
        )
    return f"Scored on the test exams{of}, from which no pretext learned."


def _main_scores(metrics: dict[str, dict]) -> list[tuple[str, MainScore]]:
    """The pretexts' names, and the main score of each entry of ``metrics.json`` without a table of its own."""
    found = [
        (method_name(name), main_score({part: entry}))
        for name, content in metrics.items()
        for part, entry in content.items()
        if part not in _OWN_TABLES
    ]
    return [(name, score) for name, score in found if score]


def _location_rows(metrics: dict[str, dict], tables: tuple[paper_tables.Published, ...]) -> list[Row]:
    rows = []
    for name, content in metrics.items():
        if "location" in content:
            rows.append(Row.of(method_name(name), *(content["location"][key] for key in _LOCATION)))
            rows += [
                Row.of(f"{table.paper.name}, {method_name(name)}", *table.values[name].values(), published=table)
                for table in tables
                if name in table.values
            ]
    return rows


def _orientation_rows(metrics: dict[str, dict]) -> list[Row]:
    return [
        Row.of(
            method_name(name),
            view,
            *(spread(score[key]) for key in _ORIENTATION),
            content["orientation"]["heatmap_mse"],
        )
        for name, content in metrics.items()
        for view, score in content.get("orientation", {}).get("views", {}).items()
    ]


def _without_lines(metrics: dict[str, dict]) -> list[str]:
    """The pretexts that found no line of some views, with these views."""
    lost = {
        name: [
            view
            for view, score in content.get("orientation", {}).get("views", {}).items()
            if score["line_angle_deg"]["mean"] is None and score.get("lines_not_found")
        ]
        for name, content in metrics.items()
    }
    return [f"{method_name(name)}: {listed(views)}" for name, views in lost.items() if views]


def _position_rows(metrics: dict[str, dict]) -> list[Row]:
    rows = []
    for name, content in metrics.items():
        if found := content.get("positions"):
            squares = {"all": found, **found["squares"]}
            rows += [
                Row.of(
                    method_name(name), square, f"{score['dice']:.3f}", spread(score["centre_mm"]), score["not_found"]
                )
                for square, score in squares.items()
            ]
    return rows
