"""Test `planewise compare`: the study that it writes for the user's own images, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import planewise
import pytest
import yaml
from filelock import FileLock
from PIL import Image
from planewise.commands import app
from planewise.commands import compare as command
from planewise.data import absolute_datalist, select_subjects
from planewise.errors import InputError
from planewise.exams import index, write_datalist
from planewise.files.datalists import SECTIONS, labelled_exams
from planewise.findings import finding
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.exams.knees import oblique, write_knee, write_series
from tools.studies import compare


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Unlabelled DICOM exams and labelled NIfTI exams of phantom hearts."""
    folder = tmp_path_factory.mktemp("compared")
    for name, layout, exams in (("pacs", "dsbcc", "24"), ("acdc", "acdc", "10")):
        words = ["phantom", "cardiac", str(folder / name), "--layout", layout, "--exams", exams, "--phases", "1"]
        words += ["--workers", "1", "--set", "spacing=3.6,4.2"] if layout == "dsbcc" else ["--workers", "1"]
        assert CliRunner().invoke(app, words).exit_code == 0
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


def test_labelled_exams_are_counted_as_the_study_draws_them():
    exams = [
        {"patient": "a", "exam": "1", "acl": 0},
        {"patient": "a", "exam": "2", "acl": 1},
        {"patient": "b", "exam": "3"},
    ]
    content = {"planewise": {"anatomy": "knee"}, "training": exams}
    assert compare.labelled_in(content, "training") == labelled_exams(content, "training") == 2
    assert len(select_subjects(exams, 2, having=["acl"])) == 2


@pytest.mark.parametrize(
    ("anatomy", "bundle", "side", "dimensions"),
    [
        ("knee", "pretext_simclr", 128, 2),
        ("volume", "pretext_jigsaw", 32, 3),
        ("photograph", "pretext_rotation", 96, 2),
    ],
)
def test_a_study_has_the_image_size_of_the_anatomys_configs(anatomy, bundle, side, dimensions):
    study = {"anatomy": anatomy, "overlay": "demo.yaml", "overrides": {}}
    config = compare._config(bundle, study, "pretrain")
    assert (config["image_size"], config.get("spatial_dims", 2)) == (side, dimensions)


def test_it_writes_a_study_and_starts_it_if_one_agrees(folders, monkeypatch):
    started = []
    monkeypatch.setattr(command.os, "execv", lambda file, words: started.append(words))
    monkeypatch.chdir(folders)
    outcome = asked(folders, "--draws", "2")
    assert outcome.exit_code == 0 and not started, outcome.output
    file = folders / "out/study.yaml"
    assert "unlabelled: 24 exams" in outcome.output and "left out: " in outcome.output
    counted = re.search(r"labelled exams: (\d) training, (\d) validation, (\d) test", outcome.output)
    assert counted and sum(map(int, counted.groups())) == 10
    assert "none, released, multitask, simclr, models_genesis; 23 trainings" in outcome.output
    assert (
        "Task: Segmentation of the right ventricle, the myocardium and the left ventricle in short-axis"
        in outcome.output
    )
    assert f"Later: tools/demo --configfile {file}" in outcome.output
    study = yaml.safe_load(file.read_text())
    assert study["label_counts"] == [1, 4] and study["draws"] == [0, 1] and study["overlay"] == "demo.yaml"
    # the user's change is kept, and the folders are not read again
    file.write_text(file.read_text().replace("max_epochs: 160", "max_epochs: 3"))
    outcome = asked(folders, "--draws", "2", "--yes")
    assert outcome.exit_code == 0 and started == [[str(ROOT / "tools/demo"), "--configfile", str(file)]]
    assert "overrides.pretrain.max_epochs: 160 -> 3" in outcome.output and "max_epochs: 3" in file.read_text()
    assert "24 exams" not in outcome.output and "unlabelled.json is kept" in outcome.output
    # other options change nothing, and what differs is named
    outcome = asked(folders, "--draws", "2", "--counts", "1")
    assert "label_counts: [1] -> [1, 4]" in outcome.output and "23 trainings" in outcome.output
    file.unlink()
    outcome = asked(folders, "--draws", "2", "--counts", "1")
    assert "13 trainings" in outcome.output and yaml.safe_load(file.read_text())["label_counts"] == [1]
    file.unlink()
    asked(folders, "--draws", "2")
    # a finished study is not asked about
    study = yaml.safe_load(file.read_text())
    places = [f"pretrain/{name}" for name in study["pretexts"]]
    places += [f"finetune/{name}/{count}/{draw}" for name in study["methods"] for count in (1, 4) for draw in (0, 1)]
    written = [folders / "out/report/index.html"]
    written += [folders / "out" / place / "test/metrics.json" for place in places]
    for path in written:
        path.parent.mkdir(parents=True)
        path.touch()
    started.clear()
    outcome = asked(folders, "--draws", "2", answer="")
    assert "All trainings are finished" in outcome.output and started
    for folder in ("pretrain", "finetune", "report"):
        shutil.rmtree(folders / "out" / folder)


