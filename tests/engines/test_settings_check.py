from __future__ import annotations

import inspect
import json
import re

import pytest
import torch
import yaml
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from planewise.engines.settings_check import (
    CHECKS,
    OPTIONAL,
    check_planned_run,
    check_settings,
    evaluated_settings,
    with_words,
)
from planewise.errors import InputError, refusal
from planewise.networks import (
    AlexNetDecoder,
    AlexNetEncoder,
    DenseNetEncoder,
    ResidualDecoder,
    ResidualEncoder,
    UNetDecoder,
    UNetEncoder,
    VggEncoder,
)

from tests.conftest import ROOT

NAN = float("nan")
PLANE = {"origin": [0, 0, 0], "normal": [1, 0, 0]}


#: Settings with the same limits, and values that they accept and refuse.
KINDS = (
    (
        "blur_prob dropout flip_prob foreground_threshold inpaint_prob intensity_prob lr_factor min_trusted momentum"
        " nonlinear_prob paint_prob pretext_flip_prob rotate_prob sgd_momentum shuffle_prob zoom_prob",
        (0, 0.5, 1),
        (-0.1, 1.1, None),
    ),
    (
        "bias_field brightness encoder_lr_factor gamma l1 learning_rate location_weight noise orientation_weight rotate"
        " shift mask_margin min_obliquity weight_decay",
        (0, 3.5),
        (-0.1, "far", None),
    ),
    (
        "line_width lr_gamma margin max_residual max_spread max_slice_distance sigma spacing square_size square_step"
        " temperature",
        (1, 1.26, 1e-3),
        (-1, 0, "1.26", None, NAN, float("inf"), True, [1]),
    ),
    (
        "auxiliary_interval bottleneck code_features context_features growth_rate image_size in_channels init_features"
        " log_interval lr_step max_epochs num_negatives num_trees patch_features patch_size patches_per_side rows_ahead"
        " stem_stride val_interval val_samples",
        (1, 7),
        (0, 1.5, "abc", [3], None),
    ),
    (
        "examples fold_seed frozen_epochs lr_patience min_found patch_jitter seed subject_seed",
        (0, 7),
        (-1, 1.5, "x", None),
    ),
    ("max_slices num_exams num_subjects samples_per_epoch tile_size window", (None, 1), (0, 1.5, "all")),
    ("amp", ("auto", True, "False", "bfloat16"), ("half", 2)),
    ("blocks features heart_labels", ([4, 8], (1,)), ([], [0, 1], [1.5], 8, None, "[4, 8]")),
    ("images", ("full", "segmented"), ("segmentd", None)),
    ("min_agreement min_order min_peak", (-9, 0.5), ("high", None)),
    ("fold num_workers patience", (None, 0, 30), (-1, 1.5, "two")),
    ("blur_sigma contrast_range zoom", ([0.5, 1.5], [1, 1]), ([1.5, 0.5], [0, 1], 1.0)),
    ("cycle_points", (None, [0.0, 1.0]), ([], [1.5], 0.5)),
    ("embedding projection", ([64, 32],), ([64], [64, 0], 64)),
    ("ends", (["L", "AS"],), ("LA", ["L"], ["L", "Q"], ["L", 3])),
    ("field_without_spacing", (None, 140.0), (0, -1)),
    ("grades", (["none", "mild"],), (["none"], ["none", "none"], "none")),
    ("l1_reduction", ("mean", "sum"), ("max", None)),
    ("loss_form", ("infonce", "binary"), ("nce", None)),
    ("mapping probe_mapping", ("linear", "sine"), ("cosine", None)),
    ("negatives_from", ("batch", "dataset"), ("queue", None)),
    ("missing_planes parallel_planes", ("error", "mask"), ("masked", None, True)),
    ("num_permutations tiles_per_side", (2, 1000), (0, 1, 2.5, "all", None)),
    ("patch_overlap tile_gap", (0, 0.5), (1, -0.1)),
    ("samples_per_exam val_samples_per_exam", ("all", 1), (0, "some", None)),
    ("spatial_dims", (2, 3), (1, 4, None)),
    ("tasks", (["acl"], ["acl", "meniscus"]), ("acl", [], ["acl", "acl"])),
    ("betas channels classes probe_counts regions slices", (["t1", "flair"], [], {}), ("null", "flair", None)),
)
VALUES = [
    ("views", (["2ch"], ["2ch", "4ch"], ("a", "b")), ("2ch", [], None, 3, [3], ["2ch", "2ch"], {"2ch": 1})),
    ("axcodes", (None, "RAS", "LPS", "SAL"), ("RA", "RLS", "ras", "RASL", ["R", "A", "S"], 3)),
    ("background_prob", (None, 0.5, 0.95), (0, 1, -0.1, "null")),
    ("batch_size", (1, 20, 16384), (0, -1, 1.5, None, True, "2", 16385, 10**9)),
    ("head_norm", ("batch", "none"), ("layer", None)),
    ("pretrained_parts", (["encoder"], None), ([], "encoder", ["head", "head"])),
    ("head_features", ([], [4, 8]), ([0], 8, None)),
    ("mask_ratio", (0.75, 0.1), (0, 1, "most")),
    ("section", ("training", "validation", "test", "all"), ("testing", "train", None)),
    ("phases", ("ed", "all"), ("es", "ED", 1)),
    (
        "structures",
        ({"1": "LV"}, {2: "LV", 1: "RV"}, {"1": "a", "2": "b", "255": "c"}),
        (
            {"1": "a", "256": "b"},  # masks are written as uint8
            {},
            None,
            ["LV"],
            {"LV": 1},
            {"0": "LV"},
            {-1: "LV"},
            {1.5: "LV"},
            {"1": "LV", "2": "LV"},
            {"1": "a", 1: "b"},
        ),
    ),
    *((name, good, bad) for names, good, bad in KINDS for name in names.split()),
]


