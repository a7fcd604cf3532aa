"""Test that heatmaps are exact after any spatial transform, with images that contain the expected answer."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import CenterSpatialCropd, Compose, Flipd, ResizeWithPadOrCropd, Rotate90d, Spacingd
from planewise.augmentation import RandAffineBatchd
from planewise.geometry import intersection_lines
from planewise.geometry.lines import lines_in_mm
from planewise.preprocessing import LoadSliced
from planewise.pretexts import PlaneHeatmapsd, SelectPlanesd, SliceLocationd

from tests.pretexts.header_planes import as_batch, with_planes

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
    heatmap = PlaneHeatmapsd(SIGMA)(as_batch(item))["heatmaps"][0, VIEWS.index(view)]
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
    "crop and pad": ResizeWithPadOrCropd(KEYS, (60, 280, -1)),
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


def test_location_is_kept_mapped_or_unknown():
    assert float(SliceLocationd()({"location": 0.25})["location"]) == 0.25
    assert float(SliceLocationd("sine")({"location": 0.25})["location"]) == pytest.approx(math.sqrt(0.5))
    assert torch.isnan(SliceLocationd()({})["location"])
