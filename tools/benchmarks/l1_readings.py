"""How much of the pretrained weights remains under each interpretation of the paper's "L1 regularization of 5e-5".

    python tools/benchmarks/l1_readings.py            # 10 minutes on 2 cores; prints the table of tools/docs/l1.md

A U-Net of the paper's width is pretrained for some steps on phantom exams (the multitask pretext), then fine-tuned for a
few steps of segmentation under each interpretation, with the same batches. Images are small, so that the program runs on a
CPU; the penalty does not depend on their size.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tools.benchmarks.phantom_data import phantom_datalist  # noqa: E402
from tools.benchmarks.training_cost import settings  # noqa: E402

PRETEXT, TARGET = "pretext_cardiac_multitask", "downstream_cardiac_sax_segmentation"
#: Settings of each interpretation, by its name.
READINGS = {
    "no regularisation": {"l1": 0.0},
    "mean over the weights": {"l1_reduction": "mean"},
    "sum over the weights": {"l1_reduction": "sum"},
    "Adam's weight decay": {"l1": 0.0, "weight_decay": 5e-5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretraining-steps", type=int, default=60)
    parser.add_argument("--steps", type=int, default=50, help="number of steps of fine-tuning")
    parser.add_argument("--image-size", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="planewise-l1-") as name:
        folder = Path(name)
        common = {
            "image_size": arguments.image_size,
            "spacing": 1.367 * 224 / arguments.image_size,
            "cache_dir": str(folder / "cache"),
            "device": "cpu",
            "amp": False,
            "num_workers": 1,
            "progress": False,
            "batch_size": 10,
            "writes": False,
        }
        unlabelled = phantom_datalist(folder, "cardiac", "dsbcc", 8)
        labelled = phantom_datalist(folder, "cardiac", "acdc", 4)
        pretrained = folder / "model.pt"
        pretext = {"datalist": str(unlabelled), "output_dir": str(folder / "pretext"), "missing_planes": "mask"}
        run = _Run(settings(PRETEXT, overrides=common | pretext))
        for _ in range(arguments.pretraining_steps):
            run.step()
        torch.save(run.network.state_dict(), pretrained)
        print(
            "| interpretation | penalty / cross-entropy, first step "
            "| weights pulled harder by the penalty than by the data |",
            end="",
        )
        print(f" cosine to the pretrained weights, 10 steps | {arguments.steps} steps | cross-entropy, last 10 steps |")
        print("|---|--:|--:|--:|--:|--:|")
        for reading, values in READINGS.items():
            target = {"datalist": str(labelled), "output_dir": str(folder / "target"), "pretrained": str(pretrained)}
            run = _Run(settings(TARGET, overrides=common | target | values))
            print(f"| {reading} | {' | '.join(_measured(run, arguments.steps))} |", flush=True)


class _Run:
    """A bundle's network, loss, optimiser and batches, in a plain loop.

    Args:
        config: config of the bundle's training.
    """

    def __init__(self, config: ConfigParser) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = config.get_parsed_content("network")
        self.loss: Any = config.get_parsed_content("loss")
        self.optimizer: torch.optim.Optimizer = config.get_parsed_content("optimizer")
        self.prepare = config.get_parsed_content("train#trainer").prepare_batch
        self.loader = config.get_parsed_content("train#dataloader")
        self._batches = iter(())
        self._taken = 0

    def step(self, update: bool = True) -> Any:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.loader)
            batch = next(self._batches)
        torch.manual_seed(self._taken)
        self._taken += 1
        self.network.train()
        image, target = self.prepare(batch, "cpu")[:2]
        self.optimizer.zero_grad()
        loss = self.loss(self.network(image), target)
        loss.backward()
        if update:
            self.optimizer.step()
        return loss.detach()


def _measured(run: _Run, steps: int) -> list[str]:
    convolutions = [
        weight for name, weight in run.network.named_parameters() if weight.ndim == 4 and "head" not in name
    ]
    start = [weight.detach().clone() for weight in convolutions]
    run.step(update=False)
    terms = {term.name: term for term in run.loss.last_terms}
    entropy = float(terms["cross_entropy"].mean)
    penalty = float(terms["l1"].mean) if "l1" in terms else 0.0
    pull = 0.0
    if penalty:
        each = run.loss.l1 / (sum(w.numel() for w in run.loss._weights) if run.loss.l1_reduction == "mean" else 1)
        harder = [(weight.grad - each * weight.sign()).abs() < each for weight in convolutions]
        pull = float(torch.cat([each.flatten() for each in harder]).float().mean())
    cosines, losses = {}, []
    for number in range(1, steps + 1):
        run.step()
        losses.append(float(run.loss.last_terms[0].mean))
        if number in (10, steps):
            cosines[number] = _cosine(start, convolutions)
    last = sum(losses[-10:]) / len(losses[-10:])
    return [f"{penalty / entropy:.2g}", f"{pull:.0%}", f"{cosines[10]:.2f}", f"{cosines[steps]:.2f}", f"{last:.3f}"]


def _cosine(before: list[Tensor], after: list[Tensor]) -> float:
    """Cosine similarity of all weights together."""
    a, b = (torch.cat([weight.detach().flatten() for weight in weights]) for weights in (before, after))
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


if __name__ == "__main__":
    main()
