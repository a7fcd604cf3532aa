"""From a folder to masks, volumes and their pages: the segmentation bundle, and what is computed from its label maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from planewise.engines.quiet import keep_quiet
from planewise.engines.run_inference import run_inference
from planewise.metrics.heart_volumes import HeartVolumes, heart_volumes
from planewise.own_exams.heart_bundles import (
    SEGMENTS,
    STRUCTURES,
    MadePage,
    asked_for,
    bundles_folder,
    load_stack,
    needed_weights,
    of_the_run,
    read_exams,
    read_mask,
    stacks_in,
    text,
    write_page,
)
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.exam_page import ShownExam
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_csv, write_json


def segment_exams(
    path: Path,
    output: Path,
    *,
    weights: Path | None = None,
    keep_names: bool = False,
    bundles: Path | None = None,
    device: str | None = None,
) -> list[MadePage]:
    """Run the segmentation bundle on every phase, and write every exam's volumes and page.

    Of several exams, one of which a phase cannot be read is left out and named.

    Args:
        path: folder of DICOM files, or a volume.
        output: folder.
        weights: None takes those that ship.
        keep_names: as of `stacks_in`.
        bundles: folder of the bundles; None takes the clone's.
        device: None takes the bundle's own choice.

    Raises:
        InputError: there are no weights, no exam can be read, or what the bundle refuses.
    """
    keep_quiet()
    path, output, folder = path.expanduser().resolve(), output.expanduser().resolve(), bundles_folder(bundles)
    used = needed_weights(folder / SEGMENTS, weights)
    stacks = stacks_in(path, "all", keep_names)
    masks = output / "masks"
    with asked_for(stacks, path) as input:
        settings = {"input": input, "output_dir": masks, "device": device, "weights": used, "phases": "all"}
        said = run_inference(folder / SEGMENTS, settings)
    phases = defaultdict(list)
    for item in read_exams(stacks, said):
        phases[item.get("exam") or volume_name(item)].append(item)
    done = []
    for exam, items in phases.items():
        names = [volume_name(item) for item in items]
        labels, affines = zip(*(read_mask(masks, name) for name in names), strict=True)
        found = heart_volumes(labels, affines, STRUCTURES)
        header, rows = _rows(found)
        count = "1 phase" if len(names) == 1 else f"{len(names)} phases"
        stack = load_stack(items[found.end_diastole])
        shown = ShownExam(
            name=exam,
            image=stack.image.numpy(),
            affines=stack.affines,
            acquired={view: plane for view, plane in stack.acquired.items() if view in ("2ch", "4ch")},
            labels=labels[found.end_diastole],
            structures=STRUCTURES,
            tables=[(count, header, rows)],
        )
        page = write_page(output / exam, shown)
        write_csv(
            output / exam / "volumes.csv",
            {"phase": names, **{f"{name}_ml": list(ml) for name, ml in found.volumes.items()}},
        )
        write_json(output / exam / "volumes.json", _content(found, names))
        lines = [
            f"  {row[0]}: "
            + ", ".join(f"{name} {cell}" for name, cell in zip(header[1:], row[1:], strict=True) if cell != "-")
            for row in rows
        ]
        remarks = [line for line in said if line.startswith(f"exam {exam}:")]
        done.append(MadePage(page, [*([] if done else of_the_run(said)), f"Exam {exam}, {count}", *lines, *remarks]))
    return done


def _content(found: HeartVolumes, names: Sequence[str]) -> dict[str, object]:
    several = len(names) > 1
    return {
        "note": RESEARCH_ONLY,
        "phases": list(names),
        "volumes_ml": {name: list(ml) for name, ml in found.volumes.items()},
        "end_diastole": names[found.end_diastole],
        "end_systole": names[found.end_systole] if several else None,
        "ejection_fraction_percent": {
            name: found.ejection_fraction(name) if several else None for name in ("LV", "RV")
        },
        "myocardial_mass_g": found.mass,
    }


def _rows(found: HeartVolumes) -> tuple[list[str], list[list[str]]]:
    """The table of volumes; of one phase alone there is no end-systole."""
    several = len(found.volumes["LV"]) > 1
    rows = []
    for name in ("LV", "RV"):
        ml = found.volumes[name]
        row = [name, text(ml[found.end_diastole], 0, " ml")]
        row += (
            [text(ml[found.end_systole], 0, " ml"), text(found.ejection_fraction(name), 0, " %")]
            if several
            else ["-", "-"]
        )
        rows.append([*row, "-"])
    rows.append(
        [
            "myocardium",
            text(found.volumes["myocardium"][found.end_diastole], 0, " ml"),
            "-",
            "-",
            text(found.mass, 0, " g"),
        ]
    )
    return ["structure", "end-diastole" if several else "volume", "end-systole", "ejection fraction", "mass"], rows
