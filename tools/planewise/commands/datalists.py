"""`planewise index`, `inspect` and `export`: make a datalist from a folder of exams, draw its exams, and export it."""

from __future__ import annotations

import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import planewise
from planewise.commands.terminal import begin, print_table, progress_bar, refusals, say
from planewise.cores import own_cores
from planewise.errors import InputError, refuse_no_datalist, refuse_no_folder
from planewise.files.atomic_write import atomic_write
from planewise.files.datalists import RESERVED, SECTIONS, is_labelled
from planewise.findings import from_record
from planewise.light_imports import light_imports
from planewise.words import count_of

#: Largest number of exams in the table on the screen; the datalist contains every exam.
_MOST_EXAMS = 25


def index(
    folder: Annotated[
        Path, typer.Argument(help="Tree of files: DICOM, NIfTI (ACDC, M&Ms-2, UK Biobank, yours), MRNet, photographs.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Datalist to write (JSON).")] = Path("datalist.json"),
    anatomy: Annotated[
        str, typer.Option(help="cardiac, knee, any (every stack), volume (whole NIfTI or DICOM volumes) or photograph.")
    ] = "cardiac",
    view: Annotated[str | None, typer.Option(help="Part of a heart to learn from: sax (default) or 4ch.")] = None,
    contrast: Annotated[
        str | None, typer.Option(help="Contrast of a knee's sagittal stack: t2fs (default) or any, T2w FS first.")
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(help="Of volumes: file-name endings of a case's channels, such as t1,flair. Default: BraTS'."),
    ] = None,
    split: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="TRAINING VALIDATION TEST",
            help="Shares of the sections. Default: the folders of a known data set, else 0.8 0.1 0.1; with disease groups or "
            "labels 0.64 0.16 0.2, stratified.",
        ),
    ] = None,
    stratify: Annotated[
        str | None,
        typer.Option(
            help="A class, or label (masks): every section gets its share. Default: the data set's own groups."
        ),
    ] = None,
    sections: Annotated[
        Path | None,
        typer.Option(help="CSV that assigns exams (hash, folder, PatientID or file name) or folders to sections."),
    ] = None,
    all_views: Annotated[bool, typer.Option("--all-views", help="Leave out exams that lack a view.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the split. Each patient stays in one section.")] = 0,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of NIfTI masks, named by exam and phase: CASE_frame08.nii.gz (8th phase)."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="CSV with a header: exam (hash, folder, PatientID or file name), then its classes."),
    ] = None,
    label_map: Annotated[Path | None, typer.Option(help="YAML that renames mask values: `1: 3`.")] = None,
) -> None:
    """Find the exams in FOLDER, recognise their views, and write a datalist.

    Only headers and masks are read. Geometry determines the views, and names are only hints. Everything that is left out is
    listed with the reason. The datalist contains paths: keep it on your machine. tools/docs/datalist.md explains the options.

    Example: planewise index work/exams -o work/datalist.json
    """
    for stream in (sys.stdout, sys.stderr):
        # names that the terminal's encoding does not have, or that are not text, are shown with backslashes
        stream.reconfigure(errors="backslashreplace")
    console = Console()
    with refusals("index"):
        refuse_no_folder(folder)
        begin("Looking for exams")
        # imported late, so that --help does not wait for torch
        from planewise.exams.datalist import check_output, folders_table

        check_output(output, is_datalist=True)
        with progress_bar("reading headers") as progress:
            result = planewise.index(
                folder, anatomy=anatomy, view=view, contrast=contrast, channels=channels, seed=seed, split=split,
                stratify=stratify, sections=sections, all_views=all_views,
                labels_dir=labels, classes=classes, label_map=label_map, workers=min(own_cores(), 8), progress=progress,
            )  # fmt: skip
        written = result.write(output)
    _print_exams(result, console)
    skipped = [(str(count), str(reason), example) for reason, (count, example) in result.skipped.items()]
    print_table(console, "files that were left out", skipped, texts=("files", "why", "for example"))
    unmatched = [(name, str(why)) for name, why in result.unmatched]
    print_table(console, "names and labels that were not used", unmatched, texts=("name", "why"))
    for line in _told(result):
        say(console, line)
    say(console, f"Wrote {written}. It contains paths: keep it on this machine.")
    if result.places:
        say(console, f"Wrote {folders_table(written)}: maps each hash to its folder; keep it private, too.")
    if any("affine" in item for section in SECTIONS for item in result.datalist[section]):
        say(console, f"Next: planewise inspect {shlex.quote(str(output))}")


