"""Test studies with Snakemake: a whole study of the heart that is killed and restarted, a whole study of the knee, and
the jobs of other studies."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from planewise.engines import read_history

from tests.conftest import ROOT
from tests.studies.runs import (
    STUDIES,
    commands,
    config_of,
    jobs,
    option,
    output_of,
    paper_study,
    planned,
    said_of,
    snakemake,
    tiny_study,
)
from tools.studies.methods import methods_of, pretrainings_of, starts_of
from tools.studies.pretext_bundles import settings_for_steps


@pytest.fixture
def killed_study(tmp_path):
    (tmp_path / "own.yaml").write_text("gamma: 0.1234\n")
    file = tiny_study(
        tmp_path,
        epochs=5,
        val_interval=2,
        target={"bundle": "downstream_cardiac_sax_segmentation", "arguments": "--save_masks {diagnosed}"},
        phantom={
            "unlabelled": "--workers 1 --exams 8 --seed 3 --set phases=2 --set spacing=3.6,4.2",
            "labelled": "--layout acdc --workers 1 --exams 10 --seed 4 --set phases=2 --set spacing=3.6,4.2",
        },
        methods={"none": {"overlay": {"finetune": str(tmp_path / "own.yaml")}}, "multitask": None},
        diagnose={"bundle": "downstream_cardiac_disease_classification", "draws": [0]},
    )
    return file, tmp_path / "out"


def test_a_killed_study_goes_on_and_writes_its_report(killed_study):
    config, out = killed_study
    process = snakemake(config, cwd=config.parent)
    history = out / "pretrain/multitask/history.csv"
    text = output_of(process, config.parent, (history.parent / "models/last.ckpt").exists)
    assert process.poll() is None, text[-3000:]
    process.kill()  # and its child processes, as the quick Python has them
    process.communicate()
    assert 1 <= len(read_history(history)) < 5
    phantom = (out / "phantom_unlabelled.done").stat().st_mtime_ns

    process = snakemake(config, cwd=config.parent)
    text = output_of(process, config.parent)
    assert process.returncode == 0, text[-3000:]
    assert "resuming after epoch" in (out / "logs/pretrain_multitask.log").read_text()
    assert len((out / "logs/pretrain_multitask.tsv").read_text().splitlines()) == 2, "Snakemake's benchmark"
    assert [row["epoch"] for row in read_history(history)] == [1, 2, 3, 4, 5]
    assert (out / "phantom_unlabelled.done").stat().st_mtime_ns == phantom, "what was done is kept"

    page = (out / "report/index.html").read_text()
    for heading in ("Data", "Pretexts", "Segmentation from few labels", "Diagnosis", "What ran"):
        assert f"<h2>{heading}" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "one file that carries everything"
    settings = json.loads((out / "study.json").read_text())
    assert settings["overlay_files"][0]["content"] == {"gamma": 0.1234} and str(config.parent) not in page
    # the tables show the runs' numbers
    location = json.loads((out / "pretrain/multitask/test/metrics.json").read_text())["location"]
    assert f"<td>{location['pearson_r']:.4f}</td>" in page
    gain = [
        json.loads((out / f"finetune/{method}/1/0/test/metrics.json").read_text())["mean"]["dice"]["mean"]
        for method in ("none", "multitask")
    ]
    assert f"<td>{gain[1] - gain[0]:+.3f}</td>" in page
    # nothing more to do
    process = snakemake(config, "--dry-run", cwd=config.parent)
    assert "Nothing to be done" in process.communicate()[0]
    # a method that is added to a finished study is run, and the report is made again
    more = yaml.safe_load(config.read_text())
    more["methods"]["wide"] = {"overrides": {"finetune": {"zoom": [0.8, 1.2]}}}
    config.write_text(yaml.safe_dump(more))
    found = jobs(snakemake(config, "--dry-run", cwd=config.parent).communicate()[0])
    assert found["finetune"] == 1 and found["report"] == 1 and "pretrain" not in found


def test_finished_trainings_are_compared_by_what_determines_their_result(tmp_path):
    def study(folder, *arguments, **settings):
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "labelled.json").write_text("{}")
        lists = {"unlabelled": str(tmp_path / "labelled.json"), "labelled": str(tmp_path / "labelled.json")}
        file = tiny_study(folder, 5, 1, methods=["none", "multitask"], draws=[0, 1], datalists=lists)
        config = yaml.safe_load(file.read_text())
        config["overrides"] = {kind: config["overrides"][kind] | settings.get(kind, {}) for kind in config["overrides"]}
        file.write_text(yaml.safe_dump(config))
        process = snakemake(file, "--dry-run", "--printshellcmds", *arguments, cwd=folder)
        return process.communicate()[0]

    # as if the pretraining and the fine-tunings of the first draw were finished
    seeded = {"finetune": {"seed": 7}}
    written = re.findall(r"printf %s (\S.*) > (\S+/job\.json)", study(tmp_path / "first", **seeded))
    assert len(written) == 5
    for text, file in written:
        if Path(file).parent.name != "1":
            (Path(file).parent / "test").mkdir(parents=True)
            (Path(file).parent / "test/metrics.json").write_text("{}")
            Path(file).write_text(shlex.split(text)[0])
    out = tmp_path / "first/out"
    assert json.loads((out / "finetune/none/1/0/job.json").read_text())["seed"] == 7, (
        "job.json records the setting of the command line"
    )

    # Snakemake reads every element of a list on the command line as text
    draws = ["--config", "draws=[0,1,2]", "label_counts=[1]"]
    assert jobs(study(tmp_path / "first", *draws, **seeded))["finetune"] == 6

    # another folder and another machine
    moved = tmp_path / "deeper/second"
    shutil.copytree(out, moved / "out")
    elsewhere = {"num_workers": 8, "checkpoint_interval": 9, "cache_dir": "/elsewhere", "log_interval": 2}
    assert jobs(study(moved, finetune=seeded["finetune"] | elsewhere, pretrain=elsewhere))

    more = study(tmp_path / "first", finetune=seeded["finetune"] | {"max_epochs": 9})
    assert "has now (max_epochs: 5 -> 9): finetune/none/1/0, finetune/multitask/1/0. Set another" in more
    assert f"or train again after\n  cd {out} && rm -r finetune/none/1/0 finetune/multitask/1/0\n" in more
    # if a pretraining runs again, the fine-tuning that starts from it must, too; the second draw has no folder yet
    both = study(tmp_path / "first", finetune={"seed": 7}, pretrain={"max_epochs": 6})
    assert f"cd {out} && rm -r pretrain/multitask finetune/multitask/1/0\n" in both

    # missing results are made although the report exists
    (out / "report").mkdir()
    (out / "report/index.html").touch()
    for place in ("finetune/none/1/0", "finetune/multitask/1/0"):
        (out / place / "test/metrics.json").unlink()
    assert jobs(study(tmp_path / "first", finetune={"seed": 7, "max_epochs": 9}))["finetune"] == 4


USUAL = ("heart", "volumes", "table3_table4")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(file.stem, marks=() if file.stem in USUAL else pytest.mark.slow)
        for file in sorted((STUDIES / "configs").glob("*.yaml"))
        if "patients" not in yaml.safe_load(file.read_text())
    ],
)
def test_every_study_plans_its_trainings(name, tmp_path):
    config = config_of(name) if "phantom" in config_of(name) else paper_study(f"{name}.yaml", tmp_path)
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")  # paths of weights are relative to the clone
    text = planned(config, tmp_path, "--printshellcmds")
    methods = methods_of(config)
    counts, draws = config["label_counts"], config["draws"]
    found = jobs(text)
    assert found["finetune"] == sum(
        len(each.label_counts or counts) * len(each.draws or draws) for each in methods.values()
    )
    assert found.get("pretrain", 0) == len(pretrainings_of(config, methods))
    starts = {method: f"{tmp_path}/out/pretrain/{start}" for method, start in starts_of(methods).items() if start}
    for command in commands(text, "finetune"):
        method = re.search(r"/finetune/(\w+)/", command)[1]
        assert option(command, "pretrained") == starts.get(method, methods[method].file)
        assert f"cd {ROOT}/bundles/{config['target']['bundle']} && " in command


def test_a_method_names_its_way_of_transfer(tmp_path):
    """The other task is the study's own pretext, with the study's unlabelled images."""
    ways = ("decoder", "all", "multitask")
    config = paper_study("table3_table4.yaml", tmp_path) | {
        "pretexts": ["sax_position"],
        "overlay": "demo.yaml",
        "methods": {"none": None}
        | {f"by_{way}": {"pretext": "sax_position", "overrides": {"finetune": {"transfer": way}}} for way in ways},
        "overrides": {"pretrain": {"zoom": "$[1, @rotate]", "features": [4, 8]}, "finetune": {"features": [4, 8]}},
        "label_counts": [1],
        "draws": [0],
    }
    config.pop("diagnose", None)
    text = planned(config, tmp_path, "--printshellcmds")
    assert jobs(text)["pretrain"] == 1 and jobs(text)["finetune"] == 4
    found = {re.search(r"/finetune/(\w+)/1/0", command)[1]: command for command in commands(text, "finetune")}
    assert [option(found[f"by_{way}"], "transfer") for way in ways] == list(ways)
    assert {name for name, command in found.items() if option(command, "pretext_datalist")} == {"by_multitask"}
    both = found["by_multitask"]
    assert option(both, "pretrained") == f"{tmp_path}/out/pretrain/sax_position"
    assert option(both, "pretext_datalist") == config["datalists"]["unlabelled"]
    folder, settings = (
        f"{ROOT}/bundles/pretext_cardiac_sax_position/configs",
        f"{tmp_path}/out/other_task/by_multitask.yaml",
    )
    assert option(both, "pretext_config") == f"['{folder}/train.yaml', '{folder}/demo.yaml', '{settings}']"
    # settings that the fine-tuning sets for both tasks are not repeated
    assert yaml.safe_load(Path(settings).read_text()) == {"zoom": "$[1, @rotate]"}


def test_a_method_is_what_its_settings_say(tmp_path):
    """Sigma, a seed, an overlay or a weights file each make a method, and only what differs is pretrained again."""
    for name in ("resnet.pt", "wide.yaml"):
        (tmp_path / name).write_text("gamma: 0.3\n")
    config = paper_study("table3_table4.yaml", tmp_path) | {
        "pretexts": ["multitask"],
        "overrides": {"pretrain": {"amp": True, "sigma": 6}, "finetune": {"amp": True}},
        "methods": {
            "none": {},
            "multitask": None,
            "sigma12": {"pretext": "multitask", "overrides": {"pretrain": {"sigma": 12, "seed": 5}}},
            "location_wide": {"pretext": "location", "overlay": str(tmp_path / "wide.yaml")},
            "slow": {"pretext": "multitask", "overrides": {"finetune": {"learning_rate": 0.001, "cache_dir": "it's"}}},
            "resnet": {"weights": str(tmp_path / "resnet.pt"), "overlay": "demo.yaml"},
        },
        "label_counts": [1],
        "draws": [3],
        "diagnose": {"bundle": "downstream_cardiac_disease_classification", "draws": [3]},
    }
    text = planned(config, tmp_path, "--printshellcmds")
    assert jobs(text)["pretrain"] == 3 and jobs(text)["finetune"] == jobs(text)["diagnose"] == 6
    pretrainings = {re.search(r"/pretrain/(\w+) ", command)[1]: command for command in commands(text, "pretrain")}
    assert {name: (option(command, "sigma"), option(command, "seed")) for name, command in pretrainings.items()} == {
        "multitask": ("6", "0"),
        "sigma12": ("12", "5"),
        "location_wide": (None, "0"),  # this pretext has no sigma
    }
    assert f"cd {ROOT}/bundles/pretext_cardiac_location && " in pretrainings["location_wide"]
    assert f"cd {ROOT}/bundles/pretext_cardiac_multitask && " in pretrainings["sigma12"]
    finetunings = {re.search(r"/finetune/(\w+)/1/3 ", command)[1]: command for command in commands(text, "finetune")}
    out = f"{tmp_path}/out/pretrain"
    assert {name: option(command, "pretrained") for name, command in finetunings.items()} == {
        "none": None,
        "multitask": f"{out}/multitask",
        "sigma12": f"{out}/sigma12",
        "location_wide": f"{out}/location_wide",
        "slow": f"{out}/multitask",
        "resnet": f"{tmp_path}/resnet.pt",
    }
    for name, command in finetunings.items():
        assert option(command, "seed") == option(command, "subject_seed") == "3" and option(command, "sigma") is None
        assert option(command, "learning_rate") == ("0.001" if name == "slow" else None)
    assert option(finetunings["slow"], "cache_dir") == "it's", "the quote does not end the argument"
    paths = {"none": [], "slow": [], "resnet": ["configs/demo.yaml"], "location_wide": [f"{tmp_path}/wide.yaml"]}
    for name, after in paths.items():
        expected = ["configs/train.yaml", "configs/evaluate.yaml", *after]
        assert yaml.safe_load(option(finetunings[name], "config_file")) == expected
    expected = ["configs/train.yaml", "configs/evaluate.yaml", f"{tmp_path}/wide.yaml"]
    assert yaml.safe_load(option(pretrainings["location_wide"], "config_file")) == expected


def test_every_pretraining_has_the_number_of_steps_that_the_study_gives(tmp_path):
    """An epoch has whole batches, and the schedule of the learning rate shrinks with the number of epochs."""
    config = paper_study("table3_table4.yaml", tmp_path) | {"pretexts": ["multitask", "simclr"], "methods": ["none"]}
    config |= {"label_counts": [1], "draws": [0], "pretext_steps": 600, "processes": {"pretrain": 2}}
    names = ("max_epochs", "samples_per_epoch", "val_interval", "lr_step")
    text = planned(config, tmp_path, "--printshellcmds")
    found = [tuple(option(command, name) for name in names) for command in commands(text, "pretrain")]
    # 300 of 500 epochs of 2 steps, in two processes with batches of 20 and of 256
    assert sorted(found) == [("300", "1024", "5", "60"), ("300", "80", "5", "60")]
    assert all(option(command, "max_epochs") is None for command in commands(text, "finetune"))
    assert text.count('"samples_per_epoch": 80') == 1, "the record of what determines the weights"
    # with fewer steps than epochs, the last epoch is validated
    small = settings_for_steps({"max_epochs": 20, "batch_size": 16, "val_interval": 5, "lr_step": 4}, 3)
    assert small == {"max_epochs": 3, "samples_per_epoch": 16, "val_interval": 3, "lr_step": 1}
    assert settings_for_steps({"max_epochs": 100, "batch_size": 16, "val_interval": 25}, 40)["val_interval"] == 20


def test_wrong_overrides_are_refused_before_anything_starts(tmp_path):
    """Otherwise, all fine-tunings would learn from one exam, whatever `label_counts` says."""
    config = paper_study("table3_table4.yaml", tmp_path) | {
        "pretexts": ["location", "multitask"],
        # sigma is a setting of one of the pretexts, and weight_decay an argument that the optimizer takes
        "overrides": {
            "pretrain": {"sigma": 6, "max_epoch": 4, "datalist": "other.json"},
            "finetune": {"num_subjects": 1},
        },
        "methods": {
            "none": {
                "overrides": {"finetune": {"optimizer#weight_decay": 0.1, "learning_rat": 0.1, "max_epochs": "two"}}
            },
            "slow": {"pretext": "location", "overrides": {"pretrain": {"sigma": 6}, "finetune": {"subject_seed": 3}}},
        },
        "label_counts": [1],
        "draws": [0],
    }
    text = said_of(config, tmp_path)
    assert "Traceback" not in text and "weight_decay" not in text
    for kind, key in (
        ("pretrain", "max_epoch"),
        ("pretrain", "datalist"),
        ("pretrain of slow", "sigma"),
        ("finetune", "num_subjects"),
        ("finetune", "subject_seed"),
        ("finetune of none", "learning_rat"),
        ("finetune of none", "--max_epochs"),
    ):
        assert re.search(rf"overrides: {kind}: .*\b{key}\b" if key[0] != "-" else f"{kind}: {key}", text), (kind, text)
    said = said_of(config | {"datalists": {**config["datalists"], "labelled": "no.json"}}, tmp_path)
    assert "datalists: labelled: " in said and "no.json" in said


def test_a_datalist_that_would_give_wrong_scores_stops_a_study(tmp_path):
    config = paper_study("table3_table4.yaml", tmp_path) | {"label_counts": [1, 50], "draws": [0], "methods": ["none"]}
    labelled = Path(config["datalists"]["labelled"])
    exams = [{"exam": name, "image": "scan.nii", "label": "mask.nii"} for name in "abbc"]
    labelled.write_text(json.dumps({"training": exams, "validation": [{"exam": "v"}], "test": [{"exam": "t"}]}))
    assert "label_counts 50: " in said_of(config, tmp_path)
    labelled.write_text(json.dumps({"training": exams, "test": exams[3:]}))
    assert "patients in training and test, such as c" in said_of(config | {"label_counts": [1]}, tmp_path)


@pytest.fixture
def demo_folder(tmp_path) -> Path:
    """Two studies, ``one`` and then ``two``. A script replaces Snakemake: it only reports its study, and
    writes the page if no other file is requested.
    """
    tools = tmp_path / "tools"
    (tools / "studies/configs").mkdir(parents=True)
    for name in ("demo", "environment.sh", "constraints.txt"):
        shutil.copy(ROOT / "tools" / name, tools)
    (tmp_path / "setup.cfg").touch()
    for name, out, then in (("one", "work/one", "then: two.yaml\n"), ("two", "work/two", "")):
        (tools / f"studies/configs/{name}.yaml").write_text(f"title: t\ntime: minutes\nout: {out}\n{then}")
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/usr/bin/env bash\n"
        'echo "$@" >> ran.txt\n'
        "[[ $* == *wanted.json* ]] && exit\n"
        'out=work/$(basename "$6" .yaml); mkdir -p $out/report $out/logs; touch $out/report/index.html $out/logs/report.log\n'
    )
    python.chmod(0o755)
    (tmp_path / ".venv/installed-study,package").touch()
    return tmp_path


def test_the_demo_runs_the_study_that_comes_next_once_the_first_has_its_page(demo_folder):
    def studies(*arguments: str) -> list[str]:
        # one thread per job does not mean one job at a time
        own = os.environ | {"OMP_NUM_THREADS": "1"}
        text = subprocess.run(
            [demo_folder / "tools/demo", *arguments], capture_output=True, text=True, check=True, env=own
        ).stdout
        printed = (demo_folder / "ran.txt").read_text()
        ran = re.findall(r"--configfile \S+/(\w+)\.yaml", printed)
        assert set(re.findall(r"--cores (\d+)", printed)) == {str(len(os.sched_getaffinity(0)))}
        (demo_folder / "ran.txt").unlink()
        assert re.findall(r"Open work/(\w+)/", text) == ([] if "wanted.json" in arguments else ran)
        return ran

    assert studies("one", "wanted.json") == ["one"], "a file of the first study does not start the second"
    for words in (["-np"], ["--quiet", "--dry-run"]):
        planned = subprocess.run(
            [demo_folder / "tools/demo", "one", *words], capture_output=True, text=True, check=True
        )
        assert not planned.stdout, "a dry run takes no minutes and writes no page"
        (demo_folder / "ran.txt").unlink()
    assert studies("one", "-p", "-qn", "-sn") == ["one", "two"], "here, n is the value of an option"
    assert studies("one") == ["one", "two"] and studies("two") == ["two"]
