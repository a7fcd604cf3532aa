"""Broken volumes end in the same few words, whichever loader meets them."""

from __future__ import annotations

import zlib

import nibabel
import numpy as np
import pytest
from planewise.errors import InputError
from planewise.preprocessing import LoadSliced, LoadStackd, LoadVolumed
from planewise.unreadable import UNREADABLE

LOADERS = [LoadSliced("image"), LoadStackd("image"), LoadVolumed("image")]


def written(path, spoil):
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(noise, np.diag([2.0, 2.0, 8.0, 1.0])), path)
    path.write_bytes(spoil(path.read_bytes()))
    return path


def wrong_byte(content):
    return content[:400] + bytes([content[400] ^ 255] * 40) + content[440:]


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: type(load).__name__)
@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("cut.nii.gz", lambda content: content[:-900]),
        ("cut_in_its_header.nii.gz", lambda content: content[:40]),
        ("wrong.nii.gz", wrong_byte),
        ("text.nii.gz", lambda content: b"nothing of an image"),
        ("empty.nii.gz", lambda content: b""),
        ("cut.nii", lambda content: content[:900]),
        # a type of voxels that no NIfTI has
        ("header.nii", lambda content: content[:70] + (9999).to_bytes(2, "little") + content[72:]),
    ],
)
def test_it_is_refused_in_a_line_without_its_path(load, name, spoil, tmp_path):
    file = written(tmp_path / name, spoil)
    with pytest.raises(InputError) as caught:
        load({"image": str(file), "exam": "e1", "frame": 0})
    assert str(caught.value).startswith("exam e1, image: ") and "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_program_s_fault_is_not_among_them():
    assert issubclass(zlib.error, UNREADABLE)
    assert not any(issubclass(kind, UNREADABLE) for kind in (TypeError, AttributeError, MemoryError, KeyboardInterrupt))
