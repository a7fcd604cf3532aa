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
from planewise.exams.anatomies import choose_anatomy, prepare, seen_from
from planewise.exams.anatomy import Anatomy
from planewise.exams.any_organ import one_stack_each, suits
from planewise.exams.broken_files import BrokenExam, assign_broken
from planewise.exams.cardiac_views import KNEE
from planewise.exams.cases import read_cases
from planewise.exams.copies import join_copies
from planewise.exams.datalist import own_places, write_datalist
from planewise.exams.division import (
    DEFAULT_SPLIT,
    DIVISIONS,
    TESTING,
    Division,
    check_fractions,
    divide,
    divided_by_folders,
    groups_of,
    leave_out_testing,
    read_sections,
)
from planewise.exams.exam import Exam
from planewise.exams.grouping import group_exams
from planewise.exams.index_items import add_volumes_own, entries_of, leave_out_incomplete, leave_out_other_organs
from planewise.exams.index_masks import MaskChecks
from planewise.exams.overrules import apply_overrules, read_overrules
from planewise.exams.photographs import read_grade_table, read_photographs, unused_table
from planewise.exams.refusals import NOT_DICOM
from planewise.exams.scan import Scan, scan_folder
from planewise.exams.volume import FoundVolumes, Volume
from planewise.exams.volume_stacks import exams_of_volumes
from planewise.exams.volumes import mask_as_image, read_volumes
from planewise.files.datalists import SECTIONS, is_labelled
from planewise.files.identity import hashed, load_salt
from planewise.files.names import check_channels
from planewise.files.photographs import ENDINGS
from planewise.findings import REFUSE, Finding, finding, from_record
from planewise.words import count_of

VERSION = 1


@dataclass
class IndexResult:
    """The result of `index_folder`."""

    datalist: dict
    """In the form of tools/docs/datalist.md, with absolute paths; `write_datalist` makes them relative."""
    skipped: dict[Finding, tuple[int, str]] = field(default_factory=dict)
    """Maps each reason to the number of files left out for it, and the path of one of them."""
    warnings: list[Finding] = field(default_factory=list)
    """What a person should read before training."""
    unmatched: list[tuple[str, Finding]] = field(default_factory=list)
    """Labels and names that match no exam or contradict each other, each with the reason."""
    masks: set[str] = field(default_factory=set)
    """Paths of the masks in ``labels_dir``."""
    by_grid: dict[str, str] = field(default_factory=dict)
    """Maps the file name of each mask that was matched by its grid alone to its exam."""
    division: Finding | None = None
    """The rule for the sections."""
    by_hash: bool = False
    """Whether a hash alone assigned the patients to the sections."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Maps the hash of each DICOM exam to its folder, or to one of its images (`own_places`); private, like the datalist."""
    files: int = 0
    seconds: float = 0.0
    """Time spent on reading headers, s."""

    @property
    def items(self) -> int:
        return sum(len(self.datalist[section]) for section in SECTIONS)

    def write(self, path: str | Path) -> Path:
        """Write the datalist, and the table of folders next to it; returns its path.

        Raises:
            InputError: a file cannot be written there.
        """
        return write_datalist(self.datalist, Path(path), self.folders)


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """What a person can choose about an index.

    Raises:
        InputError: an option is unknown, contradicts another, or names a file that cannot be used.
    """

    anatomy: str = "cardiac"
    """views to look for: a name in `anatomies.ANATOMIES`, ``"cardiac"`` or ``"knee"``; ``"any"`` takes every stack, of any
    organ, as an exam of its own, ``"volume"`` takes whole volumes (`planewise.exams.cases`), and ``"photograph"`` takes
    photographs (`planewise.exams.photographs`)"""
    view: str | None = None
    """part of a heart to learn from: ``"sax"``, the default, or ``"4ch"``"""
    contrast: str | None = None
    """contrast of a knee's sagittal stack: ``"t2fs"``, the default, or ``"any"``"""
    channels: str | Sequence[str] | None = None
    """file-name endings of one case's channels, ``"t1,t1ce,t2,flair"`` or a list, for whole volumes; None for BraTS' or
    nnU-Net's channels if a case has them, otherwise one file per case"""
    seed: int = 0
    """seed of the split"""
    split: Sequence[float] | None = None
    """shares of training, validation and test; if given, a hash divides the patients. The default is 0.8 0.1 0.1, and 0.64
    0.16 0.2 for exams with disease groups (ACDC) or labels (MRNet), stratified by group or labels"""
    stratify: str | None = None
    """the class, such as a column of ``classes``, by which the hash stratifies the sections; None for the data set's own
    groups"""
    division: str = "auto"
    """``"auto"`` for the folders of DSBCC, ACDC and nnU-Net if they define sections (`exams.division`), otherwise a hash of
    the patient; ``"hash"`` always uses the hash, and ``"folders"`` always the folders"""
    sections: str | Path | None = None
    """CSV that assigns exams or folders to sections; exams that it does not name are assigned by the hash"""
    all_views: bool = False
    """leave out exams whose stack lacks the plane of a target view, so that all pretexts see the same cohort"""
    views: str | Path | None = None
    """YAML that overrides the recognition: it maps exams (hash or folder) to {view: file, folder, stack name or none}"""
    labels_dir: str | Path | None = None
    """folder of NIfTI masks for the exams"""
    classes: str | Path | None = None
    """CSV of classes, one row per exam"""
    label_map: str | Path | Mapping[int, int] | None = None
    """renames mask values: ``{1: 3}``, or a YAML file with such lines. With ``labels_dir``, it does not apply to the masks
    that M&Ms-2 and UK Biobank have next to their images"""


