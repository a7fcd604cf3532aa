"""Test `planewise compare`: the study that it writes for the user's own images, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil

import planewise
import pytest
import torch
import yaml
from monai.networks.nets import UNet
from planewise.commands import app
from planewise.commands import studies as command
from planewise.data import absolute_datalist
from planewise.errors import InputError
from planewise.exams import write_datalist
from planewise.files.datalists import SECTIONS
from planewise.networks import SliceNet, UNetDecoder, UNetEncoder
from typer.testing import CliRunner

from tests.bundles.conftest import phantoms  # noqa: F401  (a fixture)
from tests.conftest import ROOT
from tools.studies import compare
from tools.studies.methods import methods_of
from tools.studies.study_settings import wrong_settings


@pytest.fixture(scope="module")
def folders(tmp_path_factory, phantoms):  # noqa: F811
    """Unlabelled DICOM exams and labelled NIfTI exams of phantom hearts."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "pacs").symlink_to(phantoms.cardiac.dicom)
    (folder / "acdc").symlink_to(phantoms.cardiac.labelled.with_suffix(""))
    return folder


@pytest.fixture(scope="module")
def lists(folders):
    out = folders / "lists"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANEWISE_SALT_FILE", str(folders / "salt"))
        unlabelled = compare.indexed(folders / "pacs", out, "unlabelled")
        return unlabelled, compare.indexed(folders / "acdc", out, "labelled")


def asked(folders, *words, answer="n\n"):
    given = ["compare", str(folders / "pacs"), str(folders / "acdc"), "-o", str(folders / "out"), *words]
    return CliRunner().invoke(app, given, input=answer)


def without_planes(datalist, file):
    """The datalist as if the exams' other views had not been exported."""
    content = json.loads(datalist.read_text())
    for item in content["training"]:
        item["planes"] = {}
    file.write_text(json.dumps(content))
    return file


def test_it_writes_a_study_and_starts_it_if_one_agrees(folders, monkeypatch):
    started = []
    monkeypatch.setattr(command.os, "execv", lambda file, words: started.append(words))
    monkeypatch.chdir(folders)
    outcome = asked(folders)
    assert outcome.exit_code == 0 and not started, outcome.output
    file = folders / "out/study.yaml"
    assert "unlabelled: 10 exams" in outcome.output and "left out: " in outcome.output
    counted = re.search(r"labelled exams: (\d) training, (\d) validation, (\d) test", outcome.output)
    assert counted and sum(map(int, counted.groups())) == 10
    assert "none, released, multitask, simclr, models_genesis; 33 trainings" in outcome.output
    assert (
        "Task: Segmentation of the right ventricle, the myocardium and the left ventricle in short-axis"
        in outcome.output
    )
    assert f"Later: tools/demo --configfile {file}" in outcome.output
    study = yaml.safe_load(file.read_text())
    assert study["label_counts"] == [1, 4] and study["draws"] == [0, 1, 2] and study["overlay"] == "demo.yaml"
    # the user's change is kept, and the folders are not read again
    file.write_text(file.read_text().replace("max_epochs: 160", "max_epochs: 3"))
    outcome = asked(folders, "--yes")
    assert outcome.exit_code == 0 and started == [[str(ROOT / "tools/demo"), "--configfile", str(file)]]
    assert "max_epochs: 3" in file.read_text()
    assert "10 exams" not in outcome.output and "unlabelled.json is kept" in outcome.output


def test_pretexts_that_need_planes_are_left_out_where_there_are_none(lists, tmp_path):
    unlabelled, labelled = lists
    pattern = "pretext_cardiac_{pretext}"
    every = compare.fitting(compare.read(unlabelled), pattern)
    assert every[:3] == ["multitask", "simclr", "models_genesis"] and {"orientation", "sax_position"} < set(every)
    lone = without_planes(unlabelled, tmp_path / "lone.json")
    fewer = compare.fitting(compare.read(lone), pattern)
    assert set(every) - set(fewer) == {"multitask", "orientation", "sax_position"}
    assert compare.study_of(lone, labelled, tmp_path)["pretexts"] == fewer[:3]
    study = compare.study_of(unlabelled, labelled, tmp_path, starts=compare.starts_in("all"))
    assert study["pretexts"] == every and list(study["methods"]) == ["none", *every]


