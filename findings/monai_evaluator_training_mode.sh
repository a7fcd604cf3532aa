#!/usr/bin/env bash
# In which mode MONAI's evaluator leaves a network whose output it postprocesses.
# Guess: with mode="eval", the default, SupervisedEvaluator puts the network into evaluation mode for the whole run, so a
#   postprocessing that calls the network, say for the features of an image, computes in evaluation mode.
# Seen (monai 1.6.1, pytorch-ignite 0.5.5, torch 2.13.0): the mode holds only inside the iteration. Before each iteration ends,
#   a network that was in training mode, as every new network is, is back in it, so postprocessing runs in training mode:
#   batch normalisation uses the batch's own mean, and each such call moves the running mean, by which the next item's output
#   is computed. The same item evaluated second gets another output than first. After network.eval(), nothing changes.
# Why it matters: features or uncertainties that a postprocessing computes are wrong and depend on the order of the items, and
#   the network drifts during inference. Call network.eval() before the evaluator runs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 monai==1.6.1 pytorch-ignite==0.5.5 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import logging

import torch
from monai.engines import SupervisedEvaluator
from torch import nn

logging.disable(logging.CRITICAL)


def evaluated(evaluation_first):
    """The mode of each postprocessing, and the outputs for the same image, twice, and the running mean at the end."""
    torch.manual_seed(0)
    network, modes = nn.BatchNorm2d(1), []
    if evaluation_first:
        network.eval()

    def postprocessing(data):
        modes.append("training" if network.training else "evaluation")
        with torch.no_grad():
            network(data["image"][None])  # features, say
        outputs.append(data["pred"].mean().item())
        return data

    outputs = []
    batches = [{"image": torch.full((1, 1, 4, 4), 5.0) + torch.rand(1, 1, 4, 4)}] * 2
    SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=batches, network=network, postprocessing=postprocessing, mode="eval"
    ).run()
    return modes, outputs, network.running_mean.item()


modes, outputs, mean = evaluated(evaluation_first=False)
print(f"a new network: postprocessing in {modes}, outputs for one image {outputs}, running mean {mean:.3f}")
assert modes == ["training"] * 2 and abs(outputs[0] - outputs[1]) > 0.1 and mean > 0.5, "the evaluator has changed"
modes, outputs, mean = evaluated(evaluation_first=True)
print(f"after network.eval(): postprocessing in {modes}, outputs for one image {outputs}, running mean {mean:.3f}")
assert modes == ["evaluation"] * 2 and outputs[0] == outputs[1] and mean == 0
PYTHON