@pytest.mark.parametrize(("name", "good", "bad"), VALUES)
def test_what_a_setting_may_be(name, good, bad):
    for value in good:
        check_settings({name: value})
    for value in bad:
        with pytest.raises(InputError, match=rf"^--{name} must be .*, got ") as caught:
            check_settings({name: value})
        assert repr(value) in str(caught.value) and "\n" not in str(caught.value)


def test_the_limits_of_every_setting_are_tested():
    assert sorted(name for name, _, _ in VALUES) == sorted(CHECKS)


@pytest.mark.parametrize("words", [["--samples_per_epoch", "null"], ["--samples_per_epoch=None"], []])
def test_null_on_the_command_line_is_null(words):
    """MONAI hands over the text 'null', and drops None."""
    config = {"samples_per_epoch": 800 if words else "none", "head_norm": "none", "pretrained": "none", "sigma": "null"}
    expected = config | {"samples_per_epoch": None}
    assert with_words(config, ["run", "--config_file", "train.yaml", *words, "--head_norm", "none"]) == expected
    if words:
        assert with_words(config, ["another program", *words]) is config
        last = ["--config_file", "train.yaml", *words, "--samples_per_epoch", "800"]
        assert with_words(config, last) is config, "the last one counts"


def test_paths_are_text_again():
    """MONAI reads `--input 2026_11` as the number 202611, and an option without a value as true."""
    config = {"input": 202611, "output_dir": [1], "datalist": "a.json", "weights": 8, "pretext_config": ["a.yaml"]}
    words = ["--config_file", "inference.yaml", "--input", "2026_11", "--output_dir", "[1]"]
    assert with_words(config, words) == config | {"input": "2026_11", "output_dir": "[1]", "weights": "8"}
    for name, missing in (
        ("input", True),
        ("output_dir", ""),
        ("datalist", True),
        ("bundle_root", ""),
        ("pretrained", True),
    ):
        with pytest.raises(InputError, match=f"--{name} must be a path, but none follows it"):
            with_words({name: missing}, [])


@pytest.mark.parametrize(
    ("word", "path"),
    [
        *(
            (word, word)
            for word in ("run#1", "runs/run#1", "/pacs/JANE #2", "me@home#1", "it's#1", "#1", "1e3", "0x10")
        ),
        *((word, word) for word in ("a,b", "(run)", "True", "a::b", "{a}", "run # 1")),
        ("'run#1'", "run#1"),
        ('"7"', "7"),
        ("$'r' + 'un'", "run"),
    ],
)
def test_a_path_is_what_was_typed(word, path):
    """Fire takes `#1` for a comment, and MONAI replaces `#` by `::`, whenever it parses a config."""
    parser = ConfigParser(
        {"output_dir": DefaultParseValue(word), "ckpt_dir": "$@output_dir + '/models'", "masks": "a#1"}
    )
    words = ["--config_file", "train.yaml", "--output_dir", word]
    for _ in range(2):
        parser.parse()
        parser = ConfigParser(dict(with_words(parser.get(), words)))
    found = [parser.get_parsed_content(name) for name in ("output_dir", "ckpt_dir", "masks")]
    assert found == [path, f"{path}/models", "a#1"]


