"""Write a packaged bundle as a zip with checksums; the same input gives identical bytes."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import yaml

from planewise.files.atomic_write import unwritable
from planewise.files.checksum import sha256

SUMS = "SHA256SUMS"
LARGE = "large_files.yml"
#: Largest file in a bundle of the Model Zoo, bytes; the zoo stores larger files elsewhere.
LARGEST = 25_000_000
#: Date of every zip entry: the earliest that the format allows, so that the same content gives the same file.
STAMP = (1980, 1, 1, 0, 0, 0)


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` for all files in a folder, for ``sha256sum --check``."""
    lines = [f"{sha256(folder / name)}  {name}" for name in files_of(folder) if name != SUMS]
    (folder / SUMS).write_text("\n".join(lines) + "\n")


def set_large_files_apart(folder: Path, url: str, apart: Path) -> list[str]:
    """Move files larger than `LARGEST` to the same path below ``apart``, and write ``large_files.yml``; return their names.
    They will be uploaded to the folder ``url`` on the web, under their own names."""
    large = [name for name in files_of(folder) if (folder / name).stat().st_size > LARGEST]
    entries = []
    for name in large:
        at = f"{url.rstrip('/')}/{Path(name).name}"
        entries.append({"path": name, "url": at, "hash_val": sha256(folder / name), "hash_type": "sha256"})
        (apart / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / name, apart / name)
    if entries:
        (folder / LARGE).write_text(yaml.safe_dump({"large_files": entries}, sort_keys=False, width=1000))
    return large


def write_zip(folder: Path, path: Path) -> None:
    """Write a folder as a zip with the folder at its top. Entries are sorted, have one date and mode, and are uncompressed,
    so that the result does not depend on the version of zlib."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in files_of(folder):
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", STAMP)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, so that programs use the mode
            archive.writestr(entry, (folder / name).read_bytes())


def files_of(folder: Path) -> list[str]:
    """Paths of the files below a folder, relative, with ``/``, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def put_in_place(built: Path, place: Path) -> None:
    """Move a file or a folder to its destination; an earlier file or folder there is replaced.

    Raises:
        InputError: the destination's folder cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
        shutil.move(built, place)
    except OSError as error:
        raise unwritable(place.parent, error) from error
