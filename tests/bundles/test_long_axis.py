"""Test the bundles of 4-chamber images, from the NIfTI files of two data sets to numbers and pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.bundle import ConfigParser
from planewise.exams import index_folder, write_datalist
from planewise.geometry import square_names

from tests.bundles.test_pieces import parser_of

POSITION = "pretext_cardiac_lax_position"


def position_parser(datalist: Path, folder: Path, **settings) -> ConfigParser:
    return parser_of(POSITION, datalist, folder, cache_dir=str(folder / "cache"), **settings)


def test_the_nine_classes_have_the_anatomical_order_on_a_real_exam(real_data, tmp_path):
    """We also inspected the picture: the crossing lies in the left ventricle, the lung to its left, the right ventricle to
    its right, the left atrium superior and the apex inferior.
    """
    result = index_folder(real_data / "cardiac_cine_exam", view="4ch", split=(1, 0, 0))
    write_datalist(result.datalist, tmp_path / "datalist.json")
    parser = position_parser(tmp_path / "datalist.json", tmp_path, spacing=1.82, image_size=208)
    dataset, pretext = (parser.get_parsed_content(f"train#{key}") for key in ("dataset", "pretext"))
    assert len(dataset) == 2, "one slice at end-diastole and one near end-systole"
    made = pretext(dataset.__getitems__([0, 1]))
    assert made["square_inside"].all() and set(made["squares"].unique().tolist()) == set(range(10))
    names = square_names(parser.get("ends"))
    assert names[1::2] == ("left", "right", "superior", "inferior"), "the classes' order, which weights rely on"
    places = dict(zip(names, made["square_centres"][0].tolist(), strict=True))
    x, y, z = zip(*(places[name] for name in ("far left", "left", "crossing", "right", "far right")), strict=True)
    assert list(x) == sorted(x), "RAS+: x grows to the patient's right"
    x, y, z = zip(
        *(places[n] for n in ("far inferior", "inferior", "crossing", "superior", "far superior")), strict=True
    )
    assert list(z) == sorted(z) and list(y) == sorted(y, reverse=True), "the base is above the apex and behind it"
    # each label lies at the position of its centre
    for number, centre in enumerate(made["square_centres"][0], 1):
        pixels = torch.nonzero(made["squares"][0] == number).double().mean(dim=0)
        there = made["affine"][0, :3, :2] @ pixels + made["affine"][0, :3, 3]
        assert float((there - centre).norm()) < 1.0
