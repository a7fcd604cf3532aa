"""The methods that a study compares: what each starts from, and how its trainings differ from the study's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from planewise.errors import InputError

#: In place of a file of weights: the study's `imagenet`.
IMAGENET = "imagenet"
#: What `Method.networks` may be.
SHARED, ONE_PER_FINDING = "shared", "one_per_finding"
#: What `Method.masks` may be.
REFERENCE, PREDICTED = "reference", "predicted"
#: The setting `transfer` of a fine-tuning that goes on learning its pretext.
MULTITASK = "multitask"


@dataclass(frozen=True)
class Method:
    """A way to start a fine-tuning; without a pretext and without weights it starts from scratch.

    Attributes:
        pretext: the pretext that it is pretrained by.
        weights: an absolute path of weights, a pretext's or a public file that fits the network, or ``"imagenet"``.
        overlay: a config of the bundles, or the absolute path of one, over the study's in all its trainings; or
            ``"pretrain"`` and ``"finetune"`` to one each.
        overrides: ``"pretrain"`` and ``"finetune"`` to settings, over the study's.
        networks: ``"one_per_finding"`` fine-tunes a network for each finding of the target's ``tasks``; None, which
            ``"shared"`` becomes, one for all.
        masks: ``"predicted"`` fine-tunes and scores with masks that the segmentation bundle predicts for all labelled
            exams, instead of those of the datalist; None, which ``"reference"`` becomes, with the datalist's.
    """

    pretext: str | None = None
    weights: str | None = None
    overlay: str | Mapping[str, str] | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    networks: str | None = None
    masks: str | None = None

    @property
    def pretrains(self) -> bool:
        """Whether it pretrains with settings of its own; else it shares its pretext's network with others."""
        return self.pretext is not None and bool(self.overrides.get("pretrain") or self.overlay_of("pretrain"))

    @property
    def has_two_tasks(self) -> bool:
        """Whether it goes on learning its pretext while it is fine-tuned."""
        return self.overrides.get("finetune", {}).get("transfer") == MULTITASK

    @property
    def file(self) -> str | None:
        """The file of weights that it starts from."""
        return None if self.weights == IMAGENET else self.weights

    @property
    def imagenet(self) -> bool:
        """Whether it starts from ImageNet's weights, where the study has them: alone, or through its pretext."""
        return self.weights == IMAGENET or self.pretext is not None

    def overlay_of(self, kind: str) -> str | None:
        """Its overlay in ``"pretrain"`` or in ``"finetune"``."""
        return self.overlay.get(kind) if isinstance(self.overlay, Mapping) else self.overlay

    def as_config(self) -> dict[str, Any]:
        """As a study's configuration would say it."""
        return {entry.name: value for entry in fields(self) if (value := getattr(self, entry.name))}


def methods_of(config: Mapping[str, Any]) -> dict[str, Method]:
    """The methods of a study that can be run, by name; those of `left_out` are not among them.

    A word of a list, or a name with nothing after it, is ``none``, ``imagenet`` or one of the pretexts. Relative paths are
    those of the working directory; an overlay is a path if it has a slash.

    Args:
        config: config of the study: ``pretexts``, ``imagenet`` and ``methods``, all pretexts and ``none`` if not given.

    Raises:
        InputError: a method cannot be run as it is given.
    """
    awaited = left_out(config)
    return {
        name: _method(str(name), settings or {}, config)
        for name, settings in _given(config).items()
        if name not in awaited
    }


def left_out(config: Mapping[str, Any]) -> list[str]:
    """Names of methods whose file of weights is not there yet, as the config says: ``weights: null``, or ``imagenet`` where
    the study has ``imagenet: null``.

    Tables of a paper hold them, and whoever runs a study says in one place where the files lie.
    """
    found = []
    for name, settings in _given(config).items():
        settings = settings or ({"weights": IMAGENET} if name == IMAGENET else {})
        weights = settings.get("weights", name)
        no_imagenet = "imagenet" in config and not config["imagenet"]
        if weights is None or (weights == IMAGENET and no_imagenet):
            found.append(name)
    return found


def starts_of(methods: Mapping[str, Method]) -> dict[str, str | None]:
    """The folder in ``pretrain`` that each method starts from; None without a pretext.

    It is the pretext's, or with settings of its own the method's. Methods that pretrain with equal settings share the folder
    of the first of them.
    """
    first: dict[str, str] = {}
    return {
        name: first.setdefault(_pretraining(method), name) if method.pretrains else method.pretext
        for name, method in methods.items()
    }


