"""Assign each patient to a section: by the user's file, by the data set's own folders, or by a hash."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.exam import Exam
from planewise.exams.heart_sets import INFO
from planewise.exams.tables import KnownNames, exam_names
from planewise.exams.volume import Volume
from planewise.files.datalists import RESERVED, SECTIONS, is_labelled
from planewise.files.text import read_csv
from planewise.findings import Finding, finding
from planewise.words import composed

DEFAULT_SPLIT = (0.8, 0.1, 0.1)
#: Zhang 2024, sections 5.1.1 and 5.1.2: 64, 16 and 20 of ACDC's hundred; 800, 200 and 250 of MRNet's 1250.
STRATIFIED_SPLIT = (0.64, 0.16, 0.2)
#: Maps each data set to the sections that its folders define; the last folder must exist, next to another one, so that they
#: define them.
OFFICIAL = {
    "DSBCC": {"train": ("training",), "validate": ("training",), "test": ("validation", "test")},
    "ACDC": {"training": ("training",), "testing": ("test",)},
    "nnU-Net": {"imagesTr": ("training",), "imagesTs": ("test",)},
}
#: Folders without a validation section of their own.
_DRAWN = {("ACDC", "training"), ("nnU-Net", "imagesTr")}


def official_part(place: Exam | Volume, folder: Path) -> tuple[str, str] | None:
    """The data set and its part (as in `OFFICIAL`) that contain an exam or a volume, below ``folder``; None otherwise."""
    parts = place.folder.relative_to(folder).parts if place.folder.is_relative_to(folder) else ()
    if isinstance(place, Exam):
        # without the exam's own folder
        name, above = "DSBCC", parts[: max(parts.index("study") - 1, 0)] if "study" in parts else ()
    elif place.folder.name in OFFICIAL["nnU-Net"]:
        name, above = "nnU-Net", (place.folder.name,) if place.label is not None else ()
    else:
        name, above = "ACDC", parts[:-1] if (place.folder / INFO).is_file() else ()
    return next(((name, part) for part in reversed(above) if part in OFFICIAL[name]), None)


def divided_by_folders(places: Sequence[Exam | Volume], folder: Path) -> dict[str, set[str]]:
    """Map each data set to its folders that define sections; empty if there are none."""
    there = defaultdict(set)
    for place in places:
        if found := official_part(place, folder):
            there[found[0]].add(found[1])
    return {name: parts for name, parts in there.items() if [*OFFICIAL[name]][-1] in parts and len(parts) > 1}


def groups_of(
    places: Sequence[Exam | Volume], items: Sequence[Mapping[str, object]], stratify: str | None
) -> dict[str, str]:
    """Map each patient (raw identifier) to the group by which the hash stratifies; an empty string means no group. The groups
    are the values of the class ``stratify``; for ``label``, all patients with masks; for None, the data set's own (ACDC's
    diseases, MRNet's labels). Different values of one patient are a group of their own.

    Raises:
        InputError: no exam has this class, or no exam has a mask.
    """
    groups = {place.patient_key: "" for place in places}
    if stratify is None:
        return groups | {place.patient_key: place.group for place in places if getattr(place, "group", "")}
    found: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if stratify == "label" and is_labelled(item):
            found[str(item["patient"])].add("masks")
        elif stratify not in RESERVED and item.get(stratify) is not None:
            found[str(item["patient"])].add(str(item[stratify]))
    if not found:
        known = ", ".join(["label", *sorted({key for item in items for key in item} - RESERVED)])
        raise InputError(
            f"--stratify {stratify}: no exam has this class, or a mask that is a label; known: {known} (--classes FILE.csv, "
            "--labels FOLDER)"
        )
    return groups | {place.patient_key: " ".join(sorted(found.get(place.patient, ()))) for place in places}


def divide(
    places: Sequence[Exam | Volume],
    folder: Path,
    fractions: Sequence[float] | None,
    seed: int,
    listed: Mapping[str, str],
    groups: Mapping[str, str],
) -> tuple[dict[str, tuple[str, ...]], Finding, list[tuple[str, Finding]]]:
    """The sections of all patients.

    Args:
        places: exams and volumes, with their hashes.
        folder: the indexed folder.
        fractions: shares of training, validation and test for the hash; None for the data set's own folders, or
            `DEFAULT_SPLIT`, or `STRATIFIED_SPLIT` for groups of disease (ACDC) or labels (MRNet).
        seed: seed of the hash.
        listed: result of `read_sections`; takes precedence over everything else.
        groups: result of `groups_of`.

    Returns:
        Maps each patient (raw identifier) to sections, nearly always one; the rule; and names in ``listed`` without an exam.

    Raises:
        InputError: ``listed`` puts one patient into two sections.
    """
    followed = {} if listed or fractions else divided_by_folders(places, folder)
    sections, unmatched = _by_list(places, folder, listed) if listed else ({}, [])
    sections |= _by_folders(places, folder, seed, followed, groups)
    rest = {key: group for key, group in groups.items() if key not in sections}
    grouped = {key: group for key, group in rest.items() if group}
    if sections:
        parts = sorted(set().union(*followed.values()))
        values = {"kind": "list"} if listed else {"kind": "folders", "sets": list(followed), "folders": parts}
        values["kind"] += "-and-hash" if rest else ""
        rule = finding("sections-by", **values, rest=len(rest))
    else:
        shares = fractions or (STRATIFIED_SPLIT if grouped else DEFAULT_SPLIT)
        rule = finding("sections-by", kind="groups" if grouped else "hash", shares=shares, seed=seed)
    drawn = split_by_hash([key for key in rest if key not in grouped], fractions or DEFAULT_SPLIT, seed)
    drawn |= split_stratified(grouped, fractions or STRATIFIED_SPLIT, seed)
    return sections | {key: (section,) for key, section in drawn.items()}, rule, unmatched


def _by_list(
    places: Sequence[Exam | Volume], folder: Path, listed: Mapping[str, str]
) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, Finding]]]:
    known = KnownNames(exam_names(place, folder) | _folders_above(place, folder) for place in places)
    sections: dict[str, tuple[str, ...]] = {}
    unmatched = []
    for name, section in listed.items():
        meant = known.find(name.rstrip("/"))
        if not meant:
            unmatched.append((name, finding("name-unusable", kind="unknown")))
        for place in (places[index] for index in meant):
            if (other := sections.setdefault(place.patient_key, (section,))) != (section,):
                raise InputError(
                    f"--sections puts the patient of exam {place.name} into {other[0]} and, as {name}, into {section}; "
                    "a patient must be in one section"
                )
    return sections, unmatched


def _folders_above(place: Exam | Volume, folder: Path) -> set[str]:
    """``train``, ``train/train`` and ``train/train/17`` for an exam in ``train/train/17``."""
    parts = place.folder.relative_to(folder).parts if place.folder.is_relative_to(folder) else ()
    return {composed("/".join(parts[:count])) for count in range(1, len(parts) + 1)}


def _by_folders(
    places: Sequence[Exam | Volume],
    folder: Path,
    seed: int,
    followed: Mapping[str, set[str]],
    groups: Mapping[str, str],
) -> dict[str, tuple[str, ...]]:
    """The sections of patients in folders that define them; of a patient in several, the first."""
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    drawn = {}
    for place in places:
        part = official_part(place, folder)
        if part is not None and part[0] in followed:
            found[place.patient_key].add(OFFICIAL[part[0]][part[1]])
            if part in _DRAWN:
                drawn[place.patient_key] = groups[place.patient_key]
    taken = {key: (section,) for key, section in split_stratified(drawn, (*STRATIFIED_SPLIT[:2], 0), seed).items()}
    first = {key: min(each, key=lambda section: SECTIONS.index(section[0])) for key, each in found.items()}
    return first | {key: section for key, section in taken.items() if len(found[key]) == 1}


def read_sections(path: Path) -> dict[str, str]:
    """Read the section of each exam or folder from a CSV of two columns, with or without a header row (``exam,section``).

    Raises:
        InputError: the file cannot be read, names an unknown section, or puts one exam into two sections.
    """
    rows = read_csv(path)
    if rows and rows[0][1:] and rows[0][1].lower() == "section":
        rows.pop(0)
    listed: dict[str, str] = {}
    for name, section in ((row[0], "".join(row[1:2]).lower()) for row in rows):
        if section not in SECTIONS or not name:
            raise InputError(f"{path}, {name}: {section!r} is not a section; write one of {', '.join(SECTIONS)}")
        if listed.setdefault(name, section) != section:
            raise InputError(f"{path}: {name} is in {listed[name]} and in {section}; an exam has one section")
    if not listed:
        raise InputError(f"{path} does not name any exam; write lines like `EXAM,training`")
    return listed


def check_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    """Scale the shares of training, validation and test so that they sum to one.

    Raises:
        InputError: there are not three shares, one is negative or not finite, or all are zero.
    """
    if len(fractions) != 3 or min(fractions) < 0 or not 0 < sum(fractions) < math.inf:
        raise InputError(
            f"the split is {' '.join(map(str, fractions))}; it needs three non-negative shares, for training, "
            "validation and test, such as 0.8 0.1 0.1"
        )
    training, validation, test = (share / sum(fractions) for share in fractions)
    return training, validation, test


def _draw(patient: str, seed: int) -> float:
    """A number in [0, 1) determined by the patient and the seed. It is not salted, so it is the same on every machine."""
    digest = hashlib.sha256(f"{seed}|{patient}".encode(errors="backslashreplace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by_hash(patients: Iterable[str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """Map each patient to a section. Patients keep their section when others are added, so the shares are only
    averages."""
    training, validation, _ = check_fractions(fractions)
    sections = {}
    for patient in patients:
        draw = _draw(patient, seed)
        sections[patient] = SECTIONS[(draw >= training) + (draw >= training + validation)]
    return sections


def split_stratified(groups: Mapping[str, str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """Map each patient to a section. The patients of each group (of disease), and all patients together, are divided in the
    given shares; the numbers may differ from the shares by one patient."""
    training, validation, _ = check_fractions(fractions)
    members = defaultdict(list)
    for patient, group in groups.items():
        members[group].append(patient)
    # each group's patients, in shuffled order, are spaced evenly on [0, 1); cutting the merged order stratifies all
    # groups
    order = []
    for group, patients in members.items():
        shuffled = sorted(patients, key=lambda patient: _draw(patient, seed))
        order += [((rank + 0.5) / len(shuffled), _draw(group, seed), patient) for rank, patient in enumerate(shuffled)]
    order.sort()
    cuts = round(training * len(order)), round((training + validation) * len(order))
    return {patient: SECTIONS[(rank >= cuts[0]) + (rank >= cuts[1])] for rank, (_, _, patient) in enumerate(order)}
