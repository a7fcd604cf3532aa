"""A study's results as one HTML file."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
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


@dataclass
class Table:
    """Scores as the page shows them; rows of the paper's own numbers name it in their first cell."""

    title: str
    header: list[str]
    rows: list[list[str]]


def write_study_report(study: str | Path, output: str | Path) -> list[Table]:
    """Gather a study's ``metrics.json``, ``history.csv`` and pictures into one page.

    Args:
        study: folder that `tools/studies/cardiac.smk` wrote.
        output: HTML file.

    Returns:
        The page's tables.

    Raises:
        InputError: there is no study in the folder, or the file cannot be written.
    """
    study, output = Path(study), Path(output)
    config_file = study / "study.json"
    if not config_file.is_file():
        raise InputError(f"{study} holds no study.json; it is written by `snakemake -s tools/studies/cardiac.smk`")
    config = json.loads(config_file.read_text())
    page = _Page()
    kind = "phantom exams" if config.get("phantom") else "your own exams"
    page.add(f"<h1>Label efficiency on the heart: {html.escape(config.get('title', study.name))}</h1>")
    page.add(
        f"<p class=warning>Numbers in black were measured here, on <b>{kind}</b>. Numbers in <i>grey italics</i> are Zhang "
        "2024's, on patients (DSBCC, ACDC), at full size: they show what to expect there, not what was repeated here. "
        "Research software, not for clinical use.</p>"
    )
    for section in (_data, _pretexts, _segmentation, _diagnosis, _planning, _provenance):
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
    page.figure(
        study / "inspect.png",
        "An exam: short-axis slices with the lines and heatmaps of the 2ch and 4ch views, and these views with the lines "
        "of the stack (the paper's Figs. 2 and 3).",
    )


