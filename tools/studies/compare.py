"""Plan a study for `planewise compare`: which pretext helps most on the user's own images, with the available labels?"""

from __future__ import annotations

import copy
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import planewise
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.data import absolute_datalist, checked_masks, gather_stacks, load_datalist, read_datalist
from planewise.engines.run_bundle import follow_pretrained
from planewise.errors import InputError, refusal, refuse_missing
from planewise.exams import write_datalist
from planewise.exams.division import split_stratified
from planewise.files.datalists import LABELS, SECTIONS, exams_in
from planewise.files.text import read_json, read_yaml
from planewise.preprocessing import LoadVolumed
from planewise.words import count_of, did_you_mean, listed, nearest
from planewise.workshop.study.shared_patients import seen_before, shared_patients

from tools.benchmarks import training_cost
from tools.studies.methods import found_overlay
from tools.studies.pretext_bundles import bundle_of, overlays_of, pretexts_of
from tools.studies.study_settings import wrong_settings

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
#: The small study on phantoms that serves as template for each anatomy.
TEMPLATES = {"cardiac": "comparison", "knee": "knee-comparison", "photograph": "retinopathy", "volume": "volumes"}
#: Anatomies whose exams have a class, and the smallest number of exams that can contain two classes.
_CLASSES = {"knee": 2, "photograph": 2}
#: Number of times that the labelled exams are drawn; one draw gives no verdict.
_DRAWS = 3
#: The target for volumes with one channel; volumes with several channels use the template's target.
_ONE_CHANNEL = "downstream_pancreas_segmentation"
#: Keys that a study takes from its template; the rest follows from the data.
_TAKEN = ("anatomy", "pretext_bundle", "target", "overrides")
#: Pretexts that are tried first if the images are suitable.
_FIRST = ("multitask", "relative_patch_location", "rotation", "exemplar", "simclr", "models_genesis")
#: Shares of training, validation and test exams when a folder is split. Few labelled exams are needed for training, but more
#: for testing, to distinguish methods.
SPLITS = {"unlabelled": (0.7, 0.15, 0.15), "labelled": (0.5, 0.2, 0.3)}
#: Words of ``--starts`` that are no pretexts: random weights (in a study's config ``none``), the weights that ship, and all
#: pretexts that suit the images.
WORDS = SCRATCH, OURS, ALL = "scratch", "ours", "all"


def starts_in(text: str) -> dict[str, dict[str, Any]]:
    """The starts that ``--starts`` names, as methods of a study: a word (``scratch``, ``ours`` or a pretext) has no settings;
    ``NAME=PATH`` has weights, and ``NAME=PATH:OVERLAY.yaml`` also the config of its network.

    Raises:
        InputError: a name is not lower-case letters, digits and underscores, or there is no such path.
    """
    found: dict[str, dict[str, Any]] = {}
    for word in filter(None, map(str.strip, text.split(","))):
        name, given, path = word.partition("=")
        if not re.fullmatch("[a-z][a-z0-9_]*", name) or (given and name in (*WORDS, "none", "released")):
            raise InputError(
                f"--starts {word}: {name} cannot be a name; use lower-case letters, digits and underscores"
            )
        path, _, overlay = path.rpartition(":") if path.endswith(".yaml") else (path, "", "")
        if given:
            file = Path(path).expanduser().absolute()
            refuse_missing(file, f"--starts {name}=PATH needs a file of weights, or the folder of a run or bundle")
            found[name] = {"weights": str(file)} | (
                {"overlay": {"finetune": found_overlay(overlay)}} if overlay else {}
            )
        else:
            found[name] = {}
    return found


def refuse_early(anatomy: str, starts: Mapping[str, Any] | None) -> None:
    """Raise an `InputError` if there is no such anatomy or pretext, before folders are indexed, which may take long."""
    if anatomy not in TEMPLATES:
        raise InputError(f"--anatomy {anatomy}: choose {', '.join(sorted(TEMPLATES))}")
    known = {name for one in TEMPLATES for name in pretexts_of(template_of(one)["pretext_bundle"], BUNDLES)} | {*WORDS}
    if unknown := [name for name, settings in (starts or {}).items() if not settings and name not in known]:
        spelt = listed(f"{name}{did_you_mean(nearest(name, sorted(known)))}" for name in unknown)
        raise InputError(f"--starts: there is no pretext {spelt}; choose among {', '.join(sorted(known))}")


