"""Test that slice ordering and jigsaw puzzles learn on hearts and knees and explain bad input."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.utils import train_mode
from planewise.errors import InputError
from planewise.exams import index_folder, write_datalist
from planewise.losses import TermLoss

from tests.bundles.conftest import parser_of as evaluation_parser
from tests.bundles.conftest import plain_parser, run_bundle, tiny, train
from tests.bundles.test_runs import root_cause
from tests.exams.conftest import write_usual_exam
from tests.exams.test_labels import stack_affine, write_mask

ORDER, JIGSAW = "pretext_slice_order", "pretext_jigsaw"
#: Enough to learn something in seconds.
QUICK = {
    "features": [8, 16, 32],
    "learning_rate": 0.003,
    "max_epochs": 1,
    "amp": False,
    "device": "cpu",
    "val_samples_per_exam": "all",
    "writes": False,
}
LEARNED = {
    ORDER: {"batch_size": 8, "samples_per_epoch": 500, "head_features": [16]},
    JIGSAW: {"batch_size": 16, "samples_per_epoch": 1000, "head_features": [64], "num_permutations": 6},
}


def parser_of(name: str, datalist: Path, folder: Path, *files: str, **settings) -> ConfigParser:
    parser = plain_parser(name, "train.yaml", *files)
    parser.update(tiny(name) | {"datalist": str(datalist), "output_dir": str(folder), "device": "cpu"} | settings)
    return parser


class Turned(TermLoss):
    """A loss with its sign reversed."""

    def __init__(self, loss: TermLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction, target):
        return -self.loss(prediction, target)


def worsened_by_its_loss_turned(parser: ConfigParser) -> float:
    """Factor by which the loss on unseen exams grows when training reverses the sign of the loss.

    Each batch is normalised by its own statistics, because the running statistics are still inaccurate after a few steps.
    """
    trainer, evaluator = (parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator"))
    evaluator.mode = train_mode
    evaluator.run()
    before = evaluator.state.metrics["val_loss"]
    trainer.loss_function = Turned(trainer.loss_function)
    trainer.run()
    evaluator.run()
    return evaluator.state.metrics["val_loss"] / before


@pytest.mark.parametrize(("name", "steps", "chance", "least"), [(ORDER, 40, 1 / 2, 0.75), (JIGSAW, 16, 1 / 6, 0.6)])
def test_it_learns_on_phantoms_and_not_with_its_loss_turned(name, steps, chance, least, phantoms, tmp_path):
    """The accuracy is measured on exams that the network has not seen."""
    settings = QUICK | LEARNED[name]
    torch.manual_seed(0)
    parser = parser_of(name, phantoms.cardiac.unlabelled, tmp_path / "right", **settings)
    parser.get_parsed_content("train#trainer").run()
    evaluator = parser.get_parsed_content("validate#evaluator")
    evaluator.run()
    assert evaluator.state.metrics["val_accuracy"] > least
    torch.manual_seed(0)
    settings |= {"samples_per_epoch": steps * settings["batch_size"]}
    parser = parser_of(name, phantoms.cardiac.unlabelled, tmp_path, **settings)
    assert worsened_by_its_loss_turned(parser) > 1.2
    accuracy = parser.get_parsed_content("validate#evaluator").state.metrics["val_accuracy"]
    assert accuracy < chance + 0.1, "with the reversed loss, accuracy is no better than chance"


@pytest.mark.parametrize(
    ("name", "settings"),
    [(JIGSAW, LEARNED[JIGSAW]), ("pretext_masked_autoencoder", {"patch_size": 4, "batch_size": 8})],
)
def test_validation_draws_the_same_every_time(name, settings, phantoms, tmp_path):
    parser = parser_of(name, phantoms.cardiac.unlabelled, tmp_path, **QUICK | settings)
    # the run's handler seeds the validator of its trainer
    parser.get_parsed_content("train#trainer")
    evaluator = parser.get_parsed_content("validate#evaluator")
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        evaluator.run()
        losses.append(evaluator.state.metrics["val_loss"])
    assert losses[0] == losses[1]


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


def test_a_pair_is_told_by_the_sign_of_its_logit(phantoms, tmp_path):
    parser = parser_of(ORDER, phantoms.cardiac.unlabelled, tmp_path)
    accuracy = parser.get_parsed_content("validate#additional_metrics#val_accuracy")
    wanted = {"first_is_nearer": torch.tensor([1.0, 0.0, 1.0, 1.0])}
    accuracy.update(accuracy._output_transform({"pred": torch.tensor([[0.1], [-0.1], [3.0], [-0.1]]), "label": wanted}))
    assert accuracy.compute() == 0.75


def test_exams_of_single_slices_have_no_pair(phantoms, tmp_path):
    content = json.loads(phantoms.cardiac.unlabelled.read_text())
    content["training"] = [item for item in content["training"] if item["slice"] == 3]
    datalist = phantoms.cardiac.unlabelled.parent / "single_slices.json"
    datalist.write_text(json.dumps(content))
    with pytest.raises(RuntimeError) as caught:
        train(ORDER, datalist, tmp_path)
    assert isinstance(root_cause(caught.value), InputError)
    assert "so there are no pairs; index stacks of at least two slices" in str(root_cause(caught.value))


def test_weights_of_another_puzzle_are_refused(phantoms, tmp_path):
    settings = {"datalist": str(phantoms.cardiac.unlabelled), "output_dir": str(tmp_path), "head_features": [8]}
    short = {"num_permutations": 6, "samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1}
    run_bundle(JIGSAW, "train.yaml", **settings | short)
    with pytest.raises(RuntimeError) as caught:
        run_bundle(JIGSAW, "train.yaml", "evaluate.yaml", **settings | {"num_permutations": 7})
    assert "belongs to another network: head.2.weight is (6, 8) there and (7, 8) here" in str(root_cause(caught.value))


def test_segmentation_is_scored_on_whole_stacks_of_dicom(tmp_path):
    """Masks of whole stacks, drawn by the user, for an exam with a DICOM file per slice and phase."""
    write_usual_exam(tmp_path / "data" / "case7")
    affine, shape = stack_affine(index_folder(tmp_path / "data"))
    for phase in ("frame01", "frame03"):
        marks = [(column, 10, slice_) for column in (8, 10, 12) for slice_ in range(shape[2])]
        file = write_mask(tmp_path / "masks" / f"case7_{phase}.nii.gz", affine, shape, marks)
    mask = nibabel.load(file).get_fdata()
    result = index_folder(tmp_path / "data", labels_dir=tmp_path / "masks", split=(0, 0, 1))
    write_datalist(result.datalist, tmp_path / "labelled.json")
    name = "downstream_cardiac_sax_segmentation"
    parser = evaluation_parser(
        name, "train.yaml", "evaluate.yaml", datalist=str(tmp_path / "labelled.json"), section="test"
    )
    volumes = list(parser.get_parsed_content("evaluate#dataset"))
    assert [volume["label"].shape for volume in volumes] == [(1, *shape)] * 2
    assert all(np.array_equal(volume["label"][0], mask) for volume in volumes)
    names = [Path(volume["native_image"].meta["filename_or_obj"]).name for volume in volumes]
    (exam,) = result.datalist["exams"]
    assert names == [f"{exam}_phase00.nii.gz", f"{exam}_phase33.nii.gz"], "each phase has a file of its own"
