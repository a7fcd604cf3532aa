from __future__ import annotations

import math

import pytest
import timing
from timing import Options, interleaved, repetitions


@pytest.mark.parametrize(("longest", "expected"), [(math.inf, 9), (25.0, 4), (0.0, 2)])
def test_repetitions_end_when_they_have_taken_long(longest, expected, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    monkeypatch.setitem(timing.LONGEST, "cpu", longest)
    assert list(repetitions(Options(repetitions=9))) == list(range(expected))


def test_every_candidate_is_timed_as_often(monkeypatch):
    monkeypatch.setitem(timing.LONGEST, "cpu", 0.0)
    calls = {"ours": 0, "theirs": 0}

    def called(name):
        calls[name] += 1

    times = interleaved({name: lambda name=name: called(name) for name in calls}, Options(repetitions=9), warmup=1)
    assert calls == {"ours": 3, "theirs": 3}
    assert [len(each.seconds) for each in times.values()] == [2, 2]
