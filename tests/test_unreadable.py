"""Test that broken volumes give the same short message with every loader."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
from planewise.errors import InputError
from planewise.exams.volumes import read_volumes
from planewise.files.masks import why_unusable
from planewise.own_exams.heart_stacks import stacks_in
from planewise.preprocessing import LoadSliced, LoadStackd, LoadVolumed

LOADERS = [LoadSliced("image"), LoadStackd("image"), LoadVolumed("image")]


def written(path, spoil):
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(noise, np.diag([2.0, 2.0, 8.0, 1.0])), path)
    path.write_bytes(spoil(path.read_bytes()))
    return path


def with_shape(content):
    """A header that claims as many voxels as NIfTI-1 can."""
    return content[:42] + 3 * (32767).to_bytes(2, "little") + content[48:]


def wrong_byte(content):
    return content[:400] + bytes([content[400] ^ 255] * 40) + content[440:]


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: type(load).__name__)
@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("cut.nii.gz", lambda content: content[:-900]),
        ("wrong.nii.gz", wrong_byte),
        ("cut.nii", lambda content: content[:900]),
        # 32767 voxels along each of three axes: 70 TB of int16
        ("claims.nii.gz", lambda content: gzip.compress(with_shape(gzip.decompress(content)))),
        # a voxel type that NIfTI does not have
        ("header.nii", lambda content: content[:70] + (9999).to_bytes(2, "little") + content[72:]),
    ],
)
def test_it_is_refused_in_a_line_without_its_path(load, name, spoil, tmp_path):
    file = written(tmp_path / name, spoil)
    with pytest.raises(InputError) as caught:
        load({"image": str(file), "exam": "e1", "frame": 0})
    assert str(caught.value).startswith("exam e1, image: ") and "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def of_kind(kind):
    """A change of the type of the voxels."""
    return lambda image: nibabel.Nifti1Image(np.zeros(image.shape, kind), image.affine)


def with_column(*column):
    """A change of the third column of the sform."""

    def change(image):
        form = np.diag([2.0, 2.0, 8.0, 1.0])
        form[:3, 2] = column
        changed = nibabel.Nifti1Image(image.dataobj, None, image.header)  # with an affine, it would rewrite the sform
        changed.header.set_sform(form, code=1)
        return changed

    return change


def in_unit(code):
    def change(image):
        image.header["xyzt_units"] = code
        return image

    return change


@pytest.mark.parametrize(
    ("change", "usable"),
    [
        (with_column(0, 0, 8), True),
        (with_column(4, 0, 8), True),
        (with_column(0, 0, 0), False),
        (with_column(3, 0, 0), False),  # in the plane of the other two
        (with_column(0, 0, np.nan), False),
        (of_kind(np.float32), True),
        (of_kind([("R", "u1"), ("G", "u1"), ("B", "u1")]), False),
        (in_unit(2 + 8), True),  # millimetres and seconds
        (in_unit(1), False),
    ],
)
def test_whoever_reads_a_file_refuses_the_same_ones(change, usable, tmp_path):
    """Index, loaders, masks, `planewise plan` and `planewise segment`."""
    file, image = tmp_path / "a.nii", nibabel.load(written(tmp_path / "b.nii", lambda content: content))
    nibabel.save(change(image), file)
    taken = [
        lambda: read_volumes([file], tmp_path).volumes,
        *(lambda load=load: load({"image": str(file), "exam": "e1", "frame": 0}) for load in LOADERS),
        lambda: stacks_in(file, straight=True),
    ]
    for take in taken:
        try:
            result = bool(take())
        except InputError:
            result = False
        assert result is usable
    assert usable or why_unusable(file)
    assert len(stacks_in(tmp_path, straight=True, min_obliquity=15)[0]) == 2  # the bundle reports the unusable one