@pytest.mark.parametrize(
    "bundle", sorted(path.parent.parent.name for path in (ROOT / "bundles").glob("*/configs/train.yaml"))
)
@pytest.mark.parametrize("name", ["datalist", "bundle_root"])
def test_a_path_without_a_value_reaches_the_check(name, bundle):
    """MONAI evaluates the arguments of `start_run` before it refuses the value."""
    config = ConfigParser.load_config_file(str(ROOT / "bundles" / bundle / "configs/train.yaml"))
    parser = ConfigParser({"resume": False} | config | {"imports": ["$import os"], name: True})
    for key in ("output_dir", "datalist"):
        parser.get_parsed_content(key)
    assert parser.get_parsed_content("resume") is False


@pytest.mark.parametrize("file", ["train.yaml", "evaluate.yaml", "inference.yaml"])
def test_a_switch_given_as_a_word_is_the_switch(file):
    """Python takes the text 'false' for true, so `--save_masks false` would save masks."""
    parsed_where_used = {"amp", "channels_last", "compile", "resume", "tf32"}
    found = [yaml.safe_load(path.read_text()) for path in (ROOT / "bundles").glob(f"*/configs/{file}")]
    switches = {
        name for config in found for name, value in config.items() if isinstance(value, bool)
    } - parsed_where_used
    assert switches
    for name in switches:
        assert with_words({name: "false"}, []) == {name: False} and with_words({name: "True"}, []) == {name: True}
        with pytest.raises(InputError, match=f"--{name} must be true or false, got 'maybe'"):
            with_words({name: "maybe"}, [])
        kept = {name: "$False"}
        assert with_words(kept, []) is kept


@pytest.mark.parametrize(
    ("name", "word", "parsed"),
    [
        ("optimizer#amsgrad", "false", False),
        ("optimizer::amsgrad", "TRUE", True),
        ("optimizer#amsgrad", "no", False),  # false by default
        ("optimizer#foreach", "None", None),
        ("optimizer#betas", "null", None),
        ("optimizer", "{_target_: 'torch.optim.Adam', amsgrad: false, betas: [null, true]}",
         {"_target_": "torch.optim.Adam", "amsgrad": False, "betas": [None, True]}),
        ("handlers#0#own", "False", False),
        ("handlers#0#own", "no", "no"),
        ("inferer#amp", "bfloat16", "bfloat16"),  # false by default, but may be a text
        ("inferer#amp", "true", True),
        ("plain", "true", True),
        ("plain", "null", "null"),
        ("plain", "$false", "$false"),
        ("output_dir", "false", "false"),
    ],
)  # fmt: skip
def test_true_and_false_are_read_at_every_depth(name, word, parsed):
    """MONAI hands over the text 'false', which counts as true, and drops None."""
    own = {
        "optimizer": {"_target_": "torch.optim.Adam", "amsgrad": True, "betas": [0.9, 0.99]},
        "handlers": [{"own": 1}],
        "inferer": {"_target_": "planewise.engines.AutocastInferer"},
        "plain": 1,
        "output_dir": "run",
    }
    parser = ConfigParser(own)
    if (value := DefaultParseValue(word)) is not None:
        parser[name] = value
    config, command = parser.get(), ["run", f"--{name}", word]
    read = with_words(config, ["run", "--config_file", "train.yaml", f"--{name}={word}"])
    assert ConfigParser(read)[name] == parsed and (parsed is None or type(ConfigParser(read)[name]) is type(parsed))
    assert with_words(config, command) is config, "another program"


def test_a_word_that_is_neither_true_nor_false_is_refused():
    config = {"optimizer": {"_target_": "torch.optim.Adam", "amsgrad": "flase"}}
    with pytest.raises(InputError, match="^--optimizer#amsgrad must be true or false, got 'flase'$"):
        with_words(config, ["--config_file", "train.yaml", "--optimizer#amsgrad", "flase"])


