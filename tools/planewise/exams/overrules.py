"""Read a person's choice of an exam's views, which overrides the recognition.

A YAML file lists, for each exam, where its views are::

    7f3a09c1d2:            # the exam's hash, or its folder below the indexed folder
      4ch: Se7             # a folder or file of the exam, or the name of a stack in the table (3ch, other-1)
      2ch: none            # the exam has no such view
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.anatomy import Anatomy
from planewise.exams.exam import Exam
from planewise.exams.labels import read_yaml
from planewise.exams.recognition import FoundView, Recognition
from planewise.exams.stack import Slice, Stack
from planewise.findings import finding


def read_overrules(path: Path, anatomy: Anatomy) -> dict[str, dict[str, str]]:
    """Map each exam to {view: target}.

    Raises:
        InputError: the file does not have that form.
    """
    known = {anatomy.stack, *anatomy.views}
    overrules = {}
    for exam, wanted in read_yaml(path, "a list of views").items():
        if not isinstance(wanted, dict) or not {str(view) for view in wanted} <= known:
            raise InputError(
                f"{path}, exam {exam}: write lines like `{(anatomy.stack, *anatomy.targets)[-1]}: FOLDER` below an "
                f"exam; views are {', '.join(sorted(known))}"
            )
        targets = {str(view): "none" if target is None else str(target) for view, target in wanted.items()}
        if "\0" in "".join((str(exam), *targets.values())):
            raise InputError(
                f"{path}, exam {str(exam)!r}: a name contains a zero byte, which no file has; correct the name"
            )
        overrules[str(exam)] = targets
    return overrules


def stack_names(stacks: Sequence[Stack], found: Recognition, main_view: str) -> dict[str, int]:
    """The names of an exam's stacks in the table and the datalist: the view, or ``other-1``, ..."""
    names = {} if found.stack is None else {main_view: found.stack}
    names |= {view: other.stack for view, other in found.views.items()}
    rest = [index for index in range(len(stacks)) if index not in names.values()]
    return names | {f"other-{number}": index for number, index in enumerate(rest, start=1)}


def apply_overrules(
    overrules: dict[str, dict[str, str]], exams: Sequence[Exam], anatomy: Anatomy, folder: Path
) -> None:
    """Change the ``found`` views in the named exams.

    Raises:
        InputError: a named exam or image does not exist, or two views have the same image.
    """
    for name, wanted in overrules.items():
        place = {_real(folder / name), _real(Path(name))}
        exam = next((exam for exam in exams if name == exam.name or _real(exam.folder) in place), None)
        if exam is None:
            raise InputError(
                f"--views: there is no exam {name}; name it by its hash (first column of the table) "
                f"or by its folder below {folder}"
            )
        names = stack_names(exam.stacks, exam.found, anatomy.stack)
        if wanted.get(anatomy.stack, "none").lower() != "none":
            index, _ = _find(exam, names, wanted[anatomy.stack], folder)
            exam.found = anatomy.recognise(exam.stacks, index)
        elif anatomy.stack in wanted:
            exam.found.stack = None
        found = exam.found
        taken: dict[tuple[int, int], str] = {}
        for view, target in wanted.items():
            if view == anatomy.stack:
                continue
            found.views.pop(view, None)
            if target.lower() == "none":
                continue
            plane = _find(exam, names, target, folder)
            if (other := taken.setdefault(plane, view)) != view:
                raise InputError(
                    f"--views, exam {name}: {other} and {view} are the same image ({target}); an image shows one view, so "
                    "correct one of the two lines, or write `none`"
                )
            found.views = {other: value for other, value in found.views.items() if value.place != plane}
            found.undecided = [value for value in found.undecided if value.place != plane]
            found.views[view] = FoundView(view, *plane, confidence=1.0)
            seen = anatomy.plane_of(exam.stacks[plane[0]]) if anatomy.plane_of else None
            if seen not in (None, view):
                found.findings.append(finding("chosen-unlike", view, normal=seen))
        found.findings.append(finding("views-chosen"))


def _find(exam: Exam, names: dict[str, int], target: str, folder: Path) -> tuple[int, int]:
    """The stack and the slice of a target; for a stack or a folder, the middle slice."""
    if target in names:
        index = names[target]
        known = exam.found.views.get(target)
        return index, known.slice if known else len(exam.stacks[index].slices) // 2
    places = {_real(folder / target), _real(exam.folder / target)}
    inside = [place for place in places if _real(exam.folder) in place.parents]
    for index, stack in enumerate(exam.stacks):
        meant = [rank for rank, entry in enumerate(stack.slices) if _lies_in(entry, inside)]
        if meant:
            return index, meant[len(meant) // 2]
    raise InputError(
        f"--views, exam {exam.name}: {target} is not one of its images; give a file or folder below the exam's"
        f" folder, or one of {', '.join(names)}"
    )


def _lies_in(entry: Slice, places: Sequence[Path]) -> bool:
    """Whether an image of a slice is one of the files or lies in one of the folders."""
    paths = [_real(Path(frame.path)) for frame in entry.phases]
    return any(place == path or place in path.parents for place in places for path in paths)


def _real(path: Path) -> Path:
    """The path without links; unlike `Path.resolve`, this function accepts a link to itself."""
    return Path(os.path.realpath(path))
