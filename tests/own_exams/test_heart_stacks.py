from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.errors import InputError
from planewise.exams.volumes import read_volumes
from planewise.findings import finding, to_text
from planewise.geometry.tolerances import SHORT_AXIS_OBLIQUITY
from planewise.own_exams import heart_stacks
from planewise.own_exams.heart_stacks import findings_of, place_of, stacks_in
from planewise.preprocessing.exam_name import exam_of, volume_name
from scipy.spatial.transform import Rotation


def exam(name: str, slices: int) -> dict:
    return {"exam": name, "image": [{"image": f"{number}.dcm", "slice": number} for number in range(slices)]}


UNEQUAL = finding("phases-doubtful", kind="unequal", low=2, high=3)
#: A phase of an exam with a flag.
SINGLE = {"findings": to_text([UNEQUAL])}


@pytest.mark.parametrize(
    "found", [[exam("bb", 1)], [exam("aa", 1), exam("aa", 1), exam("cc", 1)], [exam("aa", 1) | SINGLE] * 2]
)
def test_a_single_slice_is_refused_before_anything_runs(found, monkeypatch):
    monkeypatch.setattr(heart_stacks, "find_inputs", lambda path, phases, **_: found)
    with pytest.raises(InputError) as refused:
        stacks_in(Path())
    assert all(f"exam {item['exam']}: " in str(refused.value) for item in found)


def test_a_single_slice_beside_a_stack_costs_itself(monkeypatch):
    found = [exam("aa", 6), exam("bb", 1) | SINGLE]
    monkeypatch.setattr(heart_stacks, "find_inputs", lambda path, phases, **_: found)
    stacks, left_out = stacks_in(Path())
    assert stacks == found[:1] and list(left_out) == ["bb"]
    assert left_out["bb"].why == [finding("no-stack", least=3, most=1), UNEQUAL]
    assert place_of(left_out["bb"].items)[0] == Path("0.dcm")


def volume(folder: Path, name: str, degrees: float) -> dict:
    """Slices rotated out of the axial plane by this angle about each in-plane axis, towards the short axis of a heart."""
    turn = Rotation.from_euler("xy", [degrees, degrees], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn * (-2, -2, 8)
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), affine), folder / name)
    return {"image": str(folder / name)}


def test_what_cannot_be_a_short_axis_costs_itself(tmp_path):
    """The numbers are degrees from axial; a file exactly along the axes may have lost its orientation."""
    straight, leaning, heart = (
        volume(tmp_path, f"{name}.nii.gz", degrees) for name, degrees in (("a", 0), ("b", 7), ("c", 40))
    )
    stacks, left_out = stacks_in(tmp_path)
    assert [item["image"] for item in stacks] == [heart["image"]]
    assert set(left_out) == {exam_of(straight), exam_of(leaning)}
    assert [item["image"] for item in stacks_in(tmp_path, straight=True)[0]] == [straight["image"], heart["image"]]
    for limit, marked in ((None, True), (0, False)):
        found = {item["image"]: item for item in stacks_in(tmp_path, min_obliquity=limit, straight=True)[0]}
        lost = [finding("orientation-lost", plane="axial")] if marked else []
        assert findings_of(found[straight["image"]]) == lost and findings_of(found[heart["image"]]) == []
    # even a small rotation shows that a file has its orientation
    nearly = volume(tmp_path, "d.nii.gz", 0.5)
    assert exam_of(nearly) in stacks_in(tmp_path, straight=True)[1]
    Path(nearly["image"]).unlink()
    assert len(stacks_in(tmp_path, min_obliquity=0)[0]) == 3
    with pytest.raises(InputError, match="no stack here can be the short axis"):
        stacks_in(tmp_path, min_obliquity=90)
    Path(heart["image"]).unlink()
    with pytest.raises(InputError, match="no stack here can be the short axis of a heart") as refused:
        stacks_in(tmp_path)
    assert f"exam {exam_of(leaning)}: " in str(refused.value) and left_out[exam_of(leaning)].why == [
        finding("stack-off-axis", degrees=9.9, plane="axial", limit=SHORT_AXIS_OBLIQUITY, kind="not-oblique")
    ]
    assert "with --min_obliquity 0" in str(refused.value) and "b.nii.gz" not in str(refused.value)


def test_the_frames_of_a_cine_are_one_exam(tmp_path):
    item = volume(tmp_path, "cine_4d.nii.gz", 40)
    frame = nibabel.load(item["image"])
    frames = np.zeros((4, 4, 4, 3), np.int16)
    nibabel.save(nibabel.Nifti1Image(frames, frame.affine), item["image"])
    stacks, _ = stacks_in(Path(item["image"]))
    assert [stack["exam"] for stack in stacks] == [exam_of(item)] * 3
    assert [(each["time"], each["phase"]) for each in stacks] == [(0, "phase00"), (1, "phase33"), (2, "phase67")]


def test_files_of_one_case_are_one_exam_as_in_an_index(tmp_path):
    names = ["patient1_frame01", "patient1_frame02", "b_ED", "b_ES", "c", "d_frame10", "e_4d"]
    names += ["e_frame01", "e_frame09", "f_4d"]
    for name in names:
        file = Path(volume(tmp_path, f"{name}.nii.gz", 40)["image"])
        if name.endswith("_4d"):
            frames = np.zeros((4, 4, 4, 2), np.int16)
            nibabel.save(nibabel.Nifti1Image(frames, nibabel.load(file).affine), file)
    indexed = defaultdict(set)
    stacks, _ = stacks_in(tmp_path)
    for found in read_volumes(sorted(tmp_path.iterdir()), tmp_path).volumes:
        indexed[found.key].add((found.image, found.time))
    exams = {
        frozenset((Path(item["image"]), item.get("time")) for item in stacks if item.get("exam") == exam)
        for exam in {item.get("exam") for item in stacks}
    }
    assert exams == set(map(frozenset, indexed.values())) and len(exams) == 6
    assert len({*map(volume_name, stacks)}) == len(stacks) == 10  # e_4d is left out, and f_4d has two phases


NO_HEART = {"why_not": to_text([finding("not-recognised", kind="few-phases", least=5)])}


def test_dicom_that_is_not_recognised_is_refused(monkeypatch):
    found = [exam("aa", 6) | NO_HEART]
    monkeypatch.setattr(heart_stacks, "find_inputs", lambda path, phases, **_: found)
    with pytest.raises(InputError, match="exam aa: "):
        stacks_in(Path())
    assert stacks_in(Path(), min_obliquity=0) == (found, {})
