"""Test the pictures of an exam's page: a ball in a gradient, cut by planes known by hand; a cine of a ball that shrinks; and
the position of a structure's surface between slices."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from planewise.own_exams.page_pictures import Volume, cine_of, label_distances, view_pictures
from skimage.measure import marching_cubes

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
    return view_pictures(volume, labels, {1: "LV"}, plane, {"4ch": (image(), VIEW)}, SIZE)


def figures(pictures):
    """Caption, pixels (rows, columns), outline in mm from the corner, and letters of each picture."""
    found = []
    for picture in pictures:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["png"]))))
        letters = [letters for _, _, letters in picture["edges"]]
        points = [line for *_, path in picture["outlines"] for line in lines_of(path)]
        found.append((picture["caption"], pixels, points, letters))
    return found


def lines_of(path):
    """The lines of an SVG path."""
    return [
        np.array([point.split() for point in line.split("L")], dtype=float) for line in re.findall("M([^M]*)", path)
    ]


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


def test_what_is_missing_is_left_out():
    volume, labels = stack()
    pictures = {"4ch": (image(), VIEW)}
    (only,) = figures(view_pictures(volume, labels, {1: "LV"}, {}, pictures, SIZE))
    assert only[0] == "4ch acquired"
    assert [each["outlines"] for each in view_pictures(volume, None, {1: "LV"}, {}, pictures, SIZE)] == [[]]
    assert view_pictures(volume, labels, {1: "LV"}, {}, {}, SIZE) == []


def test_a_ring_is_shown_with_what_it_encloses():
    """A wall that is thinner than its shift between slices would break up into islands."""
    volume, labels = stack()
    inner = np.linalg.norm(np.stack(np.indices(labels.shape), axis=-1) * (2, 2, GAP) - (100, 90, 40), axis=-1) <= 21
    ring = np.where(inner, 2, labels).astype(np.uint8)
    page = view_pictures(volume, ring, {1: "wall"}, {}, {"4ch": (image(), VIEW)}, SIZE)
    ((_, _, outlines, _),) = figures(page)
    assert len(outlines) == 1 and abs(np.linalg.norm(outlines[0] - SIZE / 2, axis=1).mean() - 25) < 1.5


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


def test_no_cine_without_phases_or_structures():
    assert cine_of([phase(20)], PIXEL, {1: "LV"}) is None
    assert cine_of([phase(0.1), phase(0.1)], PIXEL, {2: "RV"}) is None
    name, image, labels = phase(20)
    assert cine_of([phase(20), (name, image[:-1], labels[:-1])], PIXEL, {1: "LV"}) is None


def discs(radii, size=41):
    i, j = np.indices((size, size)) - size // 2
    return np.stack([np.hypot(i, j) <= radius for radius in radii], axis=-1)


def test_the_edge_lies_between_the_pixels():
    mask = np.zeros((9, 9, 1), dtype=bool)
    mask[3:6, 3:6] = True
    distances = label_distances(mask)[..., 1]
    assert distances.shape == (11, 11)
    assert distances[4, 5] == 0.5 and distances[3, 5] == -0.5 and distances[5, 5] == 1.5
    assert ((distances > 0) == np.pad(mask[..., 0], 1)).all()


def test_between_two_slices_a_cone_has_no_steps():
    """Discs with radii of 16 and 8 pixels: halfway, the radius is 12, where nearest-neighbour labels would jump from one to
    the other.
    """
    distances = label_distances(discs([16, 8]))
    halfway = (distances[..., 1] + distances[..., 2]) / 2
    radius = np.sqrt((halfway > 0).sum() / np.pi)
    assert abs(radius - 12) < 0.5


def test_the_surface_closes_half_a_slice_beyond_the_ends():
    vertices, *_ = marching_cubes(label_distances(discs([10, 10, 10])), 0.0)
    slices = vertices[:, 2] - 1
    assert abs(slices.min() + 0.5) < 0.1 and abs(slices.max() - 2.5) < 0.1


def test_a_slice_without_it_parts_a_structure():
    distances = label_distances(discs([8, 0, 0, 8])[:, :, [0, 1, 3]] & np.array([True, False, True]))
    assert (distances[..., 2] < 0.1).all() and (distances[..., 1] > 0).any() and (distances[..., 3] > 0).any()
