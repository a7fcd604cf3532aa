"""Test that a training step of every bundle never makes the host wait for the GPU.

Without a GPU, `tests.cuda_stand_in` refuses every operation that CUDA refuses or waits for, anywhere in the step.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from PIL import Image
from planewise.data import StackDataset, TwoPhaseDataset, device_arrays

from tests.bundles.conftest import TRAINED, anatomy, tiny
from tests.conftest import ROOT
from tests.cuda_stand_in import WITHOUT_VALUES, as_on_a_gpu
from tests.kinds import one_of_each_kind


@pytest.fixture(scope="module")
def datalists(tmp_path_factory) -> SimpleNamespace:
    """Two exams for any bundle: slices with planes, locations and masks; stacks with findings; two phases with a group."""
    folder = tmp_path_factory.mktemp("exams")
    rng = np.random.default_rng(0)
    slices, stacks, phases, volumes, photographs = [], [], [], [], []
    for number in range(2):
        volume = folder / f"{number}.nii.gz"
        nibabel.save(
            nibabel.Nifti1Image(rng.normal(100, 20, (24, 24, 3)).astype(np.float32), np.diag([6.0, 6, 9, 1])), volume
        )
        mask = folder / f"{number}_gt.nii.gz"
        nibabel.save(
            nibabel.Nifti1Image(rng.integers(0, 4, (24, 24, 3)).astype(np.uint8), np.diag([6.0, 6, 9, 1])), mask
        )
        planes = {
            view: {"origin": [70.0, 70, 0], "normal": normal}
            for view, normal in zip(
                ("2ch", "4ch", "sax", "axial", "coronal"),
                ([1, 0, 0], [0, 1, 0], [0, 1, 0], [0.6, 0.8, 0], [0.8, 0, 0.6]),
                strict=True,
            )
        }
        for k in range(3):
            affine = np.diag([6.0, 6, 9, 1])
            affine[2, 3] = 9 * k
            slices.append(
                {
                    "image": volume.name,
                    "label": mask.name,
                    "frame": k,
                    "slice": k,
                    "affine": affine.tolist(),
                    "planes": planes,
                    "location": k / 2,
                    "exam": f"e{number}",
                    "stack": "sax",
                }
            )
        np.save(folder / f"{number}.npy", rng.integers(1, 255, (3 + number, 32, 32), dtype=np.uint8))
        stacks.append(
            {"image": f"{number}.npy", "exam": f"e{number}", "abnormal": number, "acl": 1 - number, "meniscus": number}
        )
        common = {"image": volume.name, "label": mask.name, "exam": f"e{number}", "group": "NOR"}
        phases += [common | {"phase": phase} for phase in ("ED", "ES")]
        nibabel.save(nibabel.Nifti1Image(np.eye(24, dtype=np.uint8)[..., None].repeat(3, 2), np.diag([6.0, 6, 9, 1])),
                     folder / f"{number}_one.nii.gz")  # fmt: skip
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        photographs.append({"image": f"{number}.png", "exam": f"e{number}", "grade": number})
        volumes.append({"image": volume.name, "label": f"{number}_one.nii.gz", "exam": f"e{number}"})
    kinds = {"slices": slices, "stacks": stacks, "phases": phases, "photographs": photographs}
    for channels in (1, 2, 4):
        kinds[f"volumes{channels}"] = [item | {"image": [item["image"]] * channels} for item in volumes]
    made = SimpleNamespace(**{kind: folder / f"{kind}.json" for kind in kinds}, folder=folder)
    for kind, items in kinds.items():
        path = getattr(made, kind)
        path.write_text(json.dumps({"training": items, "validation": items}))
    return made


def trainer_on(device: torch.device, name: str, datalists: SimpleNamespace, folder: Path):
    config = ConfigParser(ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs" / "train.yaml")))
    settings = tiny(name) | {
        "datalist": str(
            getattr(datalists, f"volumes{tiny(name).get('in_channels', 1)}")
            if anatomy(name) == "volume"
            else datalists.photographs
            if anatomy(name) == "photograph"
            else datalists.phases
            if "two_phase" in name
            else datalists.stacks
            if "classification" in name
            else datalists.slices
        ),
        "cache_dir": str(datalists.folder / "cache"),
        "output_dir": str(folder),
        "device": device,
        "num_workers": 0,
        "writes": False,
    }
    config.update({key: value for key, value in settings.items() if key in config})
    trainer = config.get_parsed_content("train#trainer")
    trainer.network.train()
    trainer.fire_event(Events.EPOCH_STARTED)
    return trainer


def step(trainer, batches) -> None:
    """What an iteration of the engine is, handlers included."""
    trainer.state.iteration += 1
    trainer.fire_event(Events.ITERATION_STARTED)
    trainer.state.batch = next(batches)
    trainer.state.output = trainer._iteration(trainer, trainer.state.batch)
    trainer.fire_event(Events.ITERATION_COMPLETED)


def kept_slices(trainer):
    """The dataset that holds the arrays: volumes and pairs of phases are made of its rows."""
    dataset = trainer.data_loader.dataset
    return dataset.slices if isinstance(dataset, (StackDataset, TwoPhaseDataset)) else dataset


@pytest.mark.parametrize("name", one_of_each_kind(TRAINED))
def test_a_step_without_values(name, datalists, tmp_path):
    trainer = trainer_on(WITHOUT_VALUES, name, datalists, tmp_path)
    kept = kept_slices(trainer)
    assert next(trainer.network.parameters()).device == WITHOUT_VALUES
    step(trainer, iter(trainer.data_loader))  # what is made once
    # memory-mapped rows through pinned memory, then rows that are kept on the device
    kept._targets.update({key: array.to(WITHOUT_VALUES) for key, array in kept._targets.items()})
    kept._arrays.device = WITHOUT_VALUES
    kept._arrays.resident = False
    with as_on_a_gpu():
        step(trainer, iter(trainer.data_loader))
    kept._arrays._arrays.update({key: array.to(WITHOUT_VALUES) for key, array in kept._arrays._arrays.items()})
    kept._arrays.resident = True
    with as_on_a_gpu():
        step(trainer, iter(trainer.data_loader))
    assert trainer.state.output["loss"].device == WITHOUT_VALUES


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False], ids=["kept on the GPU", "memory-mapped"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_on_a_gpu(name, resident, datalists, tmp_path, monkeypatch):
    monkeypatch.setattr(device_arrays, "SHARE", 0.5 if resident else 0.0)
    trainer = trainer_on(torch.device("cuda"), name, datalists, tmp_path)
    assert kept_slices(trainer)._arrays.resident is resident
    for _ in range(2):  # what is made once
        step(trainer, iter(trainer.data_loader))
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(trainer, iter(trainer.data_loader))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.state.batch["image"].device.type == "cuda"
    assert torch.isfinite(trainer.state.output["loss"]).all()


@pytest.mark.gpu
def test_a_gpu_augments_as_a_processor_does(datalists, tmp_path):
    trainers = [
        trainer_on(torch.device(kind), "pretext_cardiac_orientation", datalists, tmp_path) for kind in ("cpu", "cuda")
    ]
    results = []
    for trainer in trainers:
        torch.manual_seed(3)
        batch = trainer.data_loader.dataset.__getitems__([0, 4, 5])
        results.append(trainer.prepare_batch(batch, trainer.state.device, True))
    (image, target), (other_image, other_target) = results
    assert torch.allclose(image, other_image.cpu(), atol=1e-3)
    assert torch.allclose(target["heatmaps"], other_target["heatmaps"].cpu(), atol=1e-4)
