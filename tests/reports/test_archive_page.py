"""Test the page of an archive: names as text, numbers in their units, dashes for unknown values."""

import html
import math
import re

import pytest
from planewise.findings import finding
from planewise.own_exams.archive_page import Summary, archive_page

from tests.reports.test_exam_page import BROWSER, in_a_frame

MISSING = finding("volume-incomplete", "RV volume", kind="nowhere")
FAR = finding("view-far", "2ch", values=["20 mm"], limits=["5 mm"])
OTHER = finding("view-far", "4ch", values=["<9> mm"], limits=["5 mm"])
CORRECTED = finding("corrected-mask", kind="used", files=["a_corrected.nii"])


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
    page = archive_page("segment", exams, {}, {}, 0, "Masks by <weights>")
    heads = re.findall(r"<th scope[^>]*>(.*?)</th>", page)
    assert heads == ["exam", "LV ejection fraction, %", "phases", "mass, g"]
    rows = rows_of(page)
    assert [row[1:] for row in rows] == [["61.3 (!)", "5", "-", f"{MISSING}<br>{FAR}"], ["-", "-", "90.0"]]
    assert 'href="b/index.html">b</a>' in rows[0][0] and re.findall(r'<tbody class="(\w+)"', page) == [
        "flagged",
        "fine",
    ]
    assert "2 exams, 1 flagged, 0 left out" in page
    assert "Left out" not in page and "Research software" in page
    assert page.count('<div class="wide listed" role="region" tabindex="0"') == 1, "the table scrolls, not the page"
    assert '<meta name="viewport"' in page and "http" not in page, "it needs no network"


def test_exams_with_corrected_masks_are_named_and_their_numbers_marked():
    values = {"LV_ml": 61.26, "RV_ml": 7.0}
    exam = Summary(values, "", [CORRECTED], 0.0, corrected=["LV_ml"])
    page = archive_page("segment", {"a": exam}, {}, {}, 0, "")
    assert "<p>1 exam, 0 flagged, 0 left out; 1 with masks that a person changed.</p>" in page
    assert [row[1:] for row in rows_of(page)] == [["61.3 (*)", "7.0", str(CORRECTED)]]


def test_flags_of_most_exams_are_written_once():
    flags = [[OTHER, FAR], [MISSING, OTHER], [OTHER, FAR, FAR]]
    exams = {name: Summary({"x": 1}, "", each, 1.0) for name, each in zip("abc", flags, strict=True)}
    page = archive_page("plan", exams, {}, {}, 0, "")
    assert re.findall(r"<li>(.*?)</li>", page) == [f"3 of 3: {html.escape(str(OTHER))}", f"2 of 3: {FAR}"]
    assert [row[2:] for row in rows_of(page)] == [["flag 2 above"], [str(MISSING)], ["flag 2 above"]]
    (alone,) = rows_of(archive_page("plan", {"a": exams["a"]}, {}, {}, 0, ""))
    assert len(alone[2:]) == 1 and "above" not in alone[2], "a single exam shares nothing"


def test_texts_are_no_markup():
    exams = {"<a>": Summary({"x": "<b>"}, "", [FAR.about("<i>")], 1.0)}
    page = archive_page("plan", exams, {"<u>": [FAR.about("<s>")]}, {FAR.about("<s>"): 7}, 0, "")
    assert not re.search(r"<(a|b|i|u|s)>", page) and "&lt;s&gt;" in page


def test_a_column_without_any_number_is_not_shown():
    exams = {"a": Summary({"LV_ml": math.nan, "RV_ml": None}, "", [], 0.0), "b": Summary({"RV_ml": 3.0}, "", [], 0.0)}
    page = archive_page("segment", exams, {}, {}, 0, "")
    assert "LV, ml" not in page and page.count('data-column="RV, ml"') == 2


def test_what_is_left_out_or_waits_is_counted():
    packed, why = finding("file-unusable", kind="packed"), [finding("no-stack", least=3, most=1)]
    page = archive_page("plan", {}, {"c": why, "d": why}, {packed: 2}, 3, "")
    assert "0 exams, 0 flagged, 2 left out; 3 not processed yet: start the command again" in page
    (files,) = re.findall(r"Files that were not read</h2>(.*)", page)
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
    found = in_a_frame(archive_page(command, exams, {}, {}, 0, "by some weights"), 375, measure, tmp_path)
    assert found["hidden"] == "0" and found["last"] == "flags", found
    assert found["heads"] == "none", "each number has its name next to it"
