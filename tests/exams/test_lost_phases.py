"""Test that a slice of a cine whose file is missing keeps the right time for its other phases."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from planewise.data import find_inputs
from planewise.exams import find_stacks, index_folder
from planewise.exams.lost_phases import GONE, NOT_COVERED
from planewise.exams.stack import nearest_phase
from planewise.exams.stacks import build_stacks, still

from tests.exams import damage
from tests.exams.conftest import write_usual_exam
from tests.exams.test_stacks import frame

PHASES = 5


def cine(slices=4, times=True, series=True, cycle=0):
    """Frames of a cine by (slice, phase), named ``slice/phase``. The heart rate differs from slice to slice.

    Args:
        slices: number of slices.
        times: whether the frames have trigger times.
        series: whether each slice is a series of its own; otherwise, instance numbers run through all slices.
        cycle: number of phases that the header promises; 0 if it promises none.
    """
    return {
        (rank, phase): frame(
            10.0 * rank,
            path=f"/{rank}/{phase}",
            trigger=(1 + 0.03 * rank) * (15 + 160.0 * phase) if times else None,
            series=str(rank) if series else "1",
            instance=1 + phase + (0 if series else PHASES * rank),
            cycle=cycle,
        )
        for rank in range(slices)
        for phase in range(PHASES)
    }


def phases_of(stack):
    """The phase that each file of a stack gets, in fifths of the cycle."""
    return {
        entry.phases[number].path: PHASES * entry.phase(number)
        for entry in stack.slices
        for number in range(len(entry.phases))
    }


@pytest.mark.parametrize("cycle", [0, PHASES])
@pytest.mark.parametrize("series", [True, False])
@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("gone", [{0}, {1}, {4}, {0, 1}, {1, 3}, {0, 4}])
def test_the_other_phases_keep_their_time(times, series, cycle, gone):
    frames = cine(times=times, series=series, cycle=cycle)
    (stack,) = build_stacks([one for (rank, phase), one in frames.items() if rank != 2 or phase not in gone])
    left = [(rank, phase) for rank, phase in frames if rank != 2 or phase not in gone]
    assert phases_of(stack) == {f"/{rank}/{phase}": pytest.approx(phase) for rank, phase in left}
    how_many = "a phase" if len(gone) == 1 else "2 phases"
    which = ", ".join(f"phase{20 * phase:02d}" for phase in sorted(gone))
    assert list(stack.lost_phases) == [f"slice 3 lacks {how_many} ({which}: no usable image of its kind)"]


def test_slices_that_lack_the_same_phase_are_reported_together():
    frames = cine(slices=6)
    (stack,) = build_stacks([one for place, one in frames.items() if place not in {(0, 1), (4, 1), (5, 2)}])
    assert stack.lost_phases == {
        "slices 1 and 5 lack a phase (phase20: no usable image of its kind)": [1, 5],
        "slice 6 lacks a phase (phase40: no usable image of its kind)": [6],
    }


def test_a_loss_that_nothing_decides_is_reported():
    """The numbers of the other slices do not rise evenly, and there are no times."""
    frames = cine(times=False)
    for (_, phase), one in frames.items():
        one.instance = (1, 2, 4, 8, 16)[phase]
    del frames[2, 1]
    (stack,) = build_stacks(list(frames.values()))
    assert [entry.missing for entry in stack.slices] == [()] * 4
    assert list(stack.lost_phases) == [
        "slice 3 lacks a phase (of 5: neither trigger times nor image numbers say which)"
    ]


@pytest.mark.parametrize("cycle", [PHASES, 0])
def test_most_slices_may_lack_a_phase(cycle):
    """The header decides. Without it, a slice could have been acquired with more phases, so the exam gets a note."""
    frames = cine(cycle=cycle)
    gone = {(0, 1), (1, 2), (2, 3)}
    (stack,) = build_stacks([one for place, one in frames.items() if place not in gone])
    assert [entry.missing for entry in stack.slices] == ([(1,), (2,), (3,), ()] if cycle else [()] * 4)
    assert stack.notes == ([] if cycle else ["slices have 4 to 5 phases: are files missing?"])
    assert not any("phases" in note for note in still(stack).notes)


@pytest.mark.parametrize("cycle", [4, 0])
def test_a_slice_that_was_acquired_with_fewer_phases_lacks_none(cycle):
    """Its header says so. Without a header, the times decide nothing, because they do not fit those of the other slices."""
    frames = cine(cycle=cycle and PHASES)
    few = [frame(20.0, trigger=200.0 * phase, series="2", instance=phase, cycle=cycle) for phase in range(4)]
    (stack,) = build_stacks([*(one for (rank, _), one in frames.items() if rank != 2), *few])
    undecided = "slice 3 lacks a phase (of 5: neither trigger times nor image numbers say which)"
    assert list(stack.lost_phases) == ([] if cycle else [undecided])
    assert [stack.slices[2].phase(number) for number in range(4)] == [0, 0.25, 0.5, 0.75]
    different = "slices have 4 to 5 phases: if a slice has no image at a phase, its nearest phase is used"
    assert stack.notes == ([different] if cycle else [])


@pytest.mark.parametrize(
    ("series", "times", "gone", "absent"),
    [
        (True, True, {0}, "phase00"),
        (True, True, {4}, "phase80"),
        (True, True, {1}, "phase20"),
        (True, False, {0}, "phase00"),
        (False, False, {0}, "phase00"),
    ],
)
def test_a_phase_that_no_slice_has_is_reported(series, times, gone, absent):
    """The header says how many phases there were; times or numbers say which are gone."""
    frames = cine(times=times, series=series, cycle=PHASES)
    left = {place: one for place, one in frames.items() if place[1] not in gone}
    (stack,) = build_stacks(list(left.values()))
    assert stack.absent == [f"no slice has {absent} (of 5 phases): {GONE}"]
    assert GONE == "files are missing or broken, so that end-diastole or end-systole may be missing"
    assert not stack.lost_phases
    assert phases_of(stack) == {f"/{rank}/{phase}": pytest.approx(phase) for rank, phase in left}
    assert still(stack).absent == []


def test_a_slice_may_lack_another_phase_in_addition():
    frames = cine(cycle=PHASES)
    left = {place: one for place, one in frames.items() if place[1] != 0 and place != (2, 3)}
    (stack,) = build_stacks(list(left.values()))
    assert "no slice has phase00" in stack.absent[0]
    assert list(stack.lost_phases) == ["slice 3 lacks a phase (phase60: no usable image of its kind)"]
    assert phases_of(stack) == {f"/{rank}/{phase}": pytest.approx(phase) for rank, phase in left}


def test_without_a_number_of_phases_only_a_gap_names_the_absent_phase():
    for gone, said in (({2}, ["no slice has phase40 (of 5 phases)"]), ({0}, ["the first images are"]), ({4}, [])):
        (stack,) = build_stacks([one for (_, phase), one in cine().items() if phase not in gone])
        assert [
            sentence.split(":")[0][: len(start)] for sentence, start in zip(stack.absent, said, strict=True)
        ] == said


def kept_of_20(kept, **values):
    """The stack of a cine of 20 phases, 40 ms apart, of which only some were kept."""
    values = {"cycle": 20} | values
    frames = [
        frame(10.0 * rank, path=f"/{rank}/{k}", trigger=40.0 * k, series=str(rank), instance=1 + k, **values)
        for rank in range(4)
        for k in sorted(kept)
    ]
    (stack,) = build_stacks(frames)
    return stack


@pytest.mark.parametrize("heartbeat", [0.0, 800.0, 1000.0])
@pytest.mark.parametrize("kept", [{0, 4, 8, 12, 16}, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, {0, 8}])
def test_phases_that_somebody_selected_are_not_reported(kept, heartbeat):
    """An exam may be shortened to every fourth phase, or to end-diastole and end-systole."""
    stack = kept_of_20(kept, heartbeat=heartbeat)
    assert stack.absent == []
    assert stack.cycle == len(kept)


@pytest.mark.parametrize("heartbeat", [0.0, 800.0, 1000.0])
@pytest.mark.parametrize("kept", [range(10), range(3), range(12, 20)])
def test_the_heartbeat_tells_a_cine_that_was_cut_off_from_every_second_phase(kept, heartbeat):
    """If the header has no heartbeat, a usual one is assumed."""
    stack = kept_of_20(kept, heartbeat=heartbeat)
    assert [stack.slices[0].phase(number) for number in range(len(kept))] == [k / 20 for k in kept]
    assert stack.cycle == 20 and stack.absent[0].startswith("no slice has phase")


@pytest.mark.parametrize("cycle", [0, 1])
@pytest.mark.parametrize(
    ("kept", "steps"), [(range(12), 20), (range(8, 20), 20), (range(0, 12, 2), 10), (range(15), 0)]
)
def test_the_heartbeat_shows_that_images_cover_a_part_of_it(kept, steps, cycle):
    """The header of a prospective cine gives the number of existing images, or none. A whole cine may cover only three
    quarters of the heartbeat."""
    stack = kept_of_20(kept, heartbeat=800.0, cycle=cycle * len(kept))
    places = [k / 20 if steps else k / len(kept) for k in kept]
    assert [stack.slices[0].phase(number) for number in range(len(kept))] == pytest.approx(places, abs=1e-6)
    assert stack.cycle == (steps or len(kept)) and len(stack.absent) == bool(steps)
    assert all(text.startswith("no slice has phase") and text.endswith(NOT_COVERED) for text in stack.absent)


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize(("step", "cycle", "said"), [(1, 20, True), (2, 20, False), (1, 101, False)])
def test_without_trigger_times_the_numbers_tell_a_cine_that_was_cut_off(step, cycle, said, times):
    """If somebody keeps every second phase, the images keep their numbers."""
    frames = [
        frame(10.0 * z, trigger=0.0 if times else None, series=str(z), instance=1 + step * k, cycle=cycle)
        for z in range(4)
        for k in range(10)
    ]
    (stack,) = build_stacks(frames)
    assert len(stack.absent) == said and stack.slices[0].phase(4) == (0.2 if said else 0.4)


@pytest.mark.parametrize(
    ("heartbeat", "absent", "note"),
    [
        (800.0, "", ""),
        (940.0, "", "the images cover 85 % of the heartbeat"),
        (400.0, "the images cover 2.0 heartbeats", ""),
        (10.0, "", ""),
    ],
)
def test_images_of_more_or_less_than_a_heartbeat_are_said(heartbeat, absent, note):
    stack = kept_of_20(range(20), heartbeat=heartbeat)
    for found, text in ((stack.absent, absent), (stack.notes, note)):
        assert [said[: len(text)] for said in found] == [text] * bool(text)
    assert stack.cycle == 20


def test_a_heartbeat_in_another_unit_is_ignored():
    stack = kept_of_20(range(20), heartbeat=800e3, cycle=0)
    assert stack.absent == [] and stack.cycle == 20


def shifted(late, beats, cycle=0, kept=20, stated=True):
    """The stack of a cine of 20 phases per heartbeat, ``late`` ms after the R wave in each slice; ``kept`` images of each."""
    frames = [
        frame(10.0 * z, path=f"/{z}/{k}", trigger=start + beat / 20 * k, series=str(z), instance=1 + k, cycle=cycle)
        for z, (start, beat) in enumerate(zip(late, beats, strict=True))
        for k in range(kept)
    ]
    for one in frames:
        one.heartbeat = beats[int(one.series)] * stated
    return build_stacks(frames)[0]


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(
    ("late", "beats", "said"),
    [
        ((0, 250, 0, 260), (800, 820, 780, 800), "2 of 4 slices begin 250 to 260 ms after the R wave, not 0 ms"),
        ((250, 250, 0, 250), (800,) * 4, "1 of 4 slices begins 0 ms after the R wave, not 250 ms"),
        ((0, 40, 0, 40), (800,) * 4, ""),
        ((200, 200, 200, 200), (600, 1100, 900, 800), ""),  # the delay of a prospective cine is in ms
        ((0, 150, 0, 300), (500, 800, 500, 1600), "2 of 4 slices begin 150 to 300 ms"),
    ],
)
def test_slices_that_begin_at_another_moment_are_reported(late, beats, said, stated):
    found = [text for text in shifted(late, beats, 20, stated=stated).absent if "first phase" not in text]
    assert [text[: len(said)] for text in found] == [said] * bool(said)


@pytest.mark.parametrize("cycle", [0, 20])
@pytest.mark.parametrize("kept", [14, 8])
def test_slices_that_lost_different_ends_keep_their_places(cycle, kept):
    """The first files of two slices are missing, and the last ones of the others."""
    stack = shifted((0, 240, 0, 240), (800,) * 4, cycle, kept)
    for entry in stack.slices:
        first = 6 * (int(entry.series) % 2)
        assert [entry.phase(number) for number in range(kept)] == [(first + k) / 20 for k in range(kept)]
    absent = 20 - 6 - kept if kept == 8 else 0
    assert {text.partition(" (")[0] for text in stack.lost_phases} == {
        f"slices {which} lack {20 - kept - absent} phases" for which in ("1 and 3", "2 and 4")
    }
    assert [text[:20] for text in stack.absent] == ["no slice has phase70"] * bool(absent)


def test_the_nearest_phase_is_cyclic():
    """The last phase is as near to the first as the second is; of two equally near ones, the earlier is taken."""
    for count in (5, 12, 25):
        fractions = [round(number / count, 6) for number in range(count)]
        for gone in range(count):
            left = [fraction for fraction in fractions if fraction != fractions[gone]]
            assert left[nearest_phase(left, fractions[gone])] == fractions[gone - 1]
            assert fractions[nearest_phase(fractions, fractions[gone])] == fractions[gone]
    twelfths = [round(number / 12, 6) for number in range(2, 12)]
    assert twelfths[nearest_phase(twelfths, 0.0)] == twelfths[-1], "the first two are lost"


@pytest.mark.parametrize("lost", [0, 1])
def test_a_mask_meets_the_same_time_point(sound_phantom, tmp_path, lost):
    """The phantom has three phases; the first or the second file of one slice is missing."""
    folder = shutil.copytree(sound_phantom, tmp_path / "data/case7").parent
    damage.images(folder, "sax")[6 + lost].unlink()
    plain = index_folder(folder)
    items = [item for section in ("training", "validation", "test") for item in plain.datalist[section]]
    first = {item["slice"]: np.array(item["affine"]) for item in items}
    affine, (columns, rows) = first[0].copy(), next(iter(plain.datalist["exams"].values()))["stacks"]["sax"]["matrix"]
    affine[:3, 2] = (first[max(first)] - first[0])[:3, 3] / max(first)
    (tmp_path / "masks").mkdir()
    for number in (1, 2, 3):
        image = nibabel.Nifti1Image(np.ones((columns, rows, len(first)), np.uint8), affine)
        nibabel.save(image, tmp_path / f"masks/case7_frame{number:02d}.nii.gz")
    result = index_folder(folder, labels_dir=tmp_path / "masks")
    items = [item for section in ("training", "validation", "test") for item in result.datalist[section]]
    assert len(items) == 3 * len(first) - 1
    for item in items:
        number = pydicom.dcmread(item["image"], stop_before_pixels=True).InstanceNumber
        assert item["phase"] == pytest.approx((number - 1) / 3, abs=1e-6)
        assert Path(item["label"]).name == f"case7_frame{number:02d}.nii.gz"
    (exam,) = result.datalist["exams"].values()
    (remark,) = (note for note in exam["left_out"] if "lack" in note)
    number = int(remark.split()[1])
    assert remark == f"slice {number} lacks a phase (phase{(0, 33)[lost]:02d}: no usable image of its kind)"
    why = f"not used for slice {number}, which may lack this phase"
    assert result.unmatched == [(f"case7_frame{lost + 1:02d}.nii.gz", why)]

    # inference takes the nearest phase where there is none, and the right ones elsewhere, from files and from the datalist
    path = result.write(tmp_path / "list.json")
    stacks = find_stacks(folder, phases="all")
    assert list(stacks[0].lost) == [f"{remark}; the nearest phase of the same slice is used instead"]
    for found in ([stack.slices for stack in stacks], [item["image"] for item in find_inputs(path, "all", "all")]):
        assert len(found) == 3
        for phase, entries in enumerate(found):
            apart = [abs(entry["phase"] - phase / 3) for entry in entries]
            assert sum(value > 1e-3 for value in apart) == (phase == lost)
        # of two equally near phases, it is the earlier one, which for the first is the last
        assert {round(3 * entry["phase"]) for entry in found[lost]} == {lost, (lost - 1) % 3}


def test_inference_leaves_out_a_phase_that_no_slice_has(tmp_path):
    """Files and datalist name the other phases by the true cycle; a flag concerns the whole stack."""
    folder = write_usual_exam(tmp_path / "exam", CardiacNumberOfImages=6)
    for file in folder.glob("sax_*/*-0001.dcm"):
        file.unlink()
    path = index_folder(folder).write(tmp_path / "list.json")
    for where in (folder, path):
        assert [item["phase"] for item in find_inputs(where, "all", "all")] == [
            f"phase{share}" for share in (17, 33, 50, 67, 83)
        ]
    (stack,) = find_stacks(folder)
    assert (stack.phase, stack.lost) == (pytest.approx(1 / 6, abs=1e-5), {})
    assert stack.header == [f"no slice has phase00 (of 6 phases): {GONE}"]
    (exam,) = json.loads(path.read_text())["exams"].values()
    assert stack.header[0] in exam["left_out"]


def test_slices_of_a_datalist_that_lack_different_phases_are_paired_by_time(tmp_path):
    """As many slices lack phase 1 as lack phase 2, so the same number means another time."""
    entries = [
        {"image": f"/{rank}_{phase}.dcm", "exam": "a", "stack": "sax", "affine": np.eye(4).tolist(), "slice": rank}
        | {"phase": phase / PHASES}
        for rank in range(4)
        for phase in range(PHASES)
        if (rank, phase) not in {(0, 1), (1, 2), (2, 3), (3, 3)}
    ]
    sections = {"training": [], "validation": [], "test": entries}
    (tmp_path / "list.json").write_text(json.dumps({"planewise": {"version": 1}, **sections}))
    second = find_inputs(tmp_path / "list.json", "all")[1]
    times = [round(PHASES * item["phase"]) for item in second["image"]]
    # the second slice lacks phase 2; its neighbours are equally near
    assert (times[0], *times[2:]) == (2, 2, 2) and times[1] in (1, 3)
