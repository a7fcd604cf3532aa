"""Test the conversion of a datalist to nnU-Net's folders: each labelled volume once, on its own grid, in the same split."""

import json
import re

import nibabel
import numpy as np
import planewise
import pytest
from planewise.commands import app
from planewise.data.nnunet import _channels, _labels, export_nnunet
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.files.nifti import write_nifti
from planewise.workshop.phantoms import LABELLED, Recipe, write_exams
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def hearts(tmp_path_factory):
    """The datalist of five hearts with masks at two phases each."""
    folder = tmp_path_factory.mktemp("hearts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANEWISE_SALT_FILE", str(folder / "salt"))
        population = LABELLED.at_size("demo").with_values(spacing=(5.0, 5.2))
        list(write_exams(Recipe("acdc", 3, population), folder / "acdc", 5))
        return index_folder(folder / "acdc", split=(0.6, 0.2, 0.2)).write(folder / "datalist.json")


def test_every_labelled_volume_on_its_grid_and_in_its_section(hearts, tmp_path):
    done = export_nnunet(hearts, tmp_path / "Dataset101_Heart")
    content = json.loads(hearts.read_text())
    sections = {section: {item["exam"] for item in content[section]} for section in ("training", "validation", "test")}
    assert done.counts == {section: 2 * len(exams) for section, exams in sections.items()} and not done.left_out
    for kind, exams in (("Tr", sections["training"] | sections["validation"]), ("Ts", sections["test"])):
        cases = {f"{exam}_{phase}" for exam in exams for phase in ("ED", "ES")}
        assert {file.name for file in (done.folder / f"images{kind}").iterdir()} == {
            f"{case}_0000.nii.gz" for case in cases
        }
        assert {file.name for file in (done.folder / f"labels{kind}").iterdir()} == {f"{case}.nii.gz" for case in cases}
    for section in sections:
        for item in content[section]:
            kind, case = "Ts" if section == "test" else "Tr", f"{item['exam']}_{item['phase']}"
            image = nibabel.load(done.folder / f"images{kind}" / f"{case}_0000.nii.gz")
            mask = nibabel.load(done.folder / f"labels{kind}" / f"{case}.nii.gz")
            source, drawn = (nibabel.load(hearts.parent / item[key]) for key in ("image", "label"))
            pixels = np.asarray(source.dataobj).reshape(*source.shape[:3], -1)[..., item.get("time", 0)]
            assert np.array_equal(np.asarray(image.dataobj), pixels)
            assert np.allclose(image.affine, source.affine, atol=1e-4) and np.array_equal(image.affine, mask.affine)
            renamed = {int(old): new for old, new in (item.get("label_map") or {}).items()}
            values = np.vectorize(lambda value, new=renamed: new.get(int(value), int(value)))(np.asarray(drawn.dataobj))
            assert np.array_equal(np.asarray(mask.dataobj), values) and mask.get_data_dtype() == np.uint8
            assert image.header.get_xyzt_units()[0] == mask.header.get_xyzt_units()[0] == "mm"
    described = json.loads((done.folder / "dataset.json").read_text())
    assert described == {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "RV": 1, "myocardium": 2, "LV": 3},
        "numTraining": len(list((done.folder / "imagesTr").iterdir())),
        "file_ending": ".nii.gz",
    }
    # the folder can be indexed again, and each case is in the same section
    again = planewise.index(done.folder)
    cases = {
        section: {re.sub(r"_0000\.nii\.gz$", "", item["image"].split("/")[-1]) for item in again.datalist[section]}
        for section in sections
    }
    assert cases == {
        section: {f"{exam}_{phase}" for exam in exams for phase in ("ED", "ES")} for section, exams in sections.items()
    }
    assert not again.unmatched and again.division.code == "sections-by" and again.division["sets"] == ("nnU-Net",)
    assert len(again.datalist["exams"]) == len(content["exams"])
    assert sum("label" in item for section in sections for item in again.datalist[section]) == sum(done.counts.values())
    (fold,) = json.loads(done.splits.read_text())
    assert {case.split("_")[0] for case in fold["train"]} == sections["training"]
    assert {case.split("_")[0] for case in fold["val"]} == sections["validation"]


def test_the_command(hearts, tmp_path):
    folder = tmp_path / "Dataset007_Heart"
    run = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["export", str(hearts), "-o", str(folder), "--structures", "a,b,c"]
    )
    assert run.exit_code == 0, run.output
    written = [len(list((folder / f"labels{kind}").iterdir())) for kind in ("Tr", "Ts")]
    (fold,) = json.loads((folder / "splits_final.json").read_text())
    counts = f"training {len(fold['train'])}, validation {len(fold['val'])}, test {written[1]} volumes."
    assert f"Wrote {folder}: {counts}" in run.output and len(fold["train"] + fold["val"]) == written[0]
    assert "copy splits_final.json to nnUNet_preprocessed/Dataset007_Heart" in run.output
    assert "left out" not in run.output
    assert list(json.loads((folder / "dataset.json").read_text())["labels"]) == ["background", "a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "structures", "said"),
    [
        ("hearts", (), "use a name like Dataset101_Heart, not hearts"),
        ("Dataset101_Full", (), "is not empty; name a new folder"),
        ("Dataset101_Heart", ("RV",), "the masks contain the value 3, but there are names for only 1 structures"),
    ],
)
def test_what_nnunet_would_not_take(name, structures, said, hearts, tmp_path):
    (tmp_path / "Dataset101_Full").mkdir()
    (tmp_path / "Dataset101_Full/file").touch()
    with pytest.raises(InputError, match=said):
        export_nnunet(hearts, tmp_path / name, structures)


