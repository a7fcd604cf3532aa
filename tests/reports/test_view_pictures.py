"""Test pictures of planned and acquired views side by side: a ball in a gradient, cut by planes known by hand."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from planewise.own_exams.view_pictures import Volume, view_pictures

GAP, SIZE = 8.0, 180.0
#: i to the left, j to the back, slices from the head: (i, j, k) lies at (-2 i, -2 j, -8 k).
AFFINE = np.diag([-2.0, -2.0, -GAP, 1.0])
CENTRE = np.array([-100.0, -90.0, -40.0])
#: An acquired 4ch image through the ball, 1 mm pixels: i to the left, j to the feet.
VIEW = np.array([[-1.0, 0, 0, -10], [0, 0, 1, CENTRE[1]], [0, -1, 0, 20], [0, 0, 0, 1]])


def stack():
    """A stack whose grey levels rise towards -x from 1000, with a ball of 25 mm as labels. Outside the stack, there are no
    values, and these do not count as dark ones."""
    index = np.stack(np.indices((101, 91, 11)), axis=-1)
    places = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    ball = np.linalg.norm(places - CENTRE, axis=-1) <= 25.0
    return Volume(1000 - places[..., 0], AFFINE), ball.astype(np.uint8)


def image():
    """The 4ch image, with a gradient along i."""
    return np.broadcast_to(np.arange(200.0)[:, None], (200, 150)).copy()


@pytest.fixture(scope="module")
def shown():
    volume, labels = stack()
    plane = {"4ch": {"origin": CENTRE, "normal": (0, -3, 0)}}
    return view_pictures(volume, labels, {1: "LV <>"}, plane, {"4ch": (image(), VIEW)}, SIZE)


def figures(page):
    """Caption, pixels (rows, columns), outline in mm from the corner, and letters of each picture."""
    found = []
    for text in re.findall("<figure>.*?</figure>", page):
        pixels = Image.open(io.BytesIO(base64.b64decode(re.search('base64,([^"]+)', text)[1])))
        paths = re.findall('<path d="M([^"]*)"', text)
        points = [np.array([point.split() for point in path.split("L")], dtype=float) for path in paths]
        letters = re.findall(">([A-Z]*)</text>", text)
        found.append((re.search("<figcaption>(.*?)<", text)[1], np.asarray(pixels), points, letters))
    return found


def test_both_pictures_show_the_same_place_in_the_same_direction(shown):
    (planned, cut, (round_,), letters), (acquired, taken, (other,), same) = figures(shown)
    assert planned == "4ch planned: the short axis, resliced in this plane" and acquired == "4ch acquired"
    # the image's i runs to the left and its j to the feet; the plane's normal may point either way
    assert letters == same == ["R", "L", "H", "F"]
    # the ball is in the middle of the stack, so both pictures show a circle of 25 mm in the middle
    for outline in (round_, other):
        radii = np.linalg.norm(outline - SIZE / 2, axis=1)
        assert abs(radii.mean() - 25) < 1.5 and radii.min() > 20 and radii.max() < 30
    for pixels in (cut, taken):
        row = pixels[pixels.shape[0] // 2]
        inside = row[np.flatnonzero(row)[5:-5]].astype(int)
        assert len(inside) > 150 and (np.diff(inside) >= 0).all() and inside[-1] > inside[0] + 150, "to the left"


def test_what_is_missing_is_left_out(shown):
    volume, labels = stack()
    pictures = {"4ch": (image(), VIEW)}
    (only,) = figures(view_pictures(volume, labels, {1: "LV"}, {}, pictures, SIZE))
    assert only[0] == "4ch acquired"
    bare = view_pictures(volume, None, {1: "LV"}, {}, pictures, SIZE)
    assert "<path" not in bare and "outlines" not in bare
    assert view_pictures(volume, labels, {1: "LV"}, {}, {}, SIZE) == ""
    assert "LV &lt;&gt;" in shown and "<>" not in shown


def test_a_ring_is_shown_with_what_it_encloses():
    """A wall that is thinner than its shift between slices would break up into islands."""
    volume, labels = stack()
    inner = np.linalg.norm(np.stack(np.indices(labels.shape), axis=-1) * (2, 2, GAP) - (100, 90, 40), axis=-1) <= 21
    ring = np.where(inner, 2, labels).astype(np.uint8)
    page = view_pictures(volume, ring, {1: "wall"}, {}, {"4ch": (image(), VIEW)}, SIZE)
    ((_, _, outlines, _),) = figures(page)
    assert len(outlines) == 1 and abs(np.linalg.norm(outlines[0] - SIZE / 2, axis=1).mean() - 25) < 1.5
