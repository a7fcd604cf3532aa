from __future__ import annotations

from bars import index
from planewise.exams.scan import scan_folder
from planewise.phantoms import UNLABELLED, Recipe, write_exams
from timing import Options


def test_bars(monkeypatch):
    bars = index.measure(Options(repetitions=2, quick=True))
    assert all(bar.value > 0 for bar in bars)
    assert [bar.limit for bar in bars if bar.limit is not None] == [1.0]
    assert sum(bar.unit == "a second" for bar in bars) >= 2


def test_both_read_the_same_files(tmp_path):
    population = UNLABELLED.at_size("demo").with_values(phases=1)
    list(write_exams(Recipe("dsbcc", 3, population), tmp_path / "exam", 1))
    count = index._repeat(tmp_path / "exam", tmp_path / "tree", 30)
    plain, scan = index._plain(tmp_path / "tree"), scan_folder(tmp_path / "tree")
    assert len(plain) == len(scan.frames) == count >= 30
    place = index.TAGS.index("SOPInstanceUID")
    assert sorted(str(row[place]) for row in plain) == sorted(frame.sop for frame in scan.frames)
