"""Sections of a study's page besides its fine-tunings: the exams, what the weights that it starts from were trained on (and
whether they may have seen its test patients), the pretrainings, diagnoses from masks (Zhang 2024, Tables
2 and 3), and what ran. Each function adds its section, or nothing if its runs are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from planewise.engines.run_record import metadata_of
from planewise.errors import InputError
from planewise.files.datalists import SECTIONS, exams_in, parsed_datalist
from planewise.findings import Finding, finding
from planewise.networks import weights_path
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.own_exams.bundles import bundles_folder
from planewise.reports.main_score import main_score
from planewise.workshop.packaging.run import Run
from planewise.workshop.study.folder import FineTunings, StudyFolder, method_name, read_json
from planewise.workshop.study.page import Page
from planewise.workshop.study.paired import add_paired, over_draws
from planewise.workshop.study.shared_patients import seen_before

DOUBT = "start-of-doubt"


def add_data(page: Page, study: StudyFolder) -> None:
    """Add the number of exams, and whether pretexts learned from test images."""
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


def add_starts(page: Page, study: StudyFolder) -> None:
    """Add what each method's start was trained on, if the study has weights from files, and warn at the top of the page if
    they may have seen the test patients."""
    methods = study.config["methods"]
    given = weights_in(methods)
    if not given:
        return
    for warning in warnings_of(methods, study.datalist("labelled")):
        page.head.append(f"<p class=warning><b>{warning}</b></p>")
    rows = []
    for name in study.methods:
        method = methods[name] or {}
        weights, pretext = given.get(name), method.get("pretext")
        data = [trained_on(method) or "not known"] if weights else []
        data += [f"the {method.get('images') or 'unlabelled'} images of this study"] if pretext else []
        rows.append([study.called(name), "; then ".join(data) or "nothing"])
    page.add("<h2>Starts</h2>")
    page.table("What each start was trained on", ["start", "trained on"], rows)


def add_pretexts(page: Page, study: StudyFolder) -> None:
    """Add the main score of each entry of pretexts' ``metrics.json``, next to that of guessing."""
    metrics = {name: read_json(study.path / "pretrain" / name / "test" / "metrics.json") for name in study.pretexts}
    metrics = {name: content for name, content in metrics.items() if content}
    if not metrics:
        return
    page.add("<h2>Pretexts</h2><p>Scored on the test exams of the images of each pretext.</p>")
    rows = []
    for name, content in metrics.items():
        for score in filter(None, (main_score({part: entry}) for part, entry in content.items())):
            chance = "-" if score.chance is None else f"{score.chance:.3g}{' (!)' * score.is_guess}"
            rows.append([study.called(name), score.name, score.value, chance])
    page.table(
        "Scores in the pretexts' own tasks",
        ["pretext", "score", "value", "by chance"],
        rows,
        "(!): no better than chance, so its gains say nothing about the method; train it longer.",
    )
    page.note("The pictures of a pretraining are in pretrain/NAME/test, and its time is in logs/pretrain_NAME.tsv.")


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
            rows.append([f"{count}, {study.called(method)}", over_draws(scores[method, count].values()), ""])
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
    add_paired(page, study, "macro AUC", scores)


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


def weights_in(methods: Mapping[str, Any]) -> dict[str, str]:
    """The files of weights in a study's methods, by the method's name. Relative paths are those of planewise's clone, where
    studies run."""
    return {name: weights for name, method in methods.items() if (weights := _weights_of(method or {}))}


def _weights_of(method: Mapping[str, Any]) -> str | None:
    """The path of a method's weights: its own, or those from which its pretext starts."""
    weights = method.get("weights") or method.get("overrides", {}).get("pretrain", {}).get("pretrained")
    return None if weights in (*NO_WEIGHTS, "imagenet") else str(bundles_folder().parent / weights)


def trained_on(method: Mapping[str, Any]) -> str | None:
    """What a method's weights were trained on, in words: its ``trained_on``, or what the record of their run or the metadata
    of their bundle say. None if nothing says it."""
    if method.get("trained_on"):
        return str(method["trained_on"])
    with suppress(InputError):
        file = Path(weights_path(str(_weights_of(method))))
        run = Run.of_weights(file)
        return run.data if run is not None and run.data else metadata_of(file).get("data_source")
    return None


def warnings_of(methods: Mapping[str, Any], labelled: Path) -> list[Finding]:
    """Which starts saw the test patients of the labelled datalist, may have seen them, or do not say what they saw.

    The datalists of planewise's own runs are compared, also those of the runs that they started from.
    """
    found = []
    for name, weights in weights_in(methods).items():
        told = trained_on(methods[name])
        for datalist in _learned_from(weights):
            if not datalist.is_file():
                told = None  # nobody can tell who was seen
            elif seen := seen_before(datalist, labelled):
                numbers = {"seen": seen["seen"], "count": seen["count"]}
                found.append(finding(DOUBT, method_name(name, methods), kind="seen", **numbers))
        if told is None:
            found.append(finding(DOUBT, method_name(name, methods), kind="unknown"))
    return found


def _learned_from(weights: Any) -> Iterator[Path]:
    """The datalists of the run that wrote the weights, and of the runs that it started from; a path without a file stands for
    one that is not there any more."""
    with suppress(InputError):
        run = None if weights in NO_WEIGHTS else Run.of_weights(Path(weights_path(weights)))
        if run is not None and not run.ships:
            yield run.datalist or Path("unknown")
            before = run.config.get("pretrained")
            if before not in NO_WEIGHTS and not Path(before).expanduser().exists():
                yield Path("unknown")
            yield from _learned_from(before)
