"""Assign each patient to a section: by the user's file, by the data set's own folders, or by a hash.

The folders that define sections, with the data sets' own names:

- DSBCC, ``{train,validate,test}/.../ID/study/SERIES``: train and validate are the training section, and test is both
  the validation and the test section, because the paper monitors its pretexts on the exams that it reports (Zhang 2024,
  section 5.1.1).
- ACDC, ``{training,testing}/patientXXX``: testing is the test section; a hash takes the validation section out of
  training, stratified by disease group.
- MRNet, ``{train,valid}/PLANE``: pooled and split again, as in the paper (section 5.1.2), unless folders are requested.
- nnU-Net, ``{imagesTr,imagesTs}``: images with masks in imagesTs are the test section; a hash takes the validation section
  out of imagesTr.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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

#: Values of ``--division``. ``auto`` uses the folders of DSBCC, ACDC and nnU-Net if they define sections, and the hash
#: otherwise; ``hash`` always uses the hash, and ``folders`` always uses the folders.
DIVISIONS = ("auto", "hash", "folders")
DEFAULT_SPLIT = (0.8, 0.1, 0.1)
#: Zhang 2024, sections 5.1.1 and 5.1.2: 64, 16 and 20 of ACDC's hundred; 800, 200 and 250 of MRNet's 1250.
STRATIFIED_SPLIT = (0.64, 0.16, 0.2)
#: Maps each data set to the sections that its folders define.
OFFICIAL = {
    "DSBCC": {"train": ("training",), "validate": ("training",), "test": ("validation", "test")},
    "ACDC": {"training": ("training",), "testing": ("test",)},
    "MRNet": {"train": ("training",), "valid": ("validation",)},
    "nnU-Net": {"imagesTr": ("training",), "imagesTs": ("test",)},
}
#: The folder of each data set that must exist, next to another one, so that the folders define the sections by default.
_FOLLOWED = {"DSBCC": "test", "ACDC": "testing", "nnU-Net": "imagesTs"}
#: Folders without a validation section of their own.
_DRAWN = {("ACDC", "training"), ("nnU-Net", "imagesTr")}
TESTING = finding("file-not-used", kind="testing")


@dataclass
class Division:
    """Sections of patients, and the rule that assigned them."""

    sections: dict[str, tuple[str, ...]]  #: maps each patient (raw identifier) to sections, nearly always one
    rule: Finding  #: the rule that was used
    warnings: list[Finding] = field(default_factory=list)
    unmatched: list[tuple[str, Finding]] = field(default_factory=list)  #: names in the user's file without an exam


def official_part(place: Exam | Volume, folder: Path) -> tuple[str, str] | None:
    """The data set and its part (as in `OFFICIAL`) that contain an exam or a volume, below ``folder``; None otherwise."""
    parts = place.folder.relative_to(folder).parts if place.folder.is_relative_to(folder) else ()
    if isinstance(place, Exam):
        # without the exam's own folder
        name, above = "DSBCC", parts[: max(parts.index("study") - 1, 0)] if "study" in parts else ()
    elif place.key.startswith("mrnet:"):
        name, above = "MRNet", place.folder.parts[:-1]
    elif place.folder.name in OFFICIAL["nnU-Net"]:
        name, above = "nnU-Net", (place.folder.name,) if place.label is not None else ()
    else:
        name, above = "ACDC", parts[:-1] if (place.folder / INFO).is_file() else ()
    return next(((name, part) for part in reversed(above) if part in OFFICIAL[name]), None)


def divided_by_folders(places: Sequence[Exam | Volume], folder: Path, division: str) -> dict[str, set[str]]:
    """Map each data set to its folders that define sections; empty if the hash divides the patients.

    Raises:
        InputError: folders are requested (``division``, one of `DIVISIONS`), and there are none.
    """
    there = defaultdict(set)
    for place in places if division != "hash" else ():
        if found := official_part(place, folder):
            there[found[0]].add(found[1])
    if division == "folders" and not there:
        known = "; ".join(f"{name}: {', '.join(folders)}" for name, folders in OFFICIAL.items())
        raise InputError(
            f"--division folders: {folder} has no folders of a known division ({known}); use --sections instead"
        )
    by_default = {name: parts for name, parts in there.items() if _FOLLOWED.get(name) in parts and len(parts) > 1}
    return dict(there) if division == "folders" else by_default


def leave_out_testing(volumes: Sequence[Volume], folder: Path) -> list[Volume]:
    """ACDC's official test patients, which are left out if the hash divides a tree that also contains the training
    patients."""
    lies = [(volume, official_part(volume, folder)) for volume in volumes]
    if not any(part == ("ACDC", "training") for _, part in lies):
        return []
    return [volume for volume, part in lies if part == ("ACDC", "testing")]


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
    followed: Mapping[str, set[str]],
    listed: Mapping[str, str],
    groups: Mapping[str, str],
) -> Division:
    """The sections of all patients.

    Args:
        places: exams and volumes, with their hashes.
        folder: the indexed folder.
        fractions: shares of training, validation and test for the hash; None for `DEFAULT_SPLIT`, or `STRATIFIED_SPLIT`
            for groups of disease (ACDC) or labels (MRNet).
        seed: seed of the hash.
        followed: result of `divided_by_folders`.
        listed: result of `read_sections`; takes precedence over everything else.
        groups: result of `groups_of`.

    Raises:
        InputError: ``listed`` puts one patient into two sections.
    """
    result = Division({}, finding("sections-by", kind="list", rest=0))
    if listed:
        _follow_list(result, places, folder, listed)
    elif followed:
        _follow_folders(result, places, folder, seed, followed, groups)
    rest = {key: group for key, group in groups.items() if key not in result.sections}
    grouped = {key: group for key, group in rest.items() if group}
    if not result.sections:
        shares = fractions or (STRATIFIED_SPLIT if grouped else DEFAULT_SPLIT)
        result.rule = finding("sections-by", kind="groups" if grouped else "hash", shares=shares, seed=seed)
    else:
        parts = sorted(set().union(*followed.values()))
        values = {"kind": "list"} if listed else {"kind": "folders", "sets": list(followed), "folders": parts}
        values["kind"] += "-and-hash" if rest else ""
        result.rule = finding("sections-by", **values, rest=len(rest))
    drawn = split_by_hash([key for key in rest if key not in grouped], fractions or DEFAULT_SPLIT, seed)
    drawn |= split_stratified(grouped, fractions or STRATIFIED_SPLIT, seed)
    result.sections |= {key: (section,) for key, section in drawn.items()}
    return result


def _follow_list(result: Division, places: Sequence[Exam | Volume], folder: Path, listed: Mapping[str, str]) -> None:
    known = KnownNames(exam_names(place, folder) | _folders_above(place, folder) for place in places)
    for name, section in listed.items():
        meant = known.find(name.rstrip("/"))
        if not meant:
            result.unmatched.append((name, finding("name-unusable", kind="unknown")))
        for place in (places[index] for index in meant):
            other = result.sections.setdefault(place.patient_key, (section,))
            if other != (section,):
                raise InputError(
                    f"--sections puts the patient of exam {place.name} into {other[0]} and, as {name}, into {section}; "
                    "a patient must be in one section"
                )


def _folders_above(place: Exam | Volume, folder: Path) -> set[str]:
    """``train``, ``train/train`` and ``train/train/17`` for an exam in ``train/train/17``."""
    parts = place.folder.relative_to(folder).parts if place.folder.is_relative_to(folder) else ()
    return {composed("/".join(parts[:count])) for count in range(1, len(parts) + 1)}


def _follow_folders(
    result: Division,
    places: Sequence[Exam | Volume],
    folder: Path,
    seed: int,
    followed: Mapping[str, set[str]],
    groups: Mapping[str, str],
) -> None:
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    drawn = {}
    for place in places:
        part = official_part(place, folder)
        if part is None or part[0] not in followed:
            continue
        found[place.patient_key].add(OFFICIAL[part[0]][part[1]])
        if part in _DRAWN:
            drawn[place.patient_key] = groups[place.patient_key]
    several = [key for key, sections in found.items() if len(sections) > 1]
    if several:
        result.warnings.append(finding("sections-note", count=len(several), kind="several-parts"))
    result.sections = {
        key: min(sections, key=lambda section: SECTIONS.index(section[0])) for key, sections in found.items()
    }
    for key, section in split_stratified(drawn, (*STRATIFIED_SPLIT[:2], 0), seed).items():
        if key not in several:
            result.sections[key] = (section,)


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
