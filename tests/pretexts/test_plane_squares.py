"""Test squares after any spatial transform against a loop over DICOM headers."""

from __future__ import annotations

import math

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import CenterSpatialCropd, Flipd, ResizeWithPadOrCropd, Rotate90d, Rotated, Spacingd, Zoomd
from planewise.augmentation import RandAffineBatchd
from planewise.preprocessing import LoadSliced
from planewise.pretexts import PlaneSquaresd, SelectPlanesd

from tests.pretexts.header_planes import as_batch, with_planes

VIEWS, ENDS, SIZE, STEP = ("4ch", "2ch"), ("L", "AS"), 20.0, 55.0
NAMES = ("crossing", "left", "far left", "right", "far right", "anterior", "far anterior", "posterior", "far posterior")


def headers(path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Row direction, column direction and position in a DICOM file, LPS, and its pixel spacing."""
    file = pydicom.dcmread(path, stop_before_pixels=True)
    orientation = np.array(file.ImageOrientationPatient, dtype=float)
    position = np.array(file.ImagePositionPatient, dtype=float)
    return orientation[:3], orientation[3:], position, [float(value) for value in file.PixelSpacing]


def square_centres(exam, number: int) -> list[np.ndarray]:
    """Centres of the nine squares of a short-axis slice in LPS, from the headers of three files."""
    row, column, position, _ = headers(exam["sax"][number])
    rows, offsets = [np.cross(row, column)], [np.cross(row, column) @ position]
    for view in VIEWS:
        view_row, view_column, view_position, _ = headers(exam[view][0])
        rows.append(np.cross(view_row, view_column))
        offsets.append(rows[-1] @ view_position)
    centre = np.linalg.solve(np.array(rows), np.array(offsets))
    centres = [centre]
    # LPS: left is +x; anterior is -y and superior is +z
    for normal, end in zip(rows[1:], (np.array([1.0, 0, 0]), np.array([0, -1.0, 1.0])), strict=True):
        direction = np.cross(rows[0], normal)
        direction *= np.sign(direction @ end) / np.linalg.norm(direction)
        for steps in (1, 2, -1, -2):
            centres.append(centre + steps * STEP * direction)
    return centres


def loaded(exam, number: int) -> dict:
    item = {"image": exam["sax"][number], **{name: exam[name][0] for name in VIEWS}}
    return SelectPlanesd(VIEWS)(with_planes(LoadSliced("image")(item), VIEWS))


def squares_of(item: dict) -> dict[str, torch.Tensor]:
    return {name: value[0] for name, value in PlaneSquaresd(ENDS, SIZE, STEP)(as_batch(item)).items()}


def test_squares_lie_where_the_headers_say(exam):
    """Through the real reader, on a real exam and a phantom; every slice, every square, in patient space."""
    for number in range(len(exam["sax"])):
        item = squares_of(loaded(exam, number))
        row, column, position, (down, right) = headers(exam["sax"][number])
        labels = item["squares"].numpy()
        assert set(np.unique(labels)) <= set(range(10))
        for square, centre in enumerate(square_centres(exam, number), start=1):
            assert np.allclose(item["square_centres"][square - 1] * torch.tensor([-1.0, -1, 1]), centre, atol=0.01)
            if not bool(item["square_inside"][square - 1]):
                continue
            i, j = np.nonzero(labels == square)
            # a pixel's column number runs along the row direction
            points = position + i[:, None] * right * row + j[:, None] * down * column
            assert np.linalg.norm(points.mean(axis=0) - centre) < 0.7 * max(down, right)
            assert np.abs(points - centre).max() <= SIZE / math.sqrt(2) + 0.01
            assert len(i) * down * right == pytest.approx(SIZE**2, rel=0.12)


def test_the_nine_positions_have_their_anatomical_order(exam):
    """Far left, left, crossing, right, far right are in this order from left to right, and the others from back to front."""
    centres = squares_of(loaded(exam, len(exam["sax"]) // 2))["square_centres"]
    at = dict(zip(NAMES, centres, strict=True))
    x = [float(at[name][0]) for name in ("far left", "left", "crossing", "right", "far right")]
    assert x == sorted(x) and x[-1] - x[0] > 2 * STEP  # RAS: x grows to the right
    for axis in (1, 2):  # and y to the front, z up
        values = [
            float(at[name][axis]) for name in ("far posterior", "posterior", "crossing", "anterior", "far anterior")
        ]
        assert values == sorted(values)


def carrying(exam) -> dict:
    """A slice whose channels hold the pixels' positions in the patient, mm from the crossing, and an image that is 1 for
    pixels inside the slice. Both are linear in the pixel coordinates, so interpolation keeps them exact.
    """
    item = loaded(exam, len(exam["sax"]) // 2)
    image = item["image"]
    squares = squares_of(item)["square_centres"]
    affine = image.affine.double()
    i, j = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in image.shape[1:3]), indexing="ij")
    points = i[..., None] * affine[:3, 0] + j[..., None] * affine[:3, 1] + affine[:3, 3] - squares[0]
    item["image"] = MetaTensor(points.permute(2, 0, 1)[..., None], affine=image.affine)
    item["inside"] = MetaTensor(torch.ones_like(item["image"].as_tensor()[:1]), affine=image.affine)
    return item


def check(where: torch.Tensor, inside: torch.Tensor, labels: torch.Tensor, centres: torch.Tensor) -> None:
    """Check that every pixel has the class of its position in the patient.

    Args:
        where: ``(3, i, j)``, position of each pixel in patient space relative to the crossing, mm, from the transformed
            image's channels.
        inside: ``(i, j)``, bool, not filled by the transform.
        labels: ``(i, j)``.
        centres: ``(9, 3)``.
    """
    offsets = centres - centres[0]
    away = (where[None] - offsets[:, :, None, None]).norm(dim=1)
    # the square contains its inscribed circle, and nothing beyond its corners
    for number in range(9):
        sure = inside & (away[number] < SIZE / 2 - 0.2)
        assert bool((labels[sure] == number + 1).all())
    far = inside & (away.amin(dim=0) > SIZE / math.sqrt(2) + 0.2)
    assert bool((labels[far] == 0).all())
    assert len(set(labels[inside].tolist())) > 4


KEYS = ("image", "inside")
TRANSFORMS = {
    "flip": Flipd(KEYS, spatial_axis=0),
    "rotate by 90": Rotate90d(KEYS, k=1, spatial_axes=(0, 1)),
    "resample": Spacingd(KEYS, [2.1, 2.1, -1.0], mode="bilinear", padding_mode="zeros"),
    "rotate": Rotated(KEYS, angle=(0, 0, 0.7), mode="bilinear", padding_mode="zeros", keep_size=True, dtype=np.float64),
    "zoom": Zoomd(
        KEYS, zoom=(1.3, 1.3, 1), mode="trilinear", align_corners=False, keep_size=False, padding_mode="edge"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_exact_after(exam, name):
    item = TRANSFORMS[name](carrying(exam))
    if name == "zoom":
        item = CenterSpatialCropd(KEYS, roi_size=(*(side - 12 for side in item["image"].shape[1:3]), -1))(item)
    made = squares_of(item)
    where, inside = (item[key].as_tensor()[..., 0] for key in KEYS)
    check(where, inside[0] > 1 - 1e-6, made["squares"], made["square_centres"])


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exact_after_our_batch_affine(phantom_exam, seed):
    item = ResizeWithPadOrCropd(KEYS, (128, 128, -1))(carrying(phantom_exam))

    def augmented(key: str) -> dict:
        torch.manual_seed(seed)
        image = item[key].as_tensor()[..., 0].float()
        batch = {
            "image": image[None].repeat(3, 1, 1, 1),
            "affine": item["image"].affine.repeat(3, 1, 1),
            "planes": item["planes"].repeat(3, 1, 1, 1),
            "image_padding": torch.zeros(3, len(image)),
        }
        return RandAffineBatchd(rotate=40, zoom=(0.8, 1.3), shift=0.1, flip_prob=0.5)(batch)

    carried, inside = augmented("image")["image"], augmented("inside")["image"][:, 0] > 1 - 1e-5
    batch = augmented("inside")
    made = PlaneSquaresd(ENDS, SIZE, STEP)(batch)
    assert made["squares"].shape == (3, 128, 128) and made["squares"].dtype == torch.int64
    assert not torch.equal(batch["affine"][0], batch["affine"][1])
    for row in range(3):
        check(carried[row], inside[row], made["squares"][row], made["square_centres"][row])


def test_a_masked_slice_is_unknown_throughout_and_others_are_not():
    affine = torch.diag(torch.tensor([-2.0, -2, 1, 1], dtype=torch.float64)).repeat(2, 1, 1)
    planes = torch.tensor([[[-60.0, -60, 0], [0, 1, 0]], [[-60, -60, 0], [1, 0, 0]]], dtype=torch.float64)
    planes = torch.stack([planes, planes.clone()])
    planes[0, 1] = torch.nan
    batch = PlaneSquaresd(("L", "A"))({"image": torch.zeros(2, 1, 64, 64), "affine": affine, "planes": planes})
    assert bool((batch["squares"][0] == -1).all()) and torch.isnan(batch["square_centres"][0]).all()
    assert not batch["square_inside"][0].any()
    assert batch["squares"][1].unique().tolist() == [0, 1, 2, 4, 6, 8], "the far squares lie outside the image"
