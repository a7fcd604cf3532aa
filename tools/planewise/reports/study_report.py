"""A study's results as one HTML file."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from planewise.engines.history import read_history
from planewise.errors import InputError
from planewise.reports import paper_tables
from planewise.reports.study_figures import METHOD_NAMES, finetune_curves, paired_draws, pretext_curves

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; border-bottom: 1px solid #ccc; font-size: 1.25em; }
table { border-collapse: collapse; margin: 1em 0; } th, td { padding: .25em .8em; text-align: right; }
th { border-bottom: 1px solid #888; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
td.paper, th.paper { color: #888; font-style: italic; } img { max-width: 100%; } figure { margin: 1em 0; }
figcaption, .note { color: #555; font-size: .9em; } .warning { background: #fff3cd; padding: .6em 1em; }
code { background: #f2f2f2; padding: 0 .25em; }
"""


@dataclass(frozen=True)
class _Anatomy:
    """What the page calls an anatomy, and where the paper shows it."""

    organ: str
    paper_data: str
    exam: str
    location: str
    regression: str
    heatmaps: str
    planners: str
    stack: str
    views: str


_ANATOMIES = {
    "cardiac": _Anatomy(
        organ="heart",
        paper_data="DSBCC, ACDC",
        exam="short-axis slices with the lines and heatmaps of the 2ch and 4ch views, and these views with the lines of "
        "the stack (the paper's Figs. 2 and 3)",
        location="0 at the base, 1 at the apex",
        regression="Fig. 6, left",
        heatmaps="Fig. 4",
        planners=" Published view planners reach 5.7 to 6.0 deg and 3.1 to 3.5 mm on patients (arXiv 2109.11715, "
        "2309.12805).",
        stack="short axis",
        views="long-axis views",
    ),
    "knee": _Anatomy(
        organ="knee",
        paper_data="fastMRI, MRNet",
        exam="sagittal slices with the lines and heatmaps of the axial and coronal views, and these views with the lines "
        "of the series",
        location="0 at both sides of the knee, 1 at the centre",
        regression="Fig. 6, right",
        heatmaps="Fig. 5",
        planners="",
        stack="sagittal series",
        views="axial and coronal views",
    ),
}


@dataclass
class Table:
    """Scores as the page shows them; rows of the paper's own numbers name it in their first cell."""

    title: str
    header: list[str]
    rows: list[list[str]]


def write_study_report(study: str | Path, output: str | Path) -> list[Table]:
    """Gather a study's ``metrics.json``, ``history.csv`` and pictures into one page.

    Args:
        study: folder that `tools/studies/label_efficiency.smk` wrote.
        output: HTML file.

    Returns:
        The page's tables.

    Raises:
        InputError: there is no study in the folder, or the file cannot be written.
    """
    study, output = Path(study), Path(output)
    config_file = study / "study.json"
    if not config_file.is_file():
        raise InputError(
            f"{study} holds no study.json; it is written by `snakemake -s tools/studies/label_efficiency.smk`"
        )
    # studies that name no anatomy are of the time when there were hearts only
    config = {"anatomy": "cardiac", **json.loads(config_file.read_text())}
    page = _Page()
    anatomy = _ANATOMIES[config["anatomy"]]
    kind = "phantom exams" if config.get("phantom") else "your own exams"
    page.add(f"<h1>Label efficiency on the {anatomy.organ}: {html.escape(config.get('title', study.name))}</h1>")
    page.add(
        f"<p class=warning>Numbers in black were measured here, on <b>{kind}</b>. Numbers in <i>grey italics</i> are Zhang "
        f"2024's, on patients ({anatomy.paper_data}), at full size: they show what to expect there, not what was repeated "
        "here. Research software, not for clinical use.</p>"
    )
    for section in (_data, _pretexts, _segmentation, _classification, _diagnosis, _planning, _provenance):
        section(page, study, config)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page.html(f"planewise: {config.get('title', study.name)}"))
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror})") from None
    return page.tables


