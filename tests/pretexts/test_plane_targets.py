"""Test that heatmaps are exact after any spatial transform, with images that contain the expected answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    Flipd,
    RandAffined,
    ResizeWithPadOrCropd,
    Rotate90d,
    Rotated,
    Spacingd,
    SpatialPadd,
    Zoomd,
)
from planewise.augmentation import RandAffineBatchd
from planewise.geometry import intersection_lines, lines_in_mm
from planewise.preprocessing import LoadSliced
from planewise.pretexts import PlaneHeatmapsd, SelectPlanesd, SliceLocationd
from scipy.ndimage import map_coordinates

from tests.pretexts.header_planes import with_planes

VIEWS = ("2ch", "4ch")
SIGMA = 6.0
KEYS = ("image", "inside")


def carrying_distance(exam, view: str) -> dict:
    """A short-axis slice of a file whose pixels are replaced by their distance (mm) from the view's line.

    The distance is linear in the pixel coordinates, so linear interpolation keeps it exact: wherever a transform takes
    a pixel, its value says how far from the line it belongs.
    """
    item = {"image": exam["sax"][len(exam["sax"]) // 2], **{name: exam[name][0] for name in VIEWS}}
    item = SelectPlanesd(VIEWS)(with_planes(LoadSliced("image")(item), VIEWS))
    image = item["image"]
    origin, normal = item["planes"][VIEWS.index(view)]
    a, b, c = lines_in_mm(intersection_lines(image.affine, origin, normal), image.affine)
    spacing = image.affine[:3, :2].norm(dim=0)
    rows = torch.arange(image.shape[1], dtype=torch.float64)[:, None] * spacing[0]
    columns = torch.arange(image.shape[2], dtype=torch.float64) * spacing[1]
    distance = a * rows + b * columns + c
    item["image"] = MetaTensor(distance[None, :, :, None].double(), affine=image.affine)
    # 1 inside the image; smaller where a transform mixes in values from outside
    item["inside"] = MetaTensor(torch.ones_like(item["image"].as_tensor()), affine=image.affine)
    return item


def check(item: dict, view: str) -> None:
    """Check that every pixel from inside the image has the heatmap value of its carried distance."""
    heatmap = PlaneHeatmapsd(SIGMA)(item)["heatmaps"][VIEWS.index(view), :, :, 0]
    spacing = item["image"].affine[:3, :2].norm(dim=0)
    assert float((spacing[0] - spacing[1]).abs()) < 1e-6  # Eq. (1) uses pixels
    distance = item["image"].as_tensor()[0, :, :, 0] / spacing[0]
    inside = item["inside"].as_tensor()[0, :, :, 0] > 1 - 1e-6
    expected = torch.exp(-(distance**2) / (2 * SIGMA**2))
    assert inside.float().mean() > 0.05
    assert float((heatmap - expected)[inside].abs().max()) < 2e-3
    # the line must cross the image
    assert float(heatmap[inside].max()) > 0.5


TRANSFORMS = {
    "flip": Flipd(KEYS, spatial_axis=0),
    "rotate by 90": Rotate90d(KEYS, k=1, spatial_axes=(0, 1)),
    "crop": CenterSpatialCropd(KEYS, roi_size=(70, 60, -1)),
    "pad": SpatialPadd(KEYS, spatial_size=(300, 290, -1)),
    "crop and pad": ResizeWithPadOrCropd(KEYS, (60, 280, -1)),
    "resample": Spacingd(KEYS, [2.1, 2.1, -1.0], mode="bilinear", padding_mode="zeros"),
    "resample, cubic": Spacingd(KEYS, [1.26, 1.26, -1.0], mode=3, padding_mode="reflect"),
    "all": Compose(
        [
            Spacingd(KEYS, [1.7, 1.7, -1.0], mode="bilinear", padding_mode="zeros"),
            Flipd(KEYS, spatial_axis=1),
            ResizeWithPadOrCropd(KEYS, (96, 96, -1)),
        ]
    ),
}


def interior(item: dict, margin: int = 4) -> dict:
    """The interior, without the border at which interpolation extrapolates."""
    size = [side - 2 * margin for side in item["image"].shape[1:3]]
    return CenterSpatialCropd(KEYS, roi_size=(*size, -1))(item)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_exact_after(exam, name, view):
    check(interior(TRANSFORMS[name](carrying_distance(exam, view))), view)


@pytest.mark.parametrize("view", VIEWS)
@given(angle=st.floats(-math.pi, math.pi))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exact_after_rotation(phantom_exam, view, angle):
    rotate = Rotated(KEYS, angle=(0, 0, angle), mode="bilinear", padding_mode="zeros", keep_size=True, dtype=np.float64)
    check(rotate(carrying_distance(phantom_exam, view)), view)


@pytest.mark.parametrize("zoom", [2 / 3, 0.75, 1.25, 1.5])
def test_exact_after_zoom(phantom_exam, zoom):
    resize = Zoomd(
        KEYS, zoom=(zoom, zoom, 1), mode="trilinear", align_corners=False, keep_size=False, padding_mode="edge"
    )
    item = resize(carrying_distance(phantom_exam, "2ch"))
    # the output has a whole number of pixels; if a zoom leaves a remainder, pixels become oblong, but Eq. (1) needs square
    # ones
    spacing = item["image"].affine[:3, :2].norm(dim=0)
    assert float((spacing[0] - spacing[1]).abs()) < 1e-6
    check(interior(item, 6), "2ch")


@given(seed=st.integers(0, 1000))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exact_after_monai_random_affine(phantom_exam, seed):
    augment = RandAffined(
        KEYS, prob=1, rotate_range=(0, 0, 0.4), translate_range=(8, 8, 0), mode="bilinear", padding_mode="zeros"
    ).set_random_state(seed)
    check(augment(carrying_distance(phantom_exam, "4ch")), "4ch")


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exact_after_our_batch_affine(phantom_exam, seed):
    """The same check for the transform that training uses, with a batch of four."""
    item = ResizeWithPadOrCropd(KEYS, (96, 96, -1))(carrying_distance(phantom_exam, "2ch"))

    def augmented(key: str) -> dict:
        torch.manual_seed(seed)
        batch = {
            "image": item[key].as_tensor()[None, ..., 0].repeat(4, 1, 1, 1).float(),
            "affine": item["image"].affine.repeat(4, 1, 1),
            "planes": item["planes"].repeat(4, 1, 1, 1),
            "image_padding": torch.zeros(4, 1),
        }
        return RandAffineBatchd(rotate=40, zoom=(0.8, 1.3), shift=0.1, flip_prob=0.5)(batch)

    batch, inside = PlaneHeatmapsd(SIGMA)(augmented("image")), augmented("inside")["image"][:, 0] > 1 - 1e-5
    spacing = batch["affine"][:, :3, :2].norm(dim=1)
    distance = batch["image"][:, 0].double() / spacing[:, :1, None]
    expected = torch.exp(-(distance**2) / (2 * SIGMA**2))
    assert inside.float().mean() > 0.1
    assert float((batch["heatmaps"][:, 0] - expected)[inside].abs().max()) < 2e-3


def random_slices(count: int) -> dict[str, torch.Tensor]:
    """A batch of slices anywhere in the patient, each cut by two planes that pass near its centre."""
    generator = torch.Generator().manual_seed(count)
    axes = torch.linalg.qr(torch.randn(count, 3, 3, dtype=torch.float64, generator=generator))[0]
    affine = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    affine[:, :3, :3] = axes * torch.tensor([1.26, 1.26, 8.0], dtype=torch.float64)
    affine[:, :3, 3] = 200 * torch.randn(count, 3, dtype=torch.float64, generator=generator)
    middle = torch.tensor([111.5, 111.5, 0, 1], dtype=torch.float64) + 20 * torch.randn(
        count, 2, 4, dtype=torch.float64, generator=generator
    ) * torch.tensor([1.0, 1, 0, 0])
    normal = torch.randn(count, 2, 3, dtype=torch.float64, generator=generator)
    planes = torch.stack(
        [(affine[:, None] @ middle[..., None])[..., :3, 0], normal / normal.norm(dim=-1, keepdim=True)], 2
    )
    return {
        "image": torch.zeros(count, 1, 224, 224),
        "affine": affine,
        "planes": planes,
        "image_padding": torch.zeros(count, 1),
    }


def field(lines: torch.Tensor, sigma: float | torch.Tensor, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Zhang 2024 Eq. (1) at any points, in float64, as it is written."""
    a, b, c = (float(value) for value in lines)
    return np.exp(-((a * i + b * j + c) ** 2) / (2 * float(sigma) ** 2 * (a**2 + b**2)))