def test_without_snakemake_nothing_is_read(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    outcome = CliRunner().invoke(app, ["compare", *[str(folders / "pacs")] * 2, "-o", str(tmp_path / "out")])
    assert outcome.exit_code == 1 and "-m pip install 'snakemake>=8'" in outcome.output, outcome.output
    assert "Reading" not in outcome.output and not (tmp_path / "out").exists()


def test_without_an_answer_it_names_the_option_for_scripts(folders):
    outcome = asked(folders, answer="")
    assert outcome.exit_code == 1 and "nothing was started; add --yes to start without asking" in outcome.output


@pytest.mark.parametrize("anatomy", sorted(compare.TEMPLATES))
def test_an_anatomys_labels_are_asked_for_by_the_option_that_gives_them(anatomy):
    """Masks come from a folder, and numbers from a table with a column of their name."""
    keys, (words, example) = compare.LABELS[anatomy], compare._LABELS_FROM[anatomy]
    noun, option = {"label": ("masks", "--labels"), "grade": ("grades", "--classes")}.get(
        keys[0], ("findings", "--classes")
    )
    assert noun in words and example.startswith(f"{option} /" if option == "--labels" else f"{option} {noun}.csv")
    target = ROOT / "bundles" / compare.template_of(anatomy)["target"]["bundle"] / "configs/train.yaml"
    assert noun != "findings" or set(keys) == set(yaml.safe_load(target.read_text())["tasks"])


def test_forgotten_labels_can_be_given_in_a_second_try(folders, tmp_path):
    """The datalist of the first try has no masks, and would remain so if it were kept."""
    (tmp_path / "own").mkdir()
    for path in sorted((folders / "acdc").rglob("*_frame*.nii.gz")):
        place = tmp_path / ("drawn" if "_gt" in path.name else "own") / path.name.replace("_gt", "")
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)

    def given(*words):
        first = ["compare", str(folders / "pacs"), str(tmp_path / "own"), "-o", str(tmp_path / "out")]
        return CliRunner().invoke(app, [*first, *words], input="n\n")

    outcome = given()
    assert outcome.exit_code == 1
    assert "has no labels that can be used; add the folder of their masks" in outcome.output
    outcome = given("--labels", str(tmp_path / "drawn"))
    assert outcome.exit_code == 0 and "Later: tools/demo" in outcome.output, outcome.output
    # the datalists of a study stay
    datalist = tmp_path / "out/datalists/labelled.json"
    assert f"{datalist} is kept" in given("--labels", str(tmp_path / "drawn")).output
    (tmp_path / "out/study.yaml").unlink()
    (tmp_path / "none").mkdir()
    shutil.copy(min((tmp_path / "drawn").iterdir()), tmp_path / "none/of another exam.nii.gz")
    outcome = given("--labels", str(tmp_path / "none"))
    assert f"{datalist} is kept" not in outcome.output and "has no labels that can be used" in outcome.output
    words = [
        "compare",
        str(folders / "pacs"),
        str(datalist),
        "-o",
        str(tmp_path / "o"),
        "--labels",
        str(tmp_path / "drawn"),
    ]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 1 and "labelled.json is a datalist, so --labels has no effect" in outcome.output


