"""Group frames into exams: by patient, study and frame of reference, and by folder if the headers do not identify the
study."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planewise.exams.exam import Exam
from planewise.exams.stack import Frame, Stack
from planewise.exams.stacks import build_stacks
from planewise.exams.volume import Volume
from planewise.files.checksum import sha256
from planewise.findings import Finding, finding
from planewise.words import natural_order

if TYPE_CHECKING:
    from planewise.exams.scan import Scan  # needs pydicom

#: PatientIDs that anonymisation tools write: they do not identify a patient, so the study takes the patient's place.
_NOBODY = {
    "anon", "anonymous", "anonymized", "anonymised", "anonymize", "deidentified", "unknown", "none", "null", "na", "nan",
    "removed", "masked", "hidden", "xxx", "xxxx", "patient", "subject", "test", "phantom", "noid", "noname",
}  # fmt: skip
#: Identifiers of a single image say nothing if a patient has at least this many of them on one day.
_EACH_ITS_OWN = 3
#: The identifiers that programs write anew for each file, and their keywords.
_WRITTEN_ANEW = {
    "series": "SeriesInstanceUID", "study": "StudyInstanceUID", "frame_of_reference": "FrameOfReferenceUID",
}  # fmt: skip


def group_exams(frames: Iterable[Frame], folder: Path) -> list[Exam]:
    """Exams: the frames of one patient and study that share a frame of reference, in the order of their folders, with
    stacks and findings. An exam's folder below the indexed one, ``folder``, replaces a missing study identifier."""
    studies = defaultdict(lambda: defaultdict(list))
    frames, says_nothing = _without_identifiers_of_files(list(frames))
    for frame in frames:
        study = f"study:{frame.study}" if frame.study else f"folder:{exam_folder(frame.path, folder)}"
        studies[study][frame.patient].append(frame)
    grouped = defaultdict(list)
    for study, patients in studies.items():
        # usually, a study has one patient, to whom its frames without a PatientID belong, too
        of_one = study.startswith("study:") and len({*patients} - {""}) < 2
        for patient, members in patients.items():
            for frame in members:
                grouped[study, "" if of_one else patient, frame.frame_of_reference].append(frame)
    references = Counter((study, patient) for study, patient, _ in grouped)
    exams = []
    for (study, patient, reference), members in grouped.items():
        found = []
        own = set().union(*(says_nothing.get(frame.path, ()) for frame in members))
        # a series may have one image; without a frame of reference, positions within one study still agree
        if "study" in own:
            names = [keyword for name, keyword in _WRITTEN_ANEW.items() if name in own]
            found.append(finding("identifiers-of-files", names=names))
        if not reference:
            found.append(finding("exam-grouped", shared=study.partition(":")[0], kind="no-frame-of-reference"))
        if (count := references[study, patient]) > 1:
            found.append(finding("exam-grouped", count=count, kind="several-frames-of-reference"))
        members = _without_copies(members)
        identifier = next((frame.patient for frame in members if frame.patient), "")
        key = "|".join([study, *filter(None, [patient]), reference])
        owner = f"patient:{identifier}" if _is_named(identifier) else study
        exams.append(Exam(key, owner, common_folder(members), build_stacks(members), found))
    return sorted(exams, key=lambda exam: (natural_order(str(exam.folder)), exam.key))


def _without_identifiers_of_files(frames: list[Frame]) -> tuple[list[Frame], dict[str, set[str]]]:
    """Replace identifiers that say nothing, because a program wrote a new one into each file, by what still agrees: those of
    a single image, if a patient has at least `_EACH_ITS_OWN` of them on one day. Those that images share stay, so stacks in
    different frames of reference are never related.

    Returns:
        The frames, and the names of the replaced identifiers by path.
    """
    replaced: dict[str, set[str]] = defaultdict(set)
    # the patient and the day; the folder, if the header does not name the patient
    owners = [(frame.patient if _is_named(frame.patient) else frame.folder, frame.study_day) for frame in frames]
    for name in _WRITTEN_ANEW:
        images = defaultdict(set)
        for frame, owner in zip(frames, owners, strict=True):
            images[owner, getattr(frame, name)].add((frame.sop or frame.path, frame.frame))
        alone = Counter(owner for (owner, _), own in images.items() if len(own) == 1)
        for index, (frame, owner) in enumerate(zip(frames, owners, strict=True)):
            if alone[owner] >= _EACH_ITS_OWN and len(images[owner, getattr(frame, name)]) == 1:
                series = repr((frame.series_number, frame.description))
                agrees = {"series": series, "study": repr(owner) if _is_named(frame.patient) else ""}
                frames[index] = replace(frame, **{name: agrees.get(name, "")})
                replaced[frame.path].add(name)
    return frames, replaced


