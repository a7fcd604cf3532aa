"""Test the page of an exam against a stack, planes and a ball known by hand, and in a real browser."""

import base64
import dataclasses
import html
import json
import re
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest
import torch
from planewise.own_exams.exam_page import ShownExam, direction_letters, exam_page
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
    return ShownExam(LoadedStack(name, torch.as_tensor(image), affines, acquired or {}, {}), **content)


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
    phases = [(f"phase {number + 1} of 3</script>", image + number, ball(20.0 - number)) for number in range(3)]
    return of_stack(
        image, stack_affines(), "</script>x", acquired, plan=plan, labels=ball(), structures={1: "LV"}, tables=tables,
        phases=phases,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(shown):
    return exam_page(shown)


@pytest.fixture(scope="module")
def content(page):
    return json.loads(re.search(r"<script>const exam = (.*?);</script>", page, re.S)[1])


def floats(text):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, 3)


def test_it_is_one_file(page):
    assert "&lt;b&gt;plane" in page and "&lt;/script&gt;x" in page
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page), "nothing is fetched"
    assert len(page) < 3_000_000, "Plotly is compressed"
    assert "planewise" not in page.split("const exam")[0].split("<script>")[0]


def test_the_ball_lies_where_it_is(content):
    (mesh,) = content["meshes"]
    vertices = floats(mesh["vertices"])
    distances = np.linalg.norm(vertices - (90, 70, 20), axis=1)
    # with slices 8 mm apart, a ball's surface may be this inaccurate, but not more
    assert abs(distances.mean() - 20) < 1.0 and distances.min() > 16 and distances.max() < 24.1
    faces = np.frombuffer(base64.b64decode(mesh["faces"]), "<u4")
    assert faces.max() == len(vertices) - 1


def test_a_surface_is_as_coarse_as_a_pixel_of_two_millimetres():
    """A ball with pixels of half a millimetre gets about as many points as one with pixels of 2 mm, at the same position."""
    fine = stack_affines()
    fine[:, :3, :2] /= 4
    places = np.stack(np.indices((4 * SIZE, 4 * SIZE, SLICES)), axis=-1) * (SPACING / 4, SPACING / 4, GAP)
    labels = (np.linalg.norm(places - (90, 70, 20), axis=-1) <= 20).astype(np.uint8)
    points = []
    for affines, each in ((stack_affines(), ball()), (fine, labels)):
        text = exam_page(of_stack(np.zeros(each.shape), affines, labels=each, structures={1: "LV"}))
        (mesh,) = json.loads(re.search(r"<script>const exam = (.*?);</script>", text, re.S)[1])["meshes"]
        points.append(floats(mesh["vertices"]))
    assert len(points[1]) == pytest.approx(len(points[0]), rel=0.1)
    assert np.allclose(points[0].mean(axis=0), points[1].mean(axis=0), atol=1.0)


def test_a_structure_that_reaches_the_ends_of_the_stack_is_closed_half_a_slice_beyond_them():
    """Also in a stack whose slices are unevenly spaced: 0, 8, 16, 24, 32 and 48 mm."""
    affines = stack_affines()
    affines[-1, 2, 3] = 48.0
    labels = np.zeros((SIZE, SIZE, SLICES), dtype=np.uint8)
    labels[30:50, 30:50] = 1
    page = exam_page(of_stack(np.zeros(labels.shape), affines, labels=labels, structures={1: "LV"}))
    (mesh,) = json.loads(re.search(r"<script>const exam = (.*?);</script>", page, re.S)[1])["meshes"]
    heights = floats(mesh["vertices"])[:, 2]
    # the mean distance of the slices is 9.6 mm
    assert heights.min() == pytest.approx(-4.8, abs=0.3) and heights.max() == pytest.approx(52.8, abs=0.3)


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


def test_an_outline_surrounds_its_pixels():
    """A single pixel gives a diamond about its centre; at the edge of the picture, the outline is closed outside."""
    labels = np.zeros((8, 8, 1), dtype=np.uint8)
    labels[3, 5], labels[0, 2] = 1, 2
    structures = {1: "LV", 2: "RV"}
    page = exam_page(of_stack(np.zeros(labels.shape), stack_affines()[:1], labels=labels, structures=structures))
    found = json.loads(re.search(r"<script>const exam = (.*?);</script>", page, re.S)[1])["slices"][0]
    assert found["shape"] == [8, 8] and [mark["name"] for mark in found["marks"]] == ["LV", "RV"]
    for mark, (x, y) in zip(found["marks"], ((6.0, 10.0), (0.0, 4.0)), strict=True):
        points = set(zip(mark["x"][:-1], mark["y"][:-1], strict=True))
        assert points == {(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)} and mark["x"][-1] is None


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