def indexed(given: Path, out: Path, name: str, **options: Any) -> Path:
    """The path of a datalist: the given one, or one called ``name`` that is made by indexing the given folder with the
    options of `planewise.index`; what was found and what was left out is printed. If there already is a study, its datalist
    is kept, because a newer one would train everything again.

    Raises:
        InputError: labels are given for a datalist, which has its own.
    """
    # a subfolder, because the study's own folder is for datalists of phantoms
    file = out / "datalists" / f"{name}.json"
    if given.suffix == ".json":
        if options.get("labels_dir") or options.get("classes"):
            raise InputError(
                f"{given} is a datalist, so --labels and --classes have no effect; give them to `planewise index`, or name "
                f"the folder of the exams instead of {given.name}"
            )
        return given
    if file.exists() and (out / "study.yaml").exists():
        print(f"{name}: {file} is kept, because the study has it; delete it to index {given} again")
        return file
    found = planewise.index(given, split=SPLITS[name], **options)
    # exams are few, so a hash could leave a section empty; the folders of a data set keep their sections
    if found.division["kind"] in ("hash", "groups") or not all(map(found.datalist.get, SECTIONS)):
        divided = divide_exactly(found.datalist, SPLITS[name], name == "labelled")
        print(f"{name}: its {divided} patients{' with labels' * (name == 'labelled')} are split by exact shares")
        found.warnings[:] = [each for each in found.warnings if "sections" not in dict(each.values)]
    file.parent.mkdir(parents=True, exist_ok=True)
    found.write(file)
    labels = [f"{labelled_in(found.datalist, section)} {section}" for section in SECTIONS]
    with_labels = f"; labelled exams: {', '.join(labels)}" if name == "labelled" else ""
    print(f"{name}: {len(found.datalist['exams'])} exams in {given}{with_labels}")
    for reason, (number, example) in found.skipped.items():
        print(f"  left out: {count_of(number, 'file')}, {reason}, for example {example}")
    for line in (*found.warnings, *(f"{which}: {why}" for which, why in found.unmatched)):
        print(f"  {line}")
    return file


def divide_exactly(datalist: dict[str, Any], shares: Sequence[float], labelled: bool) -> int:
    """Divide the patients of a datalist by exact shares, stratified by their classes; each section gets at least one.

    Args:
        datalist: content of a datalist, which is changed; one with fewer than three patients stays as it is.
        shares: shares of training, validation and test.
        labelled: whether to divide only patients with labels; all others are then in the training section.

    Returns:
        The number of patients that were divided.
    """
    anatomy = datalist["planewise"]["anatomy"]
    keys = LABELS[anatomy] if labelled else ("image",)
    items = list({id(item): item for section in SECTIONS for item in datalist[section]}.values())
    groups = {item["patient"]: "" for item in items if set(keys) & set(item)}
    groups = dict(sorted(groups.items()))
    if len(groups) < len(SECTIONS):
        return 0
    for item in items if labelled and anatomy in _CLASSES else ():
        if item["patient"] in groups:
            groups[item["patient"]] = ", ".join(str(item.get(key)) for key in keys)
    few = [max(1, round(share * len(groups))) for share in shares[1:]]
    sections = split_stratified(groups, (max(1, len(groups) - sum(few)), *few), 0)
    for section in SECTIONS:
        datalist[section] = [item for item in items if sections.get(item["patient"], "training") == section]
    for exam in datalist["exams"].values():
        exam["section"] = sections.get(exam["patient"], "training")
    return len(groups)


def keep_apart(unlabelled: Path, labelled: Path, out: Path) -> None:
    """Keep the patients of the task's validation and test exams out of the training section of the unlabelled images, so
    that no pretext learns from them. Only a datalist that `indexed` made in the study's folder ``out`` is changed, and only
    before the study starts; otherwise, a warning is printed."""
    ours = unlabelled.parent == out / "datalists"
    if not ours or (out / "logs").exists():
        if seen := seen_before(unlabelled, labelled):
            cure = "name another folder with -o" if ours else f"name their folder instead of {unlabelled.name}"
            print(f"{seen}, so pretexts learn from test images, and gains may be too large. To keep them apart, {cure}")
        return
    found = shared_patients(unlabelled, labelled)
    if not found:
        return
    images = absolute_datalist(unlabelled)
    items = [(section, item) for section in SECTIONS for item in images[section]]
    moved = {name: [item for old, item in items if found.get(item["patient"], old) == name] for name in SECTIONS}
    are = "is" if len(found) == 1 else "are"
    both = f"unlabelled: {count_of(len(found), 'patient')} {are} also among the labelled images"
    print(f"{both}, and in the same section as there")
    if any(moved[section] != images[section] for section in SECTIONS):
        for exam in images["exams"].values():
            exam["section"] = found.get(exam["patient"], exam["section"])
        write_datalist(images | moved, unlabelled)


