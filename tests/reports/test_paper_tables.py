"""Test the copied numbers of papers: rules that they must obey, and some compared with the paper again."""

from __future__ import annotations

import pytest
from planewise.workshop.study import paper_tables
from planewise.workshop.study.paper_tables import (
    DIAGNOSIS_AUC,
    INJURY_AUC,
    SEGMENTATION_ASSD,
    SEGMENTATION_DICE,
    STRUCTURES,
    TWO_PHASE_AUC,
)

#: For each table: its numbers, their sum, and the sum of each number times its position, from 1. Each number was looked up in
#: the text of its paper.
SUMS = [
    ("Zhang 2024, Table 2, DSBCC", 10, 5.5012, 35.5554),
    ("Zhang 2024, Table 2, fastMRI", 10, 5.4943, 35.2733),
    ("Zhang 2024, Table 4, ACDC", 464, 208.355, 48744.537),
    ("Bai 2019, Table 1, UK Biobank", 40, 16.916, 349.552),
    ("Bai 2019, Table 2, UK Biobank", 40, 18.166, 365.185),
    ("Zhang 2024, Table 4, ACDC", 464, 2991.94, 657801.522),
    ("Zhang 2024, Table 3, ACDC", 70, 59.156, 2111.679),
    ("Zhang 2024, Table 5, MRNet", 60, 39.681, 1214.129),
    ("Nakashima 2022, Table 1, ACDC", 8, 5.633, 24.316),
    ("Nakashima 2022, Table 1, ICM", 8, 6.886, 30.436),
    ("Nakashima 2022, Table 1, AMYL", 8, 5.251, 23.321),
    ("Nakashima 2022, Table 2, ACDC", 8, 6.751, 30.176),
    ("Nakashima 2022, Table 2, ICM", 8, 6.949, 31.041),
    ("Nakashima 2022, Table 2, AMYL", 8, 5.179, 23.138),
    ("Nakashima 2022, Table 3, ACDC", 8, 6.776, 30.409),
    ("Nakashima 2022, Table 3, ICM", 8, 7.105, 31.941),
    ("Nakashima 2022, Table 3, AMYL", 8, 5.514, 24.622),
    ("Taleb 2020, Table 1, BraTS 2018", 48, 3992.05, 98350.2),
]
METHODS = {
    "none", "slice_order", "jigsaw", "models_genesis", "sax_position", "simclr", "byol", "masked_autoencoder",
    "location", "orientation", "multitask",
}  # fmt: skip
DAGGERS = {"simclr_dagger", "byol_dagger", "masked_autoencoder_dagger"}


@pytest.mark.parametrize("tables", [SEGMENTATION_DICE, SEGMENTATION_ASSD])
def test_table_4_has_every_method_and_count(tables):
    table = tables["sax"][0]
    assert set(table.values) == METHODS | DAGGERS
    for method, counts in table.values.items():
        assert list(counts) == ([64] if method in DAGGERS else [1, 4, 16, 32, 64])
        assert all(tuple(row) == STRUCTURES for row in counts.values())


def test_only_the_studys_numbers_of_labelled_exams_are_shown():
    counts, methods = paper_tables.beside(SEGMENTATION_DICE["sax"], [4, 2], ["none", "mine"])
    assert counts == [2, 4] and methods[:2] == ["none", "mine"]
    # the daggers have 64 labelled exams alone
    assert set(methods) == METHODS | {"mine"}
    assert paper_tables.beside(SEGMENTATION_DICE["sax"], [3], ["none"]) == ([3], ["none"])


def test_no_number_of_any_table_changes_its_value_or_its_place():
    score_tables = (paper_tables.LOCATION, SEGMENTATION_DICE, SEGMENTATION_ASSD, {"": DIAGNOSIS_AUC}, {"": INJURY_AUC})
    groups = (*score_tables, TWO_PHASE_AUC, {"": (paper_tables.TUMOUR_DICE,)})
    tables = [table for group in groups for found in group.values() for table in found]
    assert [f"{table.paper.name}, {table.table}" for table in tables] == [row[0] for row in SUMS]
    for table, (name, count, total, by_place) in zip(tables, SUMS, strict=True):
        found = _numbers(table.values)
        assert (len(found), sum(found)) == (count, pytest.approx(total, abs=4e-5)), name
        assert sum(place * number for place, number in enumerate(found, 1)) == pytest.approx(by_place, abs=6e-4), name