def _print_exams(result: Any, console: Console) -> None:
    datalist, listed = result.datalist, result.datalist["exams"]
    stack = datalist["planewise"]["stack"]
    targets = [stack, *datalist["planewise"]["views"]]
    # incomplete exams first: these need a person's attention
    names = sorted(listed, key=lambda name: (all(view in listed[name]["stacks"] for view in targets), name))
    if stack == "photograph":
        patients = len({exam["patient"] for exam in listed.values()})
        say(console, f"{count_of(len(names), 'photograph')} of {count_of(patients, 'patient')}.")
    else:
        with_stack = sum(stack in exam["stacks"] for exam in listed.values())
        with_volumes = sum(bool(exam.get("volumes")) for exam in listed.values())
        left_out = sum(count for count, _ in result.skipped.values())
        say(
            console,
            f"Found {count_of(len(names), 'exam')} in {count_of(result.files, 'file')}: {with_stack} with a stack ({stack}), "
            f"{with_volumes} with volumes; {count_of(left_out, 'file')} left out.",
        )
        rows = [row for name in names[:_MOST_EXAMS] for row in _rows_of(name, listed[name])]
        numbers = ("sure", "slices", "phases", "mm apart")
        print_table(console, "exams", rows, ("exam", "section", "view"), numbers, ("remark",))
        if len(names) > _MOST_EXAMS:
            say(console, f"... and {count_of(len(names) - _MOST_EXAMS, 'exam')} more: see `exams` in the datalist.")
    used = {item["exam"] for section in SECTIONS for item in datalist[section]}
    reasons = defaultdict(list)
    for name in names:
        for record in listed[name]["left_out"]:
            reasons["used" if name in used else "left out", str(from_record(record))].append(name)
    ranked = sorted(reasons.items(), key=lambda entry: -len(entry[1]))
    rows = [(of[0], str(len(of) - 1), *what) for what, of in ranked]
    print_table(console, "remarks on exams", rows, ("exam", "more", "it is"), texts=("why",))


def _rows_of(name: str, exam: dict) -> Iterator[tuple[str, ...]]:
    """The rows of an exam: its stacks, and the number of its volumes."""
    first = (name, exam["section"])
    for stack_name, stack in exam["stacks"].items():
        sure = f"{stack['confidence']:.2f}" if "confidence" in stack else ""
        apart = f"{stack['spacing']:.1f}" if "spacing" in stack else "-"
        remark = f"named {stack['named']}" if "named" in stack else "undecided" * (stack["view"] == "undecided")
        yield *first, stack_name, sure, str(stack["slices"]), str(stack["phases"][-1]), apart, remark
        first = ("", "")
    if "volumes" in exam:
        yield *first, count_of(exam["volumes"], "volume"), "", "", "", "", count_of(exam["labels"], "mask")


def _told(result: Any) -> Iterator[str]:
    """What the command says about the items, after the tables."""
    datalist = result.datalist
    line = f"Items: {', '.join(f'{len(datalist[section])} {section}' for section in SECTIONS)}"
    for what, predicted in (("with a mask", False), ("with a predicted mask (not a label)", True)):
        having = {section: [item for item in datalist[section] if "label" in item] for section in SECTIONS}
        masked = {section: sum(is_labelled(item) != predicted for item in found) for section, found in having.items()}
        if any(masked.values()):
            line += f"; {what}: {', '.join(f'{count} {section}' for section, count in masked.items())}"
    yield f"{line}."
    patients = {section: {item["patient"] for item in datalist[section]} for section in SECTIONS}
    yield f"Patients: {', '.join(f'{len(found)} {section}' for section, found in patients.items())}."
    if channels := datalist["planewise"].get("channels"):
        yield f"Channels of a case: {', '.join(channels)}."
    yield f"Sections: {result.division}."
    for name in sorted({key for section in SECTIONS for item in datalist[section] for key in item} - RESERVED):
        having = {section: {item["exam"] for item in datalist[section] if name in item} for section in SECTIONS}
        yield f"Exams with {name}: {', '.join(f'{len(found)} {section}' for section, found in having.items())}."
    for warning in result.warnings:
        yield f"note: {warning}"


