"""Assign broken files to the exams in whose folders they lie."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
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
    """Record in each exam the broken files of its folders (`Exam.broken`), and find the exams of which nothing else is left.

    A file belongs to the exams with images in the same folder; otherwise, to the exam in whose folder the file's folder
    lies, because a whole series may be broken.

    Args:
        scan: the contents of the folder.
        exams: all exams of the scan.
    """
    owners: dict[str, list[Exam]] = defaultdict(list)
    for exam in exams:
        for folder in _folders(exam.stacks):
            owners[folder].append(exam)
    homes = [(exam, _home(str(exam.folder), scan.folder)) for exam in exams]
    # files in the folder of an archive do not make the archive one exam's folder
    if len({home for _, home in homes}) > 1:
        homes = [(exam, home) for exam, home in homes if home != scan.folder]
    depths = [len(home.relative_to(scan.folder).parts) for _, home in homes if home.is_relative_to(scan.folder)]
    usual = Counter(depths).most_common(1)[0][0] if depths else None
    readable = {frame.folder for frame in scan.frames}  # including copies, which are in no stack
    alone: dict[Path, BrokenExam] = {}
    for path in scan.broken:
        folder = os.path.dirname(path)
        found = owners.get(folder) or _around(Path(folder), homes)
        for exam in found:
            exam.broken.append(path)
        if not found and folder not in readable:
            home = (
                _home(folder, scan.folder) if usual is None else _at_depth(Path(folder), scan.folder, usual, readable)
            )
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


def _around(folder: Path, homes: Sequence[tuple[Exam, Path]]) -> list[Exam]:
    """The exams in the innermost folder around a folder."""
    around = [(len(home.parts), exam) for exam, home in homes if folder.is_relative_to(home)]
    return [exam for depth, exam in around if depth == max(around, key=lambda entry: entry[0])[0]]


def _at_depth(of_images: Path, scanned: Path, depth: int, readable: Iterable[str]) -> Path:
    """The folder of a broken exam: as deep in the scanned folder as the other exams, but without their images."""
    if not of_images.is_relative_to(scanned):
        return of_images
    parts = of_images.relative_to(scanned).parts
    for deep in range(max(depth, 1), len(parts)):
        place = scanned.joinpath(*parts[:deep])
        if not any(Path(other).is_relative_to(place) for other in readable):
            return place
    return of_images