def test_every_setting_that_a_bundle_leaves_null_can_be_given_as_null():
    files = (ROOT / "bundles").glob("*/configs/*.yaml")
    empty = {name for file in files for name, value in yaml.safe_load(file.read_text()).items() if value is None}
    assert len(empty) > 15 and empty - {"pretrained", "imagenet"} <= OPTIONAL


def test_a_number_that_yaml_takes_for_a_text_is_explained():
    with pytest.raises(InputError, match=r"got '1e-3'; YAML reads it as text: write 0.001"):
        check_settings({"learning_rate": "1e-3"})
    with pytest.raises(InputError, match=r"got 'nan'$"):
        check_settings({"learning_rate": "nan"})


def test_a_name_without_a_check_passes():
    check_settings({"title": -1, "spacing": 1.0})


def test_a_device_that_is_not_there(monkeypatch):
    check_settings({"device": "cpu"})
    check_settings({"device": torch.device("cpu")})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for device in ("cuda:99", "gpu"):
        with pytest.raises(
            InputError, match=f"--device {device} cannot be used, because PyTorch sees no GPU here.*--device cpu"
        ):
            check_settings({"device": device})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"sees 2 CUDA devices \(cuda:0 to cuda:1\) here"):
        check_settings({"device": "cuda:99"})


@pytest.mark.parametrize(
    ("size", "features", "stride", "near"),
    [
        (65, [1] * 5, 1, 64),
        (224, [1] * 5, 1, None),
        (96, [1] * 4, 2, None),
        (104, [1] * 4, 2, 96),
        (4, [1] * 2, 1, None),
    ],
)
def test_images_fit_the_unet(size, features, stride, near):
    decoder = UNetDecoder(features, stride)
    settings = {"image_size": size, "parts": lambda: {"encoder": UNetEncoder(features, stem_stride=stride)}}
    check_settings(settings)
    settings["parts"] = lambda: {"decoder": decoder}
    if near is None:
        check_settings(settings)
        return
    multiple = stride * 2 ** (len(features) - 1)
    with pytest.raises(
        InputError,
        match=rf"^--image_size must be a multiple of {multiple} for UNetDecoder, got {size}; set it to {near}$",
    ):
        check_settings(settings)
    # images of any size, predicted in windows
    with pytest.raises(
        InputError, match=rf"^--window must be a multiple of {multiple} .* got {size}; set it to {near}$"
    ):
        check_settings(settings | {"image_size": multiple, "window": size})