def _numbers(values) -> list[float]:
    """The numbers of a table in the order of the names of its rows and columns, so that a wrong name changes places."""
    if isinstance(values, dict):
        return [number for _, entry in sorted(values.items(), key=str) for number in _numbers(entry)]
    return list(values) if isinstance(values, tuple) else [values]


def test_numbers_read_off_the_paper():
    dice, distance = SEGMENTATION_DICE["sax"][0].values, SEGMENTATION_ASSD["sax"][0].values
    assert dice["multitask"][1] == {
        "mean": (0.511, 0.289), "LV": (0.619, 0.317), "RV": (0.438, 0.241), "myocardium": (0.475, 0.270)
    }  # fmt: skip
    assert distance["none"][16] == {
        "mean": (2.064, 1.943), "LV": (2.326, 2.511), "RV": (2.611, 1.813), "myocardium": (1.255, 0.845)
    }  # fmt: skip
    assert distance["masked_autoencoder_dagger"][64]["LV"] == (1.083, 1.529)
    assert DIAGNOSIS_AUC[0].values["jigsaw"] == {1: 0.835, 4: 0.881, 16: 0.929, 32: 0.904, 64: 0.968}
    assert INJURY_AUC[0].values["imagenet"] == {80: 0.682, 200: 0.737, 400: 0.799, 800: 0.824}
    assert set(DIAGNOSIS_AUC[0].values) == METHODS | DAGGERS
    assert set(INJURY_AUC[0].values) == METHODS | DAGGERS | {"imagenet"}
    assert paper_tables.TUMOUR_DICE.values["relative_patch_location"] == {"ET": 81.28, "WT": 90.71, "TC": 86.12}
    assert {table.paper.name for tables in paper_tables.LOCATION.values() for table in tables} == {"Zhang 2024"}


@pytest.mark.parametrize(
    ("stack", "bold"),
    [
        ("sax", ["ssl_multitask", "ssl_multitask", "ssl_multitask", "ssl_all", "ssl_multitask"]),
        ("4ch", ["ssl_all", "ssl_all", "ssl_all", "ssl_multitask", "ssl_multitask"]),
    ],
)
def test_the_best_way_of_transfer_is_what_the_paper_prints_bold(stack, bold):
    table = SEGMENTATION_DICE[stack][-1]
    assert list(table.values) == ["none", "ssl_decoder", "ssl_all", "ssl_multitask"] and table.data == "UK Biobank"
    counts = [1, 5, 10, 50, 100]
    assert all(list(row) == counts for row in table.values.values())
    assert [max(table.values, key=lambda method: table.values[method][count]["mean"]) for count in counts] == bold


def test_nakashimas_third_table_repeats_the_first_two_but_for_one_number():
    """A wrongly copied digit would show; Table 3 prints .866, and Table 2 .886."""
    first, second, third = ({table.data: table.values for table in TWO_PHASE_AUC[number]} for number in (1, 2, 3))
    assert list(first) == list(second) == list(third) == ["ACDC", "ICM", "AMYL"]
    differ = {}
    for data in first:
        both = first[data] | second[data]
        assert len(both) == 16 and len(third[data]) == 8
        differ |= {
            (data, method): (both[method], value) for method, value in third[data].items() if both[method] != value
        }
    assert differ == {("ICM", "densenet121_full_segmented"): (0.886, 0.866)}


def test_nakashimas_numbers_read_off_the_paper():
    first, second, _ = ({table.data: table.values for table in TWO_PHASE_AUC[number]} for number in (1, 2, 3))
    assert first["ACDC"]["vgg16_none_full"] == 0.542 and first["ACDC"]["densenet121_imagenet_full"] == 0.766
    assert first["AMYL"]["vgg16_segmented_full"] == 0.698 and second["ICM"]["densenet121_segmented_segmented"] == 0.904


def test_the_tables_beside_a_study_are_those_of_its_methods():
    zhang, bai = SEGMENTATION_DICE["sax"]
    beside = paper_tables.of_these
    assert beside(SEGMENTATION_DICE["sax"], ["none", "multitask"]) == [zhang]
    assert beside(SEGMENTATION_DICE["sax"], ["none", "ssl_all"]) == [bai]
    assert beside(SEGMENTATION_DICE["sax"], ["none"]) == [zhang, bai]
    assert beside(SEGMENTATION_DICE["sax"], ["mine"]) == [] and beside((), ["none"]) == []
