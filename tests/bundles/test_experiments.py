"""Train, evaluate and infer with every YAML block of tools/docs/experiments.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
import yaml
from ignite.engine import Engine
from monai.bundle import ConfigParser
from planewise.engines.checkpoints import read_checkpoint
from planewise.own_exams.exam_figure import exam_figure
from planewise.pretexts import SelectPlanesd

from tests.bundles.conftest import BUNDLES, datalist_for, infer, run_bundle, tiny, tiny_size, train, train_and_evaluate
from tests.conftest import ROOT
from tests.kinds import others_slow

PAGE = ROOT / "tools/docs/experiments.md"
# log every step, so that even a short run has its loss in the log
SHORT = {"log_interval": 1, "samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1, "learning_rate": 0.001}


def blocks() -> dict[str, SimpleNamespace]:
    """Maps the file name of each block on the page to its bundle, whether it is only for inference, and its text."""
    found = {}
    for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S):
        name, inference, bundle = re.match(r"# (\w+)\.yaml, for (inference of )?(\w+)\n", text).groups()
        assert name not in found and bundle in BUNDLES
        found[name] = SimpleNamespace(bundle=bundle, inference=bool(inference), text=text, content=yaml.safe_load(text))
    return found


BLOCKS = blocks()
TRAINED = [name for name in BLOCKS if not name.startswith("hip")]


@pytest.fixture(autouse=True)
def own_code(tmp_path, monkeypatch):
    """The page's Python files, in a folder outside the repository."""
    (tmp_path / "code").mkdir()
    codes = re.findall(r"```python\n(# (own_\w+\.py).*?)```", PAGE.read_text(), re.S)
    assert len(codes) == 2
    for code, name in codes:
        (tmp_path / "code" / name).write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))


def overlay(name: str, folder: Path) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(BLOCKS[name].text)
    return str(path)


def settings_of(name: str) -> dict:
    """Settings that make a run small, except those that the block itself sets."""
    own = BLOCKS[name].content
    return {key: value for key, value in SHORT.items() if key not in own} | {
        key: own[key] for key in tiny(BLOCKS[name].bundle) if key in own
    }


def with_every_view(datalist: Path, views: list[str], folder: Path) -> Path:
    """The datalist with an additional plane for each view that the phantoms lack, placed between the first two."""
    content = json.loads(datalist.read_text())
    missing = [view for view in views if view not in content["planewise"]["views"]]
    if not missing:
        return datalist
    content["planewise"]["views"] += missing
    for item in [item for section in ("training", "validation", "test") for item in content[section]]:
        item["image"] = str(datalist.parent / item["image"])
        first, second = list(item["planes"].values())[:2]
        normal = np.add(first["normal"], second["normal"])
        between = {"origin": first["origin"], "normal": (normal / np.linalg.norm(normal)).tolist()}
        item["planes"] |= dict.fromkeys(missing, between)
    changed = folder / "every_view.json"
    changed.write_text(json.dumps(content))
    return changed


