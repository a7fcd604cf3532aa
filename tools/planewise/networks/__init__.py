"""Networks whose parts carry names, so that weights move between bundles by name."""

from planewise.networks.alexnet import ALEXNET_FEATURES, AlexNetDecoder, AlexNetEncoder
from planewise.networks.forest_net import ForestNet
from planewise.networks.location_head import LocationHead
from planewise.networks.place_network import place_network
from planewise.networks.pretrained import load_imagenet, load_pretrained, read_weights, weights_path
from planewise.networks.saliency import saliency_maps
from planewise.networks.slice_net import SliceNet
from planewise.networks.stack_classifier import StackClassifier
from planewise.networks.unet import PAPER_FEATURES, UNetDecoder, UNetEncoder

__all__ = [
    "ALEXNET_FEATURES",
    "PAPER_FEATURES",
    "AlexNetDecoder",
    "AlexNetEncoder",
    "ForestNet",
    "LocationHead",
    "SliceNet",
    "StackClassifier",
    "UNetDecoder",
    "UNetEncoder",
    "load_imagenet",
    "load_pretrained",
    "place_network",
    "read_weights",
    "saliency_maps",
    "weights_path",
]
