"""Test how every bundle's config connects its parts, on exams of a few pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from tests.bundles.conftest import BUNDLES, DECLARED, SECTIONS, TRAINED, parser_of
from tests.kinds import KINDS, others_slow

#: The metrics by which a checkpoint may be chosen, and whether lower values are better. Add every new metric here.
LOWER_IS_BETTER = {
    "planewise.metrics.MaskedLoss": True,
    "planewise.metrics.VolumeDice": False,
    "ignite.metrics.Accuracy": False,
}


@pytest.fixture(scope="module", params=others_slow(TRAINED, (*KINDS, "pretext_simclr")))
def wired(request, datalists, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A bundle with its trainer, evaluator and first batch of cached slices."""
    name, folder = request.param, tmp_path_factory.mktemp("run")
    parser = parser_of(
        name, "train.yaml", datalist=str(datalists[name]), output_dir=str(folder), cache_dir=str(folder), seed=5
    )
    trainer, evaluator = (parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator"))
    # an even number, for pairs
    batch = trainer.data_loader.dataset.__getitems__([0, 1, 2, 3])
    yield SimpleNamespace(name=name, parser=parser, trainer=trainer, evaluator=evaluator, batch=batch)


def exams(parser: ConfigParser, block: str) -> set[str]:
    return {item["exam"] for item in parser.get_parsed_content(f"{block}#dataset#data")}


@pytest.mark.parametrize("name", BUNDLES)
def test_each_dataset_is_of_its_own_section(name, datalists, tmp_path):
    where = {"datalist": str(datalists[name]), "output_dir": str(tmp_path)}
    for section, count in SECTIONS.items():
        parser = parser_of(name, "train.yaml", "evaluate.yaml", section=section, **where)
        found = {"train": exams(parser, "train"), "validate": exams(parser, "validate")}
        assert found["train"] == {f"training{number}" for number in range(SECTIONS["training"])}
        assert found["validate"] == {f"validation{number}" for number in range(SECTIONS["validation"])}
        assert exams(parser, "evaluate") == {f"{section}{number}" for number in range(count)}


@pytest.mark.parametrize("name", BUNDLES)
def test_the_best_checkpoint_is_the_best(name, datalists, tmp_path):
    parser = parser_of(name, "train.yaml", datalist=str(datalists[name]), output_dir=str(tmp_path))
    ((key, metric),) = parser.get("validate#key_metric").items()
    lower = LOWER_IS_BETTER[metric["_target_"]]
    assert lower == ("loss" in key), "the name, which users read in the log, must fit the direction"
    better = parser.get_parsed_content("validate#evaluator").metric_cmp_fn
    if DECLARED[name].get("keeps") == "last weights":  # a low loss does not mean good weights
        assert better(0.1, 0.2) and better(0.2, 0.1)
        return
    assert better(0.1, 0.2) == lower and better(0.2, 0.1) != lower


def test_the_pretext_is_made_of_what_the_network_sees(wired):
    """In training, random transforms come first and the pretext after them; in validation, only the pretext is applied."""
    train, validate = wired.trainer.prepare_batch, wired.evaluator.prepare_batch
    augment, pretext = (
        wired.parser.get_parsed_content(f"train#{key}") if f"train#{key}" in wired.parser else None
        for key in ("augmentation", "pretext")
    )
    assert train.augmentation is augment
    # without an augmentation, all random transforms belong to the pretext's views
    random = (augment or pretext.view).transforms
    assert all(type(step).__module__.startswith("planewise.augmentation.") for step in random)
    assert validate.augmentation is None
    assert getattr(train, "pretext", None) is pretext and getattr(validate, "pretext", None) is pretext
    assert pretext is None or type(pretext).__module__.startswith("planewise.pretexts.")

    def made_of(batch: dict) -> dict:
        return pretext(dict(batch)) if pretext else batch

    torch.manual_seed(3)
    augmented = augment(dict(wired.batch)) if augment else dict(wired.batch)
    drawn = torch.get_rng_state()
    expected = made_of(augmented)
    torch.set_rng_state(drawn)
    early = made_of(wired.batch)
    torch.manual_seed(3)
    image, target, *_ = train(wired.batch, "cpu")
    assert torch.equal(image.flatten().sort()[0], expected["image"].flatten().sort()[0])
    changed = augmented if augment else expected
    assert not torch.equal(changed["image"][:, :1], wired.batch["image"])
    if isinstance(target, dict):
        made = {key for key in target if key not in wired.batch}
        assert bool(made) == bool(pretext)
        for key, value in target.items():
            assert torch.equal(value, expected[key]), key
        # if the pretext came before the augmentation, the same random numbers would give another target or, if the
        # pretext changes the image, another image
        unchanged = torch.equal(early["image"], wired.batch["image"])
        assert all(not torch.equal(target[key], early[key]) for key in made if unchanged)
        assert augment is None or not torch.equal(expected["image"], early["image"])
    torch.manual_seed(3)
    alone = made_of(wired.batch)
    torch.manual_seed(3)
    plain, *_ = validate(wired.batch, "cpu")
    assert torch.equal(plain.flatten().sort()[0], alone["image"].flatten().sort()[0])


@pytest.mark.parametrize("name", BUNDLES)
def test_inference_names_what_cannot_be_read_and_goes_on(name, datalists, tmp_path, caplog):
    content = json.loads(datalists[name].read_text())
    items = [item for item in content["test"] if item["exam"] == "test0"]
    for key in ("image", "label"):
        for item in (item for item in items if key in item):
            spoilt = tmp_path / Path(np.ravel(item[key])[0]).name
            spoilt.write_bytes(b"nothing of an image")
            item[key] = [str(spoilt)] * len(item[key]) if isinstance(item[key], list) else str(spoilt)
    datalist = datalists[name].parent / f"{name}_spoilt.json"
    datalist.write_text(json.dumps(content))
    parser = parser_of(name, "inference.yaml", cache_dir=str(tmp_path))
    parser["datalist" if "datalist" in parser else "input"] = str(datalist)
    with caplog.at_level("WARNING"):
        read = sum(len(batch["image"]) for batch in parser.get_parsed_content("dataloader"))
    assert read == 1 and "left out" in caplog.text


def test_all_that_is_trained_is_in_the_optimiser_at_its_rate(wired):
    """Each weight is there once, the encoder may have its own rate, and the evaluator uses the same network."""
    trainer, settings = wired.trainer, wired.parser
    names = {id(weight): name for name, weight in trainer.network.named_parameters() if weight.requires_grad}
    optimised, rates = [], {True: set(), False: set()}
    for group in trainer.optimizer.param_groups:
        for weight in group["params"]:
            optimised.append(id(weight))
            if id(weight) in names:
                rates[names[id(weight)].startswith("encoder.")].add(group.get("initial_lr", group["lr"]))
    assert len(optimised) == len(set(optimised)) and set(names) <= set(optimised) and names
    assert wired.evaluator.network is trainer.network
    if "encoder_lr_factor" in settings:
        rate = settings.get_parsed_content("learning_rate")
        # a frozen encoder has no weights to train
        assert rates[False] == {rate} and rates[True] <= {rate * settings["encoder_lr_factor"]}
