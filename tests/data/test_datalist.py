from __future__ import annotations

import json
from pathlib import Path

import pytest
from planewise.data import expand_volumes, labelled, load_datalist, pair_phases, select_subjects, whole_volumes
from planewise.errors import InputError


def write(tmp_path, content) -> str:
    path = tmp_path / "datalist.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_paths_are_relative_to_the_datalist(tmp_path):
    path = write(tmp_path, {"training": [{"image": "a/b.dcm", "label": "c.nii.gz", "exam": "e"}], "test": []})
    item = load_datalist(path, "training")[0]
    assert item == {"image": str(tmp_path / "a/b.dcm"), "label": str(tmp_path / "c.nii.gz"), "exam": "e"}
    assert load_datalist(path, "test") == load_datalist(path, "validation") == []


@pytest.mark.parametrize(
    "content",
    ["{", "[]", {"training": [{"exam": "e"}]}, {"training": [None]}, {"training": None}, {"training": [{"image": []}]}],
)
def test_what_is_no_datalist_is_refused(tmp_path, content):
    with pytest.raises(InputError):
        load_datalist(write(tmp_path, content), "training")


def test_all_sections_and_each_item_once(tmp_path):
    """DSBCC's test exams are also the validation section."""
    listed = {"training": ["a", "b"], "validation": ["c"], "test": ["c", "d"]}
    content = {section: [{"image": f"{name}.dcm", "phase": 0} for name in names] for section, names in listed.items()}
    path = write(tmp_path, content)
    assert [Path(item["image"]).stem for item in load_datalist(path, "all")] == list("abcd")
    with pytest.raises(InputError):
        load_datalist(write(tmp_path, {}), "all", required=True)


@pytest.mark.parametrize(("stack", "view"), [("sax", "4ch"), ("4ch", "sax"), ("sax", "sagittal")])
def test_a_datalist_of_another_view_is_refused(tmp_path, stack, view):
    path = write(tmp_path, {"planewise": {"stack": stack, "views": ["2ch"]}, "training": [{"image": "a.dcm"}]})
    for section in ("training", "validation"):
        with pytest.raises(InputError):
            load_datalist(path, section, view=view)
    assert len(load_datalist(path, "training", view=stack)) == len(load_datalist(path, "training")) == 1


ITEMS = [{"image": f"{exam}-{k}", "exam": f"e{exam:02d}"} for exam in range(20) for k in range(3)]


def exams(items) -> set[str]:
    return {item["exam"] for item in items}


def test_subjects_are_whole_nested_and_decided_by_the_seed():
    one, four, sixteen = (select_subjects(ITEMS, count, seed=3) for count in (1, 4, 16))
    assert [len(exams(chosen)) for chosen in (one, four, sixteen)] == [1, 4, 16]
    assert len(four) == 12
    assert exams(one) < exams(four) < exams(sixteen)
    assert select_subjects(list(reversed(ITEMS)), 4, seed=3) == list(reversed(four))
    assert len({tuple(exams(select_subjects(ITEMS, 1, seed))) for seed in range(12)}) > 5
    assert select_subjects(ITEMS, None) == ITEMS


@pytest.mark.parametrize("count", [0, 21])
def test_more_subjects_than_there_are(count):
    with pytest.raises(InputError):
        select_subjects(ITEMS, count)


def test_volumes_are_cut_into_slices_and_slices_pass(volumes):
    single = {"image": "x.dcm", "affine": [[1]], "exam": "e"}
    expanded = expand_volumes([volumes[0], single])
    assert [item.get("frame") for item in expanded] == [0, 1, 2, 3, None]
    assert all(item["label"] == volumes[0]["label"] for item in expanded[:4])


