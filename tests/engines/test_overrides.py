"""Test that overrides of settings that do not exist are reported, at the top of a config and deep inside it."""

from __future__ import annotations

import json
import logging

import pytest
from monai.bundle import ConfigParser
from planewise.engines import warn_of_unknown_overrides
from planewise.engines.overrides import (
    config_files,
    overrides,
    refuse_idle_run,
    refuse_overlay_first,
    unknown_overrides,
    unused_keys,
    warn_of_idle_overrides,
    with_args_file,
    with_small_version,
)
from planewise.errors import InputError

from tests.bundles.conftest import BUNDLES
from tests.conftest import ROOT


def test_the_files_of_a_command_line():
    assert config_files(["--config_file", "['a/train.yaml','demo.yaml']"]) == ["a/train.yaml", "demo.yaml"]
    assert config_files(["--config_file=train.yaml,demo.yaml"]) == ["train.yaml", "demo.yaml"]
    assert config_files(["--config_file=a/inference.yaml"]) == ["a/inference.yaml"] and config_files(["--x"]) == []


@pytest.mark.parametrize(
    ("files", "small"),
    [
        (["train.yaml"], ["train.yaml", "demo.yaml"]),
        (["train.yaml", "2d.yaml"], ["train.yaml", "2d.yaml", "demo.yaml"]),
        (["train.yaml", "photograph.yaml"], ["train.yaml", "photograph.yaml", "photograph_demo.yaml"]),
        (["train.yaml", "multi_gpu_train.yaml"], ["train.yaml", "demo.yaml", "multi_gpu_train.yaml"]),
        (["train.yaml", "photograph.yaml", "photograph_demo.yaml"], []),
        (["../docs/train.yaml"], []),
        ([], []),
    ],
)
def test_the_small_version_of_a_run(files, small):
    configs = ROOT / "bundles/pretext_rotation/configs"
    assert with_small_version([str(configs / file) for file in files]) == [str(configs / file) for file in small]


def test_names_at_every_depth():
    known = {"sigma": 3, "train": {"trainer": {"max_epochs": 1}, "handlers": [{"_target_": "x"}]}}
    given = ["--sigmaa", "3", "--train#trainer#max_epoch", "4", "--train::handlers::0::_target_", "y"]
    given += ["--train#traner#max_epochs=4", "--tran#trainer#max_epochs=4"]
    given += ["--train#handlers#7", "z", "--config_file", "x", "--sigma=4", "--+sigma", "4", "--_meta_#version", "1"]
    assert unknown_overrides([*given, "--run_id", "x", "run"], known) == {
        "sigmaa": "sigma",
        "train#trainer#max_epoch": "train#trainer#max_epochs",
        # a suggestion ends at the misspelt part
        "train#traner#max_epochs": "train#trainer",
        "tran#trainer#max_epochs": "train",
        "train#handlers#7": None,
    }


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("optimizer#weight_decay", True),  # Adam accepts it, although the config does not contain it
        ("optimizer#weight_decey", "optimizer#weight_decay"),
        ("evaluate#handlers#1#_disabled_", True),
        ("evaluate#handlers#2#collectors#1#phases", True),
        ("evaluate#handlers#2#collectors#1#phase", "evaluate#handlers#2#collectors#1#phases"),
        ("train#trainer#max_epoch", "train#trainer#max_epochs"),
        ("train#dataset#transform#transforms", None),  # the transform is a reference, which has no keys
    ],
)
def test_what_a_target_takes_is_known(name, near):
    folder = ROOT / "bundles/pretext_cardiac_multitask/configs"
    known = ConfigParser.load_config_files([str(folder / file) for file in ("train.yaml", "evaluate.yaml")])
    assert unknown_overrides([f"--{name}", "1"], known) == ({} if near is True else {name: near})


