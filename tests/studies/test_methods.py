"""Test the meaning of a study's methods, and which methods are refused."""

from __future__ import annotations

import pytest
from planewise.errors import InputError

from tools.studies.methods import Method, left_out, methods_of, pretrainings_of, starts_of

STUDY = {"pretexts": ["location", "multitask"]}


def test_a_method_may_use_predicted_masks_and_pretrains_nothing_for_them():
    given = {
        "usual": {"pretext": "location", "masks": "reference"},
        "ours": {"pretext": "location", "masks": "predicted"},
    }
    methods = methods_of(STUDY | {"methods": given})
    assert methods["usual"] == Method(pretext="location") and methods["ours"].masks == "predicted"
    assert starts_of(methods) == dict.fromkeys(given, "location")


def test_what_pretrains_by_itself():
    given = {
        "sigma": {"pretext": "location", "overrides": {"pretrain": {"sigma": 12}}},
        "shared": {"pretext": "location", "overrides": {"finetune": {"max_epochs": 9}, "pretrain": {}}},
        "other": {"pretext": "rotation", "overlay": "wide.yaml"},
    }
    methods = methods_of(STUDY | {"methods": given})
    assert {name: method.pretrains for name, method in methods.items()} == {
        "sigma": True,
        "shared": False,
        "other": True,
    }
    found = pretrainings_of(STUDY, methods)
    assert {name: method.pretext for name, method in found.items()} == {
        "location": "location", "multitask": "multitask", "sigma": "location", "other": "rotation"
    }  # fmt: skip
    assert found["sigma"].overrides["pretrain"] == {"sigma": 12} and not found["location"].overrides
    assert methods["other"].as_config() == {"pretext": "rotation", "overlay": "wide.yaml"}


def test_equal_pretraining_settings_share_a_folder():
    """The fine-tunings do not matter; a pretext with other settings, another overlay, name or seed has its own folder."""
    hearts = {"images": "segmented", "blocks": [1, 2]}
    given = {
        "none": {},
        "one": {"pretext": "location", "overlay": "wide.yaml", "overrides": {"pretrain": hearts}},
        "other": {
            "pretext": "location",
            "overlay": {"pretrain": "wide.yaml", "finetune": "deep.yaml"},
            "overrides": {"pretrain": dict(reversed(hearts.items())), "finetune": {"images": "full"}},
        },
        "again": {"pretext": "location", "overlay": "wide.yaml", "overrides": {"pretrain": hearts | {"seed": 1}}},
        "narrow": {"pretext": "location", "overrides": {"pretrain": hearts}},
        "turned": {"pretext": "multitask", "overlay": "wide.yaml", "overrides": {"pretrain": hearts}},
        "deep": {"pretext": "location", "overlay": {"finetune": "deep.yaml"}},
    }
    methods = methods_of(STUDY | {"methods": given})
    assert starts_of(methods) == {
        "none": None, "one": "one", "other": "one", "again": "again", "narrow": "narrow", "turned": "turned",
        "deep": "location",
    }  # fmt: skip
    assert list(pretrainings_of(STUDY, methods)) == ["location", "multitask", "one", "again", "narrow", "turned"]
    assert [methods["other"].overlay_of(kind) for kind in ("pretrain", "finetune")] == ["wide.yaml", "deep.yaml"]
    assert [methods["deep"].overlay_of(kind) for kind in ("pretrain", "finetune")] == [None, "deep.yaml"]
    assert [methods["one"].overlay_of(kind) for kind in ("pretrain", "finetune")] == ["wide.yaml", "wide.yaml"]


def test_a_method_may_go_on_learning_its_pretext():
    both = {"pretext": "location", "overrides": {"finetune": {"transfer": "multitask"}}}
    decoder = {"pretext": "location", "overrides": {"finetune": {"transfer": "decoder"}}}
    nothing = methods_of(STUDY | {"methods": {"own": {"pretext": "location", "overrides": {"finetune": None}}}})
    assert not nothing["own"].has_two_tasks
    methods = methods_of(STUDY | {"methods": {"both": both, "decoder": decoder, "location": None}})
    assert [method.has_two_tasks for method in methods.values()] == [True, False, False]
    assert not any(method.pretrains for method in methods.values()), "all three share their pretext's network"


def test_files_are_those_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").touch()
    (method,) = methods_of(STUDY | {"methods": {"mine": {"weights": "a.pt", "overlay": "./wide.yaml"}}}).values()
    assert (method.file, method.overlay) == (f"{tmp_path}/a.pt", f"{tmp_path}/wide.yaml")
    (method,) = methods_of(STUDY | {"methods": {"mine": {"overlay": {"finetune": "./wide.yaml"}}}}).values()
    assert method.overlay == {"finetune": f"{tmp_path}/wide.yaml"}
    assert not method.imagenet and not method.pretrains


def test_rows_whose_weights_are_not_there_yet_are_left_out(tmp_path):
    """`weights: null` means that the method is left out; a name without settings must be a known word."""
    (tmp_path / "a.pt").touch()
    given = {
        "none": None,
        "location": {},
        "imagenet": None,
        "byol_dagger": {"weights": None, "overlay": "resnet50.yaml"},
        "simclr_dagger": {"weights": str(tmp_path / "a.pt"), "overlay": "resnet50.yaml"},
        "again": {"weights": "imagenet", "overrides": {"finetune": {"seed": 3}}},
    }
    study = STUDY | {"methods": given, "imagenet": None}
    assert left_out(study) == ["imagenet", "byol_dagger", "again"]
    assert list(methods_of(study)) == ["none", "location", "simclr_dagger"]
    whole = study | {"imagenet": "alexnet.pth"}
    assert left_out(whole) == ["byol_dagger"] and methods_of(whole)["imagenet"] == Method(weights="imagenet")
    assert left_out(STUDY) == left_out(STUDY | {"methods": ["none", "imagenet"]}) == []


@pytest.mark.parametrize(
    "methods",
    [
        ["none", "imagenet"],
        ["none", "rotation"],
        {"mine": {"pretext": "rotation"}},
        {"location": {"overrides": {"finetune": {"sigma": 3}}}},
        {"mine": {"weights": "nowhere.pt"}},
        {"mine": {"weights": "a.pt", "pretext": "location"}},
        {"mine": {"overrides": {"pretrain": {"sigma": 3}}}},
        {"location": {"pretext": "location", "overlay": "wide.yaml"}},
        {"mine": {"overrides": {"finetune": {"transfer": "multitask"}}}},
        {"mine": {"pretext": "location", "against": ["yours"]}},
        {"mine": {"label_counts": [0]}},
        {"mine": {"pretext": "location", "label_counts": [0, 1]}},
    ],
)
def test_what_cannot_be_run_is_refused(methods):
    with pytest.raises(InputError):
        methods_of(STUDY | {"methods": methods})