class _Given:
    """The options with the content of the files that they name."""

    def __init__(self, options: IndexOptions) -> None:
        self.options = options
        self.sought = choose_anatomy(options.anatomy, options.contrast)
        self.learned = seen_from(self.sought, options.view)
        if options.channels is not None and self.sought.inputs != "volumes":
            raise InputError("--channels is only for whole volumes; add --anatomy volume, or leave --channels out")
        self.channels = check_channels(options.channels) if options.channels is not None else ()
        self.fractions = None if options.split is None else check_fractions(options.split)
        if options.division not in DIVISIONS:
            raise InputError(f"division {options.division!r} is not known; choose one of {', '.join(DIVISIONS)}")
        if options.division == "folders" and (self.fractions or options.sections):
            raise InputError("--division folders cannot be combined with --split or --sections; leave one of them out")
        self.sections = read_sections(_path(options.sections)) if options.sections else {}
        self.overrules = read_overrules(_path(options.views), self.sought) if options.views else {}
        self.tables: list[Path] = []
        self.class_rows: dict[str, dict] = {}
        self.wrong_rows: list[tuple[str, Finding]] = []
        if options.classes and self.of_photographs:  # photographs have their own rules for tables
            self.tables = [read_grade_table(_path(options.classes))]
        elif options.classes:
            self.class_rows, self.wrong_rows = tables.read_classes(_path(options.classes))
        self.label_map = None if options.label_map is None else tables.read_label_map(options.label_map)
        self.labels_dir = _path(options.labels_dir) if options.labels_dir else None
        self.followed: dict[str, set[str]] = {}  # the data sets whose folders define the sections
        self.masks = [] if self.labels_dir is None else masks.mask_files(self.labels_dir)

    @property
    def of_photographs(self) -> bool:
        return self.sought.inputs == "photographs"

    @property
    def of_volumes(self) -> bool:
        return self.sought.inputs == "volumes"


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
    scan = scan_folder(folder, workers, progress, given.of_photographs, given.sought.modalities)
    result = IndexResult(datalist={}, files=scan.files, seconds=scan.seconds)
    exams, volumes, whole, broken = _read_and_group(scan, given, result)
    places = [*exams, *volumes]
    for place in places:
        place.name, place.patient = hashed(place.key, salt), hashed(place.patient_key, salt)
    _recognise(exams, given, scan.folder)
    entries, items = entries_of(exams, whole, given.learned)
    add_volumes_own(items, volumes)
    lacking = leave_out_incomplete(entries, items, given.learned) if given.options.all_views else set()
    items = [item for item in items if item["exam"] not in lacking]
    _add_labels(items, exams, given, scan, result)
    if given.learned.inputs == "views" and given.learned.stack == "sax":
        other = leave_out_other_organs(exams, whole, items)
        scan.skipped |= {finding("image-not-used", kind="organ"): sorted(other)} if other else {}
        items = [item for item in items if item["image"] not in other]
        whole = [volume for volume in whole if str(volume.image) not in other]
        places = [place for place in places if not (isinstance(place, Volume) and str(place.image) in other)]
        there = {place.name for place in places}
        entries = {name: entry for name, entry in entries.items() if name in there}
    MaskChecks(items, result).warn_of_two_origins()
    _add_classes(items, places, given, scan.folder, result)
    masked = Counter(item["exam"] for item in items if "label" in item)
    for volume in whole:
        entries[volume.name]["labels"] = masked[volume.name]
    _add_aliases(entries, [*exams, *whole], salt)
    divided = _divide(places, items, given, scan.folder, result)
    sections_of = {place.patient: divided.sections[place.patient_key] for place in places}
    entries = {
        name: entry | {"section": " and ".join(sections_of[entry["patient"]])} for name, entry in entries.items()
    }
    found_in = {
        exam.name: (exam.folder, Path(exam.stacks[0].slices[0].phases[0].path)) for exam in exams if not exam.case
    }
    for one in broken:
        name = hashed(one.key, salt)
        entries[name] = {"patient": name, "stacks": {}, "left_out": [one.why.record()], "section": ""}
        found_in[name] = one.folder, Path(one.paths[0])
    result.folders = own_places(found_in)
    result.datalist = _datalist(given, entries, items, sections_of)
    result.skipped = {
        reason: (len(paths), paths[0]) for reason, paths in sorted(scan.skipped.items(), key=lambda e: -len(e[1]))
    }
    if not items:
        raise InputError(_nothing_usable(scan, result))
    result.warnings += [*divided.warnings, *_of_sections(result, given, divided, len(lacking))]
    return result


