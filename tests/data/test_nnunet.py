"""Test the conversion of a datalist to nnU-Net's folders: each labelled volume once, on its own grid, in the same split."""

import json
import re

import nibabel
import numpy as np
import planewise
import pytest
from planewise.data.nnunet import export_nnunet
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.workshop.phantoms import LABELLED, Recipe, write_exams


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
    # the folder can be indexed again, and each case of the test stays there
    again = planewise.index(done.folder)
    cases = {
        section: {re.sub(r"_0000\.nii\.gz$", "", item["image"].split("/")[-1]) for item in again.datalist[section]}
        for section in sections
    }
    wanted = {
        section: {f"{exam}_{phase}" for exam in exams for phase in ("ED", "ES")} for section, exams in sections.items()
    }
    assert cases["test"] == wanted["test"]
    assert cases["training"] | cases["validation"] == wanted["training"] | wanted["validation"]
    assert not again.unmatched and again.division.code == "sections-by" and again.division["sets"] == ("nnU-Net",)
    assert len(again.datalist["exams"]) == len(content["exams"])
    assert sum("label" in item for section in sections for item in again.datalist[section]) == sum(done.counts.values())
    (fold,) = json.loads(done.splits.read_text())
    assert {case.split("_")[0] for case in fold["train"]} == sections["training"]
    assert {case.split("_")[0] for case in fold["val"]} == sections["validation"]


@pytest.mark.parametrize(
    ("name", "structures"), [("hearts", ()), ("Dataset101_Full", ()), ("Dataset101_Heart", ("RV",))]
)
def test_what_nnunet_would_not_take_is_refused(name, structures, hearts, tmp_path):
    (tmp_path / "Dataset101_Full").mkdir()
    (tmp_path / "Dataset101_Full/file").touch()
    with pytest.raises(InputError):
        export_nnunet(hearts, tmp_path / name, structures)