@pytest.mark.parametrize(
    "encoder",
    [
        UNetEncoder((2, 2, 2, 2), stem_stride=2),
        AlexNetEncoder((2, 2, 2, 2, 2)),
        VggEncoder((2, 2, 2, 2, 2), (1, 1, 1, 1, 1)),
        DenseNetEncoder(4, 2, (1, 1, 1, 1)),
        ResidualEncoder((2, 2, 2), norm="instance", spatial_dims=2),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_the_smallest_image_of_an_encoder_is_the_smallest(encoder):
    side = encoder.smallest_side
    encoder(torch.rand(2, 1, side, side))
    with pytest.raises((RuntimeError, ValueError)):
        encoder(torch.rand(2, 1, side - 1, side - 1))


@pytest.mark.parametrize(
    ("encoder", "decoder", "count"),
    [
        (UNetEncoder((2, 2, 2), stem_stride=2), UNetDecoder((2, 2, 2), 2), 3),
        (ResidualEncoder((2, 2, 2), spatial_dims=2), ResidualDecoder((2, 2, 2), spatial_dims=2), 3),
        (AlexNetEncoder((2, 2, 2, 2, 2)), AlexNetDecoder((2, 2, 2, 2, 2)), 3),
    ],
)
def test_every_multiple_of_a_decoders_side_fits_and_half_of_it_does_not(encoder, decoder, count):
    step = decoder.side_multiple
    images = [torch.rand(2, 1, side, 4 * step) for side in (count * step, count * step + step // 2)]
    assert decoder(encoder(images[0])).shape[2:] == images[0].shape[2:]
    with pytest.raises((RuntimeError, ValueError)):
        decoder(encoder(images[1]))
    defaults = [inspect.signature(type(part)).parameters for part in (encoder, decoder)]
    assert all(
        defaults[0][name].default == defaults[1][name].default for name in defaults[0].keys() & defaults[1].keys()
    )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "pretext_cardiac_location",
            {"image_size": 7},
            "UNetEncoder needs images of at least 16 pixels a side, got 7; raise",
        ),
        (
            "downstream_retinopathy_grading",
            {"image_size": 7},
            "DenseNetEncoder needs images of at least 29 pixels a side, got 7; raise",
        ),
        (
            "downstream_retinopathy_grading",
            {"blocks": [1]},
            r"--blocks must be four numbers of layers, because a DenseNet has four blocks, got \[1\]",
        ),
        (
            "pretext_knee_orientation",
            {"image_size": 80},
            "--image_size must be a multiple of 32 .*, got 80; set it to 64",
        ),
        ("pretext_jigsaw", {"image_size": 9}, "UNetEncoder needs tiles of"),
        (
            "pretext_jigsaw knee.yaml",
            {"tile_size": 62},
            "AlexNetEncoder needs tiles of at least 63 pixels a side, got 62; raise --image_size or --tile_size",
        ),
        (
            "pretext_jigsaw 3d.yaml",
            {"image_size": 48, "norm": "instance"},
            "ResidualEncoder needs tiles of at least 17 pixels a side, got 1[0-6]; raise --image_size or --tile_size",
        ),
        (
            "pretext_relative_patch_location",
            {"image_size": 48, "norm": "instance"},
            "ResidualEncoder needs patches of at least 17 pixels a side, got 13; raise --image_size, or lower",
        ),
        (
            "pretext_contrastive_predictive_coding",
            {"image_size": 24, "norm": "instance"},
            "ResidualEncoder needs patches of at least 17 pixels .*; raise --image_size, or lower --patches_per_side",
        ),
    ],
)
def test_images_and_pieces_fit_a_bundles_network(name, settings, message):
    """Otherwise PyTorch would end the training with a traceback after all images have been read."""
    _refused(name, settings, message)


def _refused(name, settings, message):
    """Check that a bundle's settings pass, and that they are refused with these changes."""
    bundle, *overlays = name.split()
    configs = [str(ROOT / "bundles" / bundle / "configs" / file) for file in ("train.yaml", *overlays)]
    parser = ConfigParser(ConfigParser.load_config_files(configs))
    parser.update({"bundle_root": str(ROOT / "bundles" / bundle), "device": "cpu"})
    check_settings(evaluated_settings(parser))
    parser.update(settings)
    with pytest.raises(Exception) as caught:
        check_settings(evaluated_settings(parser))
    assert re.search(message, str(refusal(caught.value)))


def test_a_part_that_cannot_be_made_without_weights_is_left_for_the_run():
    parser = ConfigParser({"image_size": 8, "network_def": {"encoder": {"_target_": "torch.nn.Conv2d", "sides": 1}}})
    check_settings(evaluated_settings(parser))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "pretext_jigsaw",
            {"tiles_per_side": 2, "num_permutations": 25},
            "4 pieces have only 24 permutations, but 25 are requested; lower --num_permutations",
        ),
        ("pretext_jigsaw", {"image_size": 4}, "4 x 4 pixels is too small for 3 tiles a side .*raise --image_size"),
        ("pretext_masked_autoencoder", {"patch_size": 224}, "224 x 224 pixels is a single patch"),
        (
            "pretext_jigsaw 3d.yaml",
            {"image_size": 4},
            "4 x 4 x 4 pixels is too small for 3 tiles a side .*raise --image_size",
        ),
        ("pretext_jigsaw", {"permutation_file": "/absent.json"}, "there is no file of permutations at /absent.json"),
        (
            "pretext_relative_patch_location",
            {"patches_per_side": 2},
            "--patches_per_side must be odd and at least 3",
        ),
        (
            "pretext_relative_patch_location",
            {"image_size": 14},
            "14 x 14 x 14 voxels is too small for 3 patches a side .*raise --image_size",
        ),
        (
            "pretext_relative_patch_location",
            {"patch_jitter": -1},
            "--patch_jitter must be a whole number that is not negative",
        ),
        (
            "pretext_contrastive_predictive_coding",
            {"num_negatives": 10**6},
            "num_negatives must be at most .*, got 1000000; lower --num_negatives",
        ),
        (
            "pretext_contrastive_predictive_coding",
            {"rows_ahead": 99},
            "rows_ahead must be below .*, got 99; lower --rows_ahead",
        ),
        (
            "pretext_masked_autoencoder",
            {"patch_size": 20},
            r"an --image_size that is a multiple of 20 \(the nearest is 220\)",
        ),
    ],
)
def test_a_pretext_refuses_settings_that_do_not_fit_each_other(name, settings, message):
    _refused(name, settings, message)


