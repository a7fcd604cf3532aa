"""Check before two trainings start whether the weights of the first will fit the network of the second."""

from __future__ import annotations

from typing import Any

from monai.bundle import ConfigParser

from planewise.engines.settings_check import network_parts
from planewise.errors import InputError
from planewise.networks.pretrained import can_be_copied


def encoder_difference(pretraining: ConfigParser, training: ConfigParser) -> str:
    """How the encoders of two configs differ, if the weights of the first do not fit the second; otherwise empty.

    The encoders are made without weights. Encoders of the same class must have the same weights. Encoders of different
    classes, as in a user's own network, must have at least one weight in common, and no common weight may have another shape
    (`planewise.networks.load_pretrained`).

    Args:
        pretraining, training: the configs, as `planned_config` returns them.
    """
    try:
        encoders = [network_parts(parser).get("encoder") for parser in (pretraining, training)]
    except InputError:  # `check_planned_run` reports it
        return ""
    if None in encoders:
        return ""
    given, own = (encoder.state_dict() for encoder in encoders)
    common = given.keys() & own.keys()
    first = next((name for name, value in own.items() if value.ndim > 3), None)
    fit = all(
        given[name].shape == own[name].shape or (name == first and can_be_copied(given[name], own[name]))
        for name in common
    )
    same = type(encoders[0]) is type(encoders[1])
    if fit and common and not (same and given.keys() != own.keys()):
        return ""
    settings = [_settings(parser) for parser in (pretraining, training)]
    names = settings[0] | settings[1] if all(settings) else ()
    values = {name: [str(each.get(name)) for each in settings] for name in names}
    different = {
        name: f"{name} {first} instead of {second}" for name, (first, second) in values.items() if first != second
    }
    # the weights of the first layer can be copied to further channels, so their number is seldom the reason
    channels = different.pop("in_channels", "other weights")
    return ", ".join(different.values()) or channels


def _settings(parser: ConfigParser) -> dict[str, Any]:
    """The class and the arguments of an encoder; empty if an expression stands for it."""
    own, place = ConfigParser(dict(parser.get())), "network_def#encoder"
    while isinstance(encoder := own[place], str) and encoder.startswith("@"):
        place = encoder[1:].replace("::", "#")
    if not isinstance(encoder, dict):
        return {}
    return {"class" if name == "_target_" else name: own.get_parsed_content(f"{place}#{name}") for name in encoder}