def inspect(
    datalist: Annotated[Path, typer.Argument(help="Datalist from `planewise index`.")],
    exam: Annotated[
        str | None, typer.Option(help="Hash of the exam, or its beginning. Default: the first with all views.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The picture to write. Default: HASH.png in this folder.")
    ] = None,
    slices: Annotated[int, typer.Option(min=2, max=12, help="Number of slices of the stack to show.")] = 5,
) -> None:
    """Draw an exam: the stack with the lines of the other views, and the other views with the lines of the stack.

    Check the picture. In a heart, the 2ch and 4ch lines should cross in the left ventricle, and the slices named base
    and apex should show the base and the apex. In a knee, the axial line should run across the leg and the coronal line
    along it, on all slices; fluid should be bright and fat dark. Photographs should be upright, with their grade.

    Masks are outlined. The picture names the exam only by its hash.

    Example: planewise inspect work/datalist.json -o work/exam.png
    """
    with refusals("inspect"):
        refuse_no_datalist(datalist)
        begin(f"Reading {datalist}")
        # imported late, so that --help does not wait for MONAI
        from planewise.exams.datalist import check_output

        with light_imports():
            from planewise.own_exams.exam_figure import exam_figure

        written = None if output is None else check_output(output)
        figure, name = exam_figure(datalist, exam, slices)
        written = written or Path.cwd() / f"{Path(name).name}.png"
        with atomic_write(written) as part:
            try:
                figure.savefig(part, format=written.suffix.removeprefix("."), dpi=110, facecolor=figure.get_facecolor())
            except ValueError as error:
                raise InputError(f"{written} cannot be written ({error})") from None
    say(Console(), f"Wrote {written}")


def export(
    source: Annotated[
        Path, typer.Argument(help="Datalist with masks, from `planewise index`; or a run's folder, or its weights.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="For a datalist, the folder to write, named as nnU-Net requires: Dataset101_Heart. For weights, the data "
            "set's folder in nnUNet_preprocessed.",
        ),
    ],
    structures: Annotated[
        str | None,
        typer.Option(
            help="Names of the masks' values 1, 2, ... Default: RV,myocardium,LV in the short axis, else numbers."
        ),
    ] = None,
) -> None:
    """Write the labelled volumes of a datalist, or the weights of a run, to the folders of nnU-Net (version 2).

    The training and validation sections become imagesTr and labelsTr, and the test section becomes imagesTs and
    labelsTs. The split is written to splits_final.json, so that nnU-Net trains and validates on the same exams;
    `planewise index` reads it, too. Cases are named by hashes.

    Weights of a U-Net (--stem_stride 1) become a start for nnUNetv2_train -pretrained_weights, with plans of the same
    network next to nnU-Net's own.

    Example: planewise export work/labelled.json -o work/nnUNet_raw/Dataset101_Heart

    Example: planewise export work/simclr -o work/nnUNet_preprocessed/Dataset101_Heart
    """
    console = Console()
    with refusals("export"):
        # imported late, so that --help does not wait for MONAI
        with light_imports():
            from planewise.data.nnunet import export_nnunet
            from planewise.engines.processes import keep_quiet

        keep_quiet()
        if source.suffix != ".json":
            _export_weights(console, source, output)
            return
        names = tuple(name.strip() for name in (structures or "").split(",") if name.strip())
        with progress_bar("exporting") as progress:
            done = export_nnunet(source, output, names, progress)
    for exam, why in done.left_out.items():
        say(console, f"Exam {exam} is left out: {why}.")
    counts = ", ".join(f"{section} {count}" for section, count in done.counts.items())
    say(console, f"Wrote {done.folder}: {counts} volumes.")
    if done.splits is not None:
        say(console, "nnUNetv2_plan_and_preprocess takes its split over: train fold 0.")


def _export_weights(console: Console, run: Path, output: Path) -> None:
    from planewise.networks.nnunet import export_weights

    start = export_weights(run, output)
    plans, weights = start.files
    decoder = "" if start.decoder else " The decoder was not pretrained: it is random."
    say(console, f"Wrote {plans.name} and {weights.name} in {output}.{decoder} Train with:")
    name = output.name.partition("_")[0].removeprefix("Dataset")
    command = f"nnUNetv2_train {name} {start.configuration} 0 -p {plans.stem} -pretrained_weights {weights}"
    console.print(command, soft_wrap=True)