def _is_named(patient: str) -> bool:
    plain = "".join(character for character in patient.lower() if character.isalnum())
    return bool(plain) and plain not in _NOBODY and set(plain) != {"0"} and set(plain) != {"x"}


def exam_folder(path: str, folder: Path) -> str:
    """The folder of an exam whose files do not identify their study: the folder of the file, or the parent of this
    folder if it is named like a series (``study/sax_5``, ``Se3``)."""
    own = Path(path).parent
    relative = own.relative_to(folder) if own.is_relative_to(folder) else own
    if re.match(r"(sax|lax|rvot|[234]ch|se|ser|series)[_ -]?\d+", own.name.lower()) and relative.parts:
        relative = relative.parent
    return relative.as_posix()


def common_folder(frames: Sequence[Frame]) -> Path:
    """The folder that contains all frames' files."""
    return Path(os.path.commonpath({frame.folder for frame in frames}))


def _without_copies(frames: list[Frame]) -> list[Frame]:
    """The first of the copies of each image; frames without a SOPInstanceUID are all kept."""
    first: dict[tuple, Frame] = {}
    for frame in frames:
        geometry = tuple(np.round(np.ravel(frame.affine), 3))
        first.setdefault((frame.sop or id(frame), frame.frame, geometry, frame.trigger, frame.instance), frame)
    return [*first.values()]


#: An image that is found in more patients than this says nothing about a patient: it is a test image, or a page of text.
_MOST_PATIENTS = 3


def join_copies(places: Sequence[Exam | Volume]) -> list[Finding]:
    """Count exams that share an image (the SOPInstanceUID of DICOM files, the bytes of volumes) as exams of one patient; the
    other patients' names become aliases. The identifiers must not be hashed yet.

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
    for place in places:
        if (key := first.get(place.patient_key, place.patient_key)) != place.patient_key:
            place.aliases.append(place.patient_key)
            place.patient_key = key
    return [finding("exam-grouped", count=len({*first.values()}), kind="patients")]


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
            yield from ((place.patient_key, frame.sop) for frame in stack.frames if frame.sop)
    for files in sizes.values():
        if len({key for key, _ in files}) > 1:
            yield from ((key, sha256(path)) for key, path in files)


def assign_broken(scan: Scan, exams: Sequence[Exam]) -> None:
    """Give each exam the broken files of its folders (`Exam.broken`): a file belongs to the exams with images in the same
    folder; otherwise to those in the folder of its exam, because a whole series may be broken."""
    owners: dict[str, list[Exam]] = defaultdict(list)
    for exam in exams:
        folders = _folders(exam.stacks)
        for place in folders | {str(_home(folder, scan.folder)) for folder in folders} - {str(scan.folder)}:
            owners[place].append(exam)
    for path in scan.broken:
        folder = os.path.dirname(path)
        for exam in owners.get(folder) or owners.get(str(_home(folder, scan.folder)), []):
            exam.broken.append(path)


def broken_remark(exam: Exam, stack: Stack | None = None) -> list[Finding]:
    """A flag about the broken files of an exam; with ``stack``, about those that may belong to this stack: not those
    in folders of other stacks alone."""
    of_others = set() if stack is None else _folders(exam.stacks) - _folders([stack])
    count = sum(os.path.dirname(path) not in of_others for path in exam.broken)
    return [finding("broken-files", count=count)] if count else []


def _folders(stacks: Iterable[Stack]) -> set[str]:
    return {frame.folder for stack in stacks for frame in stack.frames}


def _home(of_images: str, scanned: Path) -> Path:
    """The folder of an exam: that of its images, or its parent if the name is that of a series."""
    return scanned / exam_folder(os.path.join(of_images, "image"), scanned)