def test_what_is_not_there_is_left_out():
    page = exam_page(
        of_stack(np.zeros((8, 8, 1)), stack_affines()[:1], plan={"views": {"2ch": {**PLANES["2ch"], "origin": None}}})
    )
    found = json.loads(re.search(r"<script>const exam = (.*?);</script>", page, re.S)[1])
    assert found["planes"] == [] and found["meshes"] == [] and found["slices"][0]["marks"] == []


def test_implausible_numbers_are_marked_and_explained(shown):
    flags = ["too <small>", "odd", "alpha", "beta", "gamma", "omicron"]
    tables = [("a & b", ["RV"], [["59 ml (!)"], ["60 ml"]])]
    marked = dataclasses.replace(shown, tables=tables, folded=[("c", ["x"], [["y"]])], flags=flags, terms=["RV < LV"])
    text = exam_page(marked)
    assert '<td class="flagged">59 ml (!)</td>' in text and "<td>60 ml</td>" in text
    entries = re.findall("<li>(.*?)</li>", text)
    assert entries[0].startswith("(!)") and entries[1:6] == ["too &lt;small&gt;", *flags[1:5]] and len(entries) == 7
    assert text.count("omicron") == 1, "of many flags, the last are under Details"
    assert 'class="flagged"' not in exam_page(shown)
    # the pictures come first, then the numbers in a box that scrolls; the rest is folded
    assert 'tabindex="0" aria-label="a &amp; b"><table>' in text and '<p class="note">RV &lt; LV</p>' in text
    order = ['id="exam"', "59 ml", "too &lt;small", "<details>", "omicron", "<caption>c<", "RV &lt; LV", "</details>"]
    assert sorted(order, key=text.index) == order


