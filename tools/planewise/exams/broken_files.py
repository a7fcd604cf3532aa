"""Assign broken files to the exams in whose folders they lie."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planewise.exams.exam import Exam
from planewise.exams.grouping import exam_folder
from planewise.exams.scan import Scan
from planewise.exams.stack import Stack
from planewise.findings import Finding, finding


@dataclass
class BrokenExam:
    """A folder in which all images are broken."""

    folder: Path
    key: str
    """raw identifier, hashed before anything is written"""
    paths: list[str] = field(default_factory=list)

    @property
    def why(self) -> Finding:
        """The reason for leaving the exam out."""
        return finding("only-broken-files", count=len(self.paths))


def assign_broken(scan: Scan, exams: Sequence[Exam]) -> list[BrokenExam]:
    """Record in each exam the broken files of its folders (`Exam.broken`), and find the folders of exams in which nothing
    else is left.

    A file belongs to the exams with images in the same folder; otherwise to those in the folder of its exam, because a whole
    series may be broken.
    """
    owners: dict[str, list[Exam]] = defaultdict(list)
    for exam in exams:
        folders = _folders(exam.stacks)
        for place in folders | {str(_home(folder, scan.folder)) for folder in folders} - {str(scan.folder)}:
            owners[place].append(exam)
    alone: dict[Path, BrokenExam] = {}
    for path in scan.broken:
        folder = os.path.dirname(path)
        home = _home(folder, scan.folder)
        for exam in (found := owners.get(folder) or owners.get(str(home), [])):
            exam.broken.append(path)
        if not found and not any(frame.folder == folder for frame in scan.frames):
            one = alone.setdefault(home, BrokenExam(home, f"folder:{os.path.relpath(home, scan.folder)}"))
            one.paths.append(path)
    return list(alone.values())


def broken_remark(exam: Exam, stack: Stack | None = None) -> list[Finding]:
    """A flag about the broken files of an exam; none if it has none.

    Args:
        exam: after `assign_broken`.
        stack: only count the files that may belong to this stack of the exam: those in its folders, and those in folders
            without images of another stack.
    """
    of_others = set() if stack is None else _folders(exam.stacks) - _folders([stack])
    count = sum(os.path.dirname(path) not in of_others for path in exam.broken)
    return [finding("broken-files", count=count)] if count else []


def _folders(stacks: Iterable[Stack]) -> set[str]:
    return {os.path.dirname(frame.path) for stack in stacks for entry in stack.slices for frame in entry.phases}


def _home(of_images: str, scanned: Path) -> Path:
    """The folder of an exam: that of its images, or its parent if the name is that of a series."""
    return scanned / exam_folder(os.path.join(of_images, "image"), scanned)
