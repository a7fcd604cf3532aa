"""Check geometry without a model: two slices must show the same tissue along their line of intersection."""

from __future__ import annotations

import numpy as np
import pydicom
import torch
from planewise.geometry import clip_lines, intersection_lines, pixels_to_patient, plane_from_affine
from planewise.preprocessing import LoadSliced
from scipy.ndimage import map_coordinates


def profile_correlation(
    image: torch.Tensor, affine: torch.Tensor, other: torch.Tensor, other_affine: torch.Tensor
) -> float:
    """Correlation of two slices along the line in which they cut each other, sampled every mm; NaN if the line is
    short.
    """
    ends = clip_lines(intersection_lines(affine, *plane_from_affine(other_affine)), (image.shape[0], image.shape[1]))
    start, end = pixels_to_patient(ends, affine)
    length = float((end - start).norm())
    if not np.isfinite(length):
        return float("nan")
    points = start + torch.linspace(0, 1, max(2, int(length)), dtype=torch.float64)[:, None] * (end - start)
    sampled, inside = [], np.ones(len(points), dtype=bool)
    for pixels, matrix in ((image, affine), (other, other_affine)):
        homogeneous = torch.cat([points, torch.ones(len(points), 1)], dim=1) @ torch.linalg.inv(matrix.double()).T
        index = homogeneous[:, :2].numpy().T
        inside &= ((index >= 0) & (index <= np.array(pixels.shape)[:, None] - 1)).all(axis=0)
        sampled.append(map_coordinates(np.asarray(pixels, dtype=np.float64), index, order=1))
    return float(np.corrcoef(sampled[0][inside], sampled[1][inside])[0, 1]) if inside.sum() >= 30 else float("nan")


def test_real_slices_agree_where_they_cut_each_other_and_stop_when_shifted(real_data, record_property):
    """The pixels of real files confirm their geometry, without a model: ITK reads each file with its own header alone."""
    folder = real_data / "cardiac_cine_exam" / "dicom"

    def load(series: str):
        first = min((folder / series).glob("*.dcm"), key=lambda file: float(pydicom.dcmread(file).TriggerTime))
        image = LoadSliced("image")({"image": first})["image"]
        return image.as_tensor()[0, ..., 0], image.affine

    stack = [load(series) for series in ("Se11", "Se1", "Se2", "Se3", "Se4", "Se5")]

    def agreement(pixels, affine) -> float:
        return float(np.nanmean([profile_correlation(*slice_, pixels, affine) for slice_ in stack]))

    for series in ("Se6", "Se7", "Se8", "Se9", "Se10"):
        pixels, affine = load(series)
        in_place = agreement(pixels, affine)
        shifted = []
        for axis in range(3):
            for step in (-10, 10):
                moved = affine.clone()
                moved[axis, 3] += step
                shifted.append(agreement(pixels, moved))
        record_property(series, f"{in_place:.2f} in place, {max(shifted):.2f} at best when shifted by 10 mm")
        assert in_place > 0.8
        assert max(shifted) < in_place - 0.04
        assert np.mean(shifted) < in_place - 0.15