def test_another_target_takes_its_own_arguments():
    known = {"optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1}}
    for target in (["--optimizer#_target_", "torch.optim.SGD"], ["--optimizer::_target_=torch.optim.SGD"]):
        assert unknown_overrides(["--optimizer#momentum", "0.9", *target], known) == {}
        unknown = unknown_overrides([*target, "--optimizer#betas", "[0.9, 0.95]"], known)
        assert unknown == {"optimizer#betas": None}, "SGD has none"
    # a misspelt place changes nothing
    unknown = unknown_overrides(["--optimiser#_target_", "torch.optim.SGD", "--optimizer#momentum", "0.9"], known)
    assert unknown == {"optimiser#_target_": "optimizer", "optimizer#momentum": None}
    assert known["optimizer"]["_target_"] == "torch.optim.Adam"


def test_a_target_that_takes_any_name_is_not_warned_of():
    known = {"table": {"_target_": "collections.Counter", "a": 1}, "join": {"_target_": "os.path.join", "a": "b"}}
    assert unknown_overrides(["--table#anything", "1"], known) == {}
    # `join` takes further arguments only by position, so they have no names
    assert unknown_overrides(["--join#anything", "1"], known) == {"join#anything": None}


def test_a_part_that_runs_nothing_is_refused():
    folder = ROOT / "bundles/downstream_cardiac_sax_segmentation/configs"
    known = ConfigParser.load_config_files([str(folder / file) for file in ("train.yaml", "evaluate.yaml")])
    known |= {name: ["$print()"] for name in ("imports", "initialize", "finalize")}
    with pytest.raises(
        InputError, match=r"--run_id evaluate .* runs nothing; choose run or train_and_evaluate \(default: run\)"
    ):
        refuse_idle_run(["run", "--run_id", "evaluate"], known)
    for works in (["--run_id=train_and_evaluate"], ["--run_id", "run"], []):
        refuse_idle_run(works, known)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_setting_of_a_bundle_is_known(bundle):
    known = ConfigParser.load_config_file(str(ROOT / "bundles" / bundle / "configs/train.yaml"))
    assert unknown_overrides([f"--{name}" for name in known], known) == {}


@pytest.mark.parametrize("overlay", ["demo.yaml", "evaluate.yaml"])
def test_an_overlay_before_the_config_that_it_changes_is_refused(overlay):
    """Every setting of the overlay would be replaced, so a demo would train the large network."""
    configs = ROOT / "bundles/pretext_cardiac_multitask/configs"
    overlay, train = str(configs / overlay), str(configs / "train.yaml")
    for wrong in (str([overlay, train]), f"{overlay},{train}"):
        with pytest.raises(InputError, match=f"{train} comes after {overlay} and would replace its settings") as error:
            refuse_overlay_first(["--config_file", wrong])
        assert str(error.value).endswith(f"first: --config_file \"['{train}','{overlay}']\"")
    for right in (["--config_file", str([train, overlay])], ["--config_file", train], []):
        refuse_overlay_first(right)


def test_unknown_overrides_are_named_with_the_nearest_known(tmp_path, caplog):
    (tmp_path / "train.yaml").write_text("sigma: 6\ntrain:\n  trainer:\n    max_epochs: 3\n")
    arguments = ["run", "--config_file", str(tmp_path / "train.yaml"), "--sigmaa", "3", "--sigma=4"]
    arguments += ["--train#trainer#max_epochs", "1", "--run_id", "evaluate"]
    with caplog.at_level(logging.WARNING):
        assert warn_of_unknown_overrides(arguments) == ["sigmaa"]
    assert "--sigmaa is not a setting of this config and has no effect (did you mean --sigma?)" in caplog.text


def test_what_is_passed_on_to_a_target_is_not_said_to_have_no_effect(tmp_path, caplog):
    (tmp_path / "train.yaml").write_text("optimizer: {_target_: torch.optim.SGD, lr: 0.1}\ntrain: {sigma: 1}\n")
    (tmp_path / "own.yaml").write_text("optimizer#momentun: 0.9\n")
    files = f"['{tmp_path}/train.yaml','{tmp_path}/own.yaml']"
    arguments = ["--config_file", files, "--optimizer#nestero", "1", "--train#sigm", "2"]
    names = ["optimizer#nestero", "train#sigm", "optimizer#momentun"]
    assert warn_of_unknown_overrides(arguments) == names
    for wrong in (
        "--optimizer#nestero is passed on to torch.optim.SGD, which has no such argument (did you mean --optimizer#nesterov",
        "own.yaml: optimizer#momentun is passed on to torch.optim.SGD, which has no such argument (did you mean optimizer#m",
        "--train#sigm is not a setting of this config and has no effect (did you mean --train#sigma?)",
    ):
        assert wrong in caplog.text


def test_an_unknown_name_below_a_number_is_named(tmp_path, caplog):
    (tmp_path / "train.yaml").write_text("tissues:\n  4: {name: fat}\n")
    arguments = ["--config_file", str(tmp_path / "train.yaml"), "--tissues#4#nme", "bone"]
    assert warn_of_unknown_overrides(arguments) == ["tissues#4#nme"]
    assert "--tissues#4#nme is not a setting of this config and has no effect" in caplog.text


@pytest.mark.parametrize(
    ("given", "own", "idle"),
    [
        (["--learning_rate", "0.1"], "optimizer: {_target_: torch.optim.SGD, lr: 0.01}", ["learning_rate"]),
        (["--lr_step=3"], "lr_scheduler: null", ["lr_step"]),
        (["--rotate", "3", "--learning_rate", "0.1"], "", []),
        # another expression, or a macro, uses it
        (["--learning_rate", "0.1"], "rate: '@learning_rate'\noptimizer: {lr: 0.01}", []),
        (["--learning_rate", "0.1"], "optimizer: {lr: '%learning_rate'}", []),
        # code reads it
        (["--pretrained", "run", "--tf32", "false"], "initialize: []\nauxiliary_task: null\nnetwork: null", []),
        (["--gama", "0.1"], "", []),
        # the file itself has the setting
        ([], "learning_rate: 0.1\noptimizer: {lr: 0.01}", ["learning_rate"]),
        ([], "learning_rate: 0.1", []),
    ],
)
def test_settings_that_only_a_replaced_part_used_are_named(given, own, idle, tmp_path, caplog):
    (tmp_path / "own.yaml").write_text(own or "rotate: 1.0")
    configs = ROOT / "bundles/downstream_cardiac_sax_segmentation/configs"
    # demo.yaml has a learning rate, too, but is not the person's own
    files = [*(str(configs / file) for file in ("train.yaml", "demo.yaml")), str(tmp_path / "own.yaml")]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser.update({"learning_rate": 0.1})
    assert warn_of_idle_overrides(["run", "--config_file", str(files), *given], parser.get()) == idle
    shown = "--learning_rate" if given else f"{tmp_path}/own.yaml: learning_rate"
    assert f"{shown} has no effect: no expression of" in caplog.text or "learning_rate" not in idle


def test_several_files_are_known_together(tmp_path):
    (tmp_path / "a.yaml").write_text("sigma: 6\n")
    (tmp_path / "b.yaml").write_text("section: test\nrun: [$print(@section)]\n")
    files = f"['{tmp_path}/a.yaml','{tmp_path}/b.yaml']"
    assert warn_of_unknown_overrides(["--config_file", files, "--section", "x", "--sigma", "3"]) == []
    assert warn_of_unknown_overrides(["pytest", "-x", "--tb=short"]) == []


def _two_files(folder, text: str, bundle: str = "pretext_cardiac_multitask") -> list[str]:
    (folder / "mine.yaml").write_text(text)
    return [str(ROOT / "bundles" / bundle / "configs/train.yaml"), str(folder / "mine.yaml")]


def test_a_key_of_a_file_that_nothing_uses_is_found(tmp_path, caplog):
    text = "gama: 0.3\n'train#trainer#max_epoch': 3\nsigma: 4\nsection: test\n'train#trainer#max_epochs': 3\n"
    # keys that expressions of the file use, a list to run and a key to extend
    text += "width: 2\nhalf: {a: 1}\nsigma_2: $@width * 2 + @half#a\nline_width: '%sigma_2'\nlook: [$print(1)]\n"
    text += "+train#handlers: []\n"
    files = _two_files(tmp_path, text)
    odd = {"gama": "gamma", "train#trainer#max_epoch": "train#trainer#max_epochs"}
    assert unused_keys(files) == {files[1]: odd}
    assert warn_of_unknown_overrides(["run", "--config_file", str(files)]) == list(odd)
    assert f"{files[1]}: gama is not a setting of this config and has no effect (did you mean gamma?)" in caplog.text
    # one text with a comma is MONAI's other form of a list
    assert warn_of_unknown_overrides(["run", "--config_file", ",".join(files)]) == list(odd)


SGD = 'optimizer: {_target_: torch.optim.SGD, params: $@network.parameters(), lr: "@learning_rate"}\n'
FLIP = "'train#augmentation#transforms#0': {_target_: RandFlipd, keys: image}\n"
SCORE = "'validate#key_metric': {val_score: {_target_: ignite.metrics.Loss, loss_fn: '@loss'}}\n"


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        (SGD + "optimizer#momentum: 0.9\n", {}),
        ("optimizer#_target_: torch.optim.SGD\noptimizer#momentum: 0.9\n", {}),
        ("optimizer#momentum: 0.9\noptimizer#_target_: torch.optim.SGD\n", {}),
        ("optimizer#momentum: 0.9\n", {"optimizer#momentum": None}),
        (SGD + "optimizer#betas: [0.9, 0.95]\n", {"optimizer#betas": None}),
        (FLIP + "'train#augmentation#transforms#0#spatial_axis': 1\n", {}),
        (FLIP + "train::augmentation::transforms::0::spatial_axes: 1\n", True),
        (SCORE + "'validate#key_metric#val_score#batch_size': $len\n", {}),
        ("+train#handlers: [{_target_: StatsHandler}]\n'train#handlers#1#name': mine\n", {}),
        # keys for anchors
        ("x-sizes: &sizes [24, 48]\n.rest: &rest 3\nfeatures: *sizes\nsigma: *rest\n", {}),
    ],
)
def test_a_path_is_judged_by_the_config_so_far(text, odd, tmp_path):
    files = _two_files(tmp_path, text)
    found = unused_keys(files)
    if odd is True:
        assert list(found[files[1]].values()) == ["train#augmentation#transforms#0#spatial_axis"]
    else:
        assert found == ({files[1]: odd} if odd else {})
        ConfigParser.load_config_files(files)