@pytest.mark.parametrize("file", ["train.yaml", "inference.yaml"])
@pytest.mark.parametrize(
    ("bundle", "any_value"),
    [
        ("downstream_cardiac_sax_segmentation", False),
        ("downstream_cardiac_lax_segmentation", False),
        ("downstream_brain_tumour_segmentation", True),
        ("downstream_pancreas_segmentation", True),
    ],
)
def test_values_of_structures_are_the_networks_classes(bundle, any_value, file):
    """Without the check, PyTorch would end the training with an IndexError, unless the config renames the values."""
    folder = ROOT / "bundles" / bundle
    parser = ConfigParser(ConfigParser.load_config_files([str(folder / "configs" / file)]))
    parser.update({"bundle_root": str(folder), "device": "cpu"})
    for good in ({"1": "core", "2": "oedema"}, {"2": "oedema", "1": "core"}):
        parser.update({"structures": good})
        check_settings(evaluated_settings(parser))
    for values in ("1, 2, 4", "2, 3", "2"):
        parser.update({"structures": {value: f"structure {value}" for value in values.split(", ")}})
        if any_value:
            check_settings(evaluated_settings(parser))
            continue
        with pytest.raises(
            InputError, match=f"^--structures has the values {values}, but .* must be 1, 2, 3, .*label-map`"
        ):
            check_settings(evaluated_settings(parser))


def test_a_section_without_exams_cannot_be_scored(tmp_path):
    datalist = tmp_path / "d.json"
    datalist.write_text(json.dumps({"training": [{"image": "a"}], "test": []}))
    with pytest.raises(
        InputError, match=r"section test of .* nothing to score \(sections with exams: training\).*--section"
    ):
        check_settings({"section": "test", "datalist": str(datalist)})
    check_settings({"section": "all", "datalist": str(datalist)})
    # the settings of a run, as its configs give them: the folds fill the validation section, but not the test section
    folder = ROOT / "bundles/downstream_retinopathy_grading"
    parser = ConfigParser(
        ConfigParser.load_config_files([str(folder / f"configs/{name}.yaml") for name in ("train", "evaluate")])
    )
    parser.update({"bundle_root": str(folder), "device": "cpu", "datalist": str(datalist)})
    parser.update({"section": "validation", "fold": 0})
    check_settings(evaluated_settings(parser))
    for section, fold in (("validation", None), ("test", 0)):
        parser.update({"section": section, "fold": fold})
        with pytest.raises(InputError, match=f"section {section} of .* nothing to score"):
            check_settings(evaluated_settings(parser))


def test_views_are_those_of_the_training_exams(tmp_path):
    datalist = tmp_path / "datalist.json"
    items = [
        {"image": "a", "planes": {"2ch": PLANE}},
        {"image": "b", "planes": {"4ch": PLANE, "2ch": PLANE}},
        {"image": "c"},
    ]
    datalist.write_text(json.dumps({"training": items, "validation": [{"image": "d", "planes": {"9ch": PLANE}}]}))
    check_settings({"views": ["4ch", "2ch"], "datalist": datalist})
    with pytest.raises(InputError, match=r"no training exam has the view 9ch \(the exams have 2ch, 4ch\); .*--views"):
        check_settings({"views": ["2ch", "9ch"], "datalist": str(datalist)})
    # MONAI Label brings its own images; an empty section is reported when it is read
    check_settings({"views": ["9ch"], "datalist": str(tmp_path / "none.json")})
    datalist.write_text(json.dumps({"training": []}))
    check_settings({"views": ["9ch"], "datalist": datalist})


@pytest.mark.parametrize(("stack", "other"), [("sax", "4ch"), ("4ch", "sax")])
def test_lines_of_a_view_are_not_learned_in_its_own_images(stack, other, tmp_path):
    datalist = tmp_path / "datalist.json"
    items = [{"image": "a", "planes": {"2ch": PLANE, other: PLANE}}]
    datalist.write_text(json.dumps({"planewise": {"stack": stack}, "training": items}))
    check_settings({"views": ["2ch", other], "datalist": datalist})
    with pytest.raises(InputError, match=f"show the view {stack}, .*`planewise index FOLDER --view {other}`"):
        check_settings({"views": ["2ch", stack], "datalist": datalist})