def read(datalist: Path) -> Mapping[str, Any]:
    """Read a datalist of `planewise index`; an `InputError` refuses other files."""
    content = read_datalist(datalist)
    if not content.get("planewise"):
        raise InputError(f"{datalist} is not a datalist of `planewise index`; name one, or a folder of exams")
    return content


def template_of(anatomy: str) -> Mapping[str, Any]:
    """The small study on phantoms that serves as template for an anatomy."""
    return yaml.safe_load((ROOT / "tools/studies/configs" / f"{TEMPLATES[anatomy]}.yaml").read_text())


def labelled_in(content: Mapping[str, Any], section: str) -> int:
    """Number of exams with labels in a datalist's section, from which a study draws. A patient may have several."""
    return exams_in(content, section, labelled=True, keys=LABELS[content["planewise"]["anatomy"]])


def fitting(unlabelled: Mapping[str, Any], pattern: str) -> list[str]:
    """The pretexts of a ``pretext_bundle`` that can learn from a datalist, and whose encoder is of the task's kind; those
    that need planes are included only if exams have these planes."""
    anatomy = unlabelled["planewise"]["anatomy"]
    study = {"anatomy": anatomy, "overrides": {}}
    encoder = _encoder(_config(template_of(anatomy)["target"]["bundle"], study, "finetune"))
    views = unlabelled["planewise"].get("views") or []
    planes = any(set(views) <= set(item.get("planes") or ()) for item in unlabelled["training"]) if views else False
    found = []
    for pretext in pretexts_of(pattern, BUNDLES):
        config = _config(bundle_of(pretext, pattern, BUNDLES), study, "pretrain")
        # the pretext on positions in the 4ch view learns from another stack, which other views cut
        suited = planes and set(config["views"]) <= set(views) if "missing_planes" in config else True
        if suited and _encoder(config) == encoder:
            found.append(pretext)
    return sorted(found, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))


def structures_in(datalist: Path) -> dict[str, str]:
    """A name for each value of a datalist's masks except 0, by the value as text: ``{"1": "structure 1"}``; people may write
    better ones into the study.

    Raises:
        InputError: no mask can be read, or all masks are empty.
    """
    load, values = LoadVolumed("label"), set()
    for item in (item for section in SECTIONS for item in gather_stacks(load_datalist(datalist, section))):
        with suppress(InputError):  # training leaves such a case out and reports it
            values |= {int(value) for value in torch.unique(load(item)["label"])} if "label" in item else set()
    if not values - {0}:
        raise InputError(f"no mask of {datalist} can be read and contains a structure")
    return {str(value): f"structure {value}" for value in sorted(values - {0})}


def volume_settings(unlabelled: Path, labelled: Path) -> tuple[str | None, dict[str, dict[str, Any]]]:
    """The settings of a study that follow from the channels and masks of volumes: the target's bundle (None means the
    template's), and the settings of ``"pretrain"`` and ``"finetune"``.

    Raises:
        InputError: the number of channels of the labelled volumes is not a multiple of that of the unlabelled volumes, or
            the masks are empty.
    """
    named = [read(datalist)["planewise"].get("channels") or ["one"] for datalist in (unlabelled, labelled)]
    had, have = map(len, named)
    if have % had:
        raise InputError(
            f"{labelled} has volumes of {count_of(have, 'channel')}, {unlabelled} of {had}; the first number must be a "
            "multiple of the second; index again with --channels"
        )
    structures = structures_in(labelled)
    bundles = [template_of("volume")["target"]["bundle"], _ONE_CHANNEL]
    target, of_one = (ConfigParser.load_config_file(str(BUNDLES / bundle / "configs/train.yaml")) for bundle in bundles)
    settings: dict[str, Any] = {"in_channels": have}
    if named[1] != target["channels"] or not structures.keys() <= target["structures"].keys():
        settings |= {"structures": structures, "regions": {}}
    # training from scratch and pretexts see volumes in one orientation
    pretrain = {"in_channels": had, "axcodes": (of_one if have == 1 else target)["axcodes"]}
    return _ONE_CHANNEL if have == 1 else None, {"pretrain": pretrain, "finetune": settings}