def test_labels_and_classes_are_those_of_the_labelled_folder(folders, tmp_path, monkeypatch):
    asked = []

    def indexed(folder, out, name, **options):
        asked.append((folder.name, name, options["anatomy"], options.get("labels_dir"), options.get("classes")))
        if name == "labelled":
            raise InputError("enough")

    monkeypatch.setattr(compare, "indexed", indexed)
    words = ["compare", str(folders / "pacs"), str(folders / "acdc"), "-o", str(tmp_path), "--anatomy", "knee"]
    outcome = CliRunner().invoke(app, [*words, "--labels", "masks", "--classes", "c.csv"])
    assert outcome.exit_code == 1 and "enough" in outcome.output
    assert asked == [
        ("pacs", "unlabelled", "knee", None, None),
        ("acdc", "labelled", "knee", Path("masks"), Path("c.csv")),
    ]


def test_pretexts_that_need_planes_are_left_out_where_there_are_none(lists, tmp_path):
    unlabelled, labelled = lists
    pattern = "pretext_cardiac_{pretext}"
    every = compare.fitting(compare.read(unlabelled), pattern)
    assert every[:3] == ["multitask", "simclr", "models_genesis"] and {"orientation", "sax_position"} < set(every)
    lone = without_planes(unlabelled, tmp_path / "lone.json")
    fewer = compare.fitting(compare.read(lone), pattern)
    assert set(every) - set(fewer) == {"multitask", "orientation", "sax_position"}
    assert compare.study_of(lone, labelled, tmp_path)["pretexts"] == fewer[:3]
    study = compare.study_of(unlabelled, labelled, tmp_path, ["all"])
    assert study["pretexts"] == every and list(study["methods"]) == ["none", "released", *every]


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
    paper = compare.study_of(*lists, tmp_path, size="paper", device="cuda:0")
    assert "overlay" not in paper and "released" not in paper["methods"]
    assert paper["overrides"] == {"pretrain": {"amp": True}, "finetune": {"amp": True}}


def test_a_class_cannot_be_learned_from_one_exam(tmp_path, monkeypatch):
    def study(training, counts=None):
        exams = [{"image": f"{number}", "patient": f"p{number // 2}", "acl": 0} for number in range(training)]
        content = {"planewise": {"anatomy": "knee"}, "training": exams, "validation": exams[:1], "test": exams[:1]}
        (tmp_path / "knees.json").write_text(json.dumps(content))
        return compare.study_of(*[tmp_path / "knees.json"] * 2, tmp_path, ["simclr"], counts)

    monkeypatch.setattr(compare, "fitting", lambda *_: ["simclr"])
    # the pretexts read millimetres, so the width of MRNet's slices must be that of the bundle's page
    assert study(20)["overrides"]["finetune"]["field_without_spacing"] == 160.0
    assert study(20)["label_counts"] == [4, 16] and study(3)["label_counts"] == [3]
    with pytest.raises(InputError, match="--counts 1: .* give 2 to 3, because 1 exam cannot have two classes"):
        study(3, [1])
    with pytest.raises(InputError, match="1 labelled training exam, but a class can be learned only from at least 2"):
        study(1)


def test_the_pretexts_can_be_made_shorter(lists, tmp_path):
    assert compare.study_of(*lists, tmp_path, pretext_steps=500)["pretext_steps"] == 500
    assert "pretext_steps" not in compare.study_of(*lists, tmp_path)
    # the schedule that the template gives is still in the file, so the file says what counts
    for steps in (500, None):
        file = tmp_path / f"{steps}.yaml"
        compare.write(compare.study_of(*lists, tmp_path, pretext_steps=steps), file)
        assert ("# pretext_steps sets the length of each pretraining" in file.read_text()) == (steps is not None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pretexts", "rotation,lax_position"], "lax_position: no pretext of that name can learn from"),
        (["--counts", "1,two"], "--counts must be whole numbers with commas, such as 1,4,16, got 1,two"),
        (["--counts", "400"], "--counts 400: "),
        (["--counts", "0"], "give 1 to "),
        (["--size", "paper", "--counts", "400"], "--counts 400: "),
        (["--size", "huge"], "--size must be demo or paper, got huge"),
    ],
)
def test_it_refuses_before_anything_starts(folders, words, said, monkeypatch, tmp_path):
    monkeypatch.setattr(command.os, "execv", lambda *_: pytest.fail("something was started"))
    given = ["compare", str(folders / "pacs"), str(folders / "acdc"), "-o", str(tmp_path / "out"), *words]
    outcome = CliRunner().invoke(app, given)
    assert outcome.exit_code == 1 and said in outcome.output and "Traceback" not in outcome.output, outcome.output
    assert not (tmp_path / "out/study.yaml").exists()


