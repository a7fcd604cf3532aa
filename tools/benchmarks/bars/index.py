"""Speed of indexing a folder: reading headers, compared with a pydicom loop and for several numbers of processes.

The files are phantom exams in DSBCC's layout. They are read repeatedly, so that they come from memory and not from a disk.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pydicom
from planewise.cores import own_cores
from planewise.exams.scan import scan_folder
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from timing import Bar, Options, interleaved, ratio

DEVICES = ("cpu",)
#: Number of headers that several processes read; the comparison with the plain loop reads a quarter of them.
FILES = 10_000
#: Tags that determine a slice's position, series and view.
TAGS = (
    "Modality", "ImageType", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID",
    "SeriesDescription", "ProtocolName", "SeriesNumber", "InstanceNumber", "AcquisitionTime", "ScanningSequence",
    "SequenceVariant", "EchoTime", "RepetitionTime", "TriggerTime", "CardiacNumberOfImages", "NominalInterval",
    "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
)  # fmt: skip


def measure(options: Options) -> list[Bar]:
    """Measure headers per second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        list(write_exams(Recipe("dsbcc", 3, UNLABELLED.at_size("demo")), folder / "exam", 1))
        few, many = folder / "few", folder / "many"
        count = _repeat(folder / "exam", few, 100 if options.quick else FILES // 4)
        count_of_many = _repeat(folder / "exam", many, 100 if options.quick else FILES)
        some = options.fewer(3)
        one = interleaved({"ours": lambda: scan_folder(few), "plain": lambda: _plain(few)}, some, warmup=1)
        cores = own_cores()
        candidates = {n: lambda n=n: scan_folder(many, workers=n) for n in sorted({1, 2, cores})}
        several = interleaved(candidates, some, warmup=0)
    note = f"{count} files; ours {count / one['ours'].least:,.0f} headers/s, theirs {count / one['plain'].least:,.0f}"
    bars = [Bar("index / pydicom with specific_tags", *ratio(one, "ours", "plain"), limit=1.0, note=note)]
    note = f"{count_of_many} files, including the start of the processes; {cores} cores"
    for number, times in several.items():
        name = f"headers read by {number} process{'es' * (number > 1)}"
        rates = count_of_many / times.least, count_of_many / times.median
        bars.append(Bar(name, *rates, unit="a second", note=note))
    return bars


def _plain(folder: Path) -> list[list[Any]]:
    """Read headers with the obvious loop over files, and no more of them than is needed."""
    rows = []
    for root, _, names in os.walk(folder):
        for name in names:
            dataset = pydicom.dcmread(os.path.join(root, name), stop_before_pixels=True, specific_tags=[*TAGS])
            rows.append([dataset.get(tag) for tag in TAGS])
    return rows


def _repeat(exam: Path, tree: Path, count: int) -> int:
    """Link an exam's DICOM files into many folders until there are at least ``count`` files. Returns their number."""
    files = sorted(exam.rglob("*.dcm"))
    copies = -(-count // len(files))
    for copy in range(copies):
        for file in files:
            link = tree / str(copy) / file.relative_to(exam)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, link)
    return copies * len(files)
