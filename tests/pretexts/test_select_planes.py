from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from planewise.errors import InputError
from planewise.geometry import angle_between_planes, plane_from_affine, signed_distance
from planewise.preprocessing import LoadSliced, ReadPlaned
from planewise.pretexts import SelectPlanesd


def image_at(affine=None) -> MetaTensor:
    return MetaTensor(torch.zeros(1, 8, 8, 1), affine=torch.eye(4, dtype=torch.float64) if affine is None else affine)


def test_the_plane_from_the_header_is_the_plane_of_the_image(exam):
    for view in ("2ch", "4ch"):
        plane = ReadPlaned(view)({view: exam[view][0]})["planes"][view]
        origin, normal = plane_from_affine(LoadSliced("image")({"image": exam[view][0]})["image"].affine)
        assert float(angle_between_planes(torch.tensor(plane["normal"], dtype=torch.float64), normal)) < 1e-9
        assert abs(float(signed_distance(torch.tensor(plane["origin"], dtype=torch.float64), origin, normal))) < 1e-6


def test_a_nifti_view(tmp_path):
    affine = np.array([[0.0, 0, 8, 5], [1.4, 0, 0, 6], [0, 1.4, 0, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 1), np.float32), affine), tmp_path / "la.nii.gz")
    plane = ReadPlaned("4ch")({"4ch": tmp_path / "la.nii.gz"})["planes"]["4ch"]
    assert np.allclose(np.abs(plane["normal"]), [1, 0, 0]) and np.allclose(plane["origin"], [5, 6, 7])


@pytest.mark.parametrize(("name", "reason"), [("notes.dcm", "not a DICOM file"), ("absent.dcm", "No such file")])
def test_what_is_no_image_is_refused(tmp_path, name, reason):
    (tmp_path / "notes.dcm").write_text("none")
    with pytest.raises(InputError, match=f"exam 7f3a, 2ch: no plane in the header .*{reason}") as caught:
        ReadPlaned("2ch")({"2ch": tmp_path / name, "exam": "7f3a"})
    assert str(tmp_path) not in str(caught.value)


def plane(normal) -> dict[str, list[float]]:
    return {"origin": [1, 2, 3], "normal": normal}


def test_views_come_in_the_order_that_was_asked_for():
    item = {"image": image_at(), "planes": {"4ch": plane([0, 2, 0]), "2ch": plane([1, 0, 0])}}
    selected = SelectPlanesd(["2ch", "4ch"])(item)["planes"]
    assert selected.dtype == torch.float64
    assert selected[:, 1].tolist() == [[1, 0, 0], [0, 1, 0]]


def test_a_missing_view_is_an_error_that_says_what_to_do_or_masked():
    item = {"image": image_at(), "planes": {"2ch": plane([1, 0, 0])}, "exam": "7f3a"}
    with pytest.raises(InputError, match="exam 7f3a has no 4ch view.*--views"):
        SelectPlanesd(["2ch", "4ch"])(item)
    selected = SelectPlanesd(["2ch", "4ch"], missing="mask")(item)["planes"]
    assert torch.isfinite(selected[0]).all() and torch.isnan(selected[1]).all()


def test_a_volume_with_a_mask_has_no_planes():
    """As MONAI Label hands it over: nothing is known of it but where it lies."""
    volume = {"image": "heart.nii.gz", "label": "mask.nii.gz", "exam": "7f3a", "frame": 0}
    with pytest.raises(InputError, match="exam 7f3a has no planes of other views.*planewise index"):
        SelectPlanesd(["2ch"])(volume)
    assert SelectPlanesd(["2ch"], missing="mask")(volume)["planes"].isnan().all()


def test_planes_without_the_slices_own_affine_are_refused():
    item = {"image": "slice.dcm", "planes": {"2ch": plane([1, 0, 0])}, "exam": "7f3a"}
    with pytest.raises(InputError, match="exam 7f3a, the stack: .*no affine; index the folder again"):
        SelectPlanesd(["2ch"])(item)


def test_a_parallel_view_is_an_error_that_names_exam_and_views_or_masked():
    item = {"image": image_at(), "planes": {"2ch": plane([0.02, 0, 1])}, "exam": "7f3a", "stack": "sax"}
    with pytest.raises(
        InputError, match=r"exam 7f3a: the 2ch and sax planes are parallel \(angle 1\.1 deg < 5 deg\).*--views"
    ):
        SelectPlanesd(["2ch"])(item)
    assert torch.isnan(SelectPlanesd(["2ch"], parallel="mask")(item)["planes"]).all()


def test_zero_spacing_is_refused():
    affine = torch.diag(torch.tensor([0.0, 1, 1, 1], dtype=torch.float64))
    item = {"image": image_at(affine), "planes": {"2ch": plane([1, 0, 0])}, "exam": "7f3a"}
    with pytest.raises(InputError, match="exam 7f3a.*spacing is zero"):
        SelectPlanesd(["2ch"])(item)


def test_options_are_checked():
    with pytest.raises(ValueError, match="'error' or 'mask'"):
        SelectPlanesd(["2ch"], missing=np.nan)
