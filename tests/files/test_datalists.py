"""Test that a datalist is read once, and that its exams are counted in one way."""

from __future__ import annotations

import json
import os

from planewise.files import datalists as sections
from planewise.files.datalists import exams_in, items_in, labelled_exams, parsed_datalist

ITEMS = [{"exam": "a", "image": "a0"}, {"exam": "a", "image": "a1", "group": "DCM"}, {"image": "b"}, {"image": "c"}]


def test_a_file_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    file, read = tmp_path / "list.json", []
    parse = sections.read_json
    monkeypatch.setattr(sections, "read_json", lambda path: read.append(path) or parse(path))
    file.write_text(json.dumps({"training": ITEMS, "testing": ITEMS[2:]}))
    assert parsed_datalist(file) == parsed_datalist(file) == {"training": ITEMS, "test": ITEMS[2:]} and len(read) == 1
    file.write_text(json.dumps({"test": [], "testing": ITEMS}))
    os.utime(file, (1, 1))
    assert parsed_datalist(file) == {"test": [], "testing": ITEMS} and len(read) == 2


def test_exams_are_counted_by_their_name_or_file():
    content = {"training": ITEMS, "validation": ["none", ITEMS[0], {"image": "d", "acl": 0}], "test": {}}
    assert exams_in(content, "training") == 3 and exams_in(content, "training", "validation", "test") == 4
    assert exams_in(content, "training", "validation", labelled=True) == 2
    assert labelled_exams(content, "training") == 1 and labelled_exams({"training": ITEMS[2:]}, "training") == 2
    assert items_in([], "training") == items_in({"training": None}, "training") == []