# --- read and group -------------------------------------------------------------------------------------------------------


def _read_and_group(
    scan: Scan, given: _Given, result: IndexResult
) -> tuple[list[Exam], list[Volume], list[Volume], list[BrokenExam]]:
    """All exams, the volumes that are used, those of them that stay whole, and exams of which only broken files are left."""
    exams = group_exams(scan.frames, scan.folder)
    found = _volumes_of(scan, given)
    given.channels = found.channels
    result.unmatched += found.unmatched
    result.warnings += found.warnings
    for table in given.tables:
        if unused := unused_table(table, found):
            raise InputError(unused)
    volumes = found.volumes
    by_list = given.fractions or given.sections
    given.followed = divided_by_folders([*exams, *volumes], scan.folder, "hash" if by_list else given.options.division)
    if not given.followed and not given.sections and (testing := leave_out_testing(volumes, scan.folder)):
        scan.skipped.setdefault(TESTING, []).extend(str(volume.image) for volume in testing)
        volumes = [volume for volume in volumes if volume not in testing]
    exams, volumes, whole = _place(exams, volumes, given.learned, scan)
    _refuse_channels_of_series(exams, given, scan)
    if given.of_photographs:  # they have their own rule for copies
        return exams, volumes, whole, []
    broken = assign_broken(scan, exams)
    result.warnings += join_copies([*exams, *volumes])
    return exams, volumes, whole, broken


def _volumes_of(scan: Scan, given: _Given) -> FoundVolumes:
    """The volumes of a folder. Files that are left out are added to ``scan.skipped``."""
    inputs = given.sought.inputs
    if given.of_photographs:
        found = [read_photographs(scan.photographs, given.tables or scan.tables, scan.folder)]
    else:
        # not Path.resolve, which raises an error for a link to itself
        own_masks = set(map(realpath, given.masks))
        files = [path for path in scan.nifti if realpath(path) not in own_masks]
        if given.of_volumes:
            cases = read_cases(files, scan.folder, given.channels)
            for reason, case in [(reason, case) for case in cases.volumes if (reason := mask_as_image(case))]:
                cases.volumes.remove(case)
                cases.skipped.setdefault(reason, []).append(str(case.image))
            found = [cases]
        else:
            found = [read_volumes(files, scan.folder, of_one_slice=given.learned.one_slice)]
    if inputs == "knees":
        found.append(mrnet.read_volumes(scan.mrnet, scan.folder))
    elif scan.mrnet:
        found.append(FoundVolumes([], {mrnet.OTHER_ANATOMY: list(map(str, scan.mrnet))}))
    for reason, paths in (entry for each in found for entry in each.skipped.items()):
        scan.skipped.setdefault(reason, []).extend(paths)
    volumes = [volume for each in found for volume in each.volumes]
    unmatched = [error for each in found for error in each.unmatched]
    return FoundVolumes(volumes, {}, unmatched, found[0].channels, [note for each in found for note in each.warnings])


