"""Test that MONAI's saving works with our writer."""

from __future__ import annotations

import itk
import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage
from planewise.evaluation import VolumeWriter
from planewise.files.masks import is_predicted
from planewise.files.nifti import write_nifti


def saving(folder, postfix="mask", **options):
    return SaveImage(folder, postfix, separate_folder=False, print_log=False, writer=VolumeWriter, **options)


@pytest.mark.parametrize(
    "axes",
    [
        [[0, -2.0, 0], [1.5, 0, 0], [0, 0, 8]],
        [[0, 0, 8.0], [-1.5, 0, 0], [0, 2, 0]],
        [[1.5, 0, 0], [0, 0, 8], [0, 2, 0]],
    ],
    ids=["axial", "sagittal", "coronal"],
)
@pytest.mark.parametrize("slices", [1, 3])
def test_a_volume_keeps_its_three_axes_and_its_affine(slices, axes, tmp_path):
    values = torch.arange(4 * 5 * slices, dtype=torch.float32).reshape(1, 4, 5, slices)
    affine = np.eye(4)
    affine[:3] = np.column_stack([axes, [9, -7, 3]])
    image = MetaTensor(values, affine=torch.from_numpy(affine), meta={"filename_or_obj": "heart"})
    save = saving(tmp_path, output_dtype="uint8")
    save(image)
    written = nibabel.load(tmp_path / "heart_mask.nii.gz")
    assert written.shape == (4, 5, slices) and np.array_equal(np.asarray(written.dataobj), values[0].numpy())
    assert np.allclose(written.affine, affine)
    assert is_predicted(tmp_path / "heart_mask.nii.gz")


@pytest.mark.parametrize("shear", [(0, 3.0, 0.0), (0, 2.0, -1.5), (2.0, 0.0, 0.0)], ids=["rows", "both", "in plane"])
def test_a_sheared_volume_is_written_with_one_geometry(shear, tmp_path):
    """A gantry tilt: ITK reads the qform, which has no shear, and measured 3.7 % more. Image and mask stay on one grid."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn @ [[1.5, shear[0], shear[1]], [0, 2.0, shear[2]], [0, 0, 8]]
    affine[:3, 3] = 9, -7, 3
    values = torch.arange(20 * 24 * 9, dtype=torch.float32).reshape(1, 20, 24, 9) % 4
    saving(tmp_path, output_dtype="uint8")(
        MetaTensor(values, affine=torch.from_numpy(affine), meta={"filename_or_obj": "heart"})
    )
    write_nifti(tmp_path / "heart_image.nii.gz", values[0].numpy(), torch.from_numpy(affine))
    for name in ("heart_mask", "heart_image"):
        written = nibabel.load(tmp_path / f"{name}.nii.gz")
        assert np.allclose(written.get_sform(), written.get_qform(), atol=1e-4)
        assert np.allclose(nibabel.affines.voxel_sizes(written.affine), [1.5, 2.0, 8.0])
        read = itk.imread(str(tmp_path / f"{name}.nii.gz"))
        assert np.prod(list(read.GetSpacing())) == pytest.approx(abs(np.linalg.det(affine[:3, :3])), rel=1e-5)
        assert np.array_equal(np.asarray(written.dataobj), values[0].numpy())
        # slices stay in their planes, and the centre stays where it was
        if not shear[0]:
            planes = (written.affine - affine)[:3] @ np.array([[3, 5, depth, 1] for depth in range(9)]).T
            assert np.abs(turn[:, 2] @ planes).max() < 1e-4
        assert np.allclose((written.affine - affine) @ [9.5, 11.5, 4, 1], 0, atol=1e-4)


def test_a_mask_that_a_person_corrected_is_kept(tmp_path, caplog):
    save = saving(tmp_path, output_dtype="uint8")
    image = MetaTensor(torch.ones(1, 4, 5, 3), meta={"filename_or_obj": "heart"})
    path = tmp_path / "heart_mask.nii.gz"
    save(image)
    save(image * 2)
    assert [file.name for file in tmp_path.iterdir()] == [path.name] and not caplog.messages
    nibabel.save(nibabel.Nifti1Image(np.full((4, 5, 3), 3, "u1"), nibabel.load(path).affine), path)
    corrected = path.read_bytes()
    save(image)
    assert caplog.messages == [
        "heart_mask.nii.gz was changed after planewise wrote it; it is kept as heart_mask_corrected.nii.gz"
    ]
    assert (tmp_path / "heart_mask_corrected.nii.gz").read_bytes() == corrected and is_predicted(path)
