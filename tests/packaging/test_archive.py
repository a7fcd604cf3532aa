"""Test checksums, zip files and separate files, on a folder made by hand."""

from __future__ import annotations

import hashlib

import pytest
import yaml
from planewise.packaging import archive

FILES = {
    "LICENSE": b"free",
    "configs/train.yaml": b"a: 1\n",
    "configs/logging.conf": b"",
    "models/model.pt": b"weights",
}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_bytes(content)
    return tmp_path / "bundle"


def test_the_sums_are_of_every_file(folder):
    archive.write_sums(folder)
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{hashlib.sha256(FILES[name]).hexdigest()}  {name}" for name in sorted(FILES)]
    # when written again, the sums do not include themselves
    archive.write_sums(folder)
    assert (folder / "SHA256SUMS").read_text().splitlines() == lines


def test_what_is_large_is_set_apart_and_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST", 4)
    large = ["configs/train.yaml", "models/model.pt"]
    assert archive.set_large_files_apart(folder, "https://example.org/a/", tmp_path / "apart") == large
    assert archive.files_of(folder) == ["LICENSE", "configs/logging.conf", "large_files.yml"]
    for name, entry in zip(large, yaml.safe_load((folder / "large_files.yml").read_text())["large_files"], strict=True):
        assert (tmp_path / "apart" / name).read_bytes() == FILES[name]
        assert entry == {
            "path": name,
            "url": f"https://example.org/a/{name.split('/')[1]}",
            "hash_val": hashlib.sha256(FILES[name]).hexdigest(),
            "hash_type": "sha256",
        }