def test_stacks_without_other_views_are_no_place_for_lines(tmp_path):
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps({"training": [{"image": "a", "planes": {}}, {"image": "b"}]}))
    with pytest.raises(
        InputError, match=r"no training exam has a plane of another view \(were the exams indexed with --anatomy any"
    ):
        check_settings({"views": ["2ch"], "datalist": datalist})


def test_locations_are_there_to_be_learned(tmp_path):
    """Otherwise every target would be masked, and the whole training would learn nothing."""
    datalist = tmp_path / "datalist.json"
    settings = {"mapping": "linear", "datalist": str(datalist)}
    datalist.write_text(json.dumps({"training": [{"image": "a"}, {"image": "b", "location": 0.0}]}))
    check_settings(settings)
    datalist.write_text(json.dumps({"training": [{"image": "a"}], "validation": [{"image": "b", "location": 0.5}]}))
    with pytest.raises(InputError, match="no training slice has a location"):
        check_settings(settings)
    check_settings({"datalist": str(datalist)})
    datalist.write_text(json.dumps({"training": []}))
    check_settings(settings)


def test_a_planned_runs_values_are_checked_once_their_expressions_are_evaluated(tmp_path):
    """Training accepts a list that refers to other settings, so a study's dry run must, too."""
    root = ROOT / "bundles/downstream_cardiac_sax_segmentation"
    (tmp_path / "mine.yaml").write_text("width: 24\nfeatures: ['@width', 48, 96, 192]\nzoom: [0.9, '$@width / 20']\n")
    files = [root / "configs/train.yaml", tmp_path / "mine.yaml"]
    check_planned_run(files, {}, root)
    check_planned_run(files, {"features": "['@width', 48]"}, root)
    with pytest.raises(InputError, match=r"--features must be .*, got \[-24, 48\]"):
        check_planned_run(files, {"features": "['$-@width', 48]"}, root)


@pytest.mark.parametrize(
    ("bundle", "good", "bad"),
    [
        ("downstream_cardiac_sax_segmentation", "multitask", "frozen_encoder"),
        ("downstream_cardiac_sax_segmentation", "$None", "$'frozen' + '_encoder'"),
        ("downstream_knee_injury_classification", "frozen_encoder", "nonsense"),
    ],
)
def test_a_planned_runs_transfer_is_a_known_word(bundle, good, bad):
    """Weights and datalists that it needs come with the study's command line."""
    root = ROOT / "bundles" / bundle
    check_planned_run([root / "configs/train.yaml"], {"transfer": good}, root)
    with pytest.raises(InputError, match="--transfer must be .*, got '(frozen_encoder|nonsense)'"):
        check_planned_run([root / "configs/train.yaml"], {"transfer": bad}, root)


def test_the_bundles_own_settings_pass():
    """Settings are checked as written; the bundles' own tests cover expressions."""
    seen = set()
    for path in (ROOT / "bundles").glob("*/configs/*.yaml"):
        config = yaml.safe_load(path.read_text())
        plain = {
            name: config[name] for name in CHECKS if name in config and not str(config[name]).startswith(("$", "@"))
        }
        check_settings(plain)
        seen |= plain.keys()
    assert seen == CHECKS.keys()


def test_an_example_in_a_message_can_be_typed_as_it_is():
    """MONAI reads the command line with Python Fire, which keeps [2ch, 4ch] as a text."""
    examples = {
        (quoted, holds) for holds, wanted in CHECKS.values() for quoted in re.findall(r'such as "([^"]+)"', wanted)
    }
    assert len(examples) > 1
    for quoted, holds in examples:
        assert holds(DefaultParseValue(quoted)), quoted


@pytest.mark.parametrize("component", ["optimizer", "lr_scheduler", "loss"])
def test_a_number_that_yaml_reads_as_text_is_refused_in_a_component(component):
    config = ConfigParser({component: {"_target_": "torch.optim.AdamW", "params": [{"lr": "1e-3"}]}})
    with pytest.raises(InputError, match=f"{component}#params#0#lr is '1e-3'; YAML reads it as text: write 0.001"):
        evaluated_settings(config)
