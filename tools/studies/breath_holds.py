"""How well `planewise align` undoes breath-holds, on phantoms whose shifts are known (tools/docs/breath_holds.md).

Writes phantom hearts of each layout, with shifts and without, indexes and aligns them, and prints how far images lie from
their true place among the others, before and after: median and 90th percentile over all images, mm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from planewise.data import AlignedExam, undo_breath_holds
from planewise.exams.datalist import write_datalist
from planewise.exams.index import index_folder
from planewise.exams.split import SECTIONS
from planewise.metrics.breath_holds import breath_hold_errors
from planewise.phantoms import LAYOUTS, Recipe, true_shifts, write_exams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("work/breath_holds"), help="folder of phantoms")
    parser.add_argument("--exams", type=int, default=12, help="of each layout")
    parser.add_argument("--layouts", nargs="+", default=["dsbcc", "ukbb", "mnms2"], help="layouts with long-axis views")
    parser.add_argument("--breath", nargs="+", type=float, default=[3.0, 1.5, 0.0], help="spread of shifts, mm")
    parser.add_argument("--seed", type=int, default=91)
    given = parser.parse_args()
    print("| layout | spread of shifts | exams undone | before: median | 90 % | after: median | 90 % | largest |")
    print("|---|---|---|---|---|---|---|---|")
    for layout in given.layouts:
        for breath in given.breath:
            population = LAYOUTS[layout].population.at_size("demo").with_values(breath=breath)
            recipe = Recipe(layout, given.seed, population)
            undone, before, after = measure(recipe, given.out / f"{layout}-{breath:g}", given.exams)
            numbers = [
                before.quantile(0.5),
                before.quantile(0.9),
                after.quantile(0.5),
                after.quantile(0.9),
                after.max(),
            ]
            cells = " | ".join(f"{float(number):.2f} mm" for number in numbers)
            print(f"| {LAYOUTS[layout].title} | {breath:g} mm | {undone} of {given.exams} | {cells} |", flush=True)


def measure(recipe: Recipe, folder: Path, exams: int) -> tuple[int, torch.Tensor, torch.Tensor]:
    """How many exams were undone, and the errors of all images, mm, before and after: equal where an exam is left alone.

    Args:
        recipe: phantoms of hearts with long-axis views.
        folder: to write them to.
        exams: how many.
    """
    list(write_exams(recipe, folder / "exams", exams))
    datalist = write_datalist(index_folder(folder / "exams").datalist, folder / "datalist.json")
    content, found = undo_breath_holds(datalist)
    names = _numbers(content, recipe, folder / "exams", exams)
    before, after = [], []
    for exam in found:
        true = _true(content, exam, recipe, names[exam.exam])
        used = exam.shifts if exam.why_not is None else torch.zeros_like(true)
        before.append(breath_hold_errors(torch.zeros_like(true), true))
        after.append(breath_hold_errors(used, true))
    return sum(exam.why_not is None for exam in found), torch.cat(before), torch.cat(after)


def _numbers(content: dict, recipe: Recipe, root: Path, exams: int) -> dict[str, int]:
    """Hash of each exam to its number in the recipe, by where its files lie."""
    places = {
        (root / recipe.form.writer.exam_paths(recipe, number)[0]).resolve(): number for number in range(1, exams + 1)
    }
    return {
        item["exam"]: next(places[parent] for parent in Path(item["image"]).parents if parent in places)
        for section in SECTIONS
        for item in content[section]
    }


def _true(content: dict, exam: AlignedExam, recipe: Recipe, number: int) -> torch.Tensor:
    """The true shifts, in the order of the images of an exam."""
    shifts = true_shifts(recipe.exam(number), recipe.form.dicom)
    entry = content["exams"][exam.exam]
    views = [view for view, stack in entry["stacks"].items() if view != "sax" and "items" in stack]
    images = [*(("sax", rank) for rank in range(entry["stacks"]["sax"]["slices"])), *((view, 0) for view in views)]
    return torch.stack([torch.from_numpy(shifts[image]) for image in images])


if __name__ == "__main__":
    main()