def test_an_augmented_batch_against_float64():
    batch = PlaneHeatmapsd(SIGMA)(
        RandAffineBatchd(rotate=40, zoom=(0.7, 1.4), shift=0.1, flip_prob=0.5)(random_slices(6))
    )
    i, j = np.meshgrid(np.arange(224.0), np.arange(224.0), indexing="ij")
    for row in range(6):
        u, v, o = (batch["affine"][row, :3, column].numpy() for column in (0, 1, 3))
        points = o + i[..., None] * u + j[..., None] * v
        for view in range(2):
            origin, normal = batch["planes"][row, view].numpy()
            distance = (points - origin) @ normal / np.hypot(normal @ u, normal @ v)
            expected = np.exp(-(distance**2) / (2 * SIGMA**2))
            assert np.abs(batch["heatmaps"][row, view].numpy() - expected).max() < 1e-5


def test_an_augmented_batch_against_warping_a_fine_heatmap():
    """The result is compared with resampling the target: a heatmap at three times the resolution, moved like the image.

    Interpolation errs by up to h^2 / 8 of the second derivative, which for Eq. (1) is 1 / sigma^2. Sigma is in pixels of the
    network's grid, so a heatmap that will be magnified starts out narrower.
    """
    before = random_slices(6)
    after = PlaneHeatmapsd(SIGMA)(
        RandAffineBatchd(rotate=40, zoom=(0.8, 1.25), shift=0.05, flip_prob=0.5)(dict(before))
    )
    to_input = torch.linalg.solve(before["affine"], after["affine"])
    lines = intersection_lines(before["affine"][:, None], before["planes"][:, :, 0], before["planes"][:, :, 1])
    fine, margin = 3, 120
    at = np.arange(-margin, 224 + margin, 1 / fine)
    i, j = np.meshgrid(np.arange(224.0), np.arange(224.0), indexing="ij")
    for row in range(6):
        magnification = 1 / float(to_input[row, :2, 0].norm())
        m = to_input[row].numpy()
        where = [(m[axis, 0] * i + m[axis, 1] * j + m[axis, 3] + margin) * fine for axis in (0, 1)]
        assert all(coordinate.min() >= 0 and coordinate.max() < len(at) - 1 for coordinate in where)
        for view in range(2):
            source = field(lines[row, view], SIGMA / magnification, at[:, None], at[None])
            warped = map_coordinates(source, where, order=1)
            error = np.abs(after["heatmaps"][row, view].numpy() - warped).max()
            step = magnification / fine
            assert error < 1.02 * step**2 / (8 * SIGMA**2) + 1e-5 < 1.02 / (8 * SIGMA**2)