def test_starts_are_compared(lists, tmp_path, capsys, monkeypatch):
    """Weights that do not fit are refused before any training; another network has a control from scratch."""
    # the networks' random weights do not matter, and to draw them takes half of the time
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda tensor, *_, **__: torch.nn.init.zeros_(tensor))
    features = [8, 16, 32, 64]
    encoder, decoder = (kind(features=features, stem_stride=2) for kind in (UNetEncoder, UNetDecoder))
    torch.save(SliceNet(encoder=encoder, decoder=decoder, num_maps=4).state_dict(), tmp_path / "zoo.pt")
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "strange.pt")
    (tmp_path / "narrow.yaml").write_text(f"features: {features}\nstem_stride: 2\n")
    overlay = str(tmp_path / "narrow.yaml")
    starts = compare.starts_in(f"scratch, simclr,ours,zoo={tmp_path}/zoo.pt:{overlay}")
    study = compare.study_of(*lists, tmp_path, starts=starts)
    assert list(study["methods"]) == ["none", "simclr", "released", "released_task", "zoo", "none_zoo"]
    network = {"overlay": {"finetune": overlay}, "overrides": {"finetune": {"features": features}}}
    assert study["methods"]["none_zoo"] == {"name": "from scratch, the network of zoo"} | network
    against = ["none", "none_zoo", "simclr", "released", "released_task"]
    assert study["methods"]["zoo"] == {"weights": f"{tmp_path}/zoo.pt", "against": against} | network
    assert "zoo: loaded 120 of 120 tensors" in capsys.readouterr().out and not wrong_settings(study)
    assert methods_of(study)["zoo"].file == f"{tmp_path}/zoo.pt"
    # MONAI's U-Net, whose network the task has a config for
    monai = UNet(2, 1, 4, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2)
    torch.save({"model": monai.state_dict()}, tmp_path / "monai.pt")
    study = compare.study_of(*lists, tmp_path, starts=compare.starts_in(f"zoo={tmp_path}/monai.pt"))
    assert (
        study["methods"]["zoo"]["overlay"] == study["methods"]["none_zoo"]["overlay"] == {"finetune": "zoo_unet.yaml"}
    )
    for words in (f"zoo={tmp_path}/zoo.pt", f"x={tmp_path}/strange.pt", f"x={tmp_path}/zoo.pt:none.yaml"):
        with pytest.raises(InputError, match=r"--starts|none.yaml"):
            compare.study_of(*lists, tmp_path, starts=compare.starts_in(words))
    for words in (f"x={tmp_path}/nowhere.pt", f"A b={tmp_path}/zoo.pt", f"ours={tmp_path}/zoo.pt"):
        with pytest.raises(InputError):
            compare.starts_in(words)
    on_gpu = compare.study_of(*lists, tmp_path, "cuda:0", compare.starts_in("ours"))
    assert on_gpu["overlay"] == "demo.yaml" and on_gpu["overrides"]["finetune"]["amp"] is True


@pytest.mark.parametrize(
    ("anatomy", "first", "unfit"),
    [
        # networks for volumes do not fit a task on slices
        ("cardiac", ["simclr", "models_genesis", "byol"], {"rotation", "exemplar", "contrastive_predictive_coding"}),
        ("knee", ["simclr", "models_genesis", "byol"], {"rotation", "exemplar", "relative_patch_location"}),
        ("volume", ["relative_patch_location", "rotation", "exemplar"], {"simclr", "models_genesis"}),
        # photographs have another encoder
        ("photograph", ["relative_patch_location", "rotation", "exemplar", "simclr"], {"byol", "models_genesis"}),
    ],
)
def test_pretexts_with_another_encoder_than_the_task_are_left_out(anatomy, first, unfit):
    datalist = {"planewise": {"anatomy": anatomy}, "training": []}
    found = compare.fitting(datalist, compare.template_of(anatomy)["pretext_bundle"])
    assert found[: len(first)] == first and not unfit & set(found)


def test_all_methods_have_one_network(lists, tmp_path):
    shipped = yaml.safe_load((ROOT / "bundles/pretext_cardiac_multitask/configs/inference.yaml").read_text())
    study = compare.study_of(*lists, tmp_path)
    for kind in ("pretrain", "finetune"):
        assert study["overrides"][kind]["features"] == shipped["features"]
        assert (
            study["overrides"][kind]["spacing"] == shipped["spacing"] and None not in study["overrides"][kind].values()
        )
    paper = compare.study_of(*lists, tmp_path, device="cuda:0")
    assert "overlay" not in paper and "released" not in paper["methods"]
    assert paper["overrides"] == {"pretrain": {"amp": True}, "finetune": {"amp": True}}


def test_a_class_cannot_be_learned_from_one_exam(tmp_path, monkeypatch):
    def study(training):
        exams = [{"image": f"{number}", "patient": f"p{number // 2}", "acl": 0} for number in range(training)]
        content = {"planewise": {"anatomy": "knee"}, "training": exams, "validation": exams[:1], "test": exams[:1]}
        (tmp_path / "knees.json").write_text(json.dumps(content))
        return compare.study_of(*[tmp_path / "knees.json"] * 2, tmp_path)

    monkeypatch.setattr(compare, "fitting", lambda *_: ["simclr"])
    # the pretexts read millimetres, so the width of MRNet's slices must be that of the bundle's page
    assert study(20)["overrides"]["finetune"]["field_without_spacing"] == 160.0
    assert study(20)["label_counts"] == [4, 16] and study(3)["label_counts"] == [3]
    with pytest.raises(InputError, match="1 labelled training exam, but a class can be learned only from at least 2"):
        study(1)


