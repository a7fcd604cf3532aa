"""How well the frozen features of every pretext predict a slice's location."""

from __future__ import annotations

from planewise.exams.words import count_of
from planewise.reports.methods import method_name
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page, Row


def add(page: Page, study: StudyFolder) -> None:
    rows, scored = [], False
    for name in study.pretexts:
        content = read_json(study.path / "pretrain" / name / "test" / "metrics.json") or {}
        # older runs have no probe
        if probe := content.get("probe"):
            location = probe["location"]
            scored |= location["mae"] is not None
            rows.append(
                Row.of(
                    method_name(name),
                    *(location[key] for key in ("pearson_r", "r2", "mae")),
                    probe["neighbour_mae"],
                    probe["chance_mae"],
                    f"{count_of(probe['slices'], 'slice')} of {count_of(probe['exams'], 'exam')}",
                )
            )
    # there is no probe, or the exams' slices have no location, as in ACDC, or a single exam has no other to learn from
    if not scored:
        return
    page.add(
        "<h2>Slice location from frozen features, before any fine-tuning</h2><p>Every pretext gets "
        "the same probe: its pretrained encoder is frozen, and its deepest level is averaged. A ridge regression on"
        " these features predicts the relative location of a slice in its stack; each exam is predicted from other exams. "
        "The nearest neighbour is the slice of another exam with the most similar features; its distance "
        "is the difference between the relative locations of the two slices.</p>"
    )
    header = ["pretext", "r", "R²", "MAE", "distance of the nearest neighbour", "of a random slice", "scored on"]
    page.table("Relative location from frozen features", header, rows)
