"""Find inputs for a network at a path that the user gives."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from os.path import relpath
from pathlib import Path
from typing import Any

from planewise.data.datalist import gather_stacks, is_whole_volume, load_datalist
from planewise.data.readable_items import own_name
from planewise.data.select_items import cycle_fraction
from planewise.errors import InputError
from planewise.exams.cases import read_cases
from planewise.exams.input_stacks import InputStack, find_stacks, remarks_of
from planewise.exams.stacks import unequal_counts
from planewise.exams.volumes import NO_IMAGE, PREDICTED_AS_IMAGE, case_and_phase, find_own_volumes, has_frames
from planewise.files.masks import label_values, refuse_mask
from planewise.files.names import common_name, files_below, nifti_files
from planewise.files.nifti import UNREADABLE, is_nifti, open_nifti
from planewise.files.photographs import NO_PHOTOGRAPH, is_photograph, photograph_problem
from planewise.findings import Finding, finding, from_text, said, to_text
from planewise.phases import named_phases, nearest_phase, phase_name, phases_not_used, usual_count
from planewise.preprocessing.exam_name import exam_of, stem
from planewise.words import count_of, some_of

logger = logging.getLogger(__name__)

#: Words in names of NIfTI files, and the views of the heart that they stand for. M&Ms-2 has no long axis but the 4ch view.
_VIEWS = {"sa": "sax", "sax": "sax", "la": "4ch", "4ch": "4ch", "2ch": "2ch", "3ch": "3ch"}
_Items = list[dict[str, Any]]


def find_inputs(
    path: str | Path,
    phases: str = "ed",
    section: str = "test",
    num_exams: int | None = None,
    view: str = "sax",
    contrast: str | None = None,
    left_out: list[InputStack] | None = None,
    skipped: dict[Finding, int] | None = None,
) -> _Items:
    """Find items for `planewise.preprocessing.LoadStackd` at a path.

    Args:
        path: a volume (NIfTI, ``.npy``); a folder of volumes, in which masks (``*_gt``, ``*_seg``, or files with only a few
            whole numbers) are ignored; a DICOM file or folder, in which the indexer finds the stacks; or a datalist.
        phases: phases of a cine: ``"ed"`` for the first phase of each slice, ``"all"`` for every phase.
        section: section of a datalist; ``"all"`` for every exam.
        num_exams: maximum number of exams, each with all its phases and stacks; None takes all.
        view, contrast, left_out, skipped: see `planewise.exams.find_stacks`. Without ``left_out``, remarks on the inputs are
            also logged.

    Returns:
        ``{"image": path}`` for a volume, with ``time`` and ``phase`` for a frame of a cine with four axes;
        ``{"image": slices, "exam": hash, ...}`` for a stack of DICOM files, with what was found out about it
        (`planewise.exams.input_stacks.remarks_of`).

    Raises:
        InputError: the path does not exist, is a mask, or contains nothing that can be used.
    """
    given = _at(path, "a volume, a folder of DICOM files")
    if given.suffix == ".json":
        found = _from_datalist(_section(given, section), phases)
    else:
        found = _from_files(given, phases, view)
        if found is None:  # DICOM comes last, because it requires reading the headers of a whole tree
            found = _from_stacks(find_stacks(given, view, phases, contrast, left_out, skipped), left_out is None)
    found = _first_exams(found, num_exams)
    # callers that pass left_out show the remarks themselves
    told = ((item, each) for item in found if left_out is None for each in from_text(item.get("findings", "[]")))
    for remark in dict.fromkeys(f"remark on exam {exam_of(item)}{own_name(item)}: {each}" for item, each in told):
        logger.warning("%s", remark)
    return found


def find_photographs(path: str | Path, section: str = "test", num_exams: int | None = None) -> _Items:
    """Find items for `planewise.preprocessing.LoadPhotographd` at a path.

    Args:
        path: a photograph; a folder of photographs, whose other files are left out and, except tables, logged; or a datalist.
        section: section of a datalist.
        num_exams: maximum number of photographs; None takes all.

    Returns:
        For each photograph ``{"image": path}``; those of a folder also have the file's stem as ``exam``, and items of a
        datalist keep their other keys.

    Raises:
        InputError: the path does not exist, or contains no photograph, or several with one name.
    """
    given = _at(path, "a photograph, a folder of photographs")
    return _first_exams(_section(given, section) if given.suffix == ".json" else _photographs_in(given), num_exams)


def find_volumes(
    path: str | Path, section: str = "test", num_exams: int | None = None, channels: Sequence[str] = ()
) -> _Items:
    """Find items for `planewise.preprocessing.LoadVolumed` at a path.

    Args:
        path: a NIfTI volume; a folder of volumes, or of cases with one file per channel, as for `planewise index --anatomy
            volume`; a folder of DICOM series without NIfTI files, each of which is a case; a photograph, or a folder of
            photographs without volumes; or a datalist.
        section: section of a datalist; ``"all"`` for every exam.
        num_exams: maximum number of exams, each with all its phases; None takes all.
        channels: endings of a case's file names, in order; empty if a case is a single file.

    Returns:
        Items whose ``image`` is a path, a list of paths (one per channel), or a list of slices. A stack of slices has
        its hash under ``exam``. Items of a datalist keep their other keys. The log names the files that are left
        out.

    Raises:
        InputError: the path does not exist, is a mask, contains no volume, or contains inputs of the same name.
    """
    given = _at(path, "a volume, a folder of volumes")
    of_datalist = given.suffix == ".json"
    return _first_exams(
        gather_stacks(_section(given, section)) if of_datalist else _volumes_in(given, channels), num_exams
    )


def _at(path: str | Path, wanted: str) -> Path:
    path = Path(path).expanduser().resolve()
    if not path.exists():
        raise InputError(f"there is no {path}; name {wanted} or a datalist with --input")
    return path


def _section(path: Path, section: str) -> _Items:
    """The items of a section of a datalist."""
    if not (found := load_datalist(path, section)):
        raise InputError(f"section {section} of {path} is empty; name another section with --section")
    return found


def _first_exams(found: _Items, num_exams: int | None) -> _Items:
    """All inputs of the first exams. Frames of a file, and files whose names differ only in the phase, are of one exam."""
    exam_of_each = [*map(_exam, found)]
    exams = list(dict.fromkeys(exam_of_each))
    if num_exams is None or len(exams) <= num_exams:
        return found
    logger.info("--num_exams %d: the first %d of %d exams are used", num_exams, num_exams, len(exams))
    first = {*exams[:num_exams]}
    return [item for item, exam in zip(found, exam_of_each, strict=True) if exam in first]


def _exam(item: Mapping[str, Any]) -> Hashable:
    image = item["image"]
    if item.get("exam") or not isinstance(image, str):
        return item.get("exam") or str(image)
    return Path(image).parent, case_and_phase(stem(Path(image)))[0]


def _from_datalist(items: _Items, phases: str) -> _Items:
    stacks: dict[tuple, dict[Any, _Items]] = defaultdict(lambda: defaultdict(list))
    volumes = []
    for item in items:
        if "affine" in item:
            stacks[exam_of(item), item.get("stack")][item.get("slice", -1)].append(item)
        else:
            volumes.append(item)
    for (exam, _), slices in stacks.items():
        # items that name no phase, or one phase twice, keep their order
        ordered = [sorted(slices[key], key=cycle_fraction) for key in sorted(slices)]
        times = [[cycle_fraction(item) for item in entries] for entries in ordered]
        usual = usual_count(map(len, ordered))
        count = usual if phases == "all" else 1
        # the phases of most slices, because a slice may lack its first one
        cycle = [
            Counter(column).most_common(1)[0][0] for column in zip(*(t for t in times if len(t) == usual), strict=True)
        ]
        known = len({*cycle}) == usual
        notes = _findings([*phases_not_used(count), *unequal_counts([len(entries) for entries in ordered])])
        for phase in named_phases(count):
            name = {"phase": phase_name(cycle[phase] if known else phase / usual)} if count > 1 else {}
            # as in `find_stacks`, a slice that lacks a phase contributes its nearest one
            image = [
                entries[phase if not known and len(entries) == usual else nearest_phase(own, cycle[phase])]
                for entries, own in zip(ordered, times, strict=True)
            ]
            volumes.append({"image": image, "exam": exam, **name, **notes})
    return volumes


def _findings(found: list[Finding]) -> dict[str, str]:
    """Findings as a key of an input; empty if there are none."""
    return {"findings": to_text(found)} if found else {}


def _from_files(path: Path, phases: str, view: str) -> _Items | None:
    """The items of a volume, or of the volumes of a folder; None if there are none."""
    if is_whole_volume(path):
        return _frames(_no_mask(path), phases)
    # MRNet has a folder of arrays for each view
    for folder in (path, path / view):
        files = sorted(entry for entry in (folder.iterdir() if folder.is_dir() else ()) if is_whole_volume(entry))
        files = [file for file in files if not file.name.startswith(".")]
        if files:
            refuse_one_name(map(stem, files))
            others = [file for file in files if _is_of_other_view(file, view)]
            if len(others) == len(files):
                raise InputError(f"{path} has no image of the view {view}: its files are named like other views")
            if others:
                names = some_of([file.name for file in others])
                logger.warning("left out, because they are named like another view than %s: %s", view, names)
            images = _without_masks([file for file in files if file not in others])
            return [item for image in images for item in _frames(image, phases)]
    return None


def _is_of_other_view(path: Path, view: str) -> bool:
    """Whether a file's name states one view of a heart (``la_4ch_ED`` of UK Biobank, ``001_SA_ED`` of M&Ms-2) but another one
    is requested."""
    words = re.split(r"[^a-z0-9]+", stem(path).lower())
    named = {_VIEWS[word] for word in words if word in _VIEWS and not (word == "la" and {"2ch", "3ch"} & set(words))}
    return view in _VIEWS.values() and len(named) == 1 and view not in named


def _from_stacks(stacks: list[InputStack], warn: bool) -> _Items:
    several = Counter(stack.exam for stack in stacks)
    items = []
    for stack in stacks:
        # as in a datalist, each slice has the planes of the exam's other views
        slices = [{**entry, "planes": stack.planes} for entry in stack.slices]
        name = {"phase": phase_name(stack.phase)} if several[stack.exam] > 1 else {}
        items.append({"image": slices, "exam": stack.exam, "views": stack.views, **remarks_of(stack), **name})
        if stack.why_not and warn:
            why = said(stack.why_not)
            logger.warning("exam %s: %s. It is processed anyway: look at the images first", stack.exam, why)
    return items


def refuse_one_name(names: Iterable[str], anatomy: str = "") -> None:
    """Raise `InputError` if the results of two inputs would have the same name, as for ``a.nii`` and ``a.nii.gz``.

    Args:
        names: the names of the results.
        anatomy: the anatomy with which `planewise index` gives each input a name of its own; empty if there is none.
    """
    name, count = Counter(names).most_common(1)[0]
    index = f"planewise index FOLDER --anatomy {anatomy} -o list.json"
    cure = f", or index the folder (`{index}`) and name its list (--input list.json --section all)" if anatomy else ""
    if count > 1:
        raise InputError(
            f"{count} inputs share the name {name} (with different endings or in different folders), so their results "
            f"would have the same name, too; keep only one of them{cure}"
        )


def _no_mask(path: Path) -> Path:
    if is_nifti(path):
        refuse_mask(path)
    return path


def _without_masks(files: list[Path]) -> list[Path]:
    """Select the images among the volumes of a folder by their names and, because a mask may have any name, by their values.
    A cine whose frames are also files is left out, as by the indexer."""
    nifti = [file for file in files if not file.name.endswith(".npy")]
    images = {volume.image: volume for volume in find_own_volumes(nifti, defaultdict(list))}
    kept = [file for file in files if file in images or file not in nifti]
    if not kept:
        raise InputError(
            f"{files[0].parent} contains files with the names of masks ({files[0].name}), but no image; name the "
            "folder of the images, or one file"
        )
    cines = [file for file in images if _count_frames(file) > 1 and has_frames(images[file], images.values())]
    for file in cines:
        logger.warning("left out, because its frames are files of their own: %s", file.name)
    return _without_label_maps([file for file in kept if file not in cines])


def _without_label_maps(files: list[Path]) -> list[Path]:
    """The files that are not masks by their values; the others are logged."""
    labels = [file for file in files if is_nifti(file) and label_values(file)]
    if labels and len(labels) == len(files):
        refuse_mask(labels[0])
    if labels:
        count, example = count_of(len(labels), "file"), labels[0].name
        logger.warning("left out as masks, because they have only a few whole numbers: %s, such as %s", count, example)
    return [file for file in files if file not in labels]


def _frames(path: Path, phases: str) -> _Items:
    """The items of a volume, or of the frames of a cine with four axes. Such a file has no times, so its frames count as one
    heartbeat, evenly spaced, that begins at end-diastole."""
    count = _count_frames(path)
    if count == 1:
        return [{"image": str(path)}]
    if phases != "all":
        return [{"image": str(path), "time": 0}]
    notes = _findings(phases_not_used(count))
    return [
        {"image": str(path), "time": time, "phase": phase_name(time / count), **notes} for time in named_phases(count)
    ]


def _count_frames(path: Path) -> int:
    """The number of times of a cine with four axes; 1 for any other volume."""
    if is_nifti(path):
        with suppress(*UNREADABLE):  # `LoadStackd` reports it
            return (*open_nifti(path).shape[3:], 1)[0]
    return 1


def _photographs_in(path: Path) -> _Items:
    if path.is_file():
        return [{"image": str(path)}]
    found: dict[Finding | None, list[Path]] = defaultdict(list)
    for file in sorted(map(Path, files_below(path))):
        if file.name[0] != "." and file.suffix.lower() != ".csv" and file.is_file():
            found[photograph_problem(file) if is_photograph(file) else NO_PHOTOGRAPH].append(file)
    files = found.pop(None, [])
    if not files:
        reasons = said(found) or "no PNG or JPEG file"
        raise InputError(f"there is no photograph to use in {path}: {reasons}; name one, or a datalist, with --input")
    refuse_one_name(map(stem, files), "photograph")
    _log(found, path)
    return [{"image": str(file), "exam": file.stem} for file in files]


def _log(left_out: Mapping[Any, Iterable[str | Path]], folder: Path) -> None:
    for reason, files in left_out.items():
        names = [relpath(file, folder) for file in files]
        logger.warning("left out: %s (%d: %s)", reason, len(names), some_of(names))


def _volumes_in(path: Path, channels: Sequence[str]) -> _Items:
    if path.is_file():
        return [{"image": str(_no_mask(path))}]
    below = [Path(file) for file in files_below(path)]
    files = nifti_files(below)
    if not files and any(map(is_photograph, below)):
        return _photographs_in(path)
    if not files and not channels:
        return _volumes_of_series(path)
    found = read_cases(files, path, channels)
    if not found.volumes:
        reasons = "; ".join(f"{reason} ({len(paths)})" for reason, paths in found.skipped.items())
        single = ", or set --channels '[]' if each case is a single file" if channels else ""
        raise InputError(
            f"there is no volume to use in {path}: {reasons or finding('no-nifti')}; name one, or a datalist, with "
            f"--input{single}"
        )
    of_masks = {reason for reason in found.skipped if reason.subject == "mask"} | {NO_IMAGE, PREDICTED_AS_IMAGE}
    _log({reason: paths for reason, paths in found.skipped.items() if reason not in of_masks}, path)
    if not channels:
        images = set(_without_label_maps([case.image for case in found.volumes]))
        found.volumes = [case for case in found.volumes if case.image in images]
    refuse_one_name(
        [common_name(case.channels) if case.channels else stem(case.image) for case in found.volumes], "volume"
    )
    return [{"image": [str(file) for file in case.channels] or str(case.image)} for case in found.volumes]


def _volumes_of_series(path: Path) -> _Items:
    """An item for each stack that is a volume."""
    try:
        stacks = find_stacks(path, "volume")
    except InputError as error:
        raise InputError(f"there is no NIfTI file in {path}, and {error}") from None
    if stacks[0].why_not:
        raise InputError(f"there is no volume to use in {path}: {said(stacks[0].why_not)}")
    return [{"image": stack.slices, "exam": stack.exam} for stack in stacks]
