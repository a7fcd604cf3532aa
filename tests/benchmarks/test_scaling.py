"""Test the page about large data sets: it agrees with its constants, and the constants measure what they claim to."""

from __future__ import annotations

import copy
import json
import re

import pytest
import scaling
import scaling_constants
from planewise.data import load_datalist

from tests.conftest import ROOT

PAGE = ROOT / "tools/docs/scaling.md"


@pytest.fixture(scope="module")
def constants() -> dict:
    return json.loads(scaling.CONSTANTS.read_text())


def test_the_page_is_what_is_rendered(constants):
    assert scaling.render(PAGE.read_text(), constants) == PAGE.read_text()
    assert str(ROOT) not in PAGE.read_text()


def test_a_page_without_its_block_is_an_error(constants):
    with pytest.raises(ValueError, match="no block"):
        scaling.render("# nothing", constants)


def test_the_numbers_by_hand(constants):
    """DSBCC: 135,000 slices of 224 x 224; 500 x 627 of 220.9 GFLOP at 10 TFLOP/s."""
    rates, _ = scaling.gpu_rates(constants, 10.0)
    found = scaling.column(scaling.DATA_SETS[0], constants, rates["cardiac"])
    assert found["cache on disk: slices x size² x 2 bytes"] == "13.5 GB"
    assert (
        found["time of this schedule on 1 GPU"] == f"{500 * 627 * 220.884e9 / 10e12 / 60:.3g} minutes" == "115 minutes"
    )
    assert found["time of one pass on 8 GPUs"] == f"{135_000 * 220.884e9 / 80e12 / 60:.3g} minutes"
    assert found["for one pass per day: steps/s (slices/s)"].startswith(f"{135_000 / 86400 / 20:.2g} ")
    assert found["read rate of 1 GPU, if busy"] == f"{10e12 / 220.884e9 * 224**2 * 2 / 1e6:.3g} MB/s"
    knee = scaling.column(scaling.DATA_SETS[1], constants, rates["knee"])
    # a series is a step
    assert knee["steps in one pass over all slices"] == "10,000"
    assert knee["cache on disk: slices x size² x 2 bytes"] == "39.3 GB"


def test_ten_times_the_rate_is_a_tenth_of_the_time(constants):
    rates = (scaling.gpu_rates(constants, tflops)[0]["cardiac"] for tflops in (10.0, 100.0))
    slow, fast = (scaling.column(scaling.DATA_SETS[2], constants, each) for each in rates)
    assert (slow["time of one pass on 1 GPU"], fast["time of one pass on 8 GPUs"]) == ("6.39 days", "115 minutes")
    assert slow["time to start a run with a complete cache"] == fast["time to start a run with a complete cache"]


def test_the_rates_that_were_measured(constants):
    """20 slices in 24.99 ms, 256 in 229.65 ms, 4 volumes in 262.71 ms."""
    measured = scaling.measured_rates()
    assert measured["pretext_cardiac_multitask"] == pytest.approx(800, abs=1)
    assert measured["pretext_simclr"] == pytest.approx(1115, abs=1)
    assert measured["downstream_brain_tumour_segmentation"] == pytest.approx(15.2, abs=0.1)
    rates, source = scaling.gpu_rates(constants)
    found = scaling.column(scaling.DATA_SETS[0], constants, rates["cardiac"])
    assert found["time of this schedule on 1 GPU"] == f"{500 * 627 * 24.99e-3 / 20 / 60:.3g} minutes" == "6.53 minutes"
    assert "NVIDIA H100" in source and "assumed 10" in scaling.gpu_rates(constants, 10)[1]


def test_what_breaks_first_stands_first(constants):
    def counts(found: dict) -> list[int]:
        return [int(number.replace(",", "")) for number in re.findall(r"^\| ([\d,]+) \|", scaling.limits(found), re.M)]

    assert counts(constants) == sorted(counts(constants)) and len(counts(constants)) >= 8
    heavier = copy.deepcopy(constants)
    for entry in heavier["caches"]:
        entry["memory_bytes"] *= 1000
    assert "datalist and dataset" in scaling.limits(heavier).splitlines()[2] and min(counts(heavier)) < min(
        counts(constants)
    )


def test_synthetic_items_are_what_the_indexer_writes(tmp_path, constants):
    path = scaling_constants.synthetic(tmp_path, 700)
    items = load_datalist(path, "training")
    assert len(items) == 700 and len({item["exam"] for item in items}) == 3
    assert items[0].keys() == {
        "image", "affine", "slice", "phase", "location", "exam", "patient", "stack", "planes"
    }  # fmt: skip
    assert len({json.dumps(item["affine"]) for item in items}) == 700
    size = path.stat().st_size / 700
    assert size == pytest.approx(constants["cardiac"]["datalist_bytes_per_slice"], rel=0.15)


def test_constants_are_measured(tmp_path):
    """In small, where they are: that what is counted is there, not how fast it is."""
    found = scaling_constants.datalist(str(tmp_path), 2000)
    assert found["items"] == 2000 and found["bytes"] > 600 * 2000
    assert min(found[f"{name}_seconds"] for name in ("load", "sampler", "epoch")) > 0
    scaling_constants.build(str(tmp_path), 200)
    opened = scaling_constants.cache(str(tmp_path), 200)
    assert opened["kept"] == 200 and min(opened[f"{name}_seconds"] for name in ("fingerprint", "targets")) > 0
    reads = scaling_constants.reading(str(tmp_path), 100, 16)
    assert reads["bytes_per_slice"] == 512 and min(reads["warm_slices_per_second"], reads["cold_slices_per_second"]) > 0
