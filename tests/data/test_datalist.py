from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.data import (
    expand_volumes,
    labelled,
    load_datalist,
    pair_phases,
    read_datalist,
    select_subjects,
    whole_volumes,
)
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
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "contains a list; it must be an object with sections of items"),
        ({"training": [{"exam": "e"}]}, "training, item 0 has no image"),
        ({"training": [None]}, "training, item 0 is None; it must be an object"),
        (
            {"training": [{"image": "a"}, 7]},
            "training, item 1 is 7; it must be an object; a datalist is a file .*; index",
        ),
        ({"training": None}, "training is None; it must be a list of items"),
        ({"training": [{"image": 3}]}, "training, item 0: image is 3; it must be a path"),
        ({"training": [{"image": "a", "exam": ["e"]}]}, "training, item 0: exam is .'e'.; it must be a name"),
        (
            {"training": [{"image": "a", "affine": "x"}]},
            "training, item 0: affine is 'x'; it must be four rows of four numbers",
        ),
        ({"training": [{"image": "a", "affine": [[1, 0, 0, "0"]] * 4}]}, "four rows of four numbers"),
        ({"training": [{"image": []}]}, "training, item 0: image is ..; it must be a path"),
        ({"training": [{"image": "a", "affine": [[1, 0, 0, 1e999]] * 4}]}, "four rows of four numbers"),
        (
            {"training": [{"image": "a", "planes": 1.5}]},
            "training, item 0: planes is 1.5; it must be an object that maps each view",
        ),
        ({"training": [{"image": "a", "planes": {"2ch": {"origin": [0, 0]}}}]}, "training, item 0: planes"),
        ({"training": [{"image": "a", "planes": {"2ch": {}}}]}, "training, item 0: planes"),
        (
            {"training": [{"image": "a", "planes": {"2ch": {"origin": [0, 0, 0], "normal": [0, 0, 0]}}}]},
            "training, item 0: planes",
        ),
        ({"training": [{"image": "a", "label_map": {"a": 1}}]}, "training, item 0: label_map"),
        ({"training": [{"image": "a", "label_map": {"1": "b"}}]}, "training, item 0: label_map"),
        ({"training": [{"image": "a", "slice": {}}]}, "training, item 0: slice is ..; it must be a whole number"),
        ({"training": [{"image": "a", "frame": -1}]}, "training, item 0: frame is -1; it must be a whole number"),
        (
            {"training": [{"image": "a", "phase": []}]},
            "training, item 0: phase is ..; it must be a number or a name",
        ),
        (
            '{"training": [{"image": "a", "location": NaN}]}',
            "training, item 0: location is nan; it must be a number",
        ),
        (
            {"validation": [{"image": "a", "label_map": []}]},
            "validation, item 0: label_map is ..; it must be an object",
        ),
        ({"exams": {"e": {"left_out": [1]}}}, "exam e: left_out is .1.; it must be a list"),
        (
            {"exams": {"e": {"stacks": {"sax": {"spacing": "8"}}}}},
            "exam e, sax: spacing is '8'; it must be a number",
        ),
        (
            {"exams": {"e": {"stacks": {"sax": {"thickness": "8"}}}}},
            "exam e, sax: thickness is '8'; it must be a number",
        ),
        (
            {"exams": {"e": {"stacks": {"sax": {"phases": 3}}}}},
            "exam e, sax: phases is 3; it must be a list of two numbers",
        ),
        ({"exams": None}, "exams is None; it must be an object"),
        ({"exams": []}, "exams is ..; it must be an object"),
        ({"planewise": None}, "planewise is None; it must be an object"),
        ({"planewise": 3}, "planewise is 3; it must be an object"),
        ({"planewise": {"views": [3]}}, "planewise: views is .3.; it must be a list of names"),
        ({"planewise": {"views": 3}}, "planewise: views is 3; it must be a list of names"),
        ('{"planewise": {"seed": NaN}}', "planewise: seed is nan; it must be a whole number"),
        ({"exams": {"e": 1}}, "exam e is 1; it must be an object"),
        ({"exams": {"e": {"stacks": None}}}, "exam e: stacks is None; it must be an object"),
        ({"exams": {"e": {"stacks": {"sax": {"items": 2}}}}}, "exam e, sax: items is 2; it must be a list"),
        ({"exams": {"e": {"stacks": {"sax": {"items": [{"image": 2}]}}}}}, "exam e, sax, item 0: image is 2"),
    ],
)
def test_what_is_no_datalist_is_explained(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        load_datalist(write(tmp_path, content), "training")


def test_all_sections_and_each_item_once(tmp_path):
    """DSBCC's test exams are also the validation section."""
    listed = {"training": ["a", "b"], "validation": ["c"], "test": ["c", "d"]}
    content = {section: [{"image": f"{name}.dcm", "phase": 0} for name in names] for section, names in listed.items()}
    path = write(tmp_path, content)
    assert [Path(item["image"]).stem for item in load_datalist(path, "all")] == list("abcd")
    with pytest.raises(InputError, match="section all of .* is empty \\(sections with exams: none"):
        load_datalist(write(tmp_path, {}), "all", required=True)


def test_the_section_that_monai_calls_testing_is_the_test_section(tmp_path):
    (tmp_path / "d.json").write_text(json.dumps({"training": [{"image": "a"}], "testing": [{"image": "b"}]}))
    assert [item["image"] for item in load_datalist(tmp_path / "d.json", "test")] == [str(tmp_path / "b")]


def test_an_empty_section_may_be_an_error(tmp_path):
    path = write(tmp_path, {"training": [], "test": [{"image": "a"}]})
    with pytest.raises(InputError, match="section training of .* is empty .sections with exams: test.; index more"):
        load_datalist(path, "training", required=True)


@pytest.mark.parametrize(
    ("stack", "view", "command"),
    [("sax", "4ch", "--view 4ch"), ("4ch", "sax", "--view sax"), ("sax", "sagittal", "--anatomy knee")],
)
def test_a_datalist_of_another_view_is_refused(tmp_path, stack, view, command):
    path = write(tmp_path, {"planewise": {"stack": stack, "views": ["2ch"]}, "training": [{"image": "a.dcm"}]})
    for section in ("training", "validation"):
        with pytest.raises(InputError, match=command):
            load_datalist(path, section, view=view)
    assert len(load_datalist(path, "training", view=stack)) == len(load_datalist(path, "training")) == 1


@pytest.mark.parametrize("header", [{}, {"planewise": {"stack": "stack"}}, {"planewise": {}}])
def test_a_datalist_that_says_no_view_passes(tmp_path, header):
    """One datalist written by hand, and one of `--anatomy any`, whose stacks may be short axes."""
    assert load_datalist(write(tmp_path, header | {"training": [{"image": "a.dcm"}]}), "training", view="sax")


def test_a_missing_datalist_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="planewise index"):
        read_datalist(tmp_path / "none.json")
    with pytest.raises(InputError, match=f"is a folder.*planewise index {tmp_path} -o {tmp_path}.json"):
        read_datalist(tmp_path)


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
    with pytest.raises(InputError, match=f"{count} subjects .*the section has 20; set --num_subjects"):
        select_subjects(ITEMS, count)