def _place(
    exams: list[Exam], volumes: list[Volume], anatomy: Anatomy, scan: Scan
) -> tuple[list[Exam], list[Volume], list[Volume]]:
    """Turn volumes whose slices have known positions into exams. Files that are left out are added to ``scan.skipped``.

    Returns:
        All exams, the volumes that are used, and the used volumes that stay whole.
    """

    def skip(reason: Finding, volume: Volume) -> None:
        paths = scan.skipped.setdefault(reason, [])
        paths += [str(volume.image)] if str(volume.image) not in paths else []

    if anatomy.whole:
        return one_stack_each(exams), volumes, volumes
    if anatomy.inputs == "stacks":
        whole = [volume for volume in volumes if not volume.oriented]
        for volume in whole:
            skip(finding("image-not-used", kind="whole"), volume)
        oriented = [volume for volume in volumes if volume.oriented]
        return one_stack_each([*exams, *exams_of_volumes(oriented)]), volumes, whole
    whole = [volume for volume in volumes if not volume.view]
    if anatomy.inputs != "views":
        for volume in volumes:
            if volume.view:
                skip(finding("image-not-used", anatomy="cardiac", kind="anatomy"), volume)
        return exams, whole, whole
    for volume in volumes:
        if volume.view and not volume.oriented:
            kept = volume.view == anatomy.stack and volume.label is not None
            whole += [volume] if kept else []
            skip(finding("image-not-used", volume.view, kind="labels" if kept else "unused"), volume)
    named = [volume for volume in volumes if volume.view and volume.oriented]
    return [*exams, *exams_of_volumes(named)], [*named, *whole], whole


def _refuse_channels_of_series(exams: Sequence[Exam], given: _Given, scan: Scan) -> None:
    """Raises `InputError` if one datalist would mix cases of named channels and DICOM series."""
    series = sum(suits(stack) for exam in exams for stack in exam.stacks)
    if given.channels and series:
        way = "leave --channels out" if given.options.channels is not None else "index each folder alone"
        raise InputError(
            f"{scan.folder} contains DICOM series ({series}), each a case of one channel, while {', '.join(given.channels)}"
            " are channels of NIfTI files; convert the series to NIfTI (dcm2niix), with one file for each channel and "
            f"all files on one grid, or {way}"
        )


# --- recognise ------------------------------------------------------------------------------------------------------------


def _recognise(exams: Sequence[Exam], given: _Given, folder: Path) -> None:
    """Find each exam's stack and views, or take those that a person chose."""
    for exam in exams:
        exam.stacks = prepare(exam.stacks, given.sought)
        exam.found = given.sought.recognise(exam.stacks)
    apply_overrules(given.overrules, exams, given.sought, folder)
    if given.learned.seen_from is not None:
        for exam in exams:
            exam.found = given.learned.seen_from(exam.stacks, exam.found)


# --- labels ---------------------------------------------------------------------------------------------------------------


def _add_labels(items: list[dict], exams: Sequence[Exam], given: _Given, scan: Scan, result: IndexResult) -> None:
    """Give the items their masks of ``labels_dir``, and check all masks."""
    result.unmatched += given.wrong_rows
    checks = MaskChecks(items, result)
    used, replaced = masks.not_corrected_elsewhere(given.masks)
    not_used, result.by_grid = masks.add_masks(
        checks.of_people(used), exams, items, given.class_rows, scan.folder, given.of_volumes, given.label_map
    )
    result.unmatched += [*not_used, *replaced]
    result.masks = {str(path) for path in given.masks}
    for item in items if given.label_map is not None else ():
        # with --labels, the mapping is for the masks in that folder, not for those with their data set's label map
        if "label" in item and (given.labels_dir is None or "label_map" not in item):
            item["label_map"] = given.label_map
    if given.label_map is not None and given.of_volumes:
        checks.leave_out_unusable(given.label_map)
    checks.leave_out(masks.ignored_masks(items))
    checks.mark_predicted()
    if not given.of_volumes and not given.of_photographs:
        checks.check_values(given.learned.stack)