def _pretexts(page: _Page, study: Path, config: dict) -> None:
    metrics = {name: _read(study / "pretrain" / name / "test" / "metrics.json") for name in config["pretexts"]}
    metrics = {name: content for name, content in metrics.items() if content}
    if not metrics:
        return
    page.add("<h2>Pretexts</h2><p>Scored on exams of the test section, which no training saw.</p>")
    rows: list[list[Any]] = []
    for name, content in metrics.items():
        if "location" in content:
            score = content["location"]
            rows.append(
                [METHOD_NAMES[name], *(score[key] for key in ("mse", "mae", "pearson_r", "r2", "explained_variance"))]
            )
            if name in paper_tables.LOCATION:
                rows.append([f"Zhang 2024, {METHOD_NAMES[name]}", *paper_tables.LOCATION[name]])
    if rows:
        page.table(
            "Relative location (Table 2)", ["pretext", "MSE", "MAE", "r", "R²", "explained var."], rows, _is_paper
        )
    rows = []
    for name, content in metrics.items():
        for view, score in content.get("orientation", {}).get("views", {}).items():
            rows.append(
                [
                    METHOD_NAMES[name],
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
            "learned, the mean squared error hardly does. Published view planners reach 5.7 to 6.0 deg and 3.1 to 3.5 mm "
            "on patients (arXiv 2109.11715, 2309.12805).</p>"
        )
    histories = {name: read_history(study / "pretrain" / name / "history.csv") for name in metrics}
    page.figure(pretext_curves(histories), "Learning curves of the pretexts.")
    best = "multitask" if "multitask" in metrics else next(iter(metrics))
    folder = study / "pretrain" / best / "test"
    page.figure(folder / "regression.png", f"Predicted against true relative location, {best} (the paper's Fig. 6).")
    page.figure(folder / "heatmaps.png", f"Heatmaps on test exams, {best} (the paper's Fig. 4).")


def _segmentation(page: _Page, study: Path, config: dict) -> None:
    scores: dict[tuple[str, int], dict[int, dict]] = defaultdict(dict)
    histories: dict[tuple[str, int], list] = defaultdict(list)
    for method, count, draw, folder in _runs(study / "finetune"):
        if content := _read(folder / "test" / "metrics.json"):
            scores[method, count][draw] = content
            histories[method, count].append(read_history(folder / "history.csv"))
    if not scores:
        return
    any_run = next(iter(next(iter(scores.values())).values()))
    page.add(
        f"<h2>Segmentation from few labels (Table 4)</h2><p>{any_run['volumes']} volumes of {any_run['exams']} test exams, "
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
        structures = list(any_run["structures"])
        rows: list[list[Any]] = []
        for count in sorted({count for _, count in scores}):
            for method in config["methods"]:
                draws = scores.get((method, count), {})
                if not draws:
                    continue
                cells = [
                    _spread(_pool([content["structures"][name][kind] for content in draws.values()]))
                    for name in structures
                ]
                mean = _spread(_pool([content["mean"][kind] for content in draws.values()]))
                missed = sum(content["mean"]["missed"] for content in draws.values())
                total = sum(content["volumes"] for content in draws.values()) * len(structures)
                rows.append([f"{count}, {METHOD_NAMES[method]}", mean, *cells, f"{missed} of {total}"])
                if count in paper.get(method, {}):
                    value, deviation = paper[method][count]
                    blanks = [""] * (len(structures) + 1)
                    rows.append(
                        [f"{count}, Zhang 2024, {METHOD_NAMES[method]}", f"{value:.3f} ({deviation:.3f})", *blanks]
                    )
        page.table(title, ["labelled exams, method", "mean", *structures, "missed"], rows, _is_paper)
    _paired(page, scores, config)
    page.figure(finetune_curves(histories), "Validation Dice while fine-tuning, a line a draw.")
    for count in sorted({count for _, count in scores}):
        for method in config["methods"]:
            for draw in sorted(scores.get((method, count), {}))[:1]:
                folder = study / "finetune" / method / str(count) / str(draw) / "test"
                caption = (
                    f"{count} labelled exam{'s' if count > 1 else ''}, {METHOD_NAMES[method]}, draw {draw} (Fig. 7)."
                )
                page.figure(folder / "segmentations.png", caption)


def _paired(page: _Page, scores: dict[tuple[str, int], dict[int, dict]], config: dict) -> None:
    """Differences draw by draw: most of the spread at one exam is which exam it was."""
    dice = {
        key: {draw: content["mean"]["dice"]["mean"] for draw, content in draws.items()} for key, draws in scores.items()
    }
    rows, warnings = [], []
    for count in sorted({count for _, count in scores}):
        for method in config["methods"]:
            never = {
                draw: content["never_predicted"]
                for draw, content in scores.get((method, count), {}).items()
                if content["never_predicted"]
            }
            for draw, names in never.items():
                warnings.append(
                    f"{count} labelled, {METHOD_NAMES[method]}, draw {draw}: never predicted {', '.join(names)}"
                )
            draws = sorted(set(dice.get(("none", count), {})) & set(dice.get((method, count), {})))
            if method == "none" or not draws:
                continue
            differences = np.array([dice[method, count][draw] - dice["none", count][draw] for draw in draws])
            rows.append(
                [
                    f"{count}, {METHOD_NAMES[method]} less scratch",
                    f"{differences.mean():+.3f}",
                    f"{differences.std(ddof=1):.3f}" if len(differences) > 1 else "-",
                    f"{(differences > 0).sum()} of {len(differences)}",
                    " ".join(f"{value:+.3f}" for value in differences),
                ]
            )
    if rows:
        header = ["labelled exams", "mean", "standard deviation", "draws that gained", "each draw"]
        page.table("Paired differences in mean Dice", header, rows, _is_paper)
        page.figure(paired_draws(dice), "Mean Dice of each draw, from scratch and from pretrained weights.")
    if warnings:
        page.add("<p class=note>" + "<br>".join(map(html.escape, warnings)) + "</p>")


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
                rows.append([f"{count}, {METHOD_NAMES[method]}", f"{np.mean(values):.3f} ({np.std(values):.3f})", ""])
                if count in paper_tables.DIAGNOSIS_AUC.get(method, {}):
                    rows.append(
                        [f"{count}, Zhang 2024, {METHOD_NAMES[method]}", paper_tables.DIAGNOSIS_AUC[method][count], ""]
                    )
    page.table("Macro AUC", ["labelled exams, method", "macro AUC", "test exams"], rows, _is_paper)
    page.figure(study / "diagnose" / "reference" / "test" / "roc.png", "ROC curves and confusion from reference masks.")


def _planning(page: _Page, study: Path, config: dict) -> None:
    pictures = sorted((study / "plans").glob("*/plan.png"))
    if not pictures:
        return
    page.add(
        "<h2>View planning from the short axis alone</h2><p>Test exams whose long-axis views the network did not get. "
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