def test_phases_are_paired_and_masks_take_the_place_of_labels(tmp_path):
    items = [
        {
            "image": "i",
            "label": f"l{phase}",
            "exam": "e1",
            "phase": phase,
            "group": "DCM",
            "height": 180,
            "patient": "p",
        }
        for phase in ("ED", "ES")
    ]
    own = {"exam": "e1", "group": "DCM", "height": 180, "patient": "p"}
    assert pair_phases(items) == [{**own, "ed": "lED", "es": "lES"}]
    (classed,) = pair_phases([item | {"amyloid": 1} for item in items], class_key="amyloid")
    assert classed["group"] == "1" and "group" not in pair_phases(items, class_key="amyloid")[0]
    for phase in ("ED", "ES"):
        (tmp_path / f"e1_{phase}.nii.gz").touch()
    paired = pair_phases(items, tmp_path)[0]
    assert paired["es"] == str(tmp_path / "e1_ES.nii.gz")
    # a map of label values is for the data set's own masks; predicted masks have our values
    mapped = [items[0], items[1] | {"label_map": {"3": 1}}]
    assert pair_phases(mapped)[0]["label_maps"] == {"lES": {"3": 1}}
    assert "label_maps" not in pair_phases(mapped, tmp_path)[0]


def test_exams_without_masks_are_left_out_if_others_have_masks():
    items = [{"exam": exam, "phase": phase, "label": "m"} for exam in ("e1", "e2") for phase in ("ED", "ES")]
    without = [{"exam": "e3", "phase": "ED"}, {"exam": "e4", "phase": "ES", "label": "m"}]
    assert [exam["exam"] for exam in pair_phases(items + without)] == ["e1", "e2"]
    assert [exam["exam"] for exam in pair_phases(without)] == ["e3", "e4"]


FIVE = {"1": "RV", "2": "myocardium", "3": "LV", "4": "LA", "5": "RA"}


def test_images_with_a_mask_are_taken_and_the_others_left():
    plain, mapped = {"image": "a", "label": "b", "exam": "e"}, {"image": "c", "label": "d", "exam": "f"}
    mapped["label_map"] = {"1": 3, "2": 2, "3": 1, "4": 4, "5": 5}
    assert labelled([plain, {"image": "x", "exam": "e"}, mapped], FIVE) == [plain, mapped]
    assert labelled([], FIVE) == []
    with pytest.raises(InputError):
        labelled([{"image": "x", "exam": "e"}], FIVE)


def test_structures_that_a_data_set_cannot_have_are_refused():
    item = {"image": "c", "label": "d", "exam": "f00", "label_map": {"1": 3, "2": 2, "3": 1}}
    with pytest.raises(InputError):
        labelled([item | {"label_map": {"1": 2, "2": 3}}], dict(list(FIVE.items())[:3]))
    with pytest.raises(InputError):
        labelled([item], FIVE)
    # naming fewer structures than there are is allowed
    assert labelled([item], {"3": "LV"}) == [item]


def test_labelled_slices_of_a_volume_become_the_volume_again():
    own = {
        "image": "a.nii.gz",
        "label": "a_gt.nii.gz",
        "exam": "a",
        "phase": "ED",
        "label_map": {"1": 3},
        "group": "NOR",
    }
    cut = [own | {"frame": k, "affine": [[1]], "slice": 2 - k, "location": k / 2, "planes": {}} for k in range(3)]
    cine = [dict(cut[0], image="c.nii.gz", time=time, label=f"{time}.nii.gz") for time in (0, 4)]
    others = [
        {key: value for key, value in cut[0].items() if key != "label"},
        cut[1] | {"label_frame": 0},  # a mask of only some slices
        {"image": "x.dcm", "affine": [[1]], "label": "x_gt.nii.gz", "label_frame": 3},
        {"image": "b.nii.gz", "label": "b_gt.nii.gz"},
    ]
    whole = whole_volumes([*cut, *cine, *others])
    assert whole[0] == own
    assert [(item["time"], item["label"]) for item in whole[1:3]] == [(0, "0.nii.gz"), (4, "4.nii.gz")]
    assert whole[3:] == others


def test_predicted_masks_are_no_labels_of_a_segmentation():
    items = [{"image": "1", "exam": "aa", "label": "m"}, {"image": "2", "exam": "bb", "label": "m"}]
    assert labelled(items, {1: "RV"}) == items
    items[1]["label_origin"] = "predicted"
    with pytest.raises(InputError):
        labelled(items, {1: "RV"})