@pytest.mark.parametrize(
    ("labelled", "words", "said"),
    [
        ("acdc", ["--pretexts", "multitusk"], "there is no pretext multitusk (did you mean multitask?); choose"),
        ("acdc", ["--anatomy", "toe"], "--anatomy toe: choose cardiac, knee, photograph, volume"),
        ("nowhere", [], "nowhere; name a datalist, or a folder"),
    ],
)
def test_a_slip_costs_no_indexing(folders, labelled, words, said, tmp_path):
    given = ["compare", str(folders / "pacs"), str(folders / labelled), "-o", str(tmp_path / "out"), *words]
    outcome = CliRunner().invoke(app, given)
    assert outcome.exit_code == 1 and said in outcome.output and not (tmp_path / "out").exists(), outcome.output


def test_the_folder_of_a_study_that_is_running_is_left_alone(folders, tmp_path):
    with FileLock(tmp_path / "run.lock"):
        given = ["compare", str(folders / "pacs"), str(folders / "acdc"), "-o", str(tmp_path)]
        outcome = CliRunner().invoke(app, given)
    assert outcome.exit_code == 1 and f"{tmp_path} is in use by another run" in outcome.output, outcome.output
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


@pytest.mark.parametrize(("patients", "shared"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (6, (4, 1, 1)), (14, (10, 2, 2))])
def test_few_patients_leave_no_section_empty(patients, shared):
    items = [{"image": "x", "patient": f"p{number}"} for number in range(patients) for _ in range(2)]
    exams = {f"e{number}": {"patient": f"p{number}", "section": "training"} for number in range(patients)}
    datalist = {"planewise": {"anatomy": "cardiac"}, "training": items, "validation": [], "test": [], "exams": exams}
    assert compare.fill_sections(datalist, compare.SPLITS["unlabelled"], labelled=False) == patients
    assert tuple(len(datalist[section]) // 2 for section in SECTIONS) == shared
    assert all(exams[item["patient"].replace("p", "e")]["section"] == one for one in SECTIONS for item in datalist[one])
    assert compare.fill_sections(datalist, compare.SPLITS["unlabelled"], labelled=False) == 0, "nothing is empty now"
    assert compare.fill_sections(datalist, compare.SPLITS["labelled"], labelled=True) == 0, "nobody has a label"


def test_few_labelled_knees_have_every_finding_in_every_section():
    items = [{"image": "x", "patient": f"p{number}", "abnormal": 1, "acl": int(number < 6)} for number in range(24)]
    exams = {f"e{number}": {"patient": f"p{number}", "section": "training"} for number in range(24)}
    datalist = {"planewise": {"anatomy": "knee"}, "training": items[8:], "validation": items[:4], "test": items[4:8]}
    assert compare.fill_sections(datalist | {"exams": exams}, (0.5, 0.2, 0.3), labelled=True) == 0
    datalist["exams"] = exams
    assert compare.fill_sections(datalist, (0.5, 0.2, 0.3), labelled=True, exact=True) == 24
    assert [len(datalist[section]) for section in SECTIONS] == [12, 5, 7]
    assert [sum(item["acl"] for item in datalist[section]) for section in SECTIONS] == [3, 1, 2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("methods: [", "study.yaml cannot be read as a study"),
        ("", "study.yaml has no str of device, so it is not a study; correct it, or delete it"),
        ({"methods": ["none"]}, "study.yaml has no dict of methods"),
        ({"overrides": {"finetune": {"features": [1, "x"]}}}, "the settings in .*study.yaml cannot be used"),
        ({"overlay": "other.yaml"}, "the settings in .*study.yaml cannot be used .*other.yaml"),
    ],
)
def test_a_study_that_a_person_broke_is_refused(lists, tmp_path, changed, message):
    file = tmp_path / "study.yaml"
    study = compare.study_of(*lists, tmp_path, ["multitask"], [1], 1)
    compare.write(study, file)
    file.write_text(changed if isinstance(changed, str) else yaml.safe_dump(study | changed))
    with pytest.raises(InputError, match=message):
        compare.refuse_impossible(compare.write(study, file), file)


