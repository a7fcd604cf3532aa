"""Walk a folder and read every header in it, in parallel."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from planewise.errors import InputError, refuse_no_folder
from planewise.exams import dicom, heart_sets, mrnet
from planewise.exams.refusals import BROKEN, HIDDEN, ODD_PATH, PHASE_IMAGE
from planewise.exams.stack import Frame
from planewise.files.names import files_below
from planewise.files.nifti import is_nifti
from planewise.files.photographs import NO_PHOTOGRAPH, is_photograph
from planewise.findings import Finding, finding
from planewise.words import is_text

#: With fewer files, one process reads them all, because starting others takes longer.
_SERIAL_FILES = 3000
_CHUNK = 128
#: Tables that are read together with the images next to them.
_TABLES = (heart_sets.INFO, heart_sets.TABLE, "dataset.json", "splits_final.json")
#: Fields whose texts hundreds of frames share; each text is kept in memory only once.
_SHARED_TEXTS = (
    "kind", "text", "description", "sequence", "body_part", "patient", "study", "series", "frame_of_reference",
)  # fmt: skip


@dataclass
class Scan:
    """The contents of a folder."""

    folder: Path
    frames: list[Frame] = field(default_factory=list)
    nifti: list[Path] = field(default_factory=list)
    mrnet: list[Path] = field(default_factory=list)
    photographs: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)  #: CSV files next to photographs
    skipped: dict[Finding, list[str]] = field(default_factory=dict)  #: reason to the paths left out for it
    files: int = 0

    @property
    def broken(self) -> list[str]:
        """The skipped files that are damaged images or have a wrong header, so their exam may lack slices. An empty file
        whose name has no digit may only mark its folder as complete."""
        found = [path for reason, paths in self.skipped.items() if reason in BROKEN for path in paths]
        found = [path for path in found if os.path.getsize(path) or re.search(r"\d", os.path.basename(path))]
        return [path for path in found if not is_nifti(path)]

    @property
    def reasons(self) -> str:
        """A description of the files that were left out, for a message: one line for each of the most common reasons."""
        counts = sorted(((len(paths), str(reason)) for reason, paths in self.skipped.items()), reverse=True)
        return "".join(f"\n  {count} x {reason}" for count, reason in counts[:8])


def scan_folder(
    folder: str | Path,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    of_photographs: bool = False,
    modalities: Sequence[str] = ("MR",),
    only: Path | None = None,
) -> Scan:
    """Read the headers of all files below a folder.

    Args:
        folder: any tree of files; links to folders are followed (`files_below`).
        workers: number of processes; with several, a calling script needs ``if __name__ == "__main__"``.
        progress: called with (files done, files in all).
        of_photographs: whether only photographs are wanted.
        modalities: accepted modalities of DICOM images, ``"MR"`` or ``"CT"``.
        only: read this file of the folder, and no other.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    refuse_no_folder(folder)
    folder = Path(os.path.expanduser(folder))
    scan = Scan(folder=folder)
    paths = []
    for path in _walk(folder, scan.skipped) if only is None else [str(only)]:
        scan.files += 1
        name = os.path.basename(path)
        if not is_text(path):
            scan.skipped.setdefault(ODD_PATH, []).append(path)
        elif of_photographs and name.startswith("."):
            scan.skipped.setdefault(HIDDEN, []).append(path)
        elif of_photographs and is_photograph(path):
            scan.photographs.append(Path(path))
        elif of_photographs and name.lower().endswith(".csv"):
            scan.tables.append(Path(path))
        elif of_photographs:
            scan.skipped.setdefault(NO_PHOTOGRAPH, []).append(path)
        elif is_nifti(name) and not name.startswith("."):
            scan.nifti.append(Path(path))
        elif mrnet.is_volume(path):
            scan.mrnet.append(Path(path))
        elif name not in _TABLES and not mrnet.is_label_file(path):
            paths.append(path)
    found, done = {}, scan.files - len(paths)
    for number, results in _read(paths, workers, modalities):
        found[number] = results
        for frame in (frame for frames in results if isinstance(frames, list) for frame in frames):
            for key in _SHARED_TEXTS:
                setattr(frame, key, sys.intern(getattr(frame, key)))
        done += len(results)
        if progress is not None:
            progress(done, scan.files)
    for path, frames in zip(paths, (each for number in sorted(found) for each in found[number]), strict=True):
        if isinstance(frames, Finding):
            scan.skipped.setdefault(frames, []).append(path)
            continue
        # a file may contain both magnitude and phase
        anatomy = [frame for frame in frames if not frame.is_phase_image]
        if len(anatomy) < len(frames):
            scan.skipped.setdefault(PHASE_IMAGE, []).append(path)
        scan.frames += anatomy
    return scan


def _walk(folder: Path, skipped: dict[Finding, list[str]]) -> Iterator[str]:
    """The paths of all files; folders that are not entered go to ``skipped``."""

    def refuse(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise InputError(f"{folder} cannot be read ({error.strerror})") from None
        skipped.setdefault(finding("file-unusable", kind="unreadable", error=error.strerror), []).append(
            str(error.filename)
        )

    return files_below(folder, refuse)


def _read(
    paths: list[str], workers: int, modalities: Sequence[str]
) -> Iterator[tuple[int, list[list[Frame] | Finding]]]:
    """The number of each chunk of paths, and the results of `dicom.read_headers`."""
    read = partial(dicom.read_headers, modalities=modalities)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    if workers <= 1 or len(paths) < _SERIAL_FILES:
        yield from enumerate(map(read, chunks))
        return
    # fork is not used, because the caller may have threads (torch, a progress bar)
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(workers - 1, mp_context=context, initializer=end_with_parent)
    futures = [pool.submit(read, chunk) for chunk in chunks]
    first, end = 0, len(chunks)
    try:
        while first < end:
            # this process reads, too, from the end: the others begin at the front, and take half a second to start
            if not futures[first].done() and futures[end - 1].cancel():
                end -= 1
                yield end, read(chunks[end])
            else:
                yield first, futures[first].result()
                first += 1
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """End a worker whose parent was killed: the worker keeps both ends of its queue open, and would wait for work
    forever."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
