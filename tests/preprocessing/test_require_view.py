"""Test that a segmentation bundle refuses what `planewise segment` refuses, for a MONAI Label server runs only the bundle."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigParser
from planewise.errors import InputError, is_input_error
from planewise.geometry.tolerances import SHORT_AXIS_OBLIQUITY
from planewise.own_exams.bundles import bundles_folder
from planewise.own_exams.heart_stacks import stacks_in
from scipy.spatial.transform import Rotation

from tests.exams.conftest import write_usual_exam
from tests.exams.files import write_ct


def transforms(of: str, **settings):
    name = {"sax": "downstream_cardiac_sax_segmentation", "4ch": "downstream_cardiac_lax_segmentation"}[of]
    parser = ConfigParser()
    parser.read_config(bundles_folder() / name / "configs/inference.yaml")
    assert parser["min_obliquity"] == SHORT_AXIS_OBLIQUITY
    parser.update({"device": "cpu", "bundle_root": ".", **settings})
    return parser.get_parsed_content("preprocessing")


@pytest.mark.parametrize(
    ("turn", "refused"),
    [
        pytest.param([40, 40], False, id="short axis"),
        pytest.param([0, 0], False, id="axial, or without an orientation"),
        pytest.param([7, 7], True, id="oblique axial"),
        pytest.param([40, -40], True, id="across the long axis of hearts"),
    ],
)
def test_a_volume_that_segment_refuses_is_refused_by_the_bundle(turn, refused, tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xy", turn, degrees=True).as_matrix() * (-2, -2, 8)
    voxels = np.arange(4 * 4 * 4, dtype=np.int16).reshape(4, 4, 4)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), file := tmp_path / "Doe.nii.gz")
    if refused:
        with pytest.raises(InputError):
            stacks_in(file, straight=True)
        with pytest.raises(RuntimeError) as error:
            transforms("sax")({"image": str(file)})
        assert is_input_error(error.value.__cause__) and "Doe" not in str(error.value.__cause__)
    else:
        assert len(stacks_in(file, straight=True)[0]) == 1
    settings = {"min_obliquity": 0} if refused else {}
    assert transforms("sax", **settings)({"image": str(file)})["image"].shape[-1] == 4


@pytest.mark.parametrize("view", ["sax", "4ch"])
def test_dicom_that_is_not_recognised_is_refused(view, tmp_path):
    write_usual_exam(tmp_path / "heart", ("4ch",), 5, phases=1, size=(40, 36), spacing=4.0)
    assert transforms(view)({"image": str(tmp_path / "heart")})["image"].shape[-1] == (5 if view == "sax" else 1)
    write_ct(tmp_path / "chest", np.arange(40 * 36 * 5).reshape(40, 36, 5))
    with pytest.raises(RuntimeError) as error:
        transforms(view)({"image": str(tmp_path / "chest")})
    assert is_input_error(error.value.__cause__)