def test_item_and_batch_give_the_same(exam):
    item = carrying_distance(exam, "2ch")
    single = PlaneHeatmapsd(SIGMA)(item)
    batch = {
        "image": item["image"].as_tensor()[None, ..., 0],
        "affine": item["image"].affine[None],
        "planes": item["planes"][None],
    }
    batched = PlaneHeatmapsd(SIGMA)(batch)
    assert torch.equal(single["heatmaps"][..., 0], batched["heatmaps"][0])
    assert torch.equal(single["lines"], batched["lines"][0])


def test_a_masked_plane_gives_nan():
    item = {
        "image": MetaTensor(torch.zeros(1, 8, 8, 1)),
        "planes": torch.full((1, 2, 3), torch.nan, dtype=torch.float64),
    }
    assert torch.isnan(PlaneHeatmapsd(2)(item)["heatmaps"]).all()


def test_sigma_is_checked():
    with pytest.raises(ValueError, match="above zero"):
        PlaneHeatmapsd(0)


def test_location_is_kept_mapped_or_unknown():
    assert float(SliceLocationd()({"location": 0.25})["location"]) == 0.25
    assert float(SliceLocationd("sine")({"location": 0.25})["location"]) == pytest.approx(math.sqrt(0.5))
    assert torch.isnan(SliceLocationd()({})["location"])
    with pytest.raises(ValueError, match="Eq. 4"):
        SliceLocationd("cosine")


@pytest.mark.parametrize(
    ("image", "planes", "message"),
    [
        ((1, 8, 8, 5), (2, 2, 3), r"a slice \(1, i, j, 1\), but the image has shape \(1, 8, 8, 5\)"),
        ((1, 8, 8), (2, 2, 3), r"a slice \(1, i, j, 1\), but the image has shape \(1, 8, 8\)"),
        ((3, 1, 8, 8, 5), (3, 2, 2, 3), r"slices \(B, 1, i, j\), but the image has shape \(3, 1, 8, 8, 5\)"),
    ],
)
def test_a_volume_has_no_heatmaps(image, planes, message):
    batch = {
        "image": MetaTensor(torch.zeros(image)),
        "planes": torch.ones(planes),
        "affine": torch.eye(4).repeat(3, 1, 1),
    }
    with pytest.raises(ValueError, match=message):
        PlaneHeatmapsd(SIGMA)(batch)
