"""Differences from training from scratch, draw by draw."""

from __future__ import annotations

from collections.abc import Mapping

from planewise.reports.study.numbers import paired_differences
from planewise.reports.study.page import Page, Row
from planewise.reports.study_figures import method_name, paired_draws


def add_paired(page: Page, scores: Mapping[tuple[str, int], Mapping[int, float]], name: str) -> None:
    """A table and a picture of what each method gained over ``none``, if there are draws of both.

    Args:
        page: the page to add to.
        scores: method and number of labelled exams to draw to score.
        name: what the score is called.
    """
    rows = []
    for (method, count), draws in scores.items():
        differences = paired_differences(draws, scores.get(("none", count), {}))
        if method == "none" or not len(differences):
            continue
        rows.append(
            Row.of(
                f"{count}, {method_name(method)} less scratch",
                f"{differences.mean():+.3f}",
                f"{differences.std(ddof=1):.3f}" if len(differences) > 1 else "-",
                f"{(differences > 0).sum()} of {len(differences)}",
                " ".join(f"{value:+.3f}" for value in differences),
            )
        )
    if rows:
        header = ["labelled exams", "mean", "standard deviation", "draws that gained", "each draw"]
        page.table(f"Paired differences in {name}", header, rows)
        caption = f"{name[0].upper()}{name[1:]} of each draw, from scratch and from pretrained weights."
        page.figure(paired_draws(scores, f"{name}, test"), caption)
