"""Test the estimated cost of a study."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from planewise.data import load_datalist
from planewise.errors import InputError
from planewise.exams import index_folder, write_datalist
from planewise.exams.photograph_files import is_photograph
from planewise.phantoms import UNLABELLED, Recipe, write_exams

from tests.bundles.conftest import tiny
from tests.conftest import ROOT
from tests.quick_python import quick_python
from tests.studies.runs import STUDIES, TWELVE
from tools.benchmarks.page import with_block
from tools.benchmarks.phantom_data import phantom_datalist
from tools.benchmarks.training_cost import Section, Work, settings
from tools.studies import estimate, time_steps
from tools.studies.estimate import (
    BEGIN,
    Cost,
    Job,
    Rates,
    cost,
    page_block,
    phantoms_of,
    planned,
    report,
    seconds_at_least,
    sections,
    timed,
)
from tools.studies.pretext_bundles import bundle_of
from tools.studies.time_steps import seconds_per_slice

TABLE4 = STUDIES / "configs/table3_table4.yaml"


@pytest.fixture(scope="module", autouse=True)
def quick_dry_runs() -> Iterator[None]:
    """Snakemake's imports take longer than its dry runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", quick_python())
        yield


@pytest.fixture(scope="module")
def plan() -> tuple[list[Job], dict[str, int]]:
    """Table 4's jobs with twelve pretexts."""
    return planned(TABLE4, list(TWELVE))


@pytest.fixture(scope="module")
def data() -> dict:
    study = yaml.safe_load(TABLE4.read_text())
    return {kind: sections(study | {"datalists": {}, "out": "nowhere"}, kind, TABLE4) for kind in study["expected"]}


def test_paths_of_overlays_start_where_the_estimate_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("learning_rate: 0.002\n")
    Path("other.yaml").write_text("weight_decay: 0.1\n")
    study = yaml.safe_load(TABLE4.read_text()) | {"pretexts": ["location"], "label_counts": [1], "draws": [0]}
    study |= {"overlay": "./mine.yaml", "methods": {"none": {"overlay": "./other.yaml"}, "location": None}}
    Path("study.yaml").write_text(yaml.safe_dump(study))
    jobs, _ = planned(Path("study.yaml"))
    files = {job.name.split("/")[1]: job.files for job in jobs if job.kind == "finetune"}
    mine, other = str(tmp_path / "mine.yaml"), str(tmp_path / "other.yaml")
    assert mine in files["location"] and files["none"][-2:] == (mine, other)


def test_jobs_are_those_of_the_dry_run(plan):
    jobs, counts = plan
    assert counts["pretrain"] == 12 and counts["finetune"] == 13 * 5 * 3 and len(jobs) == 207
    assert len({job.name for job in jobs}) == 207
    assert {job.bundle for job in jobs if job.kind == "pretrain"} == {
        bundle_of(name, "pretext_cardiac_{pretext}", ROOT / "bundles") for name in TWELVE
    }
    for job in jobs:
        assert dict(job.settings)["amp"] == "True" and job.processes == 1
        if job.kind == "finetune":
            _, method, exams, draw = job.name.split("/")
            assert (job.exams, job.seed) == (int(exams), int(draw))
            assert job.after == (None if method == "none" else f"pretrain/{method}")


def test_the_papers_schedule(plan, data):
    """Pretraining has 16,000 steps of 20 slices (500 epochs of 627), fine-tuning with all 64 exams 23,800 of 10;
    validation is included."""
    jobs, _ = plan
    pretext = next(job for job in jobs if job.bundle == "pretext_cardiac_orientation")
    found = cost(pretext, data, Rates(tflops=10, start=0))
    assert (found.work.steps, found.work.step_slices) == (16000, 20)
    # 220.9 GFLOP a slice: 70.7 PFLOP
    assert found.training == pytest.approx(70.7e15 / 10e12, rel=1e-3)
    # 100 validations with 4 slices of each of 381 exams, and 82,000 slices at the end, at a third of a step each
    assert found.watching == pytest.approx((100 * 4 * 381 + 82_000) * 220.9e9 / 3 / 10e12, rel=1e-2)
    whole = next(job for job in jobs if job.exams == 64)
    assert cost(whole, data, Rates()).work.steps == 23_800
    one = next(job for job in jobs if job.exams == 1)
    found = cost(one, data, Rates(start=0))
    assert found.work.steps == 400 and found.watching > found.training