def test_a_section_that_was_filled_is_not_called_empty(folders, tmp_path, monkeypatch, capsys):
    """24 patients are enough for all sections; to imitate a hash that leaves a section empty, all of them are put into
    one."""
    given = compare.planewise.index

    def unlucky(*words, **options):
        found = given(*words, **options)
        for section in ("validation", "test"):
            found.datalist["training"] += found.datalist[section]
            found.datalist[section] = []
        empty = finding("sections-empty", sections=["validation", "test"], count=24, kind="hash")
        found.warnings += [empty, finding("exams-incomplete", count=7)]
        return found

    monkeypatch.setattr(compare.planewise, "index", unlucky, raising=False)
    file = compare.indexed(folders / "pacs", tmp_path, "unlabelled")
    assert all(json.loads(file.read_text())[section] for section in SECTIONS)
    said = capsys.readouterr().out
    assert (
        "a section was empty, so its 24 patients are split by exact shares" in said
        and "validation and test" not in said
    )
    assert str(finding("exams-incomplete", count=7)) in said


def test_notes_on_exams_are_printed(tmp_path, capsys):
    write_knee(tmp_path / "one")
    write_series(tmp_path / "one/SAG_T2_FS_more", "sagittal", number=2, slices=21, gap=3.0, turn=oblique(3))
    compare.indexed(tmp_path / "one", tmp_path / "out", "unlabelled", anatomy="knee")
    assert f"  1 exam: {finding('several-planes', 'sagittal', count=2, kind='most-slices')}" in capsys.readouterr().out


def test_a_section_of_unlabelled_exams_that_is_empty_is_refused(lists, tmp_path):
    content = json.loads(lists[0].read_text())
    (tmp_path / "few.json").write_text(json.dumps(content | {"test": []}))
    with pytest.raises(InputError, match=r"few.json has no exams in its section test; pretexts are"):
        compare.study_of(tmp_path / "few.json", lists[1], tmp_path)


def test_a_section_without_labels_is_refused(lists, tmp_path):
    content = json.loads(lists[1].read_text())
    test = [{key: value for key, value in item.items() if key != "label"} for item in content["test"]]
    (tmp_path / "few.json").write_text(json.dumps(content | {"test": test}))
    with pytest.raises(
        InputError, match=r"no labels in its section test; .* index with `--stratify label`, which gives"
    ):
        compare.study_of(lists[0], tmp_path / "few.json", tmp_path)


def test_masks_that_the_task_refuses_are_refused_before_pretexts_are_trained(lists, tmp_path):
    content = absolute_datalist(lists[1])
    item = next(item for item in content["training"] if "label" in item)
    write_datalist(
        content | {"training": [*content["training"], item | {"unknown_labels": [255]}]}, tmp_path / "l.json"
    )
    message = (
        rf"l.json: masks of 1 exam have values other than 1 \(RV\), .*: exam {item['exam']}: 255; rename the values"
    )
    with pytest.raises(InputError, match=message):
        compare.study_of(lists[0], tmp_path / "l.json", tmp_path)


