#!/usr/bin/env bash
# A fused Adam step whose moments were saved in another memory format than the weights have now.
# Guess: an optimiser's state is read by position, so a checkpoint of a contiguous network continues in channels-last, or the
#   other way round, with the same weights to rounding, whether the step is fused or not; at worst, an error is raised, as by
#   the fused step of a GPU (PyTorch's issue 106951).
# Seen (torch 2.13.0, CPU): load_state_dict keeps the strides of the saved moments. The usual step is right. The fused step
#   walks through weights, gradients and moments in the order of their memory, pairs each weight with another weight's
#   moments, and raises nothing: after 5 steps of 0.01, weights differ by 0.04 to 0.05. In equal formats they differ by 3e-8.
# Why it matters: a training of volumes that is resumed on another device, where another format is faster, silently continues
#   with mixed-up moments. Give moments the weights' strides before the first fused step.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import copy

import torch
from torch import nn

FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def network(form):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).to(memory_format=FORMATS[form])


def train(made, optimizer, steps=5):
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        made(torch.randn(2, 3, 8, 8, generator=draw)).square().mean().backward()
        optimizer.step()
    return [weight.detach() for weight in made.parameters()]


def continued(saved, form, fused):
    made = network(form)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01, fused=fused)
    state = copy.deepcopy(saved)
    state["param_groups"][0]["fused"] = fused
    optimizer.load_state_dict(state)
    return train(made, optimizer)


for before in FORMATS:
    first = network(before)
    optimizer = torch.optim.Adam(first.parameters(), lr=0.01)
    train(first, optimizer)
    for now in FORMATS:
        usual = continued(optimizer.state_dict(), "contiguous", False)
        apart = {
            fused: max((one - other).abs().max().item() for one, other in zip(usual, found))
            for fused in (False, True)
            for found in [continued(optimizer.state_dict(), now, fused)]
        }
        print(f"moments {before}, weights {now}: usual step {apart[False]:.0e}, fused step {apart[True]:.0e} apart")
        assert apart[False] < 1e-4 and (apart[True] < 1e-4 if before == now else apart[True] > 5e-3)
PYTHON