def pretrainings_of(config: Mapping[str, Any], methods: Mapping[str, Method]) -> dict[str, Method]:
    """The pretrainings of a study, by folder: its pretexts, and those with settings of their own, which several methods may
    share (`starts_of`)."""
    starts = starts_of(methods)
    own = {name: method for name, method in methods.items() if method.pretrains and starts[name] == name}
    return {pretext: Method(pretext=pretext) for pretext in config["pretexts"]} | own


def _pretraining(method: Method) -> str:
    """What decides the network that a method pretrains, as text."""
    settings = method.overrides.get("pretrain") or {}
    return json.dumps([method.pretext, method.overlay_of("pretrain"), settings], sort_keys=True, default=str)


def _given(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name to settings of all methods that a config names."""
    given = config.get("methods") or ["none", *config["pretexts"]]
    return given if isinstance(given, Mapping) else dict.fromkeys(given)


def _method(name: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Method:
    pretexts = list(config["pretexts"])
    known = ", ".join(pretexts)
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise InputError(f"methods: {name} is the name of a folder; use small letters, digits and _, a letter first")
    if unknown := set(given) - {entry.name for entry in fields(Method)}:
        raise InputError(
            f"methods: {name} has {', '.join(sorted(unknown))}; give some of pretext, weights, overlay, overrides, "
            "networks, masks"
        )
    networks = given.get("networks") or SHARED
    if networks not in (SHARED, ONE_PER_FINDING):
        raise InputError(f"methods: {name} has networks {networks}; give {SHARED} or {ONE_PER_FINDING}")
    masks = given.get("masks") or REFERENCE
    if masks not in (REFERENCE, PREDICTED):
        raise InputError(f"methods: {name} has masks {masks}; give {REFERENCE} or {PREDICTED}")
    given = {key: value for key, value in given.items() if value and value not in (SHARED, REFERENCE)}
    if not given:
        words = {
            "none": {},
            "imagenet": {"weights": IMAGENET},
            **{pretext: {"pretext": pretext} for pretext in pretexts},
        }
        if name not in words:
            raise InputError(
                f"methods: {name} is not one of the pretexts ({known}); add it there, or say what it starts from, "
                f"`{name}: {{pretext: ..}}` or `{name}: {{weights: ..}}`"
            )
        given = words[name]
    method = Method(**given)
    if unknown := set(method.overrides) - {"pretrain", "finetune"}:
        raise InputError(f"methods: {name} overrides {', '.join(sorted(unknown))}; give pretrain or finetune")
    if method.pretext and method.weights:
        raise InputError(f"methods: {name} starts from a pretext and from weights; give one of them")
    if method.overrides.get("pretrain") and not method.pretext:
        raise InputError(f"methods: {name} overrides pretrain and has no pretext; give `pretext: ..`")
    if method.has_two_tasks and not method.pretext:
        raise InputError(f"methods: {name} goes on learning a pretext and has none; give `pretext: ..`")
    if method.pretrains and name in pretexts:
        raise InputError(f"methods: {name} pretrains with settings of its own; give it a name that no pretext has")
    if method.pretext and not method.pretrains and method.pretext not in pretexts:
        raise InputError(f"methods: {method.pretext} is not one of the pretexts ({known}); add it there")
    if method.weights == IMAGENET and not config.get("imagenet"):
        raise InputError(f"methods: {name} needs ImageNet's weights; give `imagenet: PATH` or leave the method out")
    return replace(method, weights=_weights(name, method), overlay=_overlay(name, method))


def _overlay(name: str, method: Method) -> str | dict[str, str] | None:
    """The overlay as a method gives it, paths absolute."""
    if not isinstance(method.overlay, Mapping):
        return _found_overlay(method.overlay)
    if unknown := set(method.overlay) - {"pretrain", "finetune"}:
        raise InputError(f"methods: {name} has overlays of {', '.join(sorted(unknown))}; give pretrain or finetune")
    return {kind: _found_overlay(file) for kind, file in method.overlay.items()}


def _found_overlay(file: str | None) -> str | None:
    return _absolute(file) if "/" in (file or "") else file


def _weights(name: str, method: Method) -> str | None:
    if method.file is None:
        return method.weights
    path = _absolute(method.file)
    if not Path(path).exists():
        raise InputError(f"methods: {name} starts from {path}, which does not exist")
    return path


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())