def test_volumes_are_cut_into_slices_and_slices_pass(volumes):
    single = {"image": "x.dcm", "affine": [[1]], "exam": "e"}
    expanded = expand_volumes([volumes[0], single])
    assert [item.get("frame") for item in expanded] == [0, 1, 2, 3, None]
    assert all(item["label"] == volumes[0]["label"] for item in expanded[:4])


def test_volumes_without_an_exam_are_told_apart(volumes):
    bare = [{"image": item["image"]} for item in volumes]
    assert len(exams(expand_volumes(bare))) == 3


def test_a_volume_that_cannot_be_opened_passes_as_one_item(tmp_path):
    assert len(expand_volumes([{"image": str(tmp_path / "none.nii.gz"), "exam": "e1"}])) == 1
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5), np.uint8), np.eye(4)), tmp_path / "flat.nii.gz")
    assert [item["slice"] for item in expand_volumes([{"image": str(tmp_path / "flat.nii.gz"), "exam": "e1"}])] == [0]


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


def test_masks_drawn_on_a_dicom_cine_have_times():
    items = [
        {"image": f"{slice_}.dcm", "exam": "e", "slice": slice_, "phase": phase, **({"label": label} if label else {})}
        for slice_ in range(3)
        for phase, label in ((0.0, "e_ed.nii.gz"), (0.2, None), (0.36, "e_es.nii.gz"))
    ]
    assert pair_phases(items) == [{"exam": "e", "ed": "e_ed.nii.gz", "es": "e_es.nii.gz"}]
    assert pair_phases(items[:2]) == [{"exam": "e"}], "one time alone may be either phase"


