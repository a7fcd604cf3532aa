"""Test the page of an exam against a stack, planes and a ball known by hand, and in a real browser."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from planewise.own_exams.exam_page import ShownExam, exam_page
from planewise.own_exams.heart_stacks import LoadedStack
from planewise.reports.pretext_figures import VIEW_COLOURS

SPACING, GAP, SIZE, SLICES = 2.0, 8.0, 80, 6
PLANES = {
    "2ch": {"origin": [90.0, 0, 0], "normal": [1.0, 0, 0], "verdict": "plane", "reasons": []},
    "4ch": {"origin": [0, 70.0, 0], "normal": [0, 2.0, 0], "verdict": "plane", "reasons": []},
}


def stack_affines():
    """i to the right, j to the front, slices to the head: (i, j, k) lies at (2 i, 2 j, 8 k)."""
    affines = torch.diag(torch.tensor([SPACING, SPACING, GAP, 1.0], dtype=torch.float64)).repeat(SLICES, 1, 1)
    affines[:, 2, 3] = GAP * torch.arange(SLICES)
    return affines


def ball(radius=20.0, centre=(90, 70, 20)):
    """A ball in mm, as labels."""
    places = np.stack(np.indices((SIZE, SIZE, SLICES)), axis=-1) * (SPACING, SPACING, GAP)
    return (np.linalg.norm(places - centre, axis=-1) <= radius).astype(np.uint8)


def of_stack(image, affines, name="a", acquired=None, **content):
    """The content of a page."""
    item = {"image": [{"planes": acquired or {}}]}
    return ShownExam(LoadedStack(item, name, torch.as_tensor(image), affines), **content)


@pytest.fixture(scope="module")
def shown():
    # the grey levels increase from slice to slice
    image = np.broadcast_to(np.arange(SLICES) * 10.0, (SIZE, SIZE, SLICES)).copy()
    plan = {"views": PLANES, "locations": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]}
    acquired = {
        "2ch": {"origin": [94.0, 0, 0], "normal": [1.0, 0, 0]},
        "3ch": {"origin": [0, 0, 0], "normal": [1.0, 1, 0]},
    }
    tables = [("Views", ["view", "verdict"], [["2ch", "<b>plane</b>"]])]
    return of_stack(
        image, stack_affines(), "</script>x", acquired, plan=plan, labels=ball(), structures={1: "LV"}, tables=tables,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(shown):
    return exam_page(shown)


@pytest.fixture(scope="module")
def content(page):
    return json.loads(re.search(r"<script>const exam = (.*?);</script>", page, re.S)[1])


def test_it_is_one_file(page):
    assert "&lt;b&gt;plane" in page and "&lt;/script&gt;x" in page
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page), "nothing is fetched"
    assert len(page) < 3_000_000, "Plotly is compressed"
    assert "planewise" not in page.split("const exam")[0].split("<script>")[0]


def test_planes_and_their_lines(content):
    assert [plane["name"] for plane in content["planes"]] == ["2ch planned", "4ch planned", "2ch acquired"]
    assert [plane["dash"] for plane in content["planes"]] == ["solid", "solid", "dash"]
    # each view has the same colour as in the other pictures
    assert [plane["colour"] for plane in content["planes"]] == [VIEW_COLOURS[0], VIEW_COLOURS[1], VIEW_COLOURS[0]]
    for plane, axis, place in zip(content["planes"], (0, 1, 0), (90, 70, 94), strict=True):
        corners = np.array(plane["corners"])
        assert np.allclose(corners[:, axis], place)
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        assert np.allclose(sides, 180.0, atol=0.02)
    slices = content["slices"]
    assert [entry["name"] for entry in slices][1] == "slice 2 of 6, location 0.20"
    for entry in slices:
        # the picture shows the whole image, because the image (160 mm) is smaller than the picture's field (180 mm)
        assert entry["shape"] == [SIZE, SIZE]
        two, four = entry["marks"][:2]
        assert np.allclose(two["x"], 90, atol=0.01) and np.allclose(four["y"], 70, atol=0.01)
    # slice 2 is 4 mm from the middle of the ball: a circle of 19.6 mm
    outline = slices[2]["marks"][-1]
    points = np.array([[x, y] for x, y in zip(outline["x"], outline["y"], strict=True) if x is not None])
    radii = np.linalg.norm(points - (90, 70), axis=1)
    assert outline["name"] == "LV" and abs(radii.mean() - 19.6) < 1.0


def test_a_large_image_is_cut_about_the_organ():
    affines = stack_affines()[:2]
    image = np.zeros((300, 300, 2))
    image[200, 100, 0] = 1
    labels = np.zeros((300, 300, 2), dtype=np.uint8)
    labels[195:206, 95:106] = 1
    page = exam_page(of_stack(image, affines, labels=labels, structures={1: "LV"}))
    found = json.loads(re.search(r"<script>const exam = (.*?);</script>", page, re.S)[1])["slices"][0]
    assert found["shape"] == [91, 91]
    # 180 mm about (400, 200) mm begin at (310, 110)
    assert np.array(found["affine"])[:, 3].tolist() == [310, 110, 0]


def test_implausible_numbers_are_marked_and_explained(shown):
    flags = ["too <small>", "odd", "alpha", "beta", "gamma", "omicron"]
    tables = [("a & b", ["RV"], [["59 ml (!)"], ["60 ml"]])]
    marked = dataclasses.replace(shown, tables=tables, flags=flags, terms=["RV < LV"])
    text = exam_page(marked)
    assert '<td class="flagged">59 ml (!)</td>' in text and "<td>60 ml</td>" in text
    entries = re.findall("<li>(.*?)</li>", text)
    assert entries[0].startswith("(!)") and entries[1:6] == ["too &lt;small&gt;", *flags[1:5]] and len(entries) == 7
    assert 'class="flagged"' not in exam_page(shown)
    # the pictures come first, then the numbers in a box that scrolls; the rest is folded
    assert 'tabindex="0" aria-label="a &amp; b"><table>' in text and '<p class="note">RV &lt; LV</p>' in text
    order = ['id="exam"', "59 ml", "too &lt;small", "omicron", "<details>", "RV &lt; LV", "</details>"]
    assert sorted(order, key=text.index) == order


def test_markup_in_a_name_is_no_markup_in_the_page(shown):
    """Markup is placed in every field that holds text; a comment that opens a script inside a script would swallow the end of
    the page.
    """
    planted = "<!--<script>"
    views = {planted + view: {**entry, "verdict": planted, "reasons": [planted]} for view, entry in PLANES.items()}
    item = {"image": [{"planes": {planted + "2ch": shown.stack.acquired["2ch"]}}]}
    stack = dataclasses.replace(shown.stack, name=planted, item=item)
    stack.views = {planted + "2ch": (np.ones((8, 8)), np.eye(4))}
    marked = dataclasses.replace(
        shown,
        stack=stack,
        plan={**shown.plan, "views": views},
        structures={1: planted + "LV"},
        tables=[(planted, [planted], [[planted]])],
    )
    page = exam_page(marked)
    assert page.count(planted) == exam_page(shown).count(planted)
    names = [
        plane["name"]
        for plane in json.loads(re.search(r"<script>const exam = (.*?);</script>", page, re.S)[1])["planes"]
    ]
    assert names[0] == f"{planted}2ch planned"
