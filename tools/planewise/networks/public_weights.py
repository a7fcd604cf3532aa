"""Identify files of public ImageNet weights, and read the weights for an encoder from them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from planewise.errors import InputError

#: For each type of network: the name of a weight that identifies it, the name of the type, and advice on its config.
_KINDS = (
    # VGG comes before AlexNet, because it also has the weight that identifies AlexNet
    ("features.28.weight", "a VGG;", "for VGG16, put configs/vgg16.yaml on top of the other configs"),
    (
        "features.denseblock1.denselayer1.norm.1.weight",
        "a DenseNet,",
        "which needs configs/densenet121.yaml on top of the other configs",
    ),
    ("features.0.weight", "AlexNet,", "which is the knee bundles' own network: leave the other network's config out"),
    ("layer1.0.conv1.weight", "a ResNet,", "which needs configs/resnet50.yaml on top of the other configs"),
    ("patch_embed.proj.weight", "a vision transformer,", "which needs configs/vit.yaml on top of the other configs"),
)


def kind_of_file(weights: Mapping[str, Tensor]) -> str:
    """The end of a message that names the type of network in a public file; empty if the type is unknown."""
    for mark, kind, advice in _KINDS:
        if any(name == mark or name.endswith(f".{mark}") for name in weights):
            return f"; it has the names of {kind} {advice}"
    return ""


def public_names(encoder: nn.Module) -> list[str]:
    """The names that a public file must have for an encoder: its ``public_names()``, or else the names of its own weights."""
    if hasattr(encoder, "public_names"):
        return encoder.public_names()
    # old files lack the counters of batches, which are not needed
    return [name for name in encoder.state_dict() if not name.endswith("num_batches_tracked")]


def is_public(encoder: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    """Whether a file contains the weights of an encoder with their public names, which may share a prefix."""
    return bool(_prefixes(public_names(encoder), weights))


def public_weights(encoder: nn.Module, weights: Mapping[str, Tensor], path: object) -> dict[str, Tensor]:
    """Select the weights for an encoder from a public file, and rename them to the encoder's names.

    In converted files, all names may have a prefix (``module.encoder_q.``, ``backbone.``). This function removes it.

    Args:
        encoder: an encoder that uses torchvision's names, or that has ``public_names()`` and ``from_public(weights)``.
        weights: content of the file.
        path: source of the file, for messages.

    Raises:
        InputError: the file lacks a weight, or contains several such networks, or a network with more layers.
    """
    wanted = public_names(encoder)
    prefixes = _prefixes(wanted, weights)
    if not prefixes:
        absent = [name for name in wanted if name not in weights]
        raise InputError(
            f"{path} is not a file of ImageNet weights for this encoder: it lacks {', '.join(absent[:3])}"
            f"{', ...' if len(absent) > 3 else ''}{kind_of_file(weights)}; load a pretext's weights with --pretrained"
        )
    if len(prefixes) > 1:
        raise InputError(
            f"{path} contains {len(prefixes)} networks that fit, with the prefixes {', '.join(prefixes)}; save only one of "
            f"them: torch.save({{name: value for name, value in weights.items() if name.startswith({prefixes[0]!r})}}, ..)"
        )
    (prefix,) = prefixes
    found = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    parts = {name.split(".")[0] for name in wanted}
    more = [name for name in found if name not in wanted and name.split(".")[0] in parts]
    if more := [name for name in more if not name.endswith("num_batches_tracked")]:
        raise InputError(
            f"{path} belongs to another network: in addition to this encoder's weights, it contains "
            f"{', '.join(more[:3])}{', ...' if len(more) > 3 else ''}; set as many layers (blocks, num_layers) as that "
            "network has"
        )
    return encoder.from_public(found) if hasattr(encoder, "from_public") else found


def _prefixes(wanted: list[str], weights: Mapping[str, Tensor]) -> list[str]:
    """Find the prefixes under which a file has all wanted names: for every name, prefix + name is in the file. If the file
    also has the names without a prefix, only the empty prefix is returned."""
    first = wanted[0]
    ends = (name.removesuffix(first) for name in weights if name.endswith(first))
    found = [end for end in ends if (not end or end.endswith(".")) and all(end + name in weights for name in wanted)]
    return [""] if "" in found else found