def study_of(
    unlabelled: Path,
    labelled: Path,
    out: Path,
    device: str = "cpu",
    starts: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The config of a study that compares training from scratch, the weights that ship and the chosen pretexts, with several
    numbers of labels.

    Args:
        unlabelled, labelled: datalists.
        out: folder of the study's results.
        device: ``"cuda:0"`` for networks of the papers' size, or ``"cpu"`` for a small network.
        starts: what to compare with training from scratch, from `starts_in`; None takes the weights that ship and the first
            three pretexts that fit. With ``ours``, all networks have the size of the weights that ship, on a GPU, too.

    Raises:
        InputError: the datalists do not match each other or the task, or an option does not match the data.
    """
    images, labels = read(unlabelled), read(labelled)
    anatomy = labels["planewise"].get("anatomy")
    if anatomy not in TEMPLATES:
        raise InputError(
            f"{labelled} has the anatomy {anatomy}; compare supports {listed(sorted(TEMPLATES))}. For other images write a "
            "study as in tools/docs/studies.md"
        )
    if images["planewise"].get("anatomy") != anatomy:
        raise InputError(
            f"{unlabelled} has the anatomy {images['planewise'].get('anatomy')}, {labelled} has {anatomy}; index both with "
            "the same --anatomy"
        )
    template = template_of(anatomy)
    study = {key: template[key] for key in _TAKEN if key in template}
    have = {section: labelled_in(labels, section) for section in SECTIONS}
    _refuse_empty_sections(unlabelled, images, labelled, have)
    suited = fitting(images, study["pretext_bundle"])
    if starts is not None and ALL in starts:
        starts = {name: {} for name in suited} | {name: settings for name, settings in starts.items() if name != ALL}
    chosen = _chosen(starts, suited, unlabelled)
    numbers = _numbers(have["training"], _CLASSES.get(anatomy, 1), labelled)
    if anatomy == "cardiac":  # the fine-tuning would refuse these masks, but only after all pretexts
        structures = _config(study["target"]["bundle"], study | {"overrides": {}}, "finetune")["structures"]
        try:
            checked_masks([item for section in SECTIONS for item in load_datalist(labelled, section)], structures, True)
        except InputError as error:
            raise InputError(f"{labelled}: {error}") from error
    target, settled = volume_settings(unlabelled, labelled) if anatomy == "volume" else (None, {})
    if target:
        study["target"] = {"bundle": target}
    small = device == "cpu" or OURS in (starts or {})
    overrides, released = _network_size(study, small)
    if device != "cpu":
        overrides = {kind: {"amp": True} | settings for kind, settings in overrides.items()}
    overrides |= {kind: overrides.get(kind, {}) | settings for kind, settings in settled.items()}
    made = {
        "title": "own images",
        "out": str(out),
        "seed": 0,
        "device": device,
        "threads": 1 if device == "cpu" else 8,
        **({"overlay": "demo.yaml"} if small else {}),
        **study,
        "datalists": {"unlabelled": str(unlabelled.resolve()), "labelled": str(labelled.resolve())},
        "pretexts": chosen,
        "methods": {"none": None} | released | dict.fromkeys(chosen),
        "label_counts": numbers,
        "draws": list(range(_DRAWS)),
        "overrides": overrides,
    }
    return made if starts is None else made | {"methods": _methods_of(starts, made, released)}


def _methods_of(
    starts: Mapping[str, Mapping[str, Any]], study: Mapping[str, Any], released: Mapping[str, Any]
) -> dict[str, Any]:
    """The methods of a study for ``--starts``. Weights of another network than the study's get a control: that network, from
    scratch (``none_NAME``).

    Raises:
        InputError: no weights ship for these images, or weights do not fit the network of the task.
    """
    methods: dict[str, Any] = {"none": None}
    for name, settings in starts.items():
        if name == OURS:
            if not released:
                raise InputError(f"--starts {OURS}: no weights ship for {study['anatomy']} images; leave it out")
            task = BUNDLES / study["target"]["bundle"] / "models/model.pt"
            methods |= released | ({"released_task": {"weights": str(task)}} if task.is_file() else {})
        elif name != SCRATCH:
            methods[name] = dict(settings) or None
    begun = [name for name in methods if name != "none"]
    for name in [name for name in begun if methods[name]]:
        method, changed = _with_network(name, methods[name], study)
        if changed or "overlay" in method:
            # the study's settings replace those of an overlay, but the network is the overlay's
            network = {"overlay": method["overlay"]} if "overlay" in method else {}
            network |= {"overrides": {"finetune": changed}} if changed else {}
            scratch = {"name": f"from scratch, the network of {name}"} | copy.deepcopy(network)
            methods |= {name: method | network | {"against": ["none", f"none_{name}"]}, f"none_{name}": scratch}
    for number, name in enumerate(begun):  # which of two starts is better
        method = methods[name] or {}
        methods[name] = method | {"against": [*method.get("against", ["none"]), *begun[:number]]}
    return methods


def _with_network(name: str, method: dict[str, Any], study: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A start with the config of its network, and its settings (`_loaded`). If it names none, and does not fit the study's
    network, the first of the task's own configs of networks that it fits is taken."""
    folder = BUNDLES / study["target"]["bundle"] / "configs"
    own = [path.name for path in sorted(folder.glob("*.yaml")) if "network_def#encoder" in read_yaml(path)]
    tried = [method] if "overlay" in method else [method, *(method | {"overlay": {"finetune": file}} for file in own)]
    refused: list[InputError] = []
    for each in tried:
        try:
            return each, _loaded(name, each, study)
        except InputError as error:
            refused.append(error)
    raise refused[0]


def _loaded(name: str, method: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    """Load the weights of a start as its trainings will, print what fits, and return the settings of its overlay, or of the
    run of these weights, that replace the study's.

    Raises:
        InputError: the weights do not fit the network, or there is no such overlay.
    """
    bundle, overlay = study["target"]["bundle"], method.get("overlay", {}).get("finetune")
    given, own = study["overrides"]["finetune"], {}
    if overlay:
        file = BUNDLES / bundle / "configs" / overlay
        refuse_missing(file, "an overlay is a config of the task, or has a slash in its path")
        own = {key: value for key, value in read_yaml(file).items() if key in given}
    config = _config(bundle, {**study, "overrides": {"finetune": given | own}}, "finetune", overlay)
    config.update({"pretrained": method["weights"], "datalist": study["datalists"]["labelled"], "device": "cpu"})
    said, log = logging.StreamHandler(sys.stdout), logging.getLogger("planewise.networks.pretrained")
    said.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    log.addHandler(said)
    log.setLevel(logging.INFO)
    try:
        own |= follow_pretrained(config)
        config.get_parsed_content("imports")
        encoder = config.get_parsed_content("network_def").encoder
        before = copy.deepcopy(encoder.state_dict())
        config.get_parsed_content("network")
        if all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items()):
            raise InputError("of these weights, only a head fits, and nothing of the encoder")
    except (InputError, RuntimeError) as error:  # MONAI wraps errors
        raise InputError(
            f"--starts {name}: {refusal(error) or error}. If these are weights of another network, add its config: "
            f"{name}=PATH:FILE.yaml"
        ) from error
    finally:
        log.removeHandler(said)
    return own


def _refuse_empty_sections(
    unlabelled: Path, images: Mapping[str, Any], labelled: Path, have: Mapping[str, int]
) -> None:
    """Stop if a section has no labelled exams (``have``), or no unlabelled ones (``images``)."""
    if lacking := [section for section, number in have.items() if not number]:
        raise InputError(
            f"{labelled} has no labels for {listed(lacking)}; each section needs labelled exams. Give the folder of at least "
            "three patients' masks (--labels) or a table of their classes (--classes)"
        )
    if empty := [section for section in have if not images.get(section)]:
        raise InputError(
            f"{unlabelled} has no exams for {listed(empty)}; pretexts are validated and tested, too: index more exams"
        )


def _chosen(starts: Mapping[str, Mapping[str, Any]] | None, suited: Sequence[str], unlabelled: Path) -> list[str]:
    """The pretexts of a study, of those that suit the images."""
    if starts is None:
        return list(suited[:3])
    chosen = [name for name, settings in starts.items() if not settings and name not in WORDS]
    if unknown := [name for name in chosen if name not in suited]:
        raise InputError(
            f"{listed(unknown)}: no pretext of that name can learn from {unlabelled} for this task (it needs planes that the "
            f"exams lack, or takes no such images); choose among {', '.join(suited)}"
        )
    return chosen


def _numbers(most: int, least: int, labelled: Path) -> list[int]:
    """The numbers of labelled exams: 1, 4, 16 and so on, of which there are ``most``. Exams that have a class begin with 4,
    because nothing can be learned from fewer than ``least``."""
    if most < least:
        raise InputError(
            f"{labelled} has {count_of(most, 'labelled training exam')}, but a class can be learned only from at least "
            f"{least}; label more exams"
        )
    return [4**power for power in range(8) if least <= 4**power <= most] or [most]


def _network_size(study: Mapping[str, Any], small: bool) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """The overrides that set the size of all networks, and the method ``released``, if weights of that size ship."""
    if not small:
        return {"pretrain": {}, "finetune": {}}, {}
    given = study.get("overrides") or {}
    # a template has null for settings that were introduced after it was measured
    overrides = {
        kind: {key: value for key, value in (given.get(kind) or {}).items() if value is not None}
        for kind in ("pretrain", "finetune")
    }
    bundle = BUNDLES / bundle_of("multitask", study["pretext_bundle"], BUNDLES)
    if not (bundle / "models/model.pt").is_file():
        return overrides, {}
    # all methods use the network size of the weights that ship
    shipped = ConfigParser.load_config_file(str(bundle / "configs/inference.yaml"))
    for kind in overrides:
        overrides[kind] |= {"features": list(shipped["features"]), "spacing": shipped["spacing"]}
    # the field of view in demo.yaml fits the spacing there, not the shipped one
    task = ConfigParser.load_config_file(str(BUNDLES / study["target"]["bundle"] / "configs/train.yaml"))
    if "field_without_spacing" in task:
        overrides["finetune"]["field_without_spacing"] = task["field_without_spacing"]
    return overrides, {"released": {"weights": str(bundle / "models/model.pt")}}


def write(study: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    """Write a study's config, which people may edit; a file that is already there is kept. Returns the study in the file.

    Raises:
        InputError: the file cannot be read, or is not a study (`study_settings`).
    """
    if file.exists() or file.is_symlink():
        there = read_yaml(file, "a study")
        if wrong := wrong_settings(there or {}):
            raise InputError(f"{file} is not a study ({'; '.join(wrong)}); correct it, or delete it to start again")
        print(f"{file} is kept as it is; edit it, or delete it to write it again")
        methods = there.get("methods") or ["none", *there["pretexts"]]
        return {**there, "methods": methods if isinstance(methods, dict) else dict.fromkeys(methods)}
    file.parent.mkdir(parents=True, exist_ok=True)
    head = (
        "# Written by `planewise compare`. Change what you like (tools/docs/studies.md), then run\n"
        f"#   tools/demo --configfile {file}\n"
    )
    file.write_text(head + yaml.safe_dump(dict(study), sort_keys=False, width=120))
    return study


def _config(bundle: str, study: Mapping[str, Any], kind: str, overlay: str | None = None) -> ConfigParser:
    """A bundle's config as a study runs it; ``kind`` is ``"pretrain"`` or ``"finetune"``, ``overlay`` a method's."""
    overlays = overlays_of(bundle, study.get("anatomy", ""), study.get("overlay"), BUNDLES)
    overlays += [overlay] if overlay else []
    return training_cost.settings(bundle, ("train.yaml", *overlays), study["overrides"].get(kind))


def _encoder(config: ConfigParser) -> tuple[str, int]:
    """The class of an encoder and its dimensions; weights move only between encoders that have both in common."""
    return config["network_def"]["encoder"]["_target_"], config.get("spatial_dims", 2)


def task_of(study: Mapping[str, Any]) -> str:
    """What a study's target predicts, in words."""
    bundle = study["target"]["bundle"]
    return f"{read_json(BUNDLES / bundle / 'configs/metadata.json')['task'].rstrip('.')} ({bundle})"


def trainings(study: Mapping[str, Any]) -> int:
    """Number of a study's trainings."""
    return len(study["pretexts"]) + len(study["methods"]) * len(study["label_counts"]) * len(study["draws"])


def device() -> str:
    """The device that a study trains on: a GPU if there is one."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"
