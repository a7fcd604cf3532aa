"""The methods that a study compares: the weights that each starts from, and their settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from planewise.errors import InputError

#: Word in place of a file of weights for the study's `imagenet`.
IMAGENET = "imagenet"
#: Values of `Method.masks`.
REFERENCE, PREDICTED = "reference", "predicted"


@dataclass(frozen=True)
class Method:
    """A way to start a fine-tuning; without a pretext and without weights it starts from scratch.

    Attributes:
        pretext: the pretext for pretraining.
        weights: absolute path of weights (a pretext's, or a public file that fits the network), or ``"imagenet"``.
        overlay: a config of the bundles, or the absolute path of a config, added to the study's configs in all trainings of
            the method; or a mapping from ``"pretrain"`` and ``"finetune"`` to one each.
        overrides: settings for ``"pretrain"`` and for ``"finetune"``, which replace those of the study.
        masks: ``"predicted"`` fine-tunes and scores with masks that the segmentation bundle predicts for all labelled
            exams. None uses the masks of the datalist; ``"reference"`` becomes None.
        images: ``"labelled"`` pretrains on the images of the labelled exams in the training section, without their labels.
            None pretrains on the unlabelled exams; ``"unlabelled"`` becomes None.
        label_counts: numbers of labelled exams, instead of the study's; with 0, ``weights`` are scored as they are.
        draws: draws, instead of the study's.
        trained_on: what the weights were trained on, for the study's page.
        name: its name on the page.
        against: the methods with which the page compares it; None compares it with training from scratch.
    """

    pretext: str | None = None
    weights: str | None = None
    overlay: str | Mapping[str, str] | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    masks: str | None = None
    images: str | None = None
    label_counts: Sequence[int] | None = None
    draws: Sequence[int] | None = None
    trained_on: str | None = None
    name: str | None = None
    against: Sequence[str] | None = None

    @property
    def pretrains(self) -> bool:
        """Whether the method pretrains with its own settings; otherwise it shares its pretext's network with others."""
        return self.pretext is not None and bool(
            self.overrides.get("pretrain") or self.overlay_of("pretrain") or self.images
        )

    @property
    def has_two_tasks(self) -> bool:
        """Whether the method continues to learn its pretext during fine-tuning."""
        return (self.overrides.get("finetune") or {}).get("transfer") == "multitask"

    @property
    def file(self) -> str | None:
        """The file of weights that the method starts from; None if there is none."""
        return None if self.weights == IMAGENET else self.weights

    @property
    def imagenet(self) -> bool:
        """Whether the method starts from ImageNet weights, directly or through its pretext, if the study has them."""
        return self.weights == IMAGENET or self.pretext is not None

    def overlay_of(self, kind: str) -> str | None:
        """The overlay for ``"pretrain"`` or for ``"finetune"``."""
        return self.overlay.get(kind) if isinstance(self.overlay, Mapping) else self.overlay

    def as_config(self) -> dict[str, Any]:
        """The method as an entry of a study's configuration."""
        return {entry.name: value for entry in fields(self) if (value := getattr(self, entry.name))}


def methods_of(config: Mapping[str, Any]) -> dict[str, Method]:
    """The methods of a study that can run, by name, without those of `left_out`; by default ``none`` and all pretexts.

    A word in a list, or a name without settings, must be ``none``, ``imagenet`` or one of the pretexts. Relative paths are
    relative to the working directory; an overlay is a path if it contains a slash. `study_settings` has checked the kinds of
    the values.

    Raises:
        InputError: a method cannot run with the given settings.
    """
    awaited = left_out(config)
    return {
        name: _method(str(name), settings or {}, config)
        for name, settings in _given(config).items()
        if name not in awaited
    }


def left_out(config: Mapping[str, Any]) -> list[str]:
    """Names of methods that the config marks as waiting for their file of weights: ``weights: null``, or ``imagenet`` if
    the study has ``imagenet: null``. Configs of a paper's tables contain such methods, so that a user only has to fill in
    the paths of the files."""
    found = []
    for name, settings in _given(config).items():
        settings = settings or ({"weights": IMAGENET} if name == IMAGENET else {})
        weights = settings.get("weights", name)
        no_imagenet = "imagenet" in config and not config["imagenet"]
        if weights is None or (weights == IMAGENET and no_imagenet):
            found.append(name)
    return found


def starts_of(methods: Mapping[str, Method]) -> dict[str, str | None]:
    """The folder in ``pretrain`` that each method starts from; None for a method without a pretext.

    The folder has the name of the pretext, or of the method if it pretrains with its own settings. Methods that pretrain
    with equal settings share the folder of the first of them.
    """
    first: dict[str, str] = {}
    starts: dict[str, str | None] = {}
    for name, method in methods.items():
        settings = [
            method.pretext,
            method.overlay_of("pretrain"),
            method.overrides.get("pretrain") or {},
            method.images,
        ]
        same = json.dumps(settings, sort_keys=True, default=str)
        starts[name] = first.setdefault(same, name) if method.pretrains else method.pretext
    return starts


def pretrainings_of(config: Mapping[str, Any], methods: Mapping[str, Method]) -> dict[str, Method]:
    """The pretrainings of a study, by folder: one for each pretext, and one for each method with its own settings, unless
    the method shares the folder of another (`starts_of`)."""
    starts = starts_of(methods)
    own = {name: method for name, method in methods.items() if method.pretrains and starts[name] == name}
    return {pretext: Method(pretext=pretext) for pretext in config["pretexts"]} | own


def _given(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of all methods in a config, by name."""
    given = config.get("methods") or ["none", *config["pretexts"]]
    return given if isinstance(given, Mapping) else dict.fromkeys(given)


def _method(name: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Method:
    pretexts = list(config["pretexts"])
    known = f"is not one of the pretexts ({', '.join(pretexts)}); add it there"
    given = {key: value for key, value in given.items() if value and value not in (REFERENCE, "unlabelled")}
    on_page = {key: given.pop(key) for key in ("name", "against") if key in given}
    words = {"none": {}, IMAGENET: {"weights": IMAGENET}, **{pretext: {"pretext": pretext} for pretext in pretexts}}
    if not given and name not in words:
        start = f"`{name}: {{pretext: ..}}` or `{name}: {{weights: ..}}`"
        raise InputError(f"methods: {name} {known}, or specify what it starts from: {start}")
    method = Method(**(given or words[name]), **on_page)
    file = None if method.file is None else _absolute(method.file)
    key = "weights" if name == IMAGENET else "pretext"
    has_pretext, pretrain = method.pretext is not None, method.overrides.get("pretrain")
    checks = (
        (
            name in (*pretexts, IMAGENET) and not (has_pretext or method.weights),
            f"has settings of its own but no `{key}`, so it would start from scratch; add `{key}: {name}`, or give it "
            "another name",
        ),
        (has_pretext and method.weights, "starts from both a pretext and weights; give one of them"),
        (pretrain and not has_pretext, "overrides pretrain but has no pretext; give `pretext: ..`"),
        (method.images and not has_pretext, "has images but has no pretext; give `pretext: ..`"),
        (
            file is None and 0 in map(int, method.label_counts or ()),
            "has nothing to score with 0 labelled exams; give the task's `weights: PATH`",
        ),
        (method.has_two_tasks and not has_pretext, "continues to learn a pretext but has none; give `pretext: ..`"),
        (method.pretrains and name in pretexts, "pretrains with its own settings; give it a name that no pretext has"),
        (
            has_pretext and not method.pretrains and method.pretext not in pretexts,
            f"needs {method.pretext}, which {known}",
        ),
        (
            method.weights == IMAGENET and not config.get("imagenet"),
            "needs ImageNet's weights; give `imagenet: PATH` or leave the method out",
        ),
        (file is not None and not Path(file).exists(), f"starts from {file}, which does not exist"),
        (not {*(method.against or ())} <= {*_given(config)}, "is compared with a method that the study lacks"),
    )
    for wrong, message in checks:
        if wrong:
            raise InputError(f"methods: {name} {message}")
    overlay = method.overlay
    by_kind = isinstance(overlay, Mapping)
    overlay = {kind: found_overlay(each) for kind, each in overlay.items()} if by_kind else found_overlay(overlay)
    return replace(method, weights=file or method.weights, overlay=overlay)


def found_overlay(file: str | None) -> str | None:
    """An overlay for a study that runs in another folder: its absolute path, if it contains a slash."""
    return _absolute(file) if "/" in (file or "") else file


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())