def _add_classes(
    items: list[dict], places: Sequence[Exam | Volume], given: _Given, folder: Path, result: IndexResult
) -> None:
    result.unmatched += tables.add_classes(given.class_rows, places, items, folder)
    names = {name for row in given.class_rows.values() for name in row}
    lacking = {item["exam"] for item in items if not names & item.keys()}
    if given.class_rows and lacking:
        result.warnings.append(finding("exams-lack", count=len(lacking), kind="class"))


def _add_aliases(entries: dict[str, dict], places: Sequence[Exam | Volume], salt: bytes) -> None:
    """The hashes of other names of an exam's patient."""
    for place in places:
        others = {*place.aliases} - {place.patient_key}
        if others and place.name in entries:
            entries[place.name]["aliases"] = sorted(hashed(key, salt) for key in others)


# --- sections -------------------------------------------------------------------------------------------------------------


def _divide(
    places: Sequence[Exam | Volume], items: Sequence[dict], given: _Given, folder: Path, result: IndexResult
) -> Division:
    """The sections of all patients. If some patients have masks or grades, the others go into training, because validation
    and test need labels."""
    groups = groups_of(places, items, given.options.stratify)
    divided = divide(places, folder, given.fractions, given.options.seed, given.followed, given.sections, groups)
    if given.sought.whole and not given.sections:
        labelled = {
            item["patient"] for item in items if ("grade" in item if given.of_photographs else is_labelled(item))
        }
        rest = {place.patient_key for place in places if place.patient not in labelled} - divided.of_nnunet
        if labelled and rest:
            divided.sections |= dict.fromkeys(rest, ("training",))
            what = "grade" if given.of_photographs else "mask"
            divided.warnings.append(finding("sections-note", count=len(rest), what=what, kind="unlabelled"))
    result.division, result.by_hash = divided.rule, divided.by_hash
    result.unmatched += divided.unmatched
    return divided


def _datalist(
    given: _Given, entries: dict[str, dict], items: Sequence[dict], sections_of: Mapping[str, Sequence[str]]
) -> dict:
    header = {
        "version": VERSION,
        "anatomy": given.options.anatomy,
        "stack": given.learned.stack,
        "views": list(given.learned.targets),
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


# --- what a person should know --------------------------------------------------------------------------------------------


def _nothing_usable(scan: Scan, result: IndexResult) -> str:
    exams = result.datalist["exams"]
    text = f"there is nothing in {scan.folder} to learn from: {count_of(scan.files, 'file')}, {count_of(len(exams), 'exam')}"
    told = Counter(from_record(record) for exam in exams.values() for record in exam["left_out"])
    whys = {why: count for why, count in told.most_common() if why.level == REFUSE}
    reasons = "".join(f"\n  {count_of(count, 'exam')}: {why}" for why, count in list(whys.items())[:5])
    hint = "\nIndex knees with --anatomy knee" if finding("series-of-organ", organ=KNEE) in whys else ""
    if NOT_DICOM in scan.skipped and any(path.suffix.lower() in ENDINGS for path in scan.folder.rglob("*")):
        hint += "\nIndex photographs with --anatomy photograph"
    return text + scan.reasons + reasons + hint


def _of_sections(result: IndexResult, given: _Given, divided: Division, incomplete: int) -> list[Finding]:
    """Warnings about empty sections, and about exams that lack a target view."""
    datalist, main_view, found = result.datalist, given.learned.stack, []
    patients = len({item["patient"] for section in SECTIONS for item in datalist[section]})
    asked = dict(zip(SECTIONS, given.fractions or DEFAULT_SPLIT, strict=True))
    empty = [section for section in SECTIONS if not datalist[section] and asked[section] > 0]
    if empty:
        kind = "few" if patients < len(SECTIONS) else "hash" if divided.by_hash else "rule"
        found.append(
            finding("sections-note", sections=empty, count=patients, kind="training" if "training" in empty else kind)
        )
    if incomplete:
        return [*found, finding("exams-lack", count=incomplete, kind="views")]
    with_stack = [exam for exam in datalist["exams"].values() if main_view in exam["stacks"]]
    for view in given.learned.targets:
        if lacking := sum(view not in exam["stacks"] for exam in with_stack):
            found.append(finding("exams-lack", view, count=lacking, of=len(with_stack), stack=main_view, kind="plane"))
    return found
