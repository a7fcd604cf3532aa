"""How well the frozen features of every pretext predict the labels of the task."""

from __future__ import annotations

from planewise.reports.methods import method_name
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import Compared, add_differences

#: The control: the same network with random weights.
UNTRAINED = "untrained"
#: Words for each probe of ``metrics.json``.
_PROBES = {"linear": "linear probe", "neighbours": "nearest neighbours"}


def add(page: Page, study: StudyFolder) -> None:
    found = {
        encoder: content
        for encoder in (UNTRAINED, *study.pretexts)
        if (content := read_json(study.path / "probe" / encoder / "test" / "metrics.json"))
    }
    if not found:
        return
    first = next(iter(found.values()))
    counts, score = [int(count) for count in first["linear"]], str(first["score"])
    page.add(
        "<h2>The labels from frozen features, before any fine-tuning</h2><p>The same two probes for every encoder, "
        "pretrained or random: a ridge regression on standardised features, solved exactly, and the weighted mean of "
        "the 20 nearest neighbours. They learn from the same draws of labelled exams as a fine-tuning and predict the "
        "{} test exams. Cells are the mean (standard deviation) over the draws.</p>",
        first["exams"],
    )
    for probe, words in _PROBES.items():
        scores = {
            (encoder, count): {
                draw: value for draw, value in enumerate(content[probe][str(count)]) if value is not None
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
        compared = [
            Compared(count, encoder, UNTRAINED) for count in counts for encoder in found if encoder != UNTRAINED
        ]
        if probe == "linear" and UNTRAINED in found:
            add_differences(
                page, f"Paired differences in {score} of the linear probe from {UNTRAINED}", scores, compared
            )
    page.add(
        "<p class=note>The intervals cover the draws of the labelled exams. Every pretext was trained once, and there "
        "is one random network, so another seed of either may change a row.</p>"
    )
