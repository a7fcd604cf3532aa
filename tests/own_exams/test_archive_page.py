"""Test the page of an archive: names as text, numbers in their units, dashes for unknown values."""

import re
from pathlib import Path

from planewise.findings import finding
from planewise.own_exams.archive import Archive, ExamWork, Summary, archive_page
from planewise.own_exams.bundles import Note

MISSING = finding("volume-incomplete", "RV volume", kind="nowhere")
FAR = finding("view-far", "2ch", values=["20 mm"], limits=["5 mm"])


def page_of(command, exams, left_out, skipped, waiting, note) -> str:
    stacks = [{"image": "a.nii", "exam": name} for name in (*exams, *left_out, *range(waiting))]
    made_by = Note(note, "")
    work = ExamWork(command, stacks, {}, {}, None, made_by, skipped, "Exams", "")
    return archive_page(work, Archive(Path(), Path(), Path(), exams, left_out))


def rows_of(page: str) -> list[list[str]]:
    """The cells of each exam; the last one has its flags, if there are any."""
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tbody.*?</tbody>", page, re.S)]


def test_rows_in_the_given_order_with_their_units():
    exams = {
        "b": Summary(
            {"LV_ejection_fraction_percent": 61.26, "phases": 5},
            [MISSING, FAR],
            2.0,
            flagged=["LV_ejection_fraction_percent"],
        ),
        "a": Summary({"LV_ejection_fraction_percent": float("nan"), "mass_g": 90.0}, [], 0.0),
    }
    page = page_of("segment", exams, {}, {}, 0, "Masks by <weights>")
    heads = re.findall(r"<th scope[^>]*>(.*?)</th>", page)
    assert heads == ["exam", "LV ejection fraction percent", "phases", "mass g"]
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
    exams = {"<a>": Summary({"x": "<b>"}, [FAR.about("<i>")], 1.0)}
    page = page_of("plan", exams, {"<u>": [FAR.about("<s>")]}, {FAR.about("<s>"): 7}, 0, "")
    assert not re.search(r"<(a|b|i|u|s)>", page) and "&lt;s&gt;" in page