@pytest.mark.parametrize("text", ["'structures#4': RA\n", "structures: {1: LV}\n'structures#1': RV\n"])
def test_a_path_may_add_to_a_table(text, tmp_path):
    assert unused_keys(_two_files(tmp_path, text, "downstream_cardiac_sax_segmentation")) == {}


def test_expressions_and_targets_of_the_command_line_count_too(tmp_path, caplog):
    files = _two_files(tmp_path, "base_rate: 0.001\noptimizer#momentum: 0.9\n")
    arguments = ["run", "--config_file", str(files), "--learning_rate", "$@base_rate * 2"]
    assert warn_of_unknown_overrides([*arguments, "--optimizer#_target_=torch.optim.SGD"]) == []
    assert not caplog.text
    assert warn_of_unknown_overrides(arguments[:3]) == ["base_rate", "optimizer#momentum"]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_key_of_our_overlays_is_in_use(bundle):
    configs = ROOT / "bundles" / bundle / "configs"
    if not (configs / "train.yaml").exists():
        return
    for file in configs.glob("*.yaml"):
        # a demo config of an anatomy comes after the config of the anatomy
        base = configs / f"{file.stem.removesuffix('_demo')}.yaml"
        assert unused_keys([configs / "train.yaml", *([base] if base.exists() else []), file]) == {}, file


def test_a_command_line_comes_before_its_args_file(tmp_path):
    """As in MONAI; the values of the file become text, as on a command line."""
    file = tmp_path / "args.json"
    file.write_text(json.dumps({"rate": 1, "nesterov": False, "decay": None, "config_file": ["a.yaml", "b.yaml"]}))
    arguments = with_args_file(["run", "--args_file", str(file), "--rate", "2"])
    expected = {"rate": "2", "nesterov": "false", "decay": "null", "config_file": '["a.yaml", "b.yaml"]'}
    assert dict(overrides(arguments)) == {"args_file": str(file), **expected}
    assert config_files(arguments) == ["a.yaml", "b.yaml"]
    assert config_files(with_args_file([*arguments[:5], "--config_file", "c.yaml"])) == ["c.yaml"]
