"""Read a person's choice of an exam's views, which overrides the recognition.

A YAML file lists, for each exam, where its views are::

    7f3a09c1d2:            # the exam's hash, or its folder below the indexed folder
      4ch: Se7             # a folder or file of the exam, or the name of a stack in the table (3ch, other-1)
      2ch: none            # the exam has no such view
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.anatomy import Anatomy
from planewise.exams.exam import Exam
from planewise.exams.recognition import FoundView, Recognition
from planewise.exams.stack import Stack
from planewise.exams.tables import read_yaml
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
        overrules[str(exam)] = {str(view): str(target or "none") for view, target in wanted.items()}
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
        InputError: a named exam or image does not exist.
    """
    for name, wanted in overrules.items():
        exam = next((exam for exam in exams if name == exam.name or exam.folder == folder / name), None)
        if exam is None:
            raise InputError(
                f"--views: there is no exam {name}; name it by its hash (first column of the table) "
                f"or by its folder below {folder}"
            )
        names = stack_names(exam.stacks, exam.found, anatomy.stack)
        if wanted.get(anatomy.stack, "none").lower() != "none":
            exam.found = anatomy.recognise(exam.stacks, _find(exam, names, wanted[anatomy.stack])[0])
        elif anatomy.stack in wanted:
            exam.found.stack = None
        found = exam.found
        for view, target in wanted.items():
            if view == anatomy.stack:
                continue
            found.views.pop(view, None)
            if target.lower() == "none":
                continue
            plane = _find(exam, names, target)
            found.views = {other: value for other, value in found.views.items() if value.place != plane}
            found.undecided = [value for value in found.undecided if value.place != plane]
            found.views[view] = FoundView(view, *plane, confidence=1.0)
        found.findings.append(finding("stack-remark", kind="chosen"))


def _find(exam: Exam, names: dict[str, int], target: str) -> tuple[int, int]:
    """The stack and the slice of a target; for a stack or a folder, the middle slice."""
    if target in names:
        known = exam.found.views.get(target)
        return names[target], known.slice if known else len(exam.stacks[names[target]].slices) // 2
    for index, stack in enumerate(exam.stacks):
        files = [[Path(frame.path) for frame in entry.phases] for entry in stack.slices]
        place = exam.folder / target
        meant = [rank for rank, own in enumerate(files) if any(place in (file, *file.parents) for file in own)]
        if meant:
            return index, meant[len(meant) // 2]
    raise InputError(
        f"--views, exam {exam.name}: {target} is not one of its images; give a file or folder below the exam's"
        f" folder, or one of {', '.join(names)}"
    )
