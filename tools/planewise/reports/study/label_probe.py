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
        for encoder in dict.fromkeys((UNTRAINED, *study.pretexts, *study.methods))
        if (content := read_json(study.path / "probe" / encoder / "test" / "metrics.json"))
    }
    if not found:
        return
    first, noun = next(iter(found.values())), study.labelled.split()[-1]
    score = str(first["score"])
    # a pretext that was added later may have been probed with other counts
    counts = sorted({int(count) for content in found.values() for count in content["linear"]})
    page.add(
        "<h2>The labels from frozen features, before any fine-tuning</h2><p>Every encoder, pretrained or random, gets the "
        "same two probes: a ridge regression on standardised features, solved exactly, and the weighted mean of up to 20 "
        f"nearest neighbours. They learn from the draws of {study.labelled}s of the fine-tunings and from further "
        f"draws (in a cross-validation, from draws of the first fold) and predict {{}} {noun}s. Cells are the mean (standard "
        "deviation) over the draws.</p>",
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
        compared = [
            Compared(count, encoder, UNTRAINED) for count in counts for encoder in found if encoder != UNTRAINED
        ]
        if probe == "linear" and UNTRAINED in found:
            title = f"Paired differences from {UNTRAINED} in {score} of the linear probe"
            add_differences(page, title, scores, compared, labelled=study.labelled)
    page.add(
        f"<p class=note>The intervals include only the variation over the draws of the {study.labelled}s. Each row is one "
        "pretraining, or one random network, so another seed may change it.</p>"
    )
