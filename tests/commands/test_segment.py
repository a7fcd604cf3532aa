"""Test what `planewise segment` prints for a datalist."""

import io
from pathlib import Path

from planewise.commands.segment import _print
from planewise.own_exams import SegmentedDatalist
from rich.console import Console


def printed(**values) -> str:
    usual = {"exams": 3, "images": 6, "kept": 0, "left_out": {}, "said": [], "note": ""}
    console = Console(record=True, width=200, file=io.StringIO())
    _print(SegmentedDatalist(Path("datalist.json"), Path("masks"), **usual | values), console)
    return console.export_text()


def test_of_many_remarks_on_exams_the_first_ten_and_how_many_follow():
    remarks = [f"exam {number:02}: a doubt" for number in range(13)]
    text = printed(said=remarks)
    assert [line for line in text.splitlines() if "doubt" in line] == [f"Exam {n:02}: a doubt." for n in range(10)]
    assert "... and 3 remarks more." in text
    assert "more." not in printed(said=remarks[:10])


def test_exams_without_a_mask_are_counted_and_told():
    text = printed(left_out={"bbbb": "its predicted mask is empty"}, kept=2)
    assert "6 images segmented, 2 of them by an earlier run. 3 exams with masks, 1 without." in text
    assert "bbbb" in text and "its predicted mask is empty" in text