def test_hours_follow_the_rate_and_the_number_of_jobs(plan, data):
    jobs, _ = plan
    job = next(job for job in jobs if job.exams == 16)
    slow, fast = (cost(job, data, Rates(tflops, start=0)).seconds for tflops in (10, 40))
    assert slow == pytest.approx(4 * fast)
    given = cost(job, data, Rates(step={job.bundle: 0.5}, start=0))
    assert given.source == "given" and given.training == pytest.approx(given.work.steps * 0.5)
    timed = cost(job, data, Rates(slice={job.bundle: 0.05}, start=0))
    assert timed.source == "timed" and timed.seconds == pytest.approx(given.seconds)
    # each of four processes takes batches of 10 of the 297 slices; one process evaluates 371 while the others wait
    spread = cost(dataclasses.replace(job, processes=4), data, Rates(slice={job.bundle: 0.05}, start=0))
    assert spread.work.steps == 200 * 8 and spread.training == pytest.approx(200 * 8 * 40 * 0.05)
    # a given step time is for all four processes
    spread_given = cost(dataclasses.replace(job, processes=4), data, Rates(step={job.bundle: 0.5}, start=0))
    assert spread_given.training == pytest.approx(200 * 8 * 0.5 * 4)
    assert spread.watching - timed.watching == pytest.approx(3 * 371 * 0.05 / 3, rel=0.01)
    # all four processes wait at the start
    starting = cost(dataclasses.replace(job, processes=4), data, Rates(slice={job.bundle: 0.05}, start=60))
    assert starting.seconds - spread.seconds == pytest.approx(4 * 60)


def test_the_report_says_what_was_calculated_and_sums_it(plan, data):
    jobs, counts = plan
    costs = [cost(job, data, Rates()) for job in jobs]
    text = "\n".join(report(costs, counts, data, Rates(), "cpu", [1, 8], TABLE4, False))
    assert "207 of 207 calculated, not measured" in text and "10 TFLOP/s" in text
    total = sum(entry.seconds for entry in costs) / 3600
    assert f"{total:.1f} GPU hours" in text and "on 8 GPUs: " in text and "195 finetune, 1 forest, 12 pretrain" in text
    rates = Rates(slice={jobs[0].bundle: 0.05})
    text = "\n".join(report([cost(jobs[0], data, rates)], counts, data, rates, "cpu", [1, 2], TABLE4, False))
    assert "1 job at a time: at least" in text and "2 jobs at a time: at least" in text
    # a study of minutes is shown in minutes
    short = dataclasses.replace(costs[0], training=240.0, watching=30.0, seconds=300.0)
    lines = report([short], counts, data, Rates(), "cpu", [1], TABLE4, True)
    assert any("the study runs on a CPU" in line and "--measure" in line for line in lines)
    rows = [line.split() for line in lines if line.startswith((short.job.trained, "all trainings"))]
    assert rows[0][-3:] == ["4.0", "0.5", "5.0"] and rows[1][-3:] == ["5.0", "GPU", "minutes"]
    assert "scoring minutes" in " ".join(" ".join(lines).split()) and "on 1 GPU: at least 5 minutes" in lines
    assert f"python -m tools.studies.estimate {TABLE4} --seconds-per-step {jobs[0].bundle}=" in text


def test_steps_are_timed_with_the_threads_of_the_studys_jobs(plan, data, tmp_path, monkeypatch, capsys):
    """The report names the threads, and says that other programs make these times too long."""
    before = torch.get_num_threads()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(yaml.safe_load(TABLE4.read_text()) | {"threads": before + 1}))
    monkeypatch.setattr(estimate, "planned", lambda *_: (plan[0][:1], plan[1]))
    monkeypatch.setattr(estimate, "sections", lambda study, kind, config: data[kind])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads = []
    times = {plan[0][0].trained: 0.1}
    monkeypatch.setattr(estimate, "timed", lambda *_: threads.append(torch.get_num_threads()) or times)
    try:
        estimate.main([str(tmp_path / "study.yaml"), "--measure"])
    finally:
        torch.set_num_threads(before)
    said = capsys.readouterr().out
    assert threads == [before + 1] and f"1 of 1 timed on this CPU ({before + 1} threads): a few training steps" in said
    assert "other programs that run at the same time make it too long" in said


