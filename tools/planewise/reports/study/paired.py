"""Differences from training from scratch and from the paper's own pretext, draw by draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from planewise.reports.study.numbers import interval, paired_differences
from planewise.reports.study.page import Page, Row
from planewise.reports.study_figures import method_name, paired_draws

#: Method and number of labelled exams to draw to score.
Scores = Mapping[tuple[str, int], Mapping[int, float]]
#: What all methods are compared with, and what a difference from it is called. A method is compared with scratch once.
_BASELINES = {"none": "scratch", "multitask": "multitask"}


def add_paired(
    page: Page, scores: Scores, name: str, repeats: Mapping[str, str] | None = None, lower_is_better: bool = False
) -> None:
    """A table and a picture of what each method gained over ``none``, and one of what it has over ``multitask``, if there
    are draws of both and more than these two methods; and in words which differences the draws do not decide, and which
    are no larger than those of two pretrainings that differ in their seed alone.

    Args:
        page: the page to add to.
        scores: method and number of labelled exams to draw to score.
        name: what the score is called.
        repeats: a method that pretrains again from another seed, to the method that it repeats.
        lower_is_better: whether the score is a distance: a draw gained where the difference is below zero. There is no
            picture then, nor of a single draw.
    """
    means: dict[tuple[str, str, int], float] = {}
    methods = dict.fromkeys(method for method, _ in scores)
    for baseline, called in _BASELINES.items():
        if baseline == "multitask" and not methods.keys() - _BASELINES.keys():
            continue
        compared = {
            (method, count): f"{count}, {method_name(method)} less {called}"
            for method, count in scores
            if method not in ("none", baseline)
        }
        title = f"Paired differences in {name}" + ("" if baseline == "none" else f" from {called}")
        pairs = [
            (what, scores[method, count], scores.get((baseline, count), {}))
            for (method, count), what in compared.items()
        ]
        found = add_differences(page, title, pairs, lower_is_better)
        means |= {(baseline, *key): found[what] for key, what in compared.items() if what in found}
    _add_repeats(page, scores, name, repeats or {}, means)
    several = any(len(draws) > 1 for draws in scores.values())
    if several and not lower_is_better and any(baseline == "none" for baseline, _, _ in means):
        caption = f"{name[0].upper()}{name[1:]} of each draw, from scratch and from pretrained weights."
        page.figure(paired_draws(scores, f"{name}, test"), caption)


def add_differences(
    page: Page,
    title: str,
    pairs: Iterable[tuple[str, Mapping[int, float], Mapping[int, float]]],
    lower_is_better: bool = False,
) -> dict[str, float]:
    """A table of differences draw by draw, and in words which of them the draws do not decide; nothing without shared draws.

    Args:
        page: the page to add to.
        title: title of the table.
        pairs: what a row is called; draw to score; draw to the score that is taken off.
        lower_is_better: as in `add_paired`.

    Returns:
        Row to mean difference.
    """
    means: dict[str, float] = {}
    rows, undecided = [], []
    for what, draws, others in pairs:
        differences = paired_differences(draws, others)
        if not len(differences):
            continue
        means[what] = float(differences.mean())
        low, high = interval(differences)
        if not (low > 0 or high < 0):
            undecided.append(what)
        rows.append(
            Row.of(
                what,
                f"{differences.mean():+.3f}",
                f"{differences.std(ddof=1):.3f}" if len(differences) > 1 else "-",
                "-" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}",
                f"{(differences < 0 if lower_is_better else differences > 0).sum()} of {len(differences)}",
                " ".join(f"{value:+.3f}" for value in differences),
            )
        )
    if rows:
        header = ["labelled exams", "mean", "standard deviation", "95 % interval", "draws that gained", "each draw"]
        page.table(title, header, rows)
    if undecided:
        page.add(
            f"<p class=note>These draws do not decide between the two (the interval holds zero): {'; '.join(undecided)}.</p>"
        )
    return means


def _add_repeats(
    page: Page,
    scores: Scores,
    name: str,
    repeats: Mapping[str, str],
    means: Mapping[tuple[str, str, int], float],
) -> None:
    """How far a method is from itself, pretrained again, and which differences between methods are not larger than that.

    Two seeds may have equal means though they differ in every draw, so the measure is the larger of the mean difference and
    half its 95 % interval.

    Args:
        page: the page to add to.
        scores, name, repeats: as in `add_paired`.
        means: baseline, method and number of labelled exams to the mean difference.
    """
    for again, method in repeats.items():
        found: list[str] = []
        chance: dict[int, float] = {}
        for count in sorted({count for of_method, count in scores if of_method == again}):
            differences = paired_differences(scores[again, count], scores.get((method, count), {}))
            if not len(differences):
                continue
            mean, (low, high) = float(differences.mean()), interval(differences)
            alone = math.isnan(low)
            within = "one draw" if alone else f"95 % interval {low:+.3f} to {high:+.3f}"
            found.append(f"{mean:+.3f} with {count} labelled ({within})")
            chance[count] = abs(mean) if alone else max(abs(mean), (high - low) / 2)
        if not found:
            continue
        up_to = "; ".join(f"{most:.3f} with {count} labelled" for count, most in chance.items())
        small = [
            f"{count}, {method_name(other)} less {_BASELINES[baseline]}"
            for (baseline, other, count), mean in means.items()
            if other != again and count in chance and abs(mean) <= chance[count]
        ]
        verdict = (
            f"No larger than that: {'; '.join(small)}." if small else "All differences above are larger than that."
        )
        page.add(
            f"<p class=note>{method_name(again)} is {method_name(method)}, pretrained again from another seed, so that they "
            f"differ by chance alone: in {name} by {'; '.join(found)}. What another seed may change is then known no better "
            f"than to {up_to} (the mean or half the interval, whichever is larger). {verdict}</p>"
        )
