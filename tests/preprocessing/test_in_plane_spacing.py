from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, ResizeWithPadOrCropd, Spacingd
from planewise.preprocessing import InPlaneSpacingd, resample
from scipy.spatial.transform import Rotation

SETTINGS = {"keys": "image", "pixdim": [1.3, 1.7, -1.0], "mode": 3, "padding_mode": "reflect"}


def volume(shift: float = 0.0, turn: float = 0.0, channels: int = 1, slices: int = 9) -> MetaTensor:
    """Noise on an oblique grid. Each slice is shifted in its plane (mm) relative to the slice before it, and rows and columns
    are not quite perpendicular (radians).
    """
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", [0.3, -0.5, 0.8]).as_matrix()
    columns = np.array([[1, np.sin(turn), shift], [0, np.cos(turn), -2 * shift], [0, 0, 9.0]])
    affine[:3, :3] = rotation @ (columns * [0.9, 2.1, 1.0])
    affine[:3, 3] = [-20, 30, 5]
    pixels = torch.rand(channels, 37, 22, slices, generator=torch.Generator().manual_seed(0))
    return MetaTensor(pixels, affine=torch.from_numpy(affine))


def there(transform, image: MetaTensor) -> MetaTensor:
    return transform({"image": image})["image"]


def and_back(transform: Compose, image: MetaTensor, answer: torch.Tensor, nearest: bool = False) -> MetaTensor:
    resampled = there(transform, image)
    pred = MetaTensor(answer, affine=resampled.affine, applied_operations=resampled.applied_operations)
    invert = Invertd("pred", transform, "image", nearest_interp=nearest, to_tensor=True)
    return invert({"image": resampled, "pred": pred})["pred"]


@pytest.fixture
def no_short_way(monkeypatch):
    """Fail if the matrix product is used."""

    def refuse(*_):
        pytest.fail("the short way was taken")

    monkeypatch.setattr(resample, "_spline_matrix", refuse)


@pytest.mark.parametrize("shift", [0.0, 5e-5, 2e-4])
@pytest.mark.parametrize("slices", [1, 9])
def test_gives_what_monai_gives(shift, slices, monkeypatch):
    image = volume(shift, slices=slices)
    theirs = there(Spacingd(**SETTINGS), image)
    monkeypatch.setattr("scipy.ndimage.map_coordinates", lambda *_, **__: pytest.fail("MONAI's way was taken"))
    ours = there(InPlaneSpacingd(**SETTINGS), image)
    assert ours.shape == theirs.shape != image.shape
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    assert torch.equal(ours.affine, theirs.affine)
    assert ours.half().equal(theirs.half()), "the cached float16 values are the same"


def test_the_way_back_is_monais():
    answer = torch.rand(3, 26, 27, 9, generator=torch.Generator().manual_seed(1))
    image = volume(2e-4)
    crop = ResizeWithPadOrCropd("image", [26, 27, -1])
    theirs = and_back(Compose([Spacingd(**SETTINGS), crop]), image, answer)
    ours = and_back(Compose([InPlaneSpacingd(**SETTINGS), crop]), image, answer)
    assert ours.shape == theirs.shape == (3, *image.shape[1:])
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)
    assert torch.allclose(ours.affine, image.affine, atol=1e-12)
    assert ours.applied_operations == []


@pytest.mark.parametrize(
    ("image", "settings"),
    [
        (volume(), {"pixdim": [1.3, 1.7, 5.0]}),
        (volume(), {"mode": "bilinear", "padding_mode": "border"}),
        (volume(), {"padding_mode": "nearest"}),
        (volume(turn=0.1), {}),
        (volume(turn=1e-4), {}),
        (volume(shift=3.0), {}),
        (volume(), {"pixdim": [0.9004, 2.1, -1.0]}),
    ],
    ids=[
        "between slices",
        "no spline",
        "another border",
        "turned in the plane",
        "hardly turned",
        "leaning stack",
        "the grid it has",
    ],
)
def test_anything_else_goes_monais_way(image, settings, no_short_way):
    ours, theirs = (there(spacing(**SETTINGS | settings), image) for spacing in (InPlaneSpacingd, Spacingd))
    assert torch.equal(ours, theirs)
    assert torch.equal(ours.affine, theirs.affine)


def test_the_rounding_of_a_files_affine_takes_the_short_way(monkeypatch):
    """NIfTI keeps affines in float32: axes are a few 1e-7 off square."""
    image = volume(turn=3e-7)
    theirs = there(Spacingd(**SETTINGS), image)
    monkeypatch.setattr("scipy.ndimage.map_coordinates", lambda *_, **__: pytest.fail("MONAI's way was taken"))
    assert torch.allclose(there(InPlaneSpacingd(**SETTINGS), image), theirs, rtol=0, atol=1e-4)


def test_monai_labels_text_of_the_path_stays():
    """MONAI 1.6's own transform would call ``update`` on the text, because its key begins with the image's key."""
    item = {"image": volume(), "image_path": "/data/ZZDOE.nii.gz"}
    item["image"].meta["filename_or_obj"] = item["image_path"]
    assert InPlaneSpacingd(**SETTINGS)(dict(item))["image_path"] == "/data/ZZDOE.nii.gz"
