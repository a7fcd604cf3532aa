"""Test the cine on an exam's page with a ball that shrinks, slice by slice."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from planewise.own_exams.cine import cine_of

SPACING = (2.0, 1.0)


def phase(radius, name="phase"):
    """A bright ball of this radius (mm) at (100, 60) mm, centred on the third of five slices 8 mm apart."""
    places = np.stack(np.indices((80, 100, 5)), axis=-1) * (*SPACING, 8.0) - (100, 60, 16)
    labels = (np.linalg.norm(places, axis=-1) <= radius).astype(np.uint8)
    return name, 1000.0 * labels + 10.0, labels


@pytest.fixture(scope="module")
def cine():
    return cine_of([phase(20, "one"), phase(12, "two")], SPACING, {1: "LV", 2: "RV"})


def test_every_phase_shows_the_same_part_of_all_slices(cine):
    assert [frame["name"] for frame in cine["frames"]] == ["one", "two"]
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(frame["picture"])))) for frame in cine["frames"]]
    # the ball of 40 mm with a margin of 20 mm, in three columns and two rows, with up to one more pixel at the end
    assert cine["width"] == pytest.approx(3 * 80, abs=3 * 2 + 0.1) and cine["height"] == pytest.approx(2 * 80, abs=2.1)
    assert (cine["columns"], cine["slices"]) == (3, 5)
    assert [3 * cine["tile"][0], 2 * cine["tile"][1]] == pytest.approx([cine["width"], cine["height"]])
    for picture, radius in zip(pictures, (20, 12), strict=True):
        assert picture.shape == (cine["height"] / SPACING[1], cine["width"] / SPACING[0])
        # half of the grey level marks the ball's edge
        third = picture[: picture.shape[0] // 2, 2 * picture.shape[1] // 3 :]
        assert (third > 127).sum() * 2.0 == pytest.approx(np.pi * radius**2, rel=0.08)


def test_outlines_lie_on_the_balls_of_their_slices(cine):
    for frame, radius in zip(cine["frames"], (20, 12), strict=True):
        ball, none = frame["outlines"]
        assert none["path"] == "" and ball["colour"] != none["colour"]
        lines = [
            np.array([point.split() for point in line.split("L")], dtype=float)
            for line in re.findall("M([^M]*)", ball["path"])
        ]
        # slices 0, 8 and 16 mm from the middle
        expected = sorted(np.sqrt(radius**2 - away**2) for away in (0, 8, 8, 16, 16) if away < radius)
        found = sorted(np.linalg.norm(line - (line.max(0) + line.min(0)) / 2, axis=1).mean() for line in lines)
        assert found == pytest.approx(expected, abs=0.8)
        # the ball's centre is the centre of pixel (20, 40) in every slice's picture of 41 x 80 pixels
        middles = [((line.max(0) + line.min(0)) / 2 % (82, 80)).tolist() for line in lines]
        assert np.allclose(middles, (20.5 * SPACING[0], 40.5 * SPACING[1]))


def test_no_cine_without_phases_or_structures():
    assert cine_of([phase(20)], SPACING, {1: "LV"}) is None
    assert cine_of([phase(0.1), phase(0.1)], SPACING, {2: "RV"}) is None
    name, image, labels = phase(20)
    assert cine_of([phase(20), (name, image[:-1], labels[:-1])], SPACING, {1: "LV"}) is None
