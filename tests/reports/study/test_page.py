"""Test the study's page as HTML: what is escaped, and which pictures it has."""

from __future__ import annotations

from planewise.workshop.study.page import Page


def test_cells_are_escaped():
    page = Page()
    page.table("<t>", ["name", 4], [["ours", 0.5, None, 3]])
    text = page.html("a & b")
    assert "<td>ours</td><td>0.5000</td><td>-</td><td>3</td>" in text
    assert "<h3>&lt;t&gt;</h3>" in text and "<title>a &amp; b</title>" in text