def test_the_documented_estimate_is_of_every_row(data):
    """The estimate includes the rows with a dagger: their files need not exist, and the operations of their own
    networks are counted.
    """
    jobs, counts = planned(TABLE4)
    costs = [cost(job, data, Rates()) for job in jobs if job.kind == "finetune"]
    text = report(costs, counts, data, Rates(), "cpu", [1, 8, 64], TABLE4, False)
    whole_page = (STUDIES.parent / "docs/studies.md").read_text()
    written = with_block(whole_page, BEGIN, page_block(text))
    assert written.count("\nall trainings") == whole_page.count("\nall trainings") == 1, "one table, between the marks"
    page = whole_page.splitlines()
    # a pretext's row changes with its bundle; the other rows must agree digit by digit
    documented = [line.split() for line in page if line.startswith("downstream_")]
    assert documented == [line.split() for line in text if line.startswith("downstream_")] and len(documented) == 15
    assert {job.bundle for job in jobs if job.kind == "pretrain"} <= {line.split(" ")[0] for line in page}
    # 12 methods with the U-Net, two with ResNet-50, one with ViT-B/16
    assert [sum(int(row[-6]) for row in documented if row[0].endswith(end)) for end in (",", "+resnet50,", "+vit,")] == [
        225, 30, 15
    ]  # fmt: skip
    seconds = {entry.job.overlays: entry.slice for entry in costs if entry.job.kind == "finetune"}
    assert seconds.keys() == {(), ("resnet50.yaml",), ("vit.yaml",)} and len(set(seconds.values())) == 3
    # a time measured for one network does not apply to another
    job = next(job for job in jobs if job.overlays == ("vit.yaml",))
    assert job.trained == f"{job.bundle}+vit.yaml"
    assert cost(job, data, Rates(slice={job.bundle: 1.0})).source == "counted"
    assert cost(job, data, Rates(step={job.trained: 1.0})).source == "given"


def entry(name: str, seconds: float, after: str | None = None, processes: int = 1) -> Cost:
    job = Job("finetune" if after else "pretrain", name, "b", (), (), after, processes, None, 0)
    return Cost(job, "given", Work(1, 1, 0, 0), 1.0, seconds, 0.0, seconds)


def test_a_study_takes_its_share_of_the_work_but_not_less_than_its_longest_chain():
    hours = 3600
    costs = [entry("a", 10 * hours), entry("b", 4 * hours), *(entry(f"b{n}", 3 * hours, after="b") for n in range(4))]
    assert [seconds_at_least(costs, gpus) / hours for gpus in (1, 2, 3, 100)] == [26, 13, 10, 10]
    assert seconds_at_least([entry("a", 10 * hours), entry("c", 3 * hours, after="a")], 5) == 13 * hours
    # 12 GPU hours on 4 GPUs
    assert seconds_at_least([entry("a", 12 * hours, processes=4)], 4) == 3 * hours
    with pytest.raises(ValueError, match="a job runs on 4 GPUs"):
        seconds_at_least([entry("a", 12 * hours, processes=4)], 2)


def test_the_datalist_counts_once_it_is_there(tmp_path):
    """The counts are exams and slices of the sections, and of the exams that a draw gives to a job."""
    exams = {"training": (4, 5, 6), "validation": (3,), "test": ()}
    content = {
        section: [
            {"image": f"{section}{number}/{k}.dcm", "affine": np.eye(4).tolist(), "exam": f"{section}{number}"}
            for number, depth in enumerate(depths)
            for k in range(depth)
        ]
        for section, depths in exams.items()
    }
    (tmp_path / "labelled.json").write_text(json.dumps(content))
    study = {"datalists": {"labelled": str(tmp_path / "labelled.json")}, "out": str(tmp_path)}
    found = sections(study, "labelled", Path("study.yaml"))
    assert (found["training"], found["validation"], found["test"]) == (Section(3, 15), Section(1, 3), Section(0, 0))
    job = Job("finetune", "f", "downstream_cardiac_sax_segmentation", ("train.yaml",), (), None, 1, 2, 0)
    drawn = {cost(dataclasses.replace(job, seed=seed), {"labelled": found}, Rates()).work.steps for seed in range(6)}
    # 200 epochs of two series out of three with 4, 5 and 6 slices: 9 to 11 slices, that is, one or two batches of 10
    assert drawn == {200, 400}
    with pytest.raises(InputError, match="does not say what to expect"):
        sections(study | {"phantom": {"unlabelled": "--exams 3"}}, "unlabelled", Path("study.yaml"))
    with pytest.raises(InputError, match="needs 65 labelled exams"):
        cost(
            dataclasses.replace(job, exams=65),
            {"labelled": {"training": Section(64, 640), "items": None}},
            Rates(),
        )


