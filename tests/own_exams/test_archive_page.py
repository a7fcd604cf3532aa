"""Test the page of an archive: names as text, numbers in their units, dashes for unknown values."""

import html
import math
import re
from pathlib import Path

import pytest
from planewise.findings import finding
from planewise.own_exams.archive import Archive, ExamWork, Summary, archive_page
from planewise.own_exams.bundles import Note

from tests.own_exams.test_exam_page import BROWSER, in_a_frame

MISSING = finding("volume-incomplete", "RV volume", kind="nowhere")
FAR = finding("view-far", "2ch", values=["20 mm"], limits=["5 mm"])
OTHER = finding("view-far", "4ch", values=["<9> mm"], limits=["5 mm"])


def page_of(command, exams, left_out, skipped, waiting, note) -> str:
    stacks = [{"image": "a.nii", "exam": name} for name in (*exams, *left_out, *range(waiting))]
    made_by = Note(note, "")
    work = ExamWork(command, stacks, {}, {}, None, None, made_by, skipped, "Exams", "")
    return archive_page(work, Archive(Path(), Path(), Path(), exams, left_out))


def rows_of(page: str) -> list[list[str]]:
    """The cells of each exam; the last one has its flags, if there are any."""
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tbody.*?</tbody>", page, re.S)]


def test_rows_in_the_given_order_with_their_units():
    exams = {
        "b": Summary(
            {"LV_ejection_fraction_percent": 61.26, "phases": 5},
            "",
            [MISSING, FAR],
            2.0,
            flagged=["LV_ejection_fraction_percent"],
        ),
        "a": Summary({"LV_ejection_fraction_percent": float("nan"), "mass_g": 90.0}, "", [], 0.0),
    }
    page = page_of("segment", exams, {}, {}, 0, "Masks by <weights>")
    heads = re.findall(r"<th scope[^>]*>(.*?)</th>", page)
    assert heads == ["exam", "LV ejection fraction, %", "phases", "mass, g"]
    rows = rows_of(page)
    assert [row[1:] for row in rows] == [["61.3 (!)", "5", "-", f"{MISSING}<br>{FAR}"], ["-", "-", "90.0"]]
    assert 'href="b/index.html">b</a>' in rows[0][0] and re.findall(r'<tbody class="(\w+)"', page) == [
        "flagged",
        "fine",
    ]
    assert "2 exams finished, 1 flagged, 0 left out" in page
    assert "Left out" not in page and "Research software" in page
    assert page.count('<div class="wide listed" role="region" tabindex="0"') == 1, "the table scrolls, not the page"
    assert '<meta name="viewport"' in page and "http" not in page, "it needs no network"


def test_texts_are_no_markup():
    exams = {"<a>": Summary({"x": "<b>"}, "", [FAR.about("<i>")], 1.0)}
    page = page_of("plan", exams, {"<u>": [FAR.about("<s>")]}, {FAR.about("<s>"): 7}, 0, "")
    assert not re.search(r"<(a|b|i|u|s)>", page) and "&lt;s&gt;" in page


def test_a_column_without_any_number_is_not_shown():
    exams = {"a": Summary({"LV_ml": math.nan, "RV_ml": None}, "", [], 0.0), "b": Summary({"RV_ml": 3.0}, "", [], 0.0)}
    page = page_of("segment", exams, {}, {}, 0, "")
    assert "LV, ml" not in page and page.count('data-column="RV, ml"') == 2


def test_what_is_left_out_or_waits_is_counted():
    packed, why = finding("file-unusable", kind="packed"), [finding("no-stack", least=3, most=1)]
    page = page_of("plan", {}, {"c": why, "d": why}, {packed: 2}, 3, "")
    assert "0 exams finished, 0 flagged, 2 left out; 3 not processed yet: start the command again" in page
    (files,) = re.findall(r"Files that were not read</h2>(.*)", page, re.S)
    assert re.findall(r"<td[^>]*>(.*?)</td>", files) == ["2", html.escape(str(packed))]


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the PATH")
@pytest.mark.parametrize("command", ["plan", "segment"])
def test_a_phone_shows_every_number(command, tmp_path):
    """Each row is a list with the columns' names; nothing is out of sight, and the long flags come last."""
    values = {f"{view}_{name}": 12.5 for view in ("2ch", "4ch") for name in ("angle_deg", "offset_mm", "bound_deg")}
    flags = [FAR.about("a long sentence on what is wrong " * 6)]
    exams = {"b123456789": Summary(values, "", flags, 1.0, flagged=["2ch_angle_deg"])}
    measure = "const wide = inside.querySelector('.wide'); found.hidden = wide.scrollWidth - wide.clientWidth; "
    measure += "const cells = [...inside.querySelectorAll('.wide td')]; "
    measure += "const top = (cell) => cell.getBoundingClientRect().top; "
    measure += "found.last = cells.sort((a, b) => top(a) - top(b)).at(-1).dataset.column; "
    measure += "found.heads = getComputedStyle(inside.querySelector('.wide tr')).display;"
    found = in_a_frame(page_of(command, exams, {}, {}, 0, "by some weights"), 375, measure, tmp_path)
    assert found["hidden"] == "0" and found["last"] == "flags", found
    assert found["heads"] == "none", "each number has its name next to it"
