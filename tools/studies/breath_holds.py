"""Measure how well `planewise align` undoes breath-holds, on phantoms with known shifts (tools/docs/breath_holds.md).

The program writes phantom hearts of each layout, with and without shifts, indexes and aligns them. It prints the distance of
images from their true position relative to the others, before and after: median and 90th percentile over all images, mm.
With ``--planes`` it also plans 2ch and 4ch on the short axis with the weights that ship, with shifts and with shifts undone,
and prints the errors of these planes against the planes that the anatomy defines.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from planewise.data import AlignedExam, find_inputs, undo_breath_holds
from planewise.exams.datalist import write_datalist
from planewise.exams.index import index_folder
from planewise.exams.split import SECTIONS
from planewise.geometry import plane_errors
from planewise.metrics.breath_holds import breath_hold_errors
from planewise.own_exams.plans_of import plans_of
from planewise.phantoms import LAYOUTS, Heart, Recipe, true_planes, true_shifts, write_exams


class Measured(NamedTuple):
    """Results for the exams of a recipe."""

    undone: int
    """Exams whose shifts were undone"""
    before: torch.Tensor
    """``(images,)``, mm: distance of all images from their true position"""
    after: torch.Tensor
    """The same distances with shifts undone; unchanged for an exam that was left as it was"""
    planes: torch.Tensor
    """``(planes, 2, 2)``: errors of every plane that was planned both times, before and after, in degrees and mm, against the
    plane that the anatomy defines"""
    refused: tuple[int, int]
    """Planes that are "no plane", before and after"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("work/breath_holds"), help="folder of phantoms")
    parser.add_argument("--exams", type=int, default=12, help="number of exams of each layout")
    parser.add_argument("--layouts", nargs="+", default=["dsbcc", "ukbb", "mnms2"], help="layouts with long-axis views")
    parser.add_argument("--breath", nargs="+", type=float, default=[3.0, 1.5, 0.0], help="SD of the shifts, mm")
    parser.add_argument("--seed", type=int, default=91)
    parser.add_argument("--planes", action="store_true", help="plan 2ch and 4ch too, with the weights that ship")
    given = parser.parse_args()
    print("| layout | SD of shifts | exams corrected | before: median | 90 % | after: median | 90 % | largest |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for layout in given.layouts:
        for breath in given.breath:
            population = LAYOUTS[layout].population.at_size("demo").with_values(breath=breath)
            recipe = Recipe(layout, given.seed, population)
            found = measure(recipe, given.out / f"{layout}-{breath:g}", given.exams, given.planes)
            rows.append((f"| {LAYOUTS[layout].title} | {breath:g} mm |", found))
            errors = [*_shares(found.before), *_shares(found.after), float(found.after.max())]
            cells = " | ".join(f"{error:.2f} mm" for error in errors)
            print(f"{rows[-1][0]} {found.undone} of {given.exams} | {cells} |", flush=True)
    if given.planes:
        print(
            "\n| layout | SD of shifts | planes | as acquired: median | 90 % | shifts corrected: median | 90 % | no plane |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for head, found in rows:
            cells = [
                ", ".join(f"{value:.1f} {unit}" for value, unit in zip(values, ("deg", "mm"), strict=True))
                for when in (0, 1)
                for values in zip(*(_shares(found.planes[:, when, what]) for what in (0, 1)), strict=True)
            ]
            print(f"{head} {len(found.planes)} | {' | '.join(cells)} | {found.refused[0]}, {found.refused[1]} |")


def _shares(values: torch.Tensor) -> tuple[float, float]:
    """Median and 90th percentile."""
    return float(values.quantile(0.5)), float(values.quantile(0.9))


def measure(recipe: Recipe, folder: Path, exams: int, planes: bool = False) -> Measured:
    """Write the exams of a recipe, undo their shifts, and compare with the true shifts.

    Args:
        recipe: phantoms of hearts with long-axis views.
        folder: folder for the exams.
        exams: number of exams.
        planes: whether to plan planes too.
    """
    list(write_exams(recipe, folder / "exams", exams))
    datalist = write_datalist(index_folder(folder / "exams").datalist, folder / "datalist.json")
    content, found = undo_breath_holds(datalist)
    names = _numbers(content, recipe, folder / "exams", exams)
    before, after = [], []
    frames: list[dict[str, torch.Tensor]] = [{}, {}]
    for exam in found:
        true = _true(content, exam, recipe, names[exam.exam])
        still = torch.zeros_like(true)
        used = exam.shifts if exam.why_not is None else still
        before.append(breath_hold_errors(still, true))
        after.append(breath_hold_errors(used, true))
        slices = content["exams"][exam.exam]["stacks"]["sax"]["slices"]
        for frame, shifts in zip(frames, (still, used), strict=True):
            frame[exam.exam] = (shifts - true)[:slices].mean(dim=0)
    pairs, refused = torch.zeros(0, 2, 2), (0, 0)
    if planes:
        hearts = {name: recipe.organ(number) for name, number in names.items()}
        lists = (datalist, write_datalist(content, folder / "aligned.json"))
        errors = [_planned(path, hearts, frame) for path, frame in zip(lists, frames, strict=True)]
        both = [key for key in errors[0] if errors[0][key] and errors[1][key]]
        pairs = torch.tensor([[when[key] for when in errors] for key in both]).reshape(-1, 2, 2)
        refused = tuple(sum(error is None for error in when.values()) for when in errors)
    return Measured(sum(exam.why_not is None for exam in found), torch.cat(before), torch.cat(after), pairs, refused)


def _planned(
    datalist: Path, hearts: dict[str, Heart], frames: dict[str, torch.Tensor]
) -> dict[tuple[str, str], tuple[float, float] | None]:
    """Errors of the planned planes by exam and view, degrees and mm; None for "no plane".

    Args:
        datalist: datalist of the exams.
        hearts: the heart of each exam.
        frames: mean displacement of each exam's slices from the heart's true position, ``(3,)``, mm. The slices contain no
            information about it, so the true planes are moved by it.
    """
    data = find_inputs(datalist, section="all")
    errors: dict[tuple[str, str], tuple[float, float] | None] = {}
    for item, plan in zip(data, plans_of(data), strict=True):
        exam = item["exam"]
        true = true_planes(hearts[exam])
        for view, planned in plan["views"].items():
            if planned["origin"] is None:
                errors[exam, view] = None
                continue
            place = torch.tensor([planned["origin"], planned["normal"]], dtype=torch.float64)
            origin, normal = (torch.from_numpy(part) for part in true[view])
            origin = origin + frames[exam]
            errors[exam, view] = plane_errors(*place, origin, normal, at=origin)
    return errors


def _numbers(content: dict, recipe: Recipe, root: Path, exams: int) -> dict[str, int]:
    """The number in the recipe of each exam, by hash, found from the location of its files."""
    places = {
        (root / recipe.form.writer.exam_paths(recipe, number)[0]).resolve(): number for number in range(1, exams + 1)
    }
    return {
        item["exam"]: next(places[parent] for parent in Path(item["image"]).parents if parent in places)
        for section in SECTIONS
        for item in content[section]
    }


def _true(content: dict, exam: AlignedExam, recipe: Recipe, number: int) -> torch.Tensor:
    """The true shifts of an exam, in the order of its images."""
    shifts = true_shifts(recipe.exam(number), recipe.form.dicom)
    entry = content["exams"][exam.exam]
    views = [view for view, stack in entry["stacks"].items() if view != "sax" and "items" in stack]
    images = [*(("sax", rank) for rank in range(entry["stacks"]["sax"]["slices"])), *((view, 0) for view in views)]
    return torch.stack([torch.from_numpy(shifts[image]) for image in images])


if __name__ == "__main__":
    main()
