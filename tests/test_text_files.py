"""Test JSON and YAML files of users with the commands that read them."""

from __future__ import annotations

import pytest
import yaml
from planewise.errors import InputError
from planewise.files.text import cell, read_csv, read_json, read_yaml


@pytest.fixture(autouse=True)
def the_loader_of_a_person(monkeypatch):
    """Use PyYAML's Python loader, as users have it; the tests' C loader fails differently on deep nesting."""
    monkeypatch.setattr(yaml, "SafeLoader", yaml.loader.SafeLoader)


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_what_a_file_holds(read, tmp_path):
    (tmp_path / "file").write_bytes(b'\xef\xbb\xbf{"a": [1, "\xc3\xa4"]}')
    assert read(tmp_path / "file") == {"a": [1, "ä"]}, "the file begins with the byte order mark of Windows editors"


@pytest.mark.parametrize("read", [read_json, read_yaml])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b'{"a": [1,', "(line 1|JSON|Expecting|expected)"),
        (b"\xff\xfe{}", "it is not UTF-8 text: save it in UTF-8"),
        (b"[" * 5_000, "recursion"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(read, content, reason, tmp_path):
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=rf"^{tmp_path}/file cannot be read as a list \(.*{reason}.*\)$"):
        read(tmp_path / "file", "a list")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: [0, 1\nc: 2\n", r"line 3, column [24]: .*expected ',' or ']'"),
        # a tag that the value does not fit; for some of these files, PyYAML raises an AttributeError
        *((text, "") for text in ("a: !!timestamp x", "? !!timestamp x\n: 1", "!!omap [1]", "a: !!int x")),
    ],
)
def test_the_place_of_an_error_in_yaml_is_named(text, place, tmp_path):
    (tmp_path / "file").write_text(text)
    with pytest.raises(InputError, match=rf"cannot be read as YAML \({place}"):
        read_yaml(tmp_path / "file")


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "file").write_text("a: {x: 1}\nb: {x: 1}\nc: &c {y: 1}\nd: {<<: *c, y: 2}\n")
    assert read_yaml(tmp_path / "file")["d"] == {"y": 2}
    (tmp_path / "file").write_text("1: training\n2: test\n1: test\n")
    with pytest.raises(InputError, match="1 appears twice, again in line 3"):
        read_yaml(tmp_path / "file")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_with_any_separator(delimiter, tmp_path):
    (tmp_path / "a.csv").write_text(f'image{delimiter}grade\n"a;b,c"{delimiter} 2\n\n')
    assert read_csv(tmp_path / "a.csv") == [["image", "grade"], ["a;b,c", "2"]]


@pytest.mark.parametrize("content", [b"PK\x03\x04\x14", "a;ä".encode("utf-16"), "a,ä\n".encode("cp1252")])
def test_a_file_that_is_no_text_is_no_csv(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('exam,"none; mild; severe"\n7,none', [["exam", "none; mild; severe"], ["7", "none"]]),
        ("\nexam;height, cm;weight\n7;170,5;1,234,5", [["exam", "height, cm", "weight"], ["7", "170.5", "1,234,5"]]),
        ('7,"1,5"\n', [["7", "1,5"]]),
        ("1,5;1,5;2;3\n", [["1,5", "1.5", "2", "3"]]),
    ],
)
def test_separators_within_cells(text, rows, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    assert read_csv(tmp_path / "a.csv") == rows


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd|x", "'+cmd|x"), ("-name", "'-name"), ("\tx", "'\tx"),
        ("\rx", "'\rx"), ("-1.5", "-1.5"), ("+3e2", "+3e2"), (-2.0, -2.0), (None, None), ("a=b", "a=b"), ("", ""),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula(value, expected):
    assert cell(value) == expected
