"""Keep names from the previous version working for one more version, so that users' existing configs still run."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Collection, Mapping
from functools import partial, wraps
from typing import Any, TypeVar, cast

logger = logging.getLogger(__name__)

#: Maps the old names of settings to the new ones, for the configs of all bundles.
SETTINGS: Mapping[str, str] = {
    "background": "background_prob",
    "beta": "auxiliary_interval",
    "bias": "bias_field",
    "blur": "blur_prob",
    "crop": "zoom",
    "flip": "flip_prob",
    "foreground": "foreground_threshold",
    "groups": "classes",
    "in_paint": "inpaint_prob",
    "intensity_share": "intensity_prob",
    "mirror": "pretext_flip_prob",
    "negatives": "num_negatives",
    "nonlinear": "nonlinear_prob",
    "other_task": "auxiliary_task",
    "paint": "paint_prob",
    "permutations": "num_permutations",
    "rotate_share": "rotate_prob",
    "scale": "zoom",
    "scale_share": "zoom_prob",
    "shuffle": "shuffle_prob",
    "trees": "num_trees",
}

#: Maps classes to the old and new names of their arguments.
ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "AuxiliaryTaskHandler": {"beta": "interval"},
    "CardiacFeaturesd": {"groups": "classes"},
    "CorruptImagesd": {
        "flip": "flip_prob",
        "in_paint": "inpaint_prob",
        "nonlinear": "nonlinear_prob",
        "paint": "paint_prob",
        "shuffle": "shuffle_prob",
    },
    "CropToForegroundd": {"above": "threshold"},
    "ForestNet": {"trees": "num_trees"},
    "JigsawTilesd": {"permutations": "num_permutations"},
    "OverlappingPatchesd": {"negatives": "num_negatives"},
    "RandAffineBatchd": {"flip": "flip_prob", "scale": "zoom"},
    "RandBlurBatchd": {"probability": "prob"},
    "RandBrightnessBatchd": {"probability": "prob"},
    "RandFlipRotate90Batchd": {"flip": "flip_prob", "turn": "rotate90_prob"},
    "RandIntensityBatchd": {"bias": "bias_field"},
    "RandRotateZoomBatchd": {"rotate_share": "rotate_prob", "scale": "zoom", "scale_share": "zoom_prob"},
    "SliceNet": {"background": "background_prob"},
}

Made = TypeVar("Made", bound=Callable[..., None])


def old_names(room: str, now: Mapping[str, str | tuple[str, dict[str, Any]]]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a subpackage, which finds the object behind an old name and logs a warning.

    Args:
        room: dotted name of the subpackage, such as ``planewise.losses``.
        now: maps each old name to the new name, or to the new name and the arguments that make the new object behave
            like the old one.
    """

    def find(name: str) -> Any:
        if name not in now:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        entry = now[name]
        new, given = (entry, {}) if isinstance(entry, str) else entry
        called = "".join(f", {key}: {getattr(value, '__name__', value)}" for key, value in given.items())
        logger.warning("%s.%s is now %s%s; the next version will not have the old name", room, name, new, called)
        found = getattr(sys.modules[room], new)
        return partial(found, **given) if given else found

    return find


def old_arguments(init: Made) -> Made:
    """Decorate the ``__init__`` of a class in `ARGUMENTS`, so that it also takes the old names and logs a warning."""
    name = init.__qualname__.rpartition(".")[0]
    now = ARGUMENTS[name]

    @wraps(init)
    def with_old(*args: Any, **given: Any) -> None:
        for old in now.keys() & given.keys():
            logger.warning("%s: %s is now %s; the next version will not have the old name", name, old, now[old])
        init(*args, **{now.get(key, key): value for key, value in given.items()})

    return cast(Made, with_old)


def with_new_names(config: Mapping[str, Any], source: str, given: Collection[str] = ()) -> Mapping[str, Any]:
    """Rename old settings and arguments in a config, and log a warning with all old names that were found.

    Args:
        config: a config, or settings for one. It stays unchanged.
        source: where the config comes from, for the warning.
        given: new names whose values take precedence. For any other setting, if a config has both names, as after
            ``--crop`` on the command line, the value of the old name applies.

    Returns:
        The new config, in which references such as ``@crop`` have the new names, too; the given object if it has no old
        names.
    """
    now = {old: new for old, new in SETTINGS.items() if old in config}
    referred = re.compile(rf"@({'|'.join(now)})\b") if now else None
    found = dict(now)

    def renamed(value: Any) -> Any:
        if isinstance(value, Mapping):
            own = ARGUMENTS.get(str(value.get("_target_")).rpartition(".")[2], {})
            found.update({key: own[key] for key in value if key in own})
            # if a component has both names, the override comes last and therefore counts
            return {own.get(key, key): renamed(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [renamed(entry) for entry in value]
        return referred.sub(lambda name: f"@{now[name[1]]}", value) if referred and isinstance(value, str) else value

    left_out = {old for old, new in now.items() if new in given and new in config}
    new = {now.get(key, key): renamed(entry) for key, entry in config.items() if key not in left_out}
    if not found:
        return config
    told = ", ".join(f"{old} is now {name}" for old, name in sorted(found.items()))
    logger.warning("old names in %s: %s; the next version will not know them", source, told)
    return new
