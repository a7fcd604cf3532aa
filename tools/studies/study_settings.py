"""The settings of a study, the kinds of their values, and what is wrong with a given config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from planewise.exams.anatomies import ANATOMIES
from planewise.exams.words import did_you_mean, nearest

#: Settings that a study must have.
NEEDED = ("anatomy", "draws", "label_counts", "out", "pretext_bundle", "pretexts", "target")
#: As a key in the kind of a mapping: any key.
ANY = "*"
#: Keys of a mapping that other checks name when they are misspelt.
_BY_BUNDLE = {"labelled": str, "unlabelled": str}
_METHOD = {
    "pretext": str, "weights": str, "overlay": (str, {ANY: str}), "overrides": {ANY: {ANY: object}}, "networks": str,
    "masks": str, "images": str, "label_counts": [int], "draws": [int], ANY: object,
}  # fmt: skip
#: The kind of each setting's value: a type, a list ``[kind]``, a mapping ``{key: kind}``, or a tuple of alternatives.
#: `object` is any value.
SETTINGS: Mapping[str, Any] = {
    "anatomy": str,
    "datalists": _BY_BUNDLE,
    "device": str,
    "diagnose": {"bundle": str, "draws": [int], "folds": int},
    "draws": [int],
    "expected": {ANY: {ANY: [int]}},
    "imagenet": str,
    "index": _BY_BUNDLE,
    "label_counts": [int],
    "methods": ([str], {ANY: _METHOD}),
    "out": str,
    "overlay": str,
    "overrides": {ANY: {ANY: object}},
    "patients": str,
    "phantom": _BY_BUNDLE,
    "plan": (str, {"bundle": str}),
    "pretext_bundle": str,
    "pretext_bundles": {ANY: str},
    "pretext_steps": int,
    "pretexts": [str],
    "probe_draws": int,
    "processes": (int, {"finetune": int, "pretrain": int}),
    "published": bool,
    "resources": {ANY: {ANY: object}},
    "salt": str,
    "seed": int,
    "target": {"arguments": str, "bundle": str},
    "then": str,
    "threads": int,
    "time": str,
    "title": object,
    "view": str,
}
#: Numbers that must be at least 1.
_POSITIVE = ("label_counts", "pretext_steps", "probe_draws", "threads")
_WORDS = {str: "a text", int: "a whole number", bool: "true or false"}


def wrong_settings(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with the settings of a study: unknown and missing ones, and values of another kind.

    A null setting counts as not given, so only the settings that the study needs must not be null.
    """
    wrong = [f"{key} is not a setting of a study{_near(key, SETTINGS)}" for key in config if key not in SETTINGS]
    wrong += [f"{key} is missing" for key in NEEDED if config.get(key) in (None, "")]
    for key, kind in SETTINGS.items():
        wrong += _misfits(config.get(key), kind, key)
    for key in ("draws", "label_counts"):
        if isinstance(given := config.get(key), list) and len(set(map(str, given))) < len(given):
            wrong.append(f"{key} must be different numbers, got {given}")
    if isinstance(config.get("anatomy"), str) and config["anatomy"] not in ANATOMIES:
        wrong.append(f"anatomy must be {', '.join(ANATOMIES)}, got {config['anatomy']!r}")
    device = config.get("device")
    if isinstance(device, str) and not re.fullmatch(r"cpu|cuda(:\d+)?|mps", device):
        wrong.append(f"device must be cpu or cuda:0, got {device!r}")
    for key in ("diagnose", "plan", "target"):
        if isinstance(config.get(key), Mapping) and config[key].get("bundle") is None:
            wrong.append(f"{key} needs a `bundle`")
    target = config.get("target")
    texts = {"pretext_bundle": (config.get("pretext_bundle"), ("pretext",))}
    texts["target: arguments"] = (
        target.get("arguments") if isinstance(target, Mapping) else None,
        ("diagnosed", "draw"),
    )
    for place, (text, names) in texts.items():
        try:
            str(text).format(**dict.fromkeys(names, ""))
        except (LookupError, ValueError, AttributeError):
            named = " or ".join(f"{{{name}}}" for name in names)
            wrong.append(f"{place} must contain no braces other than {named}, got {text!r}")
    return list(dict.fromkeys(wrong))


def _misfits(value: Any, kind: Any, place: str) -> Iterator[str]:
    """Messages about the parts of a value that are not of the given kind; `place` names the value in them."""
    if value is None or kind is object:
        return
    if isinstance(kind, tuple):
        # the alternative of the value's own type, for messages about its parts
        kind = next((each for each in kind if type(each) is type(value)), None) or next(
            (each for each in kind if not [*_misfits(value, each, place)]), kind
        )
    if isinstance(kind, dict) and isinstance(value, Mapping):
        for key, entry in value.items():
            if key not in kind and ANY not in kind:
                yield f"{place}: {key} is not one of {', '.join(kind)}{_near(key, kind)}"
            else:
                yield from _misfits(entry, kind.get(key, kind.get(ANY)), f"{place}: {key}")
    elif isinstance(kind, list) and kind != [int] and isinstance(value, list):
        for entry in value:
            yield from (
                [f"{place}: the list must not contain null"] if entry is None else _misfits(entry, kind[0], place)
            )
    elif not _fits(value, kind, int(place in _POSITIVE)):
        least = ", at least 1" if place in _POSITIVE else ""
        yield f"{place} must be {_words(kind)}{least}, got {value!r}"


def _fits(value: Any, kind: Any, least: int) -> bool:
    if kind == [int]:
        return isinstance(value, list) and all(_fits(each, int, least) for each in value)
    if kind is int:
        # on the command line, a number in a mapping or list is text
        return not isinstance(value, bool) and str(value).isdecimal() and int(value) >= least
    return isinstance(kind, type) and isinstance(value, kind)


def _words(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(map(_words, kind))
    if isinstance(kind, list):
        return f"a list of {_words(kind[0]).removeprefix('a ')}s"
    return "a mapping, such as {key: value}" if isinstance(kind, dict) else _WORDS[kind]


def _near(word: Any, known: Mapping[str, Any]) -> str:
    return did_you_mean(nearest(str(word), [key for key in known if key != ANY]))