@pytest.mark.parametrize("name", others_slow(TRAINED))
def test_a_file_on_top_trains_evaluates_and_infers(name, phantoms, tmp_path):
    bundle, file, run = BLOCKS[name].bundle, overlay(name, tmp_path), tmp_path / "run"
    datalist = str(with_every_view(datalist_for(bundle, phantoms), BLOCKS[name].content.get("views", []), tmp_path))
    run_bundle(
        bundle, "train.yaml", "evaluate.yaml", file, run_id="train_and_evaluate",
        # several patients are needed: some scores, such as the probe's, compare one patient with others
        datalist=datalist, section="training", output_dir=str(run), **settings_of(name),
    )  # fmt: skip
    scores = json.loads((run / "training/metrics.json").read_text())
    views = BLOCKS[name].content.get("views")
    assert views is None or list(scores["orientation"]["views"]) == views
    weights = torch.load(run / "models/model.pt", weights_only=True)
    assert all(bool(value.isfinite().all()) for value in weights.values())
    saved = read_checkpoint(run / "models")
    for part, state in (("optimizer", saved["optimizer"]["param_groups"][0]), ("lr_scheduler", saved["lr_scheduler"])):
        wanted = [(key, value) for key, value in BLOCKS[name].content.get(part, {}).items() if key != "lr"]
        assert all(key in state or key in ("_target_", "params", "optimizer", "max_lr") for key, _ in wanted), part
        assert all(state[key] == value for key, value in wanted if key in state and not isinstance(value, str)), part
    own = BLOCKS[name].content.get("network_def")
    if own is not None:  # the weights fit the block's network and no other
        made = ConfigParser({"views": ["2ch", "4ch"], "structures": {1: "a", 2: "b", 3: "c"}, "network_def": own})
        network = made.get_parsed_content("network_def")
        assert {key: value.shape for key, value in network.state_dict().items()} == {
            key: value.shape for key, value in weights.items()
        }
    size = tiny_size(bundle) | {key: value for key, value in settings_of(name).items() if key in tiny_size(bundle)}
    # inference.yaml has no `train` and no `validate`
    of_training = any(re.search("train#|validate#", key) for key in BLOCKS[name].content)
    infer(
        bundle, datalist, run, tmp_path / "out", *([] if of_training else [file]), section="validation", num_exams=1,
        **size,
    )  # fmt: skip
    assert [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".gz")]


def test_the_pages_metric_of_masks_is_the_dice_of_each_structure_in_each_slice():
    """A slice that lacks a structure does not count for it."""
    metrics = ConfigParser(
        {"structures": {1: "a", 2: "b", 3: "c"}, "metric": BLOCKS["mean_dice"].content["validate#key_metric"]}
    )
    metric = metrics.get_parsed_content("metric")["val_dice"]
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 4, (5, 1, 8, 8), generator=generator).float()
    label[0][label[0] == 2] = 0
    batches = [{"pred": torch.randn(5, 4, 8, 8, generator=generator), "label": label}]
    evaluator = Engine(lambda engine, batch: batch)
    metric.attach(evaluator, "val_dice")
    found = evaluator.run(batches).metrics["val_dice"]
    dices = []
    for logits, true in zip(batches[0]["pred"].numpy(), label[:, 0].numpy(), strict=True):
        for value in (1, 2, 3):
            mask, reference = logits.argmax(0) == value, true == value
            if reference.any():
                dices.append(2 * (mask & reference).sum() / (mask.sum() + reference.sum()))
    assert len(dices) == 14
    # MONAI averages the structures of each slice first
    per_slice = [np.mean(dices[:2]), *np.reshape(dices[2:], (4, 3)).mean(1)]
    assert found == pytest.approx(np.mean(per_slice))


def test_a_schedule_on_the_page_steps_as_it_says_also_on_top_of_a_demo():
    """demo.yaml steps after every batch."""
    scheduled = [name for name, block in BLOCKS.items() if block.content.get("lr_scheduler")]
    assert scheduled and all("lr_epoch_level" in BLOCKS[name].content for name in scheduled)


#: Normals of the views of the synthetic hip; none is parallel to its slices, and all planes pass through its middle.
NORMALS = {"neck": (0.1, 0.9, 0.42), "cup rim": (0.8, 0.5, 0.33), "a/b": (1, 0, 0.2), "head": (0, 1, 0), "e": (1, 1, 0)}