def test_structures_without_names_are_numbered():
    assert _labels({0, 1, 2}, ()) == {"structure 1": 1, "structure 2": 2}
    with pytest.raises(InputError, match=r"contain \[0, 2\]; rename them"):
        _labels({0, 2}, ())
    assert _labels({0, 2}, ("RV", "myocardium", "LV")) == {"RV": 1, "myocardium": 2, "LV": 3}, "a name needs no voxel"


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ({"anatomy": "cardiac"}, ["MRI"]),
        ({"anatomy": "knee"}, ["MRI"]),
        ({"anatomy": "volume"}, ["channel 0"]),
        ({"anatomy": "volume", "channels": ["t1", "flair"]}, ["t1", "flair"]),
        ({"anatomy": "volume", "channels": ["t1"]}, ["channel 0", "channel 1"]),
        ({}, ["channel 0"]),
    ],
)
def test_channels_have_the_datalists_names_if_they_fit(header, names):
    assert _channels(header, len(names)) == names


def test_a_datalist_without_masks(hearts, tmp_path):
    content = json.loads(hearts.read_text())
    for section in ("training", "validation", "test"):
        content[section] = [
            {key: value for key, value in item.items() if not key.startswith("label")} for item in content[section]
        ]
    (hearts.parent / "bare.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"no image of .* has a mask; add your own masks"):
        export_nnunet(hearts.parent / "bare.json", tmp_path / "Dataset101_Heart")


@pytest.mark.parametrize(
    ("first", "said"),
    [((0, 1, 2, 4), True), ((0, 1, 2, 3, 4), False), ((0, 4), False)],
)
def test_one_structure_under_two_numbers_is_mentioned(first, said, tmp_path):
    for name, values in (("a", first), ("b", (0, 1, 2, 3)), ("c", (0, 1, 2, 3))):
        write_nifti(tmp_path / f"{name}.nii.gz", np.arange(64, dtype=np.float32).reshape(4, 4, 4), np.eye(4))
        write_nifti(tmp_path / f"{name}_seg.nii.gz", np.resize(np.array(values, np.uint8), (4, 4, 4)), np.eye(4))
    datalist = index_folder(tmp_path, anatomy="volume", split=(1, 0, 0)).write(tmp_path / "list.json")
    run = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", str(datalist), "-o", str(tmp_path / "Dataset001_A")])
    assert run.exit_code == 0, run.output
    assert (
        re.findall("No mask contains both .*:", run.output)
        == ["No mask contains both structure 3 and structure 4:"] * said
    )


def test_a_refused_export_leaves_nothing_behind(hearts, tmp_path):
    for _ in range(2):
        with pytest.raises(InputError, match="name all structures"):
            export_nnunet(hearts, tmp_path / "Dataset101_Heart", ("RV",))
    assert not list(tmp_path.iterdir())


def test_a_volume_that_cannot_be_read_costs_itself(hearts, tmp_path):
    content = json.loads(hearts.read_text())
    broken = content["training"][0]
    (hearts.parent / "broken.nii.gz").write_text("no image")
    content["training"][0] = {**broken, "image": "broken.nii.gz"}
    (hearts.parent / "one_broken.json").write_text(json.dumps(content))
    calls = []
    one_broken = hearts.parent / "one_broken.json"
    done = export_nnunet(one_broken, tmp_path / "Dataset101_Heart", progress=lambda *of: calls.append(of))
    total = sum("label" in item for section in done.counts for item in content[section])
    assert sum(done.counts.values()) == total - 1 and calls == [(number, total) for number in range(1, total)]
    run = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["export", str(one_broken), "-o", str(tmp_path / "Dataset102_Heart")]
    )
    assert f"Exam {broken['exam']} is left out: " in run.output
    assert list(done.left_out) == [broken["exam"]]
    case = f"{broken['exam']}_{broken['phase']}"
    assert not list(done.folder.rglob(f"{case}*"))
    assert not re.search(case, (done.folder / "dataset.json").read_text() + done.splits.read_text())


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0, 255], np.uint8), ([0, 256], np.int16), ([-1, 5], np.int16), ([0, 2**15], np.float32), ([0, 0.5], np.float32)],
)
def test_values_are_kept_in_the_smallest_type(values, kind, tmp_path):
    array, affine = np.array(values, dtype=np.float32).reshape(1, 2, 1), np.diag([2.0, 3.0, 4.0, 1.0])
    write_nifti(tmp_path / "a.nii.gz", array, affine)
    read = nibabel.load(tmp_path / "a.nii.gz")
    assert read.get_data_dtype() == kind and np.array_equal(np.asarray(read.dataobj), array)
    assert np.array_equal(read.affine, affine) and [path.name for path in tmp_path.glob("a*")] == ["a.nii.gz"]
