from __future__ import annotations

import os

from planewise.cores import own_cores


def test_a_system_without_affinities_has_all_its_cores(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for counted, cores in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda counted=counted: counted)
        assert own_cores() == cores
