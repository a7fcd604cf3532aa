"""Index a folder of exams into a datalist: everything that `planewise index` does, except printing.

Five steps, each on the tables of the step before: read the files, group them into exams, recognise their stacks and views,
make items with masks and classes, and divide the patients among the sections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import realpath
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.exams import masks, mrnet, tables
from planewise.exams.anatomies import Anatomy, choose_anatomy
from planewise.exams.any_organ import one_stack_each
from planewise.exams.cases import read_cases
from planewise.exams.datalist import folders_table, write_datalist, write_places
from planewise.exams.division import DEFAULT_SPLIT, check_fractions, divide, groups_of, read_sections
from planewise.exams.exam import Exam
from planewise.exams.grouping import group_exams, tell_broken
from planewise.exams.index_items import entries_of, leave_out_incomplete, other_organs
from planewise.exams.photographs import read_photographs, unused_table
from planewise.exams.scan import Scan, scan_folder
from planewise.exams.volume import FoundVolumes, Volume, exams_of_volumes
from planewise.exams.volumes import read_volumes
from planewise.files.datalists import SECTIONS, is_labelled
from planewise.files.identity import hashed, load_salt
from planewise.files.names import check_channels
from planewise.findings import REFUSE, Finding, finding, from_record
from planewise.words import count_of

VERSION = 1
#: Why planes of a file are unknown.
_UNORIENTED = finding("image-not-used", kind="unoriented")


@dataclass
class IndexResult:
    """The result of `index_folder`."""

    datalist: dict  #: in the form of tools/docs/datalist.md, with absolute paths; `write_datalist` makes them relative
    skipped: dict[Finding, tuple[int, str]] = field(default_factory=dict)  #: reason to number of files and one path
    warnings: list[Finding] = field(default_factory=list)  #: What a person should read before training.
    unmatched: list[tuple[str, Finding]] = field(default_factory=list)  #: labels and names that are not used, and why
    division: Finding | None = None  #: The rule for the sections.
    places: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    """hash of each DICOM exam to its folder and one of its images; private"""
    files: int = 0

    @property
    def items(self) -> int:
        return sum(len(self.datalist[section]) for section in SECTIONS)

    def write(self, path: str | Path) -> Path:
        """Write the datalist, and the table of folders next to it; returns its path.

        Raises:
            InputError: a file cannot be written there.
        """
        written = write_datalist(self.datalist, path)
        if self.places:
            write_places(written, self.places)
        else:
            folders_table(written).unlink(missing_ok=True)  # of an earlier index
        return written


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """What a person can choose about an index."""

    anatomy: str = "cardiac"
    """a name in `anatomies.ANATOMIES`: the views of ``"cardiac"`` or ``"knee"``; ``"any"`` makes every stack of any organ an
    exam, ``"volume"`` takes whole volumes (`planewise.exams.cases`), ``"photograph"`` photographs"""
    view: str | None = None  #: part of a heart to learn from: ``"sax"``, the default, or ``"4ch"``
    contrast: str | None = None  #: contrast of a knee's sagittal stack: ``"t2fs"``, the default, or ``"any"``
    channels: str | Sequence[str] | None = None
    """file-name endings of one case's channels, ``"t1,t1ce,t2,flair"`` or a list, for whole volumes; None for BraTS'
    channels if a case has them, otherwise one file per case"""
    seed: int = 0  #: seed of the split
    split: Sequence[float] | None = None
    """shares of training, validation and test, by a hash of the patient. The default is 0.8 0.1 0.1, and 0.64 0.16 0.2 for
    exams with disease groups (ACDC) or labels (MRNet), stratified by group or labels"""
    stratify: str | None = None  #: class by which the hash stratifies; None for the data set's own groups
    sections: str | Path | None = None  #: CSV that assigns exams or folders to sections; the hash assigns the others
    all_views: bool = False  #: leave out exams that lack the plane of a target view, for one cohort in all pretexts
    labels_dir: str | Path | None = None  #: folder of NIfTI masks for the exams
    classes: str | Path | None = None  #: CSV of classes, one row per exam
    label_map: str | Path | Mapping[int, int] | None = None
    """renames mask values: ``{1: 3}``, or a YAML file with such lines. With ``labels_dir``, it does not apply to the masks
    that M&Ms-2 and UK Biobank have next to their images"""


class _Given:
    """The options with the content of the files that they name."""

    def __init__(self, options: IndexOptions) -> None:
        self.options = options
        self.anatomy = choose_anatomy(options.anatomy, options.contrast, options.view)
        self.of_photographs = self.anatomy.inputs == "photographs"
        self.of_volumes = self.anatomy.inputs == "volumes"
        if options.channels is not None and not self.of_volumes:
            raise InputError("--channels is only for whole volumes; add --anatomy volume, or leave --channels out")
        self.channels = check_channels(options.channels) if options.channels is not None else ()
        self.fractions = None if options.split is None else check_fractions(options.split)
        self.sections = read_sections(_path(options.sections)) if options.sections else {}
        self.classes = _path(options.classes) if options.classes else None
        if self.of_photographs:  # they have their own rules for tables
            self.class_rows, self.wrong_rows = {}, []
        else:
            self.class_rows, self.wrong_rows = tables.read_classes(self.classes) if self.classes else ({}, [])
        self.label_map = None if options.label_map is None else tables.read_label_map(options.label_map)
        self.masks = masks.mask_files(_path(options.labels_dir)) if options.labels_dir else []


def _path(given: str | Path) -> Path:
    return Path(given).expanduser()


def index_folder(
    folder: str | Path, *, workers: int = 1, progress: Callable[[int, int], None] | None = None, **options: Any
) -> IndexResult:
    """Index a folder of DICOM exams, NIfTI volumes, MRNet's volumes or photographs.

    Args:
        folder: any tree of files.
        workers: processes that read headers.
        progress: called with (files done, files in all).
        options: the fields of `IndexOptions`.

    Raises:
        InputError: the folder or an option cannot be used, or there is nothing in it to learn from.
    """
    given, salt = _Given(IndexOptions(**options)), load_salt(folder)
    # read and group
    scan = scan_folder(folder, workers, progress, given.of_photographs, given.anatomy.modalities)
    result = IndexResult(datalist={}, files=scan.files)
    exams, volumes, whole = _read_and_group(scan, given, result)
    for place in (*exams, *volumes):
        place.name, place.patient = hashed(place.key, salt), hashed(place.patient_key, salt)
    # recognise
    for exam in exams:
        exam.stacks = given.anatomy.prepared(exam.stacks)
        exam.found = given.anatomy.found(exam.stacks)
    # items, with their masks and classes
    entries, items = entries_of(exams, volumes, whole, given.anatomy)
    lacking = leave_out_incomplete(entries, items, given.anatomy) if given.options.all_views else set()
    items = [item for item in items if item["exam"] not in lacking]
    _add_labels(items, exams, given, scan, result)
    if given.anatomy.stack == "sax" and (other := other_organs(exams, whole, items)):
        scan.skipped[finding("image-not-used", kind="organ")] = sorted(other)
        items = [item for item in items if item["image"] not in other]
        volumes, whole = ([volume for volume in each if str(volume.image) not in other] for each in (volumes, whole))
        there = {place.name for place in (*exams, *volumes)}
        entries = {name: entry for name, entry in entries.items() if name in there}
    places = [*exams, *volumes]
    result.unmatched += tables.add_classes(given.class_rows, places, items, scan.folder)
    masked = Counter(item["exam"] for item in items if "label" in item)
    for volume in whole:
        entries[volume.name]["labels"] = masked[volume.name]
    # sections
    sections_of = _divide(places, items, given, scan.folder, result)
    for entry in entries.values():
        entry["section"] = " and ".join(sections_of[entry["patient"]])
    result.places = {
        exam.name: (exam.folder, Path(exam.stacks[0].slices[0].phases[0].path)) for exam in exams if not exam.case
    }
    result.datalist = _datalist(given, entries, items, sections_of)
    result.skipped = {
        reason: (len(paths), paths[0]) for reason, paths in sorted(scan.skipped.items(), key=lambda e: -len(e[1]))
    }
    if not items:
        raise InputError(_nothing_usable(scan, result))
    result.warnings += _of_sections(result, given, len(lacking))
    return result


def _read_and_group(scan: Scan, given: _Given, result: IndexResult) -> tuple[list[Exam], list[Volume], list[Volume]]:
    """All exams, the volumes that are used, and those of them that stay whole."""
    found = _volumes_of(scan, given)
    given.channels = found.channels
    result.unmatched += found.unmatched
    exams, volumes, whole = _place(group_exams(scan.frames, scan.folder), found.volumes, given.anatomy, scan)
    tell_broken(scan, exams)
    return exams, volumes, whole


def _volumes_of(scan: Scan, given: _Given) -> FoundVolumes:
    """The volumes of a folder. Files that are left out are added to ``scan.skipped``."""
    # not Path.resolve, which raises an error for a link to itself
    own_masks = set(map(realpath, given.masks))
    files = [path for path in scan.nifti if realpath(path) not in own_masks]
    if given.of_photographs:
        found = read_photographs(scan.photographs, [given.classes] if given.classes else scan.tables, scan.folder)
        if given.classes and (unused := unused_table(given.classes, found)):
            raise InputError(unused)
    elif given.of_volumes:
        found = read_cases(files, scan.folder, given.channels)
    else:
        found = read_volumes(files, scan.folder, of_one_slice=given.anatomy.one_slice)
    arrays = FoundVolumes([], {mrnet.OTHER_ANATOMY: list(map(str, scan.mrnet))} if scan.mrnet else {})
    if given.anatomy.inputs == "knees":
        arrays = mrnet.read_volumes(scan.mrnet)
    for reason, paths in (*found.skipped.items(), *arrays.skipped.items()):
        scan.skipped.setdefault(reason, []).extend(paths)
    found.volumes += arrays.volumes
    found.unmatched += arrays.unmatched
    return found


def _place(
    exams: list[Exam], volumes: list[Volume], anatomy: Anatomy, scan: Scan
) -> tuple[list[Exam], list[Volume], list[Volume]]:
    """Turn volumes whose slices have known positions into exams. Files that are left out are added to ``scan.skipped``.

    Returns:
        All exams, the volumes that are used, and the used volumes that stay whole.
    """

    def skip(reason: Finding, left_out: Sequence[Volume]) -> None:
        if paths := {str(volume.image): None for volume in left_out}:  # once, although it may have several times
            scan.skipped.setdefault(reason, []).extend(paths)

    if anatomy.whole:
        return one_stack_each(exams), volumes, volumes
    of_view = [volume for volume in volumes if volume.view or anatomy.inputs == "stacks"]
    oriented, lost = ([volume for volume in of_view if volume.oriented == is_so] for is_so in (True, False))
    whole = [volume for volume in volumes if not volume.view]
    if anatomy.inputs == "stacks":
        skip(_UNORIENTED, lost)
        return one_stack_each([*exams, *exams_of_volumes(oriented)]), volumes, lost
    if anatomy.inputs != "views":
        skip(finding("image-not-used", anatomy="cardiac", kind="anatomy"), of_view)
        return exams, whole, whole
    skip(_UNORIENTED, lost)
    whole += [volume for volume in lost if volume.view == anatomy.stack and volume.label is not None]
    return [*exams, *exams_of_volumes(oriented)], [*oriented, *whole], whole


def _add_labels(items: list[dict], exams: Sequence[Exam], given: _Given, scan: Scan, result: IndexResult) -> None:
    """Give the items their masks of ``labels_dir``, and check all masks."""
    result.unmatched += given.wrong_rows
    used, replaced = masks.not_corrected_elsewhere(given.masks)
    made, left_out = masks.of_people(used)
    result.unmatched += masks.add_masks(made, exams, items, scan.folder, given.of_volumes, given.label_map) + replaced
    for item in items if given.label_map is not None else ():
        # with --labels, the mapping is for the masks in that folder, not for those with their data set's label map
        if "label" in item and (not given.options.labels_dir or "label_map" not in item):
            item["label_map"] = given.label_map
    doubts, unusable = masks.check_masks(items, given.label_map, given.anatomy.whole, given.anatomy.stack)
    result.warnings += [*left_out, *doubts]
    result.unmatched += unusable


def _divide(
    places: Sequence[Exam | Volume], items: Sequence[dict], given: _Given, folder: Path, result: IndexResult
) -> dict[str, tuple[str, ...]]:
    """The sections of each patient, by hash. If some patients have masks or grades, the others go into training, because
    validation and test need labels."""
    groups = groups_of(places, items, given.options.stratify)
    options = given.options
    of_key, result.division, unmatched = divide(places, folder, given.fractions, options.seed, given.sections, groups)
    result.unmatched += unmatched
    sections = {place.patient: of_key[place.patient_key] for place in places}
    if given.anatomy.whole and not given.sections:
        labelled = {
            item["patient"] for item in items if ("grade" in item if given.of_photographs else is_labelled(item))
        }
        if labelled and (rest := sections.keys() - labelled):
            sections |= dict.fromkeys(rest, ("training",))
            what = "grade" if given.of_photographs else "mask"
            result.warnings.append(finding("sections-note", count=len(rest), what=what, kind="unlabelled"))
    return sections


def _datalist(
    given: _Given, entries: dict[str, dict], items: Sequence[dict], sections_of: Mapping[str, Sequence[str]]
) -> dict:
    header = {
        "version": VERSION,
        "anatomy": given.options.anatomy,
        "stack": given.anatomy.stack,
        "views": list(given.anatomy.targets),
        "seed": given.options.seed,
    } | ({"channels": list(given.channels)} if given.channels else {})
    datalist: dict = {"planewise": header, **{section: [] for section in SECTIONS}, "exams": entries}
    for item in sorted(items, key=_order):
        for section in sections_of[item["patient"]]:
            datalist[section].append(item)
    return datalist


def _order(item: dict) -> tuple:
    """Sorts items by exam, slice and phase; named phases, ED and ES, in the order of their names."""
    phase = item.get("phase", 0) if "slice" in item else 0
    return item["exam"], item.get("slice", 0), isinstance(phase, str), phase


def _nothing_usable(scan: Scan, result: IndexResult) -> str:
    exams = result.datalist["exams"]
    text = f"there is nothing in {scan.folder} to learn from: {count_of(scan.files, 'file')}, {count_of(len(exams), 'exam')}"
    told = Counter(from_record(record) for exam in exams.values() for record in exam["left_out"])
    refused = {why: count for why, count in told.most_common(5) if why.level == REFUSE}
    reasons = "".join(f"\n  {count_of(count, 'exam')}: {why}" for why, count in refused.items())
    return text + scan.reasons + reasons + "\nIndex knees or photographs with --anatomy knee or --anatomy photograph"


def _of_sections(result: IndexResult, given: _Given, incomplete: int) -> list[Finding]:
    """Warnings about empty sections, and about exams that lack a target view."""
    datalist, main_view, found = result.datalist, given.anatomy.stack, []
    patients = len({item["patient"] for section in SECTIONS for item in datalist[section]})
    asked = dict(zip(SECTIONS, given.fractions or DEFAULT_SPLIT, strict=True))
    empty = [section for section in SECTIONS if not datalist[section] and asked[section] > 0]
    if empty:
        found.append(finding("sections-note", sections=empty, count=patients, kind="empty"))
    if incomplete:
        return [*found, finding("exams-lack", count=incomplete, kind="views")]
    with_stack = [exam for exam in datalist["exams"].values() if main_view in exam["stacks"]]
    for view in given.anatomy.targets:
        if lacking := sum(view not in exam["stacks"] for exam in with_stack):
            found.append(finding("exams-lack", view, count=lacking, of=len(with_stack), stack=main_view, kind="plane"))
    return found
