"""Test that slice ordering and jigsaw puzzles learn on hearts and knees and explain bad input."""

from __future__ import annotations

from pathlib import Path

from monai.bundle import ConfigParser

from tests.bundles.conftest import plain_parser, tiny

ORDER = "pretext_slice_order"


def parser_of(name: str, datalist: Path, folder: Path, *files: str, **settings) -> ConfigParser:
    parser = plain_parser(name, "train.yaml", *files)
    parser.update(tiny(name) | {"datalist": str(datalist), "output_dir": str(folder), "device": "cpu"} | settings)
    return parser


def test_the_two_of_a_pair_reach_the_network_from_one_stack(phantoms, tmp_path):
    parser = parser_of(ORDER, phantoms.cardiac.unlabelled, tmp_path, samples_per_exam="all", batch_size=6)
    trainer = parser.get_parsed_content("train#trainer")
    items = trainer.data_loader.dataset.items
    batch = next(iter(trainer.data_loader))
    image, target = trainer.prepare_batch(batch, "cpu")
    assert image.shape == (6, 2, 48, 48)
    pairs = [[items[row] for row in rows] for rows in batch["index"].reshape(6, 2).tolist()]
    for (one, other), nearer in zip(pairs, target["first_is_nearer"].tolist(), strict=True):
        assert (one["exam"], one["stack"], one["phase"]) == (other["exam"], other["stack"], other["phase"])
        assert nearer == (one["location"] < other["location"])