@pytest.mark.parametrize(("patients", "shared"), [(3, (1, 1, 1)), (14, (10, 2, 2))])
def test_few_patients_leave_no_section_empty(patients, shared):
    items = [{"image": "x", "patient": f"p{number}"} for number in range(patients) for _ in range(2)]
    exams = {f"e{number}": {"patient": f"p{number}", "section": "training"} for number in range(patients)}
    datalist = {"planewise": {"anatomy": "cardiac"}, "training": items, "validation": [], "test": [], "exams": exams}
    assert compare.divide_exactly(datalist, compare.SPLITS["unlabelled"], labelled=False) == patients
    assert tuple(len(datalist[section]) // 2 for section in SECTIONS) == shared
    assert all(exams[item["patient"].replace("p", "e")]["section"] == one for one in SECTIONS for item in datalist[one])
    assert compare.divide_exactly(datalist, compare.SPLITS["labelled"], labelled=True) == 0, "nobody has a label"


@pytest.mark.parametrize("changed", ["methods: [", {"draws": 3}])
def test_a_study_that_a_person_broke_is_refused(lists, tmp_path, changed):
    file = tmp_path / "study.yaml"
    study = compare.study_of(*lists, tmp_path)
    compare.write(study, file)
    file.write_text(changed if isinstance(changed, str) else yaml.safe_dump(study | changed))
    with pytest.raises(InputError):
        compare.write(study, file)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """A folder of phantom abdomens of one channel."""
    folder = tmp_path_factory.mktemp("volumes")
    words = ["phantom", "volume", str(folder / "ct"), "--exams", "12", "--set", "side=16", "--workers", "1"]
    assert CliRunner().invoke(app, [*words, "--layout", "msd"]).exit_code == 0
    return folder


def test_volumes_of_one_channel_have_the_structures_of_their_masks(volumes):
    """CT of another organ: the bundle for one channel learns the structures that the masks contain."""
    datalist = volumes / "ct.json"
    planewise.index(volumes / "ct", anatomy="volume", split=(0.5, 0.2, 0.3)).write(datalist)
    study = compare.study_of(datalist, datalist, volumes / "out")
    assert study["target"] == {"bundle": "downstream_pancreas_segmentation"} and study["overlay"] == "demo.yaml"
    structures = {"1": "structure 1", "2": "structure 2"}
    given = {"in_channels": 1, "structures": structures, "regions": {}}
    assert study["overrides"]["finetune"].items() >= given.items() and next(iter(study["methods"])) == "none"
    assert study["overrides"]["pretrain"]["in_channels"] == 1 and "multitask" not in study["pretexts"]
    paper = compare.study_of(datalist, datalist, volumes / "out", device="cuda:0")
    assert paper["overrides"] == {
        "pretrain": {"amp": True, "in_channels": 1, "axcodes": "RAS"},
        "finetune": {"amp": True, **given},
    }


def all_in_training(file):
    """Move all exams of a datalist to its training section, so that its split by hash does not matter."""
    content = absolute_datalist(file)
    content["training"] = [item for section in SECTIONS for item in content[section]]
    return write_datalist(content | {"validation": [], "test": []}, file)


def test_no_pretext_learns_from_a_test_image(volumes, tmp_path, capsys):
    """Few of a folder's cases have masks, and the folder is given twice, or copied under other names."""
    both, copies = tmp_path / "both", tmp_path / "copies"
    shutil.copytree(volumes / "ct", both)
    (both / "dataset.json").unlink()
    masks = sorted((both / "labelsTr").glob("pancreas*"))
    for number, mask in enumerate(masks):
        if number % 2:
            mask.unlink()
    copies.mkdir()
    for number, image in enumerate(sorted((both / "imagesTr").glob("pancreas*"))):
        shutil.copy(image, copies / f"scan_{number:03d}.nii.gz")
    for name, folder in (("twice", both), ("renamed", copies)):
        out = tmp_path / name
        images = compare.indexed(folder, out, "unlabelled", anatomy="volume")
        exams = compare.indexed(both, out, "labelled", anatomy="volume")
        all_in_training(images)
        assert compare.seen_before(images, exams)
        before = json.loads(images.read_text())
        compare.keep_apart(images, exams, out)
        assert not compare.seen_before(images, exams)
        found = json.loads(images.read_text())
        count, had = (sum(len(content[section]) for section in SECTIONS) for content in (found, before))
        assert count == had >= len(masks)
        for section in SECTIONS:
            names = {item["exam"] for item in found[section]}
            assert names == {name for name, exam in found["exams"].items() if exam["section"] == section}
        assert "also among the labelled images, and in the same section as there" in capsys.readouterr().out
        time = images.stat().st_mtime_ns
        compare.keep_apart(images, exams, out)
        assert images.stat().st_mtime_ns == time, "a newer datalist would train everything again"
    # a given datalist, and that of a study that has started, are not changed
    own = all_in_training(compare.indexed(copies, tmp_path / "elsewhere", "unlabelled", anatomy="volume"))
    (tmp_path / "twice/logs").mkdir()
    for images, cure in (
        (own, "name their folder instead of unlabelled.json"),
        (shutil.copy(own, tmp_path / "twice/datalists/unlabelled.json"), "name another folder with -o"),
    ):
        before = images.read_text()
        capsys.readouterr()
        compare.keep_apart(images, exams, tmp_path / "twice")
        said = capsys.readouterr().out
        assert "so pretexts learn from test images" in said and cure in said and images.read_text() == before
