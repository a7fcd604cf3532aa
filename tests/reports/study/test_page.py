"""Test the study's page as HTML: what is escaped, and which pictures it has."""

from __future__ import annotations

from planewise.workshop.study.page import Page


def test_cells_are_escaped():
    page = Page()
    page.table("<t>", ["name", 4], [["ours", 0.5, None, 3]])
    text = page.html("a & b")
    assert "<td>ours</td><td>0.5000</td><td>-</td><td>3</td>" in text
    assert "<h3>&lt;t&gt;</h3>" in text and "<title>a &amp; b</title>" in text


def test_a_picture_that_is_not_there_is_left_out(tmp_path):
    page = Page()
    page.figure(tmp_path / "no.png", "nothing")
    assert "<figure>" not in page.html("")


def test_a_page_that_shows_no_exams_keeps_the_plots_of_runs(tmp_path):
    page = Page(shows_exams=False)
    for name in ("inspect.png", "heatmaps.png", "saliency.png", "plan.png", "roc.png"):
        (tmp_path / name).write_bytes(name.encode())
        page.figure(tmp_path / name, name)
    assert [picture.png for picture in page.pictures] == [b"roc.png"]