def test_exams_without_masks_are_left_out_if_others_have_masks(caplog):
    items = [{"exam": exam, "phase": phase, "label": "m"} for exam in ("e1", "e2") for phase in ("ED", "ES")]
    without = [{"exam": "e3", "phase": "ED"}, {"exam": "e4", "phase": "ES", "label": "m"}]
    assert [exam["exam"] for exam in pair_phases(items + without)] == ["e1", "e2"]
    assert "2 exams without masks at ED and ES left out: e3, e4" in caplog.text
    assert [exam["exam"] for exam in pair_phases(without)] == ["e3", "e4"]


def test_exams_whose_predicted_masks_are_missing_are_left_out(tmp_path, caplog):
    items = [{"exam": exam, "phase": phase, "label": "m"} for exam in ("e1", "e2") for phase in ("ED", "ES")]
    for name in ("e1_ED", "e1_ES", "e2_ED"):
        (tmp_path / f"{name}.nii.gz").touch()
    assert [exam["exam"] for exam in pair_phases(items, tmp_path)] == ["e1"]
    assert "1 exam without masks at ED and ES left out: e2" in caplog.text


def test_subjects_are_drawn_from_those_that_have_a_label():
    items = [{"image": f"{n}.npy", "exam": f"e{n}", **({"acl": n % 2} if n < 4 else {})} for n in range(12)]
    for seed in range(6):
        drawn = select_subjects(items, 3, seed, having=("acl", "meniscus"))
        assert len(drawn) == 3 and all("acl" in item for item in drawn)
    with pytest.raises(InputError, match="5 subjects were requested, but the section has 4 with acl"):
        select_subjects(items, 5, having=("acl",))


FIVE = {"1": "RV", "2": "myocardium", "3": "LV", "4": "LA", "5": "RA"}


def test_images_with_a_mask_are_taken_and_the_others_left():
    plain, mapped = {"image": "a", "label": "b", "exam": "e"}, {"image": "c", "label": "d", "exam": "f"}
    mapped["label_map"] = {"1": 3, "2": 2, "3": 1, "4": 4, "5": 5}
    assert labelled([plain, {"image": "x", "exam": "e"}, mapped], FIVE) == [plain, mapped]
    assert labelled([], FIVE) == []
    with pytest.raises(InputError, match="none of the 1 images has a mask"):
        labelled([{"image": "x", "exam": "e"}], FIVE)


def test_structures_that_a_data_set_cannot_have_are_refused():
    item = {"image": "c", "label": "d", "exam": "f00", "label_map": {"1": 3, "2": 2, "3": 1}}
    with pytest.raises(InputError, match=r"f00: no value of its mask becomes RV \(label map: 1: 2, 2: 3\)"):
        labelled([item | {"label_map": {"1": 2, "2": 3}}], dict(list(FIVE.items())[:3]))
    with pytest.raises(InputError, match=r"exam f00: no value of its mask becomes LA or RA.*'3': 'LV'\}\"$"):
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
    with pytest.raises(InputError, match="exam bb: its mask was predicted by a network .*take the predicted masks out"):
        labelled(items, {1: "RV"})