def test_steps_are_timed_on_the_bundles_own_trainer(tmp_path, monkeypatch):
    recipe = Recipe("dsbcc", 3, UNLABELLED.at_size("demo").with_values(phases=1, spacing=(3.6, 4.2)))
    list(write_exams(recipe, tmp_path / "exams", 2))
    write_datalist(index_folder(tmp_path / "exams", split=(1, 0, 0)).datalist, tmp_path / "exams.json")
    config = settings("pretext_cardiac_orientation", overrides=tiny("pretext_cardiac_orientation") | {"batch_size": 4})
    steps = []
    trained = type(config.get_parsed_content("loss")).forward
    monkeypatch.setattr(
        type(config.get_parsed_content("loss")),
        "forward",
        lambda self, pred, label: steps.append(len(pred)) or trained(self, pred, label),
    )
    # the clock at the end of each step: after two steps to warm up, three take 1, 2 and 99 seconds for four slices
    clock = iter([0.0, 50.0, 51.0, 53.0, 152.0])
    monkeypatch.setattr(time_steps, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    before = set(tmp_path.iterdir())
    seconds = seconds_per_slice(config, tmp_path / "exams.json", "cpu", steps=3, warmup=2)
    assert seconds == 2 / 4 and steps == [4] * 5
    assert set(tmp_path.iterdir()) == before, "nothing is left behind"


def test_photographs_are_timed_on_phantom_photographs(tmp_path):
    items = load_datalist(phantom_datalist(tmp_path, "photograph", "aptos", exams=2), "training")
    assert len(items) == 2 and all(is_photograph(item["image"]) for item in items)


def small_job(bundle: str, files: tuple[str, ...] = ("train.yaml",), **own: object) -> Job:
    small = {name: str(value) for name, value in (tiny(bundle) | own).items()}
    return Job("pretrain", bundle, bundle, files, tuple(small.items()), None, 1, None, 0)


def test_volumes_are_timed_with_the_channels_and_masks_of_the_bundle(monkeypatch):
    """There are two contrasts, once without masks and once with tissue masks. A clock that ticks once per step shows that a
    volume counts once, whatever its number of channels.
    """
    ticks = itertools.count()
    monkeypatch.setattr(time_steps, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    made = []
    monkeypatch.setattr(
        estimate, "phantom_datalist", lambda *given, **own: made.append(given) or phantom_datalist(*given, **own)
    )
    seen = []
    enter = torch.nn.Conv3d.forward
    monkeypatch.setattr(
        torch.nn.Conv3d, "forward", lambda self, image: seen.append(image.shape[:2]) or enter(self, image)
    )
    jobs = [
        small_job("pretext_rotation", in_channels=2),
        small_job("downstream_brain_tumour_segmentation", ("train.yaml", "tissues.yaml"), in_channels=2, batch_size=2),
    ]
    found = timed(jobs, "volume", "cpu", steps=2)
    assert list(found.values()) == [1 / 4, 1 / 2] and len(made) == 1, "both learn from the same phantoms"
    assert {(4, 2), (2, 2)} < set(map(tuple, seen)), "batch and channels of the first layer"


@pytest.mark.parametrize(
    ("bundle", "files", "channels", "layout", "indexed"),
    [
        ("downstream_brain_tumour_segmentation", (), 4, "brats", "t1,t1ce,t2,flair"),
        ("downstream_pancreas_segmentation", (), 1, "msd", None),
        ("downstream_pancreas_segmentation", ("2d.yaml",), 1, "msd", None),
        ("pretext_exemplar", ("2d.yaml",), 4, "brats", "t1,t1ce,t2,flair"),
        ("pretext_jigsaw", ("3d.yaml",), 1, "brats", "t1"),
    ],
)
def test_phantoms_of_volumes(bundle, files, channels, layout, indexed):
    job = small_job(bundle, ("train.yaml", *files), in_channels=channels)
    config = settings(bundle, job.files, {"in_channels": channels})
    found, _, options = phantoms_of(job, "volume", config)
    assert found == layout and options == (("--channels", indexed) if indexed else ())
    config["in_channels"] = 7
    with pytest.raises(InputError, match="volumes of 7 channels and masks of .*--seconds-per-step"):
        phantoms_of(job, "volume", config)


def test_imagenets_weights_need_not_be_there():
    """The user supplies this file; the network's operations are the same without it."""
    jobs, _ = planned(STUDIES / "configs/table5.yaml", ["location"])
    assert {job.bundle for job in jobs} == {"pretext_knee_location", "downstream_knee_injury_classification"}
    assert not [job.name for job in jobs if "imagenet" in dict(job.settings)]


def test_no_bundle_is_an_error_of_the_command_line(capsys):
    for wrong in (
        ["nowhere.yaml"],
        [str(TABLE4), "--seconds-per-step", "x=1"],
    ):
        with pytest.raises(SystemExit):
            estimate.main(wrong)
        assert "there is no" in capsys.readouterr().err


def test_a_refused_study_is_quoted_without_places_in_our_code(tmp_path):
    config = yaml.safe_load((ROOT / "tools/studies/configs/quick.yaml").read_text()) | {"draw": [0]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError) as caught:
        estimate.planned(tmp_path / "study.yaml")
    assert str(caught.value).startswith(
        "Snakemake refuses the study: draw is not a setting of a study (did you mean draws?)"
    )
    assert 'label_efficiency.smk"' not in str(caught.value)
