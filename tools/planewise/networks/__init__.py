"""Networks whose parts carry names, so that weights move between bundles by name."""

from planewise.networks.forest_net import ForestNet
from planewise.networks.pretrained import load_pretrained, read_weights, weights_path
from planewise.networks.slice_net import SliceNet
from planewise.networks.unet import PAPER_FEATURES, LocationHead, UNetDecoder, UNetEncoder

__all__ = [
    "PAPER_FEATURES",
    "ForestNet",
    "LocationHead",
    "SliceNet",
    "UNetDecoder",
    "UNetEncoder",
    "load_pretrained",
    "read_weights",
    "weights_path",
]
