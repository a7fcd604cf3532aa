"""Test the pictures of an exam's page: a gradient, cut by planes known by hand, and a cine of a ball that shrinks."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from planewise.own_exams.page_pictures import cine_of, view_pictures

GAP, SIZE = 8.0, 180.0
#: i to the left, j to the back, slices from the head: (i, j, k) lies at (-2 i, -2 j, -8 k).
AFFINE = np.diag([-2.0, -2.0, -GAP, 1.0])
CENTRE = np.array([-100.0, -90.0, -40.0])
#: An acquired 4ch image through the ball, 1 mm pixels: i to the left, j to the feet.
VIEW = np.array([[-1.0, 0, 0, -10], [0, 0, 1, CENTRE[1]], [0, -1, 0, 20], [0, 0, 0, 1]])


def stack():
    """A stack whose grey levels rise towards -x from 1000. Outside the stack, there are no values, and these do not count as
    dark ones."""
    index = np.stack(np.indices((101, 91, 11)), axis=-1)
    return 1000 - (index @ AFFINE[:3, :3].T + AFFINE[:3, 3])[..., 0]


def image():
    """The 4ch image, with a gradient along i."""
    return np.broadcast_to(np.arange(200.0)[:, None], (200, 150)).copy()


def figures(planned):
    """Caption, pixels (rows, columns) and letters of each picture."""
    found = []
    for picture in view_pictures(stack(), AFFINE, planned, {"4ch": (image(), VIEW)}, SIZE):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["png"]))))
        found.append((picture["caption"], pixels, [letters for _, _, letters in picture["edges"]]))
    return found


def lines_of(path):
    """The lines of an SVG path."""
    return [
        np.array([point.split() for point in line.split("L")], dtype=float) for line in re.findall("M([^M]*)", path)
    ]


def test_both_pictures_show_the_same_place_in_the_same_direction():
    plane = {"4ch": {"origin": CENTRE, "normal": (0, -3, 0)}}
    (planned, cut, letters), (acquired, taken, same) = figures(plane)
    assert planned == "4ch planned: the short axis, resliced in this plane" and acquired == "4ch acquired"
    # the image's i runs to the left and its j to the feet; the plane's normal may point either way
    assert letters == same == ["R", "L", "H", "F"]
    for pixels in (cut, taken):
        row = pixels[pixels.shape[0] // 2]
        inside = row[np.flatnonzero(row)[5:-5]].astype(int)
        assert len(inside) > 150 and (np.diff(inside) >= 0).all() and inside[-1] > inside[0] + 150, "to the left"
    assert [caption for caption, *_ in figures({})] == ["4ch acquired"]


PIXEL = (2.0, 1.0)


def phase(radius, name="phase"):
    """A bright ball of this radius (mm) at (100, 60) mm, centred on the third of five slices 8 mm apart."""
    places = np.stack(np.indices((80, 100, 5)), axis=-1) * (*PIXEL, 8.0) - (100, 60, 16)
    labels = (np.linalg.norm(places, axis=-1) <= radius).astype(np.uint8)
    return name, 1000.0 * labels + 10.0, labels


@pytest.fixture(scope="module")
def cine():
    return cine_of([phase(20, "one"), phase(12, "two")], PIXEL, {1: "LV", 2: "RV"})


def test_every_phase_shows_the_same_part_of_all_slices(cine):
    assert [frame["name"] for frame in cine["frames"]] == ["one", "two"]
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(frame["picture"])))) for frame in cine["frames"]]
    # the ball of 40 mm with a margin of 20 mm, in three columns and two rows, with up to one more pixel at the end
    assert cine["width"] == pytest.approx(3 * 80, abs=3 * 2 + 0.1) and cine["height"] == pytest.approx(2 * 80, abs=2.1)
    assert (cine["columns"], cine["slices"]) == (3, 5)
    assert [3 * cine["tile"][0], 2 * cine["tile"][1]] == pytest.approx([cine["width"], cine["height"]])
    for picture, radius in zip(pictures, (20, 12), strict=True):
        assert picture.shape == (cine["height"] / PIXEL[1], cine["width"] / PIXEL[0])
        # half of the grey level marks the ball's edge
        third = picture[: picture.shape[0] // 2, 2 * picture.shape[1] // 3 :]
        assert (third > 127).sum() * 2.0 == pytest.approx(np.pi * radius**2, rel=0.08)


def test_outlines_lie_on_the_balls_of_their_slices(cine):
    for frame, radius in zip(cine["frames"], (20, 12), strict=True):
        ball, none = frame["outlines"]
        assert none["path"] == "" and ball["colour"] != none["colour"]
        lines = lines_of(ball["path"])
        # slices 0, 8 and 16 mm from the middle
        expected = sorted(np.sqrt(radius**2 - away**2) for away in (0, 8, 8, 16, 16) if away < radius)
        found = sorted(np.linalg.norm(line - (line.max(0) + line.min(0)) / 2, axis=1).mean() for line in lines)
        assert found == pytest.approx(expected, abs=0.8)
        # the ball's centre is the centre of pixel (20, 40) in every slice's picture of 41 x 80 pixels
        middles = [((line.max(0) + line.min(0)) / 2 % (82, 80)).tolist() for line in lines]
        assert np.allclose(middles, (20.5 * PIXEL[0], 40.5 * PIXEL[1]))
