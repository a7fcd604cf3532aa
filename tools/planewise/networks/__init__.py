"""Networks with named parts, so that weights move between bundles by name.

Every network returns one tensor, so that MONAI's engines, inferers, ``verify_net_in_out`` and TorchScript work without
changes. The shape of this tensor shows its meaning. (B is the batch; volumes have a further axis ``D`` after ``H, W``.)

- **maps** ``(B, C, H, W)`` on the image's grid: heatmaps, class logits, or a restored image (with as many channels as
  the image);
- **maps and location** ``(B, K + 1, H, W)``: K maps, followed by one channel with the image's relative location, which is
  constant over the grid (`SliceNet`; `planewise.losses.predicted_location` reads it);
- **logits** ``(B, classes)``: one row for an image, a stack (`StackClassifier`) or two stacks (`TwoPhaseClassifier`);
- **embeddings** ``(B, D)``, which are not normalised, because the loss normalises them.

The metadata of a bundle name the C channels under ``channel_def``. A second network that is used only in training
(momentum, projector, context) belongs to the trainer, not to ``network_def``.
"""

from planewise.networks.alexnet import AlexNetDecoder, AlexNetEncoder
from planewise.networks.contrastive_learners import ByolLearner, SimClrLearner, SimSiamLearner
from planewise.networks.densenet import DenseNetEncoder
from planewise.networks.embedding_net import EmbeddingNet, encoder_features
from planewise.networks.forest_net import ForestNet
from planewise.networks.heads import LocationHead, ProjectionHead
from planewise.networks.masked_vit import MaskedViT, MaskedViTDecoder
from planewise.networks.place_network import place_network
from planewise.networks.predictive_coding_learner import PredictiveCodingLearner
from planewise.networks.pretrained import (
    copied_to_channels,
    load_imagenet,
    load_pretrained,
    not_finite,
    read_weights,
    weights_path,
)
from planewise.networks.residual_unet import RESIDUAL_FEATURES, ResidualDecoder, ResidualEncoder
from planewise.networks.resnet import ResNetEncoder
from planewise.networks.saliency import saliency_maps
from planewise.networks.shared_encoder_net import SharedEncoderNet
from planewise.networks.slice_net import SliceNet
from planewise.networks.stack_classifier import StackClassifier
from planewise.networks.two_head_learner import TwoHeadLearner
from planewise.networks.two_phase_classifier import TwoPhaseClassifier, load_both_phases
from planewise.networks.unet import PAPER_FEATURES, UNetDecoder, UNetEncoder
from planewise.networks.vgg import VggEncoder
from planewise.networks.vit import ViTDecoder, ViTEncoder

__all__ = [
    "PAPER_FEATURES",
    "RESIDUAL_FEATURES",
    "AlexNetDecoder",
    "AlexNetEncoder",
    "ByolLearner",
    "DenseNetEncoder",
    "EmbeddingNet",
    "ForestNet",
    "LocationHead",
    "MaskedViT",
    "MaskedViTDecoder",
    "PredictiveCodingLearner",
    "ProjectionHead",
    "ResNetEncoder",
    "ResidualDecoder",
    "ResidualEncoder",
    "SharedEncoderNet",
    "SimClrLearner",
    "SimSiamLearner",
    "SliceNet",
    "StackClassifier",
    "TwoHeadLearner",
    "TwoPhaseClassifier",
    "UNetDecoder",
    "UNetEncoder",
    "VggEncoder",
    "ViTDecoder",
    "ViTEncoder",
    "copied_to_channels",
    "encoder_features",
    "load_both_phases",
    "load_imagenet",
    "load_pretrained",
    "not_finite",
    "place_network",
    "read_weights",
    "saliency_maps",
    "weights_path",
]