def write_hips(folder: Path) -> Path:
    """Write a datalist as the page describes it: volumes of a tilted bone between two shadows, rotated and shifted in each
    exam.
    """
    draw = np.random.default_rng(0)
    affine = np.diag([-1.8, -1.8, 5.0, 1.0])
    affine[:3, 3] = 43, 43, 60
    sections: dict[str, list[dict]] = {"training": [], "validation": [], "test": []}
    grid = (
        np.stack(np.meshgrid(*map(np.arange, (48, 48, 10)), indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    )
    for number, section in enumerate(["training"] * 3 + ["validation", "test"]):
        middle = np.array([0, 0, 82]) + draw.uniform(-4, 4, 3)
        away = grid - middle
        bone = np.exp(
            -(away[..., 0] ** 2 / 400 + (away[..., 1] - 0.4 * away[..., 2]) ** 2 / 150 + away[..., 2] ** 2 / 600)
        )
        nibabel.save(
            nibabel.Nifti1Image((100 * bone + draw.random(bone.shape)).astype("f4"), affine),
            folder / f"{number}.nii.gz",
        )
        planes = {view: {"origin": middle.tolist(), "normal": list(normal)} for view, normal in NORMALS.items()}
        for k in range(10):
            own = affine.copy()
            own[:3, 3] += k * affine[:3, 2]
            sections[section].append(
                {"image": f"{number}.nii.gz", "frame": k, "slice": k, "exam": f"hip{number}", "patient": f"hip{number}",
                 "stack": "axial", "affine": own.tolist(), "planes": planes, "location": k / 9}
            )  # fmt: skip
    header = {"planewise": {"version": 1, "stack": "axial", "views": list(NORMALS)}}
    (folder / "hips.json").write_text(json.dumps(header | sections))
    return folder / "hips.json"


def test_another_organ_by_datalist_and_config_alone(tmp_path):
    """The datalist has more views than the pictures of hearts and knees have colours, and the name of one view contains
    a slash.
    """
    datalist, run, out = write_hips(tmp_path), tmp_path / "run", tmp_path / "out"
    views = [*BLOCKS["hip"].content["views"], *[view for view in NORMALS if view not in BLOCKS["hip"].content["views"]]]
    bundle, file = BLOCKS["hip"].bundle, overlay("hip", tmp_path)
    train_and_evaluate(bundle, datalist, run, file, views=views, **SHORT)
    scores = json.loads((run / "validation/metrics.json").read_text())
    assert list(scores["orientation"]["views"]) == views and scores["location"]["slices"] == 10
    planes = (run / "validation/planes.csv").read_text().splitlines()
    assert len(planes) == 1 + len(views), "the bone does not move, so there is one phase"
    assert {"heatmaps.png", "regression.png"} <= {path.name for path in (run / "validation").iterdir()}
    # limits that every plane passes, so that every view is drawn
    lenient = {"min_peak": -9, "min_agreement": -9, "max_residual": 1e6, "max_spread": 1e6, "min_order": 0}
    lenient |= {"min_obliquity": 0}  # its slices are axial
    size = tiny_size(bundle)
    where = {"input": str(datalist), "weights": str(run), "output_dir": str(out)}
    run_bundle(bundle, "inference.yaml", views=views, **lenient, **where, **size)
    plan = json.loads((out / "hip4/plan.json").read_text())
    assert list(plan["views"]) == views
    markups = json.loads((out / "hip4/planes.mrk.json").read_text())["markups"]
    drawn = [view for view in views if plan["views"][view]["verdict"] == "plane"]
    assert drawn and [entry["controlPoints"][0]["label"] for entry in markups] == drawn
    # its volumes alone
    run_bundle(bundle, "inference.yaml", views=views, **where | {"input": str(tmp_path / "4.nii.gz")}, **size)
    figure, exam = exam_figure(datalist)
    figure.savefig(tmp_path / "exam.png")
    words = " ".join(text.get_text() for text in figure.texts) + " ".join(axes.get_title() for axes in figure.axes)
    assert exam == "hip0" and "axial" in words and not re.search("base|apex|short-axis|knee|heart", words)
    # the metadata is that of the bundle, which is made for hearts
    for path in [run / "run.json", *run.glob("*.csv"), *out.rglob("*.json")]:
        assert not re.search(r"\b(2ch|4ch|sax|basal|coronal)\b", path.read_text()), path


def test_the_ends_of_another_organs_stack(tmp_path):
    datalist, run = write_hips(tmp_path), tmp_path / "run"
    bundle, file = BLOCKS["hip_location"].bundle, overlay("hip_location", tmp_path)
    train(bundle, datalist, run, **SHORT)
    infer(bundle, datalist, run, tmp_path / "out", file, min_order=0)
    assert "slice is proximal" in json.loads((tmp_path / "out/hip4/locations.json").read_text())["verdict"]


def test_the_pages_item_is_one():
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.S)
    content = json.loads(text)
    views = content["planewise"]["views"]
    assert views == BLOCKS["hip"].content["views"]
    assert bool(SelectPlanesd(views)(content["training"][0])["planes"].isfinite().all())