def test_the_script_names_the_patients_sides_as_the_pictures_do():
    """In space, each letter stands at an end of one of the axes, which point to the right, to the front and to the head; on a
    slice, the letters stand left, right, above and below."""
    script = (files("planewise.own_exams") / "exam_page.js").read_text()
    ends = re.findall(r'\[(\d), (\d), "(\w)"\]', script)
    assert len(ends) == 6
    for axis, end, letter in ends:
        assert letter == direction_letters(np.eye(3)[int(axis)] * (1 if end == "1" else -1))
    places = [re.findall(r"\[(0\.\d+), (0\.\d+)\]", line) for line in script.splitlines()]
    for found in (np.array(line, dtype=float) for line in places if len(line) == 4):
        left, right, top, bottom = found
        assert left[0] < 0.1 and right[0] > 0.9 and left[1] == right[1] == 0.5
        assert top[1] < 0.1 and bottom[1] > 0.9 and top[0] == bottom[0] == 0.5
    assert sum(len(line) == 4 for line in places) == 2, "on the slice and in the cine"
    # the picture's edge would cut off the centred name of a slice in the first column
    assert re.search(r"write\(`.* \${end}`, x, y, { style: \"text-anchor: start\" }\)", script)


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
@pytest.mark.parametrize(
    "width", [1200, pytest.param(500, marks=pytest.mark.slow)]
)  # browser windows are at least this wide
def test_a_browser_draws_it_without_a_network(page, width, tmp_path):
    """The page reports when it is drawn, and scrolls when the slider moves."""
    move = "<script>setTimeout(() => { slider.value = 4; slider.dispatchEvent(new Event('input')); "
    move += "document.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' })); "
    # the space bar starts the cine, and stops it at the third phase or later
    move += "const space = () => document.dispatchEvent(new KeyboardEvent('keydown', { key: ' ' })); "
    # the slider of phases handles its own keys; clicking a name also hides the name's outline
    move += "const key = new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }); "
    move += "document.getElementById('phase').dispatchEvent(key); "
    move += (
        "box.dataset.groups = box._fullData.filter((trace) => trace.legendgroup === 'LV').map((trace) => trace.type); "
    )
    move += "space(); setTimeout(() => { box.dataset.played = document.getElementById('moment').textContent; space(); "
    move += "box.dataset.button = document.getElementById('play').textContent; }, 800); "
    move += (
        "box.dataset.high = document.getElementById('which').getBoundingClientRect().height; }, 4000);</script></body>"
    )
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", move))
    command = [BROWSER, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    command += [
        "--ignore-gpu-blocklist",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command += ["--virtual-time-budget=15000", f"--window-size={width},800", "--dump-dom", file.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    box = re.search(r'<div id="exam"[^>]*>', drawn)[0]
    assert 'data-state="ready"' in box and 'data-slice="3"' in box
    assert "slice 4 of 6, location 0.60" in drawn
    assert 'data-groups="mesh3d,scatter"' in box
    assert 'data-played="phase 3 of 3' in box and 'data-button="Play"' in box
    assert float(re.search(r'data-high="([\d.]+)"', box)[1]) < 30, "the text is on one line"
    assert all(re.search(rf">{letter}</text>", drawn) for letter in "LRPA")
    assert drawn.count("<canvas") >= 1, "the space is drawn"


def in_a_frame(page, width, measure, tmp_path):
    """What a script measures on a page in a frame of this width, pixels, as wide as a phone; the script has `found`, and
    the page's `inside`."""
    file = tmp_path / "phone.html"
    run = "const inside = document.getElementById('frame').contentDocument; const found = document.body.dataset; "
    file.write_text(
        f'<!doctype html><body><iframe id="frame" width="{width}" height="800" srcdoc="{html.escape(page)}" '
        f'onload="{run}{measure}"></iframe></body>'
    )
    command = [BROWSER, "--headless=new", "--no-sandbox", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    command += ["--virtual-time-budget=10000", "--window-size=800,900", "--dump-dom", file.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    return dict(re.findall(r'data-(\w+)="([^"]*)"', re.search("<body[^>]*>", drawn)[0]))


VOLUMES = (
    ["structure", "end-diastole", "end-systole", "stroke volume", "ejection fraction", "mass"],
    [[name, "188 ml (!)", "188 ml (!)", "188 ml (!)", "88 % (!)", "188 g (!)"] for name in ("LV", "myocardium")],
)
PLANNED = (
    ["view", "verdict", "angle to the acquired plane", "offset from the acquired plane", "agreement", "remarks"],
    [[view, "plane", "40.0 deg (!)", "12.0 mm (!)", "0.82", "90 % error bounds 6.1 deg; " * 5] for view in ("2ch", "4ch")],
)  # fmt: skip


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
@pytest.mark.parametrize(("table", "width"), [(VOLUMES, 375), (PLANNED, 375), (PLANNED, 500)])
def test_a_phone_shows_the_whole_table(shown, tmp_path, table, width):
    """The table does not scroll sideways, even if every number is flagged."""
    page = exam_page(dataclasses.replace(shown, tables=[("25 phases", *table)]))
    still = re.sub("<script.*?</script>", "", page, flags=re.DOTALL)
    measure = "const wide = inside.querySelector('.wide'); found.hidden = wide.scrollWidth - wide.clientWidth; "
    measure += "found.width = inside.body.clientWidth; found.caption = inside.querySelector('caption').clientHeight;"
    found = in_a_frame(still, width, measure, tmp_path)
    assert found["hidden"] == "0" and width - 75 < int(found["width"]) <= width, found
    assert int(found["caption"]) < 40, "the title has a line of its own"


def test_markup_in_a_name_is_no_markup_in_the_page(shown):
    """Markup is placed in every field that holds text; a comment that opens a script inside a script would swallow the end of
    the page.
    """
    planted = "<!--<script>"
    views = {planted + view: {**entry, "verdict": planted, "reasons": [planted]} for view, entry in PLANES.items()}
    marked = dataclasses.replace(
        shown,
        stack=dataclasses.replace(
            shown.stack,
            name=planted,
            acquired={planted + "2ch": shown.stack.acquired["2ch"]},
            views={planted + "2ch": (np.ones((8, 8)), np.eye(4))},
        ),
        plan={**shown.plan, "views": views},
        phases=[(planted, image, labels) for _, image, labels in shown.phases],
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