def test_exams_without_labels_and_other_files_are_refused(folders, lists, tmp_path):
    text = tmp_path / "notes.json"
    text.write_text("[]")
    for labelled, said in (
        (lists[0], "has no labels that can be used; add the folder of their masks"),
        (text, "must be an object with sections"),
    ):
        outcome = CliRunner().invoke(app, ["compare", str(lists[0]), str(labelled), "-o", str(tmp_path / "out")])
        assert outcome.exit_code == 1 and said in outcome.output, outcome.output
    outcome = CliRunner().invoke(app, ["compare", str(tmp_path / "none"), str(lists[1]), "-o", str(tmp_path / "out")])
    assert outcome.exit_code == 1 and "Traceback" not in outcome.output


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Folders of phantom volumes: heads of four channels with tumours, healthy ones, and abdomens of one channel."""
    folder = tmp_path_factory.mktemp("volumes")
    for name, words in {"brats": [], "healthy": ["--set", "tumour=0"], "ct": ["--layout", "msd"]}.items():
        words = ["phantom", "volume", str(folder / name), "--exams", "12", "--side", "16", "--workers", "1", *words]
        assert CliRunner().invoke(app, words).exit_code == 0
    return folder


def list_of_volumes(folder, name, channels=None):
    options = {"channels": channels} if channels else {}
    file = folder / f"{name}{len(channels or ())}.json"
    planewise.index(folder / name, anatomy="volume", split=(0.5, 0.2, 0.3), **options).write(file)
    return file


def orientations(study) -> set[str]:
    """The orientations in which the pretexts and the target see volumes."""
    pretexts = [compare.bundle_of(name, study["pretext_bundle"], compare.BUNDLES) for name in study["pretexts"]]
    jobs = [*((bundle, "pretrain") for bundle in pretexts), (study["target"]["bundle"], "finetune")]
    return {compare._config(bundle, study, kind)["axcodes"] for bundle, kind in jobs}


def test_volumes_of_one_channel_have_the_structures_of_their_masks(volumes):
    """CT of another organ: the bundle for one channel learns the structures that the masks contain."""
    datalist = list_of_volumes(volumes, "ct")
    study = compare.study_of(datalist, datalist, volumes / "out")
    assert study["target"] == {"bundle": "downstream_pancreas_segmentation"} and study["overlay"] == "demo.yaml"
    structures = {"1": "pancreas", "2": "cancer"}
    given = {"in_channels": 1, "structures": structures, "regions": {}}
    assert study["overrides"]["finetune"].items() >= given.items() and next(iter(study["methods"])) == "none"
    assert study["overrides"]["pretrain"]["in_channels"] == 1 and "multitask" not in study["pretexts"]
    assert orientations(study) == {"RAS"}
    assert compare.task_of(study) == "segmentation of pancreas and cancer (downstream_pancreas_segmentation)"
    paper = compare.study_of(datalist, datalist, volumes / "out", size="paper")
    assert paper["overrides"] == {"pretrain": {"in_channels": 1, "axcodes": "RAS"}, "finetune": given}


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
        assert compare.seen_before(images, exams, read=True)
        before = json.loads(images.read_text())
        compare.keep_apart(images, exams, out)
        assert not compare.seen_before(images, exams, read=True)
        found = json.loads(images.read_text())
        count, had = (sum(len(content[section]) for section in SECTIONS) for content in (found, before))
        assert count == had >= len(masks)
        for section in SECTIONS:
            names = {item["exam"] for item in found[section]}
            assert names == {name for name, exam in found["exams"].items() if exam["section"] == section}
        assert "also among the labelled images, and in the training section only if" in capsys.readouterr().out
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


def test_patients_of_a_table_are_kept_apart(tmp_path, capsys, monkeypatch):
    """A table names the patients of the labelled photographs. Unlabelled ones show the same people at another visit: under
    the same file name, or under a name that only the table knows."""
    rng, rows = np.random.default_rng(0), ["image,patient,grade"]
    for number in range(12):
        others = f"un/2021/{number:04d}_left.png" if number % 2 else f"un/2021/x{number * 7}.png"
        for file in (f"lab/2019/{number:04d}_left.png", others):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / file)
        rows.append(f"2019/{number:04d}_left.png,P{number},{number % 5}")
        rows += [] if number % 2 else [f"x{number * 7}.png,P{number},3"]
    table = tmp_path / "grades.csv"
    table.write_text("\n".join(rows))
    exams = compare.indexed(tmp_path / "lab", tmp_path, "labelled", anatomy="photograph", classes=table)
    assert f" and 1 more: {finding('name-unknown')}" in capsys.readouterr().out
    scans = []
    scan = index.scan_folder
    monkeypatch.setattr(index, "scan_folder", lambda *given: scans.append(given) or scan(*given))
    images = compare.indexed(tmp_path / "un", tmp_path, "unlabelled", anatomy="photograph", patients=table)
    assert len(scans) == 1, "the headers of the photographs are read once"
    all_in_training(images)
    capsys.readouterr()
    compare.keep_apart(images, exams, tmp_path)
    assert "unlabelled: 12 patients are also among the labelled images" in capsys.readouterr().out
    number_of = {f"{number:04d}_left": number for number in range(12)} | {f"x{n * 7}": n for n in range(12)}
    where = [
        {
            number_of[Path(item["image"]).stem]: section
            for section, items in absolute_datalist(file).items()
            if section in SECTIONS
            for item in items
        }
        for file in (images, exams)
    ]
    assert where[0] == where[1] and set(where[0].values()) == set(SECTIONS)
    assert not any("grade" in item for item in json.loads(images.read_text())["training"])
    # a table that names none of these photographs changes nothing
    table.write_text("image,grade\nz.png,1\n")
    again = compare.indexed(tmp_path / "un", tmp_path / "again", "unlabelled", anatomy="photograph", patients=table)
    assert not any("aliases" in exam for exam in json.loads(again.read_text())["exams"].values())


def test_photographs_without_a_grade_are_refused(tmp_path):
    photographs = [{"image": f"{number}.png", "patient": str(number), "Grad": 1, "eye": "left"} for number in range(3)]
    content = {"planewise": {"anatomy": "photograph"}} | dict.fromkeys(SECTIONS, photographs)
    (tmp_path / "photographs.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"as in --classes grades\.csv$"):
        compare.study_of(*[tmp_path / "photographs.json"] * 2, tmp_path)


def test_keeping_patients_apart_leaves_no_section_empty(volumes, tmp_path):
    """A patient of the unlabelled test section may be a labelled training exam."""
    file = list_of_volumes(volumes, "ct")
    content = absolute_datalist(file)
    first, second, *others = (item for section in SECTIONS for item in content[section])
    for name in ("unlabelled", "labelled"):
        parts = (
            ([*others[2:], second], others[:1], [first]) if name == "unlabelled" else ([first], others[1:2], [second])
        )
        (tmp_path / "datalists").mkdir(exist_ok=True)
        write_datalist(content | dict(zip(SECTIONS, parts, strict=True)), tmp_path / f"datalists/{name}.json")
    lists = [tmp_path / f"datalists/{name}.json" for name in ("unlabelled", "labelled")]
    compare.keep_apart(*lists, tmp_path)
    found = json.loads(lists[0].read_text())
    assert all(found[section] for section in SECTIONS) and not compare.seen_before(*lists, read=True)
    assert {item["exam"] for item in found["test"]} == {first["exam"], second["exam"]}


def test_structures_have_the_names_in_nnunets_listing(volumes, tmp_path):
    shutil.copytree(volumes / "ct", tmp_path / "ct")
    listing = tmp_path / "ct/dataset.json"
    for labels, names in (
        ({"background": 0, "kidney": 1, "cyst": 2, "all": [1, 2]}, ["kidney", "cyst"]),
        ({"kidney": 1}, ["kidney", "structure 2"]),
        (["kidney"], ["structure 1", "structure 2"]),
    ):
        file = list_of_volumes(tmp_path, "ct")
        listing.write_text(json.dumps({"labels": labels}))
        assert list(compare.structures_in(file).values()) == names
        listing.write_text("{")
        assert list(compare.structures_in(file).values()) == ["structure 1", "structure 2"]
        listing.write_text("{}")


def test_volumes_of_several_channels(volumes):
    """BraTS masks keep its regions; two channels can be copied to four, but three cannot."""
    labelled = list_of_volumes(volumes, "brats")
    study = compare.study_of(list_of_volumes(volumes, "healthy", "t1,flair"), labelled, volumes / "out")
    assert study["target"] == {"bundle": "downstream_brain_tumour_segmentation"}
    assert study["overrides"]["pretrain"]["in_channels"] == 2 and study["overrides"]["finetune"]["in_channels"] == 4
    assert "structures" not in study["overrides"]["finetune"] and study["overrides"]["finetune"]["regions"]
    assert orientations(study) == {"LPS"}
    with pytest.raises(InputError, match=r"volumes of 4 channels, .* of 3; the first number must be a multiple"):
        compare.study_of(list_of_volumes(volumes, "healthy", "t1,t2,flair"), labelled, volumes / "out")
    two = compare.study_of(*[list_of_volumes(volumes, "brats", "t1,flair")] * 2, volumes / "out")
    assert set(two["overrides"]["finetune"]["structures"]) == {"1", "2", "4"}
