"""Speed of indexing a folder: reading headers, compared with a pydicom loop and with two processes, and the processor time of
a whole `planewise index`, compared with an earlier build and with dcm2niix.

The files are phantom exams in DSBCC's layout and, if PLANEWISE_REAL_DATA names a folder, its DICOM files. They are read
repeatedly, so that they come from memory and not from a disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
from planewise.cores import own_cores
from planewise.exams.scan import scan_folder
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from pydicom.misc import is_dicom
from timing import Bar, Options, Times, cost_of, interleaved, ratio

from bars.own_exams import BEFORE, ROOT, unpacked

DEVICES = ("cpu",)
#: Number of files that are indexed; the comparison of real headers with the plain loop reads a quarter of them.
FILES = 10_000
#: Number of files of a phantom exam.
OF_EXAM = 290
#: Tags that determine a slice's position, series and view.
TAGS = (
    "Modality", "ImageType", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID",
    "SeriesDescription", "ProtocolName", "SeriesNumber", "InstanceNumber", "AcquisitionTime", "ScanningSequence",
    "SequenceVariant", "EchoTime", "RepetitionTime", "TriggerTime", "CardiacNumberOfImages", "NominalInterval",
    "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
)  # fmt: skip
#: Reads the headers of a folder and prints the seconds. Its processes do not import the benchmarks, and with them torch.
SCAN = """
import sys, time
from planewise.exams.scan import scan_folder
start = time.perf_counter()
scan_folder(sys.argv[1], workers=int(sys.argv[2]))
print(time.perf_counter() - start)
"""


def measure(options: Options) -> list[Bar]:
    """Compare the readers of headers, one process with two, and the commands."""
    count = 100 if options.quick else FILES
    bars = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantoms = folder / "phantoms"
        population = UNLABELLED.at_size("demo").with_values(phases=2 if options.quick else 25)
        list(write_exams(Recipe("dsbcc", 3, population), phantoms, -(-count // OF_EXAM)))
        trees = {"phantoms": (phantoms, phantoms)}
        if real := os.environ.get("PLANEWISE_REAL_DATA"):
            files = [file for file in sorted(Path(real).rglob("*")) if file.is_file() and is_dicom(file)]
            trees["real exams"] = _linked(files, folder / "few", count // 4), _linked(files, folder / "real", count)
        for what, (some, every) in trees.items():
            candidates = {"ours": lambda some=some: scan_folder(some), "plain": lambda some=some: _plain(some)}
            times = interleaved(candidates, options.fewer(2), warmup=1)
            note = f"{times['ours'].least:.2f} s, theirs {times['plain'].least:.2f} s"
            name = f"headers of {what} / pydicom with specific_tags"
            bars.append(Bar(name, *ratio(times, "ours", "plain"), limit=0.8, note=note))
            if own_cores() == 1:
                continue
            times = {processes: Times() for processes in ("1", "2")}
            for _ in range(options.fewer(3).repetitions):
                for processes, taken in times.items():
                    words = [sys.executable, "-c", SCAN, str(every), processes]
                    said = subprocess.run(words, capture_output=True, check=True, text=True).stdout
                    taken.seconds.append(float(said))
            name = f"headers of {what}: 2 x time of two processes / time of one"
            value, median = (2 * each for each in ratio(times, "2", "1"))
            note = f"{times['1'].least:.2f} s, two processes {times['2'].least:.2f} s with their start"
            # 0.8 of linear; the small headers of phantoms take as long as a few starts of a process
            bars.append(Bar(name, value, median, limit=1.25 if what == "real exams" else None, note=note))
        index = [sys.executable, "-m", "planewise", "index", str(phantoms), "-o", str(folder / "datalist.json")]
        now = min(_seconds(index, ROOT) for _ in range(2))
        others: dict[str, float] = {}
        if (before := unpacked(folder / "before")) is not None:
            others[BEFORE] = min(_seconds(index, before) for _ in range(2))
        if shutil.which("dcm2niix"):
            # an impossible number of a series: files are searched and read, but none is converted
            scan = ["dcm2niix", "-n", "-1", "-d", "9", "-o", str(folder), str(phantoms)]
            others["scan of dcm2niix"] = min(_seconds(scan, ROOT) for _ in range(2))
        for name, seconds in others.items():
            limit, note = 0.8 if name == BEFORE else None, f"{now:.2f} s, theirs {seconds:.2f} s"
            bars.append(Bar(f"planewise index, processor time / {name}", now / seconds, limit=limit, note=note))
    return bars


def _seconds(words: Sequence[str], tree: Path) -> float:
    """Processor time of a command with the packages of a tree, on one core: `cost_of` does not count all processes."""
    settings = {"PYTHONPATH": str(tree / "tools"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        ["taskset", "-c", str(min(os.sched_getaffinity(0))), *words],
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return cost_of(process)[0]


def _plain(folder: Path) -> list[list[Any]]:
    """Read headers with the obvious loop over files, and no more of them than is needed."""
    rows = []
    for root, _, names in os.walk(folder):
        for name in (name for name in names if name.endswith(".dcm")):
            dataset = pydicom.dcmread(os.path.join(root, name), stop_before_pixels=True, specific_tags=[*TAGS])
            rows.append([dataset.get(tag) for tag in TAGS])
    return rows


def _linked(files: Sequence[Path], tree: Path, count: int) -> Path:
    """A tree with ``count`` links to files, in folders of one link to each."""
    for number in range(count):
        link = tree / str(number // len(files)) / f"{number % len(files)}.dcm"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(files[number % len(files)].resolve())
    return tree
