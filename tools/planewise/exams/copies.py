"""Recognise a copy of an image in another file, so that it does not count as another patient: DICOM files with the same
SOPInstanceUID, and volumes with the same bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from planewise.exams.exam import Exam
from planewise.exams.volume import Volume
from planewise.files.checksum import sha256
from planewise.findings import Finding, finding

#: An image that is found in more patients than this says nothing about a patient: it is a test image, or a page of text.
_MOST_PATIENTS = 3


def join_copies(places: Sequence[Exam | Volume]) -> list[Finding]:
    """Count exams that share an image as exams of one patient; the other patients' names become aliases.

    Args:
        places: exams and volumes whose raw identifiers are not hashed yet; the identifiers of copies are changed.

    Returns:
        A warning, if there are such exams.
    """
    patients: dict[str, set[str]] = defaultdict(set)
    for key, mark in _marks(places):
        patients[mark].add(key)
    shared = [keys for keys in patients.values() if 1 < len(keys) <= _MOST_PATIENTS]
    if not shared:
        return []
    from scipy.cluster.hierarchy import DisjointSet  # late, because few folders have copies

    same = DisjointSet(place.patient_key for place in places)
    for keys in shared:
        for one, other in pairwise(keys):
            same.merge(one, other)
    first = {key: min(keys) for keys in same.subsets() if len(keys) > 1 for key in keys}
    named: dict[str, dict[str, None]] = defaultdict(dict)
    for place in places:
        if key := first.get(place.patient_key):
            named[key][place.case or "/".join(place.folder.parts[-2:])] = None
            if key != place.patient_key:
                place.aliases.append(place.patient_key)
                place.patient_key = key
    return [
        finding(
            "exam-grouped", count=len(named), names=[" = ".join(names) for names in named.values()], kind="patients"
        )
    ]


def _marks(places: Sequence[Exam | Volume]) -> Iterator[tuple[str, str]]:
    """The patient's key and a mark for each image: its SOPInstanceUID, or the checksum of a volume's file, if the file of
    another patient has the same size."""
    sizes: dict[int, set[tuple[str, Path]]] = defaultdict(set)
    for place in places:
        if isinstance(place, Volume):
            sizes[place.image.stat().st_size].add((place.patient_key, place.image))
            continue
        # an exam of NIfTI files is also in the volumes
        for stack in () if place.case else place.stacks:
            for entry in stack.slices:
                yield from ((place.patient_key, frame.sop) for frame in entry.phases if frame.sop)
    for files in sizes.values():
        if len({key for key, _ in files}) > 1:
            yield from ((key, sha256(path)) for key, path in files)
