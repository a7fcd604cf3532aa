"""`planewise index`: make a datalist from a folder of exams."""

from __future__ import annotations

import shlex
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import planewise
from planewise.commands.terminal import begin, literal, plain_table, progress_bar, refusals, say
from planewise.cores import own_cores
from planewise.early_checks import refuse_no_folder
from planewise.files.datalists import SECTIONS, is_labelled
from planewise.findings import Finding, from_record
from planewise.words import count_of, some_of

#: Largest number of exams in the table on the screen; the datalist contains every exam.
_MOST_EXAMS = 25
#: A class with more values is a number, such as an age, and is not counted.
_MOST_VALUES = 10


def index(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Any tree of files: DICOM, NIfTI (ACDC, M&Ms-2, UK Biobank, your own), MRNet, photographs."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The datalist to write (JSON).")] = Path(
        "datalist.json"
    ),
    anatomy: Annotated[
        str,
        typer.Option(
            help="cardiac or knee: their views. any: every stack of any organ. volume: whole volumes, NIfTI of one or "
            "several channels (BraTS, Medical Segmentation Decathlon, ...), or DICOM series. photograph: colour photographs."
        ),
    ] = "cardiac",
    view: Annotated[
        str | None,
        typer.Option(
            help="Part of a heart to learn from. sax (default): the short-axis stack, which 2ch and 4ch intersect. "
            "4ch: the 4ch slice, which 2ch and the middle of the short axis intersect."
        ),
    ] = None,
    contrast: Annotated[
        str | None,
        typer.Option(
            help="Contrast of a knee's sagittal stack. t2fs (default): T2-weighted with fat suppression, by name, "
            "TE/TR and scan options. any: any contrast, T2w FS first."
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            help="With --anatomy volume: the file-name endings of one case's channels, in order, such as t1,flair for "
            "case_t1.nii.gz and case_flair.nii.gz. Default: BraTS' four or nnU-Net's (0000, 0001, ...) if a case has them, "
            "otherwise one file per case."
        ),
    ] = None,
    split: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="TRAINING VALIDATION TEST",
            help="Shares of training, validation and test, with spaces between them. Default: 0.8 0.1 0.1 by a hash of "
            "the patient; for exams with disease groups (ACDC) or labels (MRNet), 0.64 0.16 0.2, stratified by group.",
        ),
    ] = None,
    stratify: Annotated[
        str | None,
        typer.Option(
            help="A class, such as a column of --classes: every section gets its share of each value. label: every section"
            " gets its share of the exams with masks. Default: the data set's own groups (ACDC's diseases, MRNet's "
            "labels)."
        ),
    ] = None,
    division: Annotated[
        str,
        typer.Option(
            help="Rule for the sections. auto: the folders of DSBCC, ACDC and nnU-Net (with splits_final.json) if they "
            "define sections, otherwise a hash of the patient. hash, folders: always that rule; folders also uses MRNet's "
            "folders."
        ),
    ] = "auto",
    sections: Annotated[
        Path | None,
        typer.Option(
            help="CSV that assigns exams (hash, folder or PatientID; for a NIfTI file its name without ending; for "
            "a photograph also its name, or its patient in the table) or folders to training, validation or test. "
            "The hash assigns all other exams."
        ),
    ] = None,
    all_views: Annotated[
        bool,
        typer.Option(
            "--all-views", help="Leave out exams that lack a view, so that all pretexts of a study see the same cohort."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the split. Each patient stays in one section.")] = 0,
    views: Annotated[
        Path | None,
        typer.Option(
            help="YAML that overrides the recognised views. The file has, under each exam (hash or folder), lines like "
            "`4ch: FOLDER`, `axial: other-1`, `2ch: none`."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Folder of NIfTI masks, named by exam: CASE_frame08.nii.gz (8th phase), CASE_ed.nii.gz; or with any "
            "name, matched by their grid."
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="CSV with a header: exam (hash, folder or PatientID; for a photograph its name), then its classes. "
            "Without it, tables next to the photographs are read."
        ),
    ] = None,
    label_map: Annotated[Path | None, typer.Option(help="YAML that renames mask values: `1: 3`.")] = None,
) -> None:
    """Find the exams in FOLDER, recognise their views, and write a datalist.

    Only headers and masks are read. Geometry determines the views, and names are only hints. Everything that is left out is
    listed with the reason.

    The datalist contains paths: keep it on your machine. All other files identify an exam by its hash.

    Next: `planewise inspect datalist.json` draws an exam.

    Example: planewise index work/exams -o work/datalist.json
    """
    for stream in (sys.stdout, sys.stderr):
        # names that the terminal's encoding does not have, or that are not text, are shown with backslashes
        stream.reconfigure(errors="backslashreplace")
    console = Console()
    with refusals("index"):
        refuse_no_folder(folder)
        begin("Looking for exams")
        from planewise.exams.datalist import (  # imported late, so that --help does not wait for torch
            check_output,
            folders_table,
        )

        check_output(output, is_datalist=True)
        with progress_bar("reading headers") as progress:
            result = planewise.index(
                folder,
                anatomy=anatomy,
                view=view,
                contrast=contrast,
                channels=channels,
                seed=seed,
                split=split,
                stratify=stratify,
                division=division,
                sections=sections,
                all_views=all_views,
                views=views,
                labels_dir=labels,
                classes=classes,
                label_map=label_map,
                workers=min(own_cores(), 8),
                progress=progress,
            )
        written = result.write(output)
    _print_exams(result, console)
    _print_rest(result, written, console)
    if result.folders:
        console.print(
            f"Wrote {literal(str(folders_table(written)))}: maps each hash to its folder; keep it private, too.",
            soft_wrap=True,
        )
    if any("affine" in item for section in SECTIONS for item in result.datalist[section]):
        console.print(f"Next: planewise inspect {literal(shlex.quote(str(output)))}", soft_wrap=True)


def _print_exams(result, console: Console) -> None:
    datalist = result.datalist
    targets = [datalist["planewise"]["stack"], *datalist["planewise"]["views"]]
    # incomplete exams first: these need a person's attention
    exams = sorted(
        datalist["exams"].items(), key=lambda entry: (all(view in entry[1]["stacks"] for view in targets), entry[0])
    )
    if datalist["planewise"]["stack"] == "photograph":
        patients = len({exam["patient"] for _, exam in exams})
        console.print(f"{count_of(len(exams), 'photograph')} of {count_of(patients, 'patient')}.")
    else:
        console.print(f"{_found(result)}.", soft_wrap=True)
        console.print(_exam_table(exams[:_MOST_EXAMS]))
        if len(exams) > _MOST_EXAMS:
            console.print(f"... and {count_of(len(exams) - _MOST_EXAMS, 'exam')} more: see `exams` in the datalist.")
    used = {item["exam"] for section in SECTIONS for item in datalist[section]}
    for title, column in (("left out, and why", "why"), ("used, with a remark", "remark")):
        reasons = defaultdict(list)
        for name, exam in exams:
            for record in exam["left_out"] if (name in used) == (column == "remark") else ():
                reasons[from_record(record)].append(name)
        if reasons:
            console.print(_reason_table(title, column, reasons))


def _found(result) -> str:
    """What was found, as a sentence without a full stop."""
    stack, exams = result.datalist["planewise"]["stack"], result.datalist["exams"].values()
    named = {"stack": "stack", "volume": "DICOM volume"}.get(stack, f"{stack} stack")
    kinds = {f"with a {named}": sum(stack in exam["stacks"] for exam in exams)}
    kinds["with volumes"] = sum(bool(exam.get("volumes")) for exam in exams)
    left_out = sum(count for count, _ in result.skipped.values())
    said = f"Found {count_of(len(exams), 'exam')} in {count_of(result.files, 'file')}"
    said += "".join(f", {count} {kind}" for kind, count in kinds.items() if count)
    return said + (f"; {count_of(left_out, 'file')} left out" if left_out else "")


def _exam_table(exams: list[tuple[str, dict]]) -> Table:
    table = plain_table("exams", ("exam", "section", "view"), ("sure", "slices", "phases", "mm apart"))
    table.add_column("remark", min_width=len("remark"))
    for name, exam in exams:
        first = (name, exam["section"])
        for stack_name, stack in exam["stacks"].items():
            sure = f"{stack['confidence']:.2f}" if "confidence" in stack else ""
            phases, spacing = _range(*stack["phases"]), _spacing_text(stack)
            table.add_row(*first, stack_name, sure, str(stack["slices"]), phases, spacing, _remark(stack))
            first = ("", "")
        if "volumes" in exam:
            table.add_row(*first, count_of(exam["volumes"], "volume"), "", "", "", "", count_of(exam["labels"], "mask"))
        table.add_section()
    return table


def _reason_table(title: str, column: str, reasons: dict[Finding, list[str]]) -> Table:
    table = plain_table(title, ["exam"])
    table.add_column(column)
    for reason, names in sorted(reasons.items(), key=lambda entry: -len(entry[1])):
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        table.add_row(shown, literal(str(reason)))
    return table


def _remark(stack: dict) -> str:
    runners_up = [(view, share) for view, share in stack.get("runners_up", {}).items() if share >= 0.05]
    likely = ", ".join(f"{view} {share:.2f}" for view, share in runners_up[:2])
    parts = [f"undecided: {likely}" if stack["view"] == "undecided" else f"or {likely}" if likely else ""]
    parts.append(f"named {stack['named']}" if "named" in stack else "")
    parts.append(str(from_record(stack["remark"])) if "remark" in stack else "unused" * (stack["view"] == "other"))
    return "; ".join(part for part in parts if part)


def _label_counts(datalist: dict) -> list[str]:
    """For each class, the number of exams in each section that have each of its values."""
    from planewise.files.datalists import RESERVED

    counts = defaultdict(lambda: defaultdict(Counter))
    for section in SECTIONS:
        for item in {item["exam"]: item for item in datalist[section]}.values():
            for name in item.keys() - RESERVED:
                if not isinstance(item[name], float):  # such as a weight
                    counts[name][item[name]][section] += 1
    return [
        f"{name} {value}: {', '.join(f'{count} {section}' for section, count in values[value].items())}."
        for name, values in sorted(counts.items())
        if len(values) <= _MOST_VALUES
        for value in sorted(values, key=lambda value: (isinstance(value, str), value))
    ]


def _range(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _spacing_text(stack: dict) -> str:
    if "spacing" not in stack:
        return "-"
    low, high = stack["spacing_range"]
    return f"{low:.1f} to {high:.1f}" if high - low > 0.2 else f"{stack['spacing']:.1f}"


def _print_rest(result, written: Path, console: Console) -> None:
    skipped = [(str(count), str(reason), example) for reason, (count, example) in result.skipped.items()]
    for title, columns, rows in (
        ("files that were left out", ("files", "why", "for example"), skipped),
        ("names and labels that were not used", ("name", "why"), [(name, str(why)) for name, why in result.unmatched]),
    ):
        table = plain_table(title, texts=columns)
        for row in rows:
            table.add_row(*map(literal, row))
        if rows:
            console.print(table)
    counts = ", ".join(f"{len(result.datalist[section])} {section}" for section in SECTIONS)
    line = f"Items: {counts}"
    for what, predicted in (("with a mask", False), ("with a predicted mask (not a label)", True)):
        having = {section: [item for item in result.datalist[section] if "label" in item] for section in SECTIONS}
        masked = {section: sum(is_labelled(item) != predicted for item in found) for section, found in having.items()}
        if any(masked.values()):
            line += f"; {what}: {', '.join(f'{count} {section}' for section, count in masked.items())}"
    console.print(f"{line}.")
    patients = {section: {item["patient"] for item in result.datalist[section]} for section in SECTIONS}
    console.print(f"Patients: {', '.join(f'{len(found)} {section}' for section, found in patients.items())}.")
    if channels := result.datalist["planewise"].get("channels"):
        console.print(literal(f"Channels of a case: {', '.join(channels)}."), soft_wrap=True)
    if result.by_grid:
        told = some_of([f"{file} to exam {exam}" for file, exam in result.by_grid.items()])
        say(console, f"Masks matched by their grid alone, because no exam has their name: {told}.")
    console.print(f"Sections: {literal(str(result.division))}.", soft_wrap=True)
    for text in _label_counts(result.datalist):
        console.print(text)
    for warning in result.warnings:
        console.print(f"[yellow]note:[/] {literal(str(warning))}", soft_wrap=True)
    console.print(f"Wrote {literal(str(written))}. It contains paths: keep it on this machine.", soft_wrap=True)