class _Page:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.tables: list[Table] = []

    def add(self, text: str) -> None:
        self.parts.append(text)

    def table(
        self, title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], paper: Callable[[Sequence[Any]], bool]
    ) -> None:
        """Rows for which ``paper`` is true are the paper's."""
        table = Table(title, [str(cell) for cell in header], [[_text(cell) for cell in row] for row in rows])
        self.tables.append(table)
        self.add(f"<h3>{html.escape(title)}</h3>")
        self.add("<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header) + "</tr>")
        for row in table.rows:
            mark = " class=paper" if paper(row) else ""
            self.add("<tr>" + "".join(f"<td{mark}>{html.escape(cell)}</td>" for cell in row) + "</tr>")
        self.add("</table>")

    def figure(self, picture: Figure | Path, caption: str) -> None:
        if isinstance(picture, Path):
            if not picture.is_file():
                return
            data = picture.read_bytes()
        else:
            buffer = io.BytesIO()
            picture.savefig(buffer, format="png", dpi=100)
            data = buffer.getvalue()
        encoded = base64.b64encode(data).decode()
        self.add(
            f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{encoded}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def html(self, title: str) -> str:
        head = f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
        return head + "\n".join(self.parts)


def _is_paper(row: Sequence[Any]) -> bool:
    return "Zhang 2024" in str(row[0])


def _name(method: str) -> str:
    return METHOD_NAMES.get(method, method)


def _data(page: _Page, study: Path, config: dict) -> None:
    page.add("<h2>Data</h2><ul>")
    for kind in ("unlabelled", "labelled"):
        given = (config.get("datalists") or {}).get(kind)
        path = Path(given) if given else study / f"{kind}.json"
        if not path.is_file():
            continue
        content = json.loads(path.read_text())
        counts = {
            section: len({item.get("exam") for item in content.get(section, [])})
            for section in ("training", "validation", "test")
        }
        text = ", ".join(f"{count} {section}" for section, count in counts.items())
        page.add(f"<li>{kind} exams: {text}</li>")
    page.add("</ul>")
    page.figure(study / "inspect.png", f"An exam: {_ANATOMIES[config['anatomy']].exam}.")


def _pretexts(page: _Page, study: Path, config: dict) -> None:
    metrics = {name: _read(study / "pretrain" / name / "test" / "metrics.json") for name in config["pretexts"]}
    metrics = {name: content for name, content in metrics.items() if content}
    if not metrics:
        return
    page.add("<h2>Pretexts</h2><p>Scored on exams of the test section, which no training saw.</p>")
    anatomy = _ANATOMIES[config["anatomy"]]
    paper = paper_tables.LOCATION[config["anatomy"]]
    rows: list[list[Any]] = []
    for name, content in metrics.items():
        if "location" in content:
            score = content["location"]
            rows.append([_name(name), *(score[key] for key in ("mse", "mae", "pearson_r", "r2", "explained_variance"))])
            if name in paper:
                rows.append([f"Zhang 2024, {_name(name)}", *paper[name]])
    if rows:
        page.table(
            "Relative location (Table 2)", ["pretext", "MSE", "MAE", "r", "R²", "explained var."], rows, _is_paper
        )
    rows = []
    for name, content in metrics.items():
        for view, score in content.get("orientation", {}).get("views", {}).items():
            rows.append(
                [
                    _name(name),
                    view,
                    _spread(score["line_angle_deg"]),
                    _spread(score["line_distance_mm"]),
                    _spread(score["plane_angle_deg"]),
                    _spread(score["plane_offset_mm"]),
                    content["orientation"]["heatmap_mse"],
                ]
            )
    if rows:
        header = ["pretext", "view", "line angle (deg)", "line distance (mm)", "plane angle (deg)", "plane offset (mm)"]
        page.table("Relative orientation", [*header, "heatmap MSE"], rows, _is_paper)
        page.add(
            "<p class=note>Mean (standard deviation). The paper looks at heatmaps only. The planes were laid by a "
            "technologist, real or simulated, whose own error is part of these numbers; angle and distance tell what was "
            f"learned, the mean squared error hardly does.{anatomy.planners}</p>"
        )
    histories = {name: read_history(study / "pretrain" / name / "history.csv") for name in metrics}
    page.figure(pretext_curves(histories), "Learning curves of the pretexts.")
    best = "multitask" if "multitask" in metrics else next(iter(metrics))
    folder = study / "pretrain" / best / "test"
    page.figure(
        folder / "regression.png",
        f"Predicted against true relative location, {anatomy.location}; {best} (the paper's {anatomy.regression}).",
    )
    page.figure(folder / "heatmaps.png", f"Heatmaps on test exams, {best} (the paper's {anatomy.heatmaps}).")


@dataclass
class _FineTunings:
    """What the runs of a target wrote, by method and number of labelled exams."""

    study: Path
    methods: list[str]
    scores: dict[tuple[str, int], dict[int, dict]]
    histories: dict[tuple[str, int], list]

    @classmethod
    def found(cls, study: Path, config: dict, score: str) -> _FineTunings:
        """Those whose ``metrics.json`` holds the named score."""
        runs = cls(study, config["methods"], defaultdict(dict), defaultdict(list))
        for method, count, draw, folder in _runs(study / "finetune"):
            content = _read(folder / "test" / "metrics.json")
            if content and score in content and method in runs.methods:
                runs.scores[method, count][draw] = content
                runs.histories[method, count].append(read_history(folder / "history.csv"))
        return runs

    @property
    def counts(self) -> list[int]:
        return sorted({count for _, count in self.scores})

    @property
    def any(self) -> dict:
        return next(iter(next(iter(self.scores.values())).values()))

    def cells(self) -> Iterator[tuple[int, str, dict[int, dict]]]:
        """Number of labelled exams, method, and draw to metrics, in the page's order."""
        for count in self.counts:
            for method in self.methods:
                if draws := self.scores.get((method, count)):
                    yield count, method, draws

    def values(self, score: Callable[[dict], float | None]) -> dict[tuple[str, int], dict[int, float]]:
        """A number of each draw, where it is known."""
        values = {}
        for count, method, draws in self.cells():
            numbers = {draw: score(content) for draw, content in draws.items()}
            values[method, count] = {draw: number for draw, number in numbers.items() if number is not None}
        return values

    def show(self, page: _Page, picture: str, caption: str, at_least: int = 0) -> None:
        """A picture of the first draw of each method, from so many labelled exams on."""
        for count, method, draws in self.cells():
            if count < at_least:
                continue
            draw = min(draws)
            page.figure(
                self.study / "finetune" / method / str(count) / str(draw) / "test" / picture,
                f"{count} labelled exam{'s' if count > 1 else ''}, {_name(method)}, draw {draw}{caption}.",
            )


def _segmentation(page: _Page, study: Path, config: dict) -> None:
    runs = _FineTunings.found(study, config, "structures")
    if not runs.scores:
        return
    structures = list(runs.any["structures"])
    page.add(
        f"<h2>Segmentation from few labels (Table 4)</h2><p>{runs.any['volumes']} volumes of {runs.any['exams']} test exams, "
        "at their native spacing. Each draw chooses other labelled exams; both methods of a pair see the same ones. "
        "Cells are mean (standard deviation) over the volumes and structures of all draws.</p>"
    )
    for kind, title, paper in (
        ("dice", "Dice", paper_tables.SEGMENTATION_DICE),
        (
            "assd_mm",
            "Average symmetric surface distance (mm), over the structures that were found",
            paper_tables.SEGMENTATION_ASSD,
        ),
    ):
        rows: list[list[Any]] = []
        for count, method, draws in runs.cells():
            cells = [
                _spread(_pool([content["structures"][name][kind] for content in draws.values()])) for name in structures
            ]
            mean = _spread(_pool([content["mean"][kind] for content in draws.values()]))
            missed = sum(content["mean"]["missed"] for content in draws.values())
            total = sum(content["volumes"] for content in draws.values()) * len(structures)
            rows.append([f"{count}, {_name(method)}", mean, *cells, f"{missed} of {total}"])
            if count in paper.get(method, {}):
                value, deviation = paper[method][count]
                blanks = [""] * (len(structures) + 1)
                rows.append([f"{count}, Zhang 2024, {_name(method)}", f"{value:.3f} ({deviation:.3f})", *blanks])
        page.table(title, ["labelled exams, method", "mean", *structures, "missed"], rows, _is_paper)
    _paired(page, runs.values(lambda content: content["mean"]["dice"]["mean"]), "mean Dice")
    if never := [
        f"{count} labelled, {_name(method)}, draw {draw}: never predicted {', '.join(content['never_predicted'])}"
        for count, method, draws in runs.cells()
        for draw, content in draws.items()
        if content["never_predicted"]
    ]:
        page.add("<p class=note>" + "<br>".join(map(html.escape, never)) + "</p>")
    curves = finetune_curves(runs.histories, {"val_mean_dice": "validation Dice, slice by slice"})
    page.figure(curves, "Validation Dice while fine-tuning, a line a draw.")
    runs.show(page, "segmentations.png", " (Fig. 7)")


def _classification(page: _Page, study: Path, config: dict) -> None:
    runs = _FineTunings.found(study, config, "macro_auc")
    if not runs.scores:
        return
    tasks = list(runs.any["auc"])
    found = ", ".join(f"{number} {task}" for task, number in runs.any["positives"].items())
    start = (
        "As in the paper, pretexts and fine-tunings start from ImageNet weights, all but those from scratch."
        if config.get("imagenet")
        else "Here pretexts start from random weights; the paper's start from ImageNet's, so that its rows show what both "
        "together gain."
    )
    page.add(
        f"<h2>Classification from few labels (Table 5)</h2><p>{runs.any['exams']} test exams: {html.escape(found)}. The "
        f"score is the area under the ROC curve, its mean over {len(tasks)} tasks; 0.5 is guessing. Each draw chooses other "
        "labelled exams; all methods of a draw see the same ones. Cells are the mean (standard deviation) over the draws. "
        f"{start}</p>"
    )
    auc = runs.values(lambda content: content["macro_auc"])
    paper = paper_tables.INJURY_AUC
    counts = sorted({*runs.counts, *(count for row in paper.values() for count in row)})
    rows: list[list[Any]] = []
    for method in dict.fromkeys([*runs.methods, *paper]):
        if method in runs.methods:
            ours = [_over_draws(auc[method, count].values()) if (method, count) in auc else "" for count in counts]
            rows.append([_name(method), *ours])
        if method in paper:
            theirs = [f"{paper[method][count]:.3f}" if count in paper[method] else "" for count in counts]
            rows.append([f"Zhang 2024, {_name(method)}", *theirs])
    page.table("Mean AUC, by the number of labelled exams", ["method", *counts], rows, _is_paper)
    rows = [
        [
            f"{count}, {_name(method)}",
            *(_over_draws(content["auc"][task] for content in draws.values()) for task in tasks),
            len(draws),
        ]
        for count, method, draws in runs.cells()
    ]
    page.table("AUC of each task", ["labelled exams, method", *tasks, "draws"], rows, _is_paper)
    _paired(page, auc, "mean AUC")
    curves = finetune_curves(runs.histories, {"val_loss": "validation loss", "val_auc": "validation, mean AUC"})
    page.figure(curves, "Validation while fine-tuning, a line a draw.")
    runs.show(page, "roc.png", ": ROC curves")
    # a megabyte each: where most was there to learn from
    runs.show(page, "saliency.png", ": where the network looked", at_least=max(runs.counts))


def _paired(page: _Page, scores: dict[tuple[str, int], dict[int, float]], name: str) -> None:
    """Differences draw by draw: most of the spread at few exams is which exams they were."""
    rows = []
    for (method, count), draws in scores.items():
        scratch = scores.get(("none", count), {})
        differences = np.array([draws[draw] - scratch[draw] for draw in sorted(draws.keys() & scratch.keys())])
        if method == "none" or not len(differences):
            continue
        rows.append(
            [
                f"{count}, {_name(method)} less scratch",
                f"{differences.mean():+.3f}",
                f"{differences.std(ddof=1):.3f}" if len(differences) > 1 else "-",
                f"{(differences > 0).sum()} of {len(differences)}",
                " ".join(f"{value:+.3f}" for value in differences),
            ]
        )
    if rows:
        header = ["labelled exams", "mean", "standard deviation", "draws that gained", "each draw"]
        page.table(f"Paired differences in {name}", header, rows, _is_paper)
        caption = f"{name[0].upper()}{name[1:]} of each draw, from scratch and from pretrained weights."
        page.figure(paired_draws(scores, f"{name}, test"), caption)


def _diagnosis(page: _Page, study: Path, config: dict) -> None:
    scores: dict[tuple[str, int], list[float]] = defaultdict(list)
    for method, count, _, folder in _runs(study / "diagnose"):
        content = _read(folder / "metrics.json")
        if content and content["macro_auc"] is not None:
            scores[method, count].append(content["macro_auc"])
    reference = _read(study / "diagnose" / "reference" / "test" / "metrics.json")
    if not scores and not reference:
        return
    page.add(
        "<h2>Diagnosis (Table 3)</h2><p>A forest on ten features, fitted to reference masks, tested on predicted masks: mean "
        "over five diagnoses of the area under the ROC curve, mean (standard deviation) over the draws.</p>"
    )
    rows: list[list[Any]] = []
    if reference:
        rows.append(
            ["reference masks: the most that segmentation can give", reference["macro_auc"], reference["exams"]]
        )
    for count in sorted({count for _, count in scores}):
        for method in config["methods"]:
            values = scores.get((method, count))
            if values:
                rows.append([f"{count}, {_name(method)}", f"{np.mean(values):.3f} ({np.std(values):.3f})", ""])
                if count in paper_tables.DIAGNOSIS_AUC.get(method, {}):
                    rows.append(
                        [f"{count}, Zhang 2024, {_name(method)}", paper_tables.DIAGNOSIS_AUC[method][count], ""]
                    )
    page.table("Macro AUC", ["labelled exams, method", "macro AUC", "test exams"], rows, _is_paper)
    page.figure(study / "diagnose" / "reference" / "test" / "roc.png", "ROC curves and confusion from reference masks.")


def _planning(page: _Page, study: Path, config: dict) -> None:
    pictures = sorted((study / "plans").glob("*/plan.png"))
    if not pictures:
        return
    anatomy = _ANATOMIES[config["anatomy"]]
    page.add(
        f"<h2>View planning from the {anatomy.stack} alone</h2><p>Test exams whose {anatomy.views} the network did not get. "
        "Dashed: the planes fitted over the stack.</p>"
    )
    for picture in pictures[:3]:
        plan = _read(picture.with_name("plan.json")) or {"views": {}}
        verdicts = "; ".join(f"{name}: {view['verdict']}" for name, view in plan["views"].items())
        page.figure(picture, f"Exam {picture.parent.name}. {verdicts}.")


def _provenance(page: _Page, study: Path, config: dict) -> None:
    page.add("<h2>What ran</h2>")
    record = next((_read(path) for path in sorted(study.glob("*/**/run.json"))), None)
    if record:
        packages = ", ".join(f"{name} {number}" for name, number in record["packages"].items() if number)
        page.add(f"<p class=note>{html.escape(packages)}; Python {record['python']}; commit {record['commit']}.</p>")
    page.add(f"<pre>{html.escape(json.dumps(config, indent=1))}</pre>")


def _runs(folder: Path):
    """``method, count, draw, folder`` of every run ``folder/method/count/draw``."""
    for path in sorted(folder.glob("*/*/*")):
        method, count, draw = path.parts[-3:]
        if count.isdigit() and draw.isdigit():
            yield method, int(count), int(draw), path


def _read(path: Path) -> dict | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _pool(summaries: Sequence[dict]) -> dict:
    """Mean and standard deviation over equally large groups from those of each."""
    known = [entry for entry in summaries if entry["mean"] is not None]
    if not known:
        return {"mean": None, "sd": None}
    means = np.array([entry["mean"] for entry in known])
    deviations = np.array([entry["sd"] for entry in known])
    return {"mean": float(means.mean()), "sd": float(np.sqrt((deviations**2).mean() + means.var()))}


def _over_draws(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{np.mean(known):.3f}" + (f" ({np.std(known, ddof=1):.3f})" if len(known) > 1 else "")


def _spread(entry: dict) -> str:
    if entry["mean"] is None or not math.isfinite(entry["mean"]):
        return "-"
    return (
        f"{entry['mean']:.3f} ({entry['sd']:.3f})" if entry["mean"] < 1 else f"{entry['mean']:.2f} ({entry['sd']:.2f})"
    )


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)
