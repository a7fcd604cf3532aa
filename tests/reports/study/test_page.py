"""Test the study's page as HTML and as Markdown: which numbers are grey, and what is escaped."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from planewise.workshop.study.page import Page, Row, small_png
from planewise.workshop.study.paper_tables import Paper, Published


def test_rows_of_any_paper_are_grey():
    page = Page()
    theirs = Published(Paper("Somebody 2031", "Somebody. Planes & views. 2031."), "Table 1, patients", {})
    page.table("<t>", ["name", 4], [Row.of("ours", 0.5, None, 3), Row.of("theirs", "0.25", published=theirs)])
    text = page.html("a & b")
    assert "<td>ours</td><td>0.5000</td><td>-</td><td>3</td>" in text
    assert "<td class=paper>theirs</td><td class=paper>0.25</td>" in text
    assert "<h3>&lt;t&gt;</h3>" in text and "<title>a &amp; b</title>" in text and "<th>4</th>" in text
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text
    assert 'class="wide" role="region" tabindex="0" aria-label="&lt;t&gt;"><table>' in text, "it scrolls on a phone"


def test_a_picture_that_is_not_there_is_left_out(tmp_path):
    page = Page()
    page.figure(tmp_path / "no.png", "nothing")
    assert "<figure>" not in page.html("")


def test_a_page_that_shows_no_exams_keeps_the_plots_of_runs(tmp_path):
    page = Page(shows_exams=False)
    for name in ("inspect.png", "heatmaps.png", "saliency.png", "plan.png", "roc.png"):
        (tmp_path / name).write_bytes(name.encode())
        page.figure(tmp_path / name, name, main=True)
    assert [picture.png for picture in page.pictures] == [b"roc.png"]


def test_markdown_has_the_same_in_the_same_order_but_for_pictures_that_are_not_main_ones():
    page = Page()
    theirs = Published(Paper("Somebody 2031", "Somebody. Planes & views. 2031."), "Table 1, patients", {})
    page.add("<h2>Data</h2><p class=note>Ten &amp; two.</p>")
    page.table("Dice", ["name", "a|b"], [Row.of("ours", 0.5), Row.of("theirs", "", published=theirs)])
    figure = Figure(figsize=(1, 1))
    figure.set_facecolor((0.2, 0.4, 0.6))
    page.figure(figure, "A detail.")
    page.figure(figure, "A colour.", main=True)
    page.figure(figure, "Another detail.")
    text, pictures = page.markdown("heart")
    assert text.split("\n\n") == [
        "## Data",
        "<p>Ten &amp; two.</p>",
        "### Dice",
        "| name | a\\|b |\n| --- | ---: |\n| ours | 0.5000 |\n| *theirs* |  |",
        "![A colour.](heart/01.png)",
        "*A colour.*\n",
    ]
    (image,) = (Image.open(io.BytesIO(content)) for content in pictures.values())
    assert np.asarray(image.convert("RGB"))[50, 50].tolist() == [51, 102, 153]


@pytest.mark.parametrize(("size", "kept"), [((2400, 600), (1200, 300)), ((1000, 700), (1000, 700))])
def test_a_repositorys_picture_is_no_wider_than_a_page(size, kept):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, "PNG")
    assert Image.open(io.BytesIO(small_png(buffer.getvalue()))).size == kept


def test_the_blue_of_a_small_structure_stays_blue_in_a_grey_picture():
    """256 colours are few for a thousand noisy grey levels, but the picture is about the colours of the structures."""
    pixels = np.random.default_rng(0).normal(120, 60, (200, 200, 1)).clip(0, 255).repeat(3, axis=2)
    pixels += np.random.default_rng(1).normal(0, 4, (200, 200, 3))
    colours = {"blue": (31, 119, 180), "green": (44, 160, 44), "red": (214, 39, 40)}
    for number, colour in enumerate(colours.values()):
        pixels[20:28, 20 + 20 * number : 28 + 20 * number] = colour
    figure = Figure(figsize=(2, 2), dpi=100)
    figure.figimage(pixels.clip(0, 255).astype(np.uint8))
    page = Page()
    page.figure(figure, "A heart.", main=True)
    (png,) = page.markdown("heart")[1].values()
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    image = image[::-1] if abs(image[24, 24] - colours["blue"]).max() > 60 else image
    for number, colour in enumerate(colours.values()):
        assert abs(image[24, 24 + 20 * number] - colour).max() < 12, (colour, image[24, 24 + 20 * number])
