#!/usr/bin/env bash
# nnU-Net's newest release cannot start from an encoder alone, and reads nothing of nnssl's plan.
# Guess: `nnUNetv2_train -pretrained_weights FILE` takes a self-supervised encoder as nnssl writes it (with its `nnssl_adaptation_plan`): the
#   function says that it transfers what matches by name and shape, and nnU-Net's documentation describes fine-tuning from nnssl.
# Seen (nnunetv2 2.8.1, the newest on PyPI in November 2026): an encoder of exactly the network's names and shapes is refused with an
#   AssertionError for the first tensor of the decoder; a whole network is refused for one more input channel. "nnssl" stands nowhere in the
#   package, and the commands of that documentation (nnUNetv2_preprocess_like_nnssl, nnUNetv2_train_pretrained) are only in its repository.
#   With the decoder's tensors added, the same file loads; the segmentation layers stay as they are.
# Why it matters: weights for users of the release must hold a whole network, decoder included, at the widths and channels of their plan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 dynamic-network-architectures==0.4.4
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps nnunetv2==2.8.1
cd "$work"
venv/bin/python -W ignore - <<'PYTHON'
from importlib.metadata import files

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from torch import nn

commands = next(path for path in files("nnunetv2") if path.name == "entry_points.txt").read_text()
mentioned = [path for path in files("nnunetv2") if path.suffix == ".py" and "nnssl" in path.read_text()]


def network(channels=1):
    """A small network of the kind of nnssl's ResEncL."""
    return ResidualEncoderUNet(
        channels, 3, [8, 16, 32], nn.Conv3d, 3, [1, 2, 2], [1, 3, 4], 4, [1, 1], conv_bias=True, norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True,
    )


def outcome(weights, into):
    """What nnU-Net does with a checkpoint of these weights."""
    plan = {"architecture_plans": {"arch_class_name": "ResEncL"}, "key_to_encoder": "encoder.stages", "key_to_stem": "encoder.stem"}
    torch.save({"network_weights": weights, "nnssl_adaptation_plan": plan, "citations": []}, "checkpoint.pth")
    before = {name: value.clone() for name, value in into.state_dict().items()}
    try:
        load_pretrained_weights(into, "checkpoint.pth")
    except AssertionError as error:
        return f"refused: {str(error).split('The shape of')[-1][:60]}"
    after = into.state_dict()
    kept = [name for name in before if "seg_layers" in name]
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert all(torch.equal(weights[name], after[name]) for name in after if name not in kept)
    return "loaded"


torch.manual_seed(0)
whole = network().state_dict()
encoder = {name: value for name, value in whole.items() if name.startswith(("encoder.", "decoder.encoder."))}
seen = {
    "the encoder": outcome(encoder, network()),
    "the encoder and the decoder": outcome(whole, network()),
    "both, for a network of two channels": outcome(whole, network(channels=2)),
}
print("a command to train from nnssl:", "train_pretrained" in commands, "- files that mention nnssl:", len(mentioned))
for case, what in seen.items():
    print(f"{case}: {what}")
results = [what.split(":")[0] for what in seen.values()]
raise SystemExit(not (results == ["refused", "loaded", "refused"] and not mentioned and "train_pretrained" not in commands))
PYTHON
