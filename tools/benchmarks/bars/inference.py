"""Cost of inference on a stack in addition to the network: the bundles' own steps from volumes to results in memory.

The volumes are all phases of a phantom exam's stack, with twelve slices each, in memory: nothing is read or written.
Because the network's weights are random, its computed output is replaced by a realistic one for the later steps: a heart,
or the lines of the exam's own planes.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from planewise.evaluation.plan_views import slice_affines
from planewise.exams import LoadExamd, find_inputs, find_stacks
from planewise.geometry import intersection_lines, line_heatmaps
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from timing import Bar, Options, interleaved, ratio
from torch import Tensor

from bars.trainer import BUNDLES

SLICES = 12
#: The demo's size, as in the bundles' `configs/demo.yaml`.
DEMO = {"spacing": 2.94, "image_size": 96, "features": [16, 32, 64, 128], "stem_stride": 2, "sigma": 2.571}
TINY = DEMO | {"features": [4, 8, 16]}
CASES = {"segmentation": "downstream_cardiac_sax_segmentation", "multitask pretext": "pretext_cardiac_multitask"}


def measure(options: Options) -> list[Bar]:
    """Compare the whole inference with the bare network for two bundles, at the paper's and the demo's size."""
    logging.getLogger("ignite").setLevel(logging.WARNING)
    on_cpu = torch.device(options.device).type == "cpu"
    phases = 2 if options.quick else 30
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exam = _Exam(Path(folder), phases, small=options.quick)
        bars: list[Bar] = []
        for name, bundle in CASES.items():
            if not options.quick:
                # the paper's network takes a second per slice on one CPU thread
                inference = _Inference(bundle, exam, 1 if on_cpu else phases, options.device, _sizes(bundle))
                bars.append(_whole(f"{name}, the paper's network", inference, options.fewer(5, 3), 1.3))
            inference = _Inference(bundle, exam, phases, options.device, TINY if options.quick else DEMO)
            bars.append(_whole(f"{name}, the demo's network", inference, options.fewer(3), None))
        return bars


def _sizes(bundle: str) -> dict[str, Any]:
    """The paper's sizes, from a bundle's train.yaml; its inference.yaml has the sizes of the weights that ship."""
    config = ConfigParser.load_config_file(str(BUNDLES / bundle / "configs" / "train.yaml"))
    return {key: config[key] for key in DEMO if key in config}


class _Exam:
    """A phantom exam on disk and in memory: ``volumes``, the loaded items, one per phase, and the ``planes`` of its views."""

    def __init__(self, folder: Path, phases: int, small: bool) -> None:
        population = UNLABELLED.at_size("demo") if small else UNLABELLED.with_values(slices=((6.0, 2.0),))
        list(write_exams(Recipe("dsbcc", 7, population.with_values(phases=phases)), folder, 1))
        items = [item | {"image": item["image"][:SLICES]} for item in find_inputs(folder, "all")]
        self.planes = find_stacks(folder)[0]["image"][0]["planes"]
        self.output_dir = folder / "output"
        load = LoadExamd("image")
        self.volumes = [load(item) for item in items]


class _Inference:
    """A bundle's inference from at most ``phases`` volumes in memory to results in memory; settings that its config lacks are
    ignored."""

    def __init__(self, bundle: str, exam: _Exam, phases: int, device: str, settings: dict[str, Any]) -> None:
        config = ConfigParser.load_config_file(str(BUNDLES / bundle / "configs" / "inference.yaml"))
        # volumes and results stay in memory
        _take_out(config["postprocessing"]["transforms"], "SaveImaged")
        _take_out(config["preprocessing"]["transforms"], "LoadExamd")
        config["handlers"] = []
        config["dataset"]["data"] = "$volumes"
        self.parser = ConfigParser(config, globals={"volumes": exam.volumes[:phases]})
        self.parser.update({key: value for key, value in settings.items() if key in config})
        self.parser.update({"bundle_root": str(BUNDLES / bundle), "output_dir": str(exam.output_dir), "device": device})
        torch.manual_seed(0)
        self.exam, self.volumes = exam, exam.volumes[:phases]
        self.network = self.parser.get_parsed_content("network").eval()
        preprocessing: Compose = self.parser.get_parsed_content("preprocessing")
        self.batch_size = int(self.parser["batch_size"])
        self.inferer = self.parser.get_parsed_content("inferer")
        self.evaluator = self.parser.get_parsed_content("evaluator")
        prepared = [preprocessing(volume) for volume in self.volumes]
        self.answer = self._answer(prepared[0])
        self.evaluator.inferer = self._infer
        self.slices = torch.cat([item["image"].as_tensor().permute(3, 0, 1, 2) for item in prepared]).contiguous()

    def run(self) -> None:
        """Run the whole inference."""
        self.evaluator.run()

    @torch.no_grad()
    def bare(self) -> None:
        """Run the network alone on the same slices."""
        for batch in self.slices.split(self.batch_size):
            self.network(batch)

    def _infer(self, inputs: Tensor, network: Callable[..., Tensor]) -> Tensor:
        output = self.inferer(inputs, network)
        output.copy_(self.answer)
        return output

    def _answer(self, item: dict[str, Any]) -> Tensor:
        """A realistic output for a volume, ``(C, i, j, k)``: the logits of a heart, or heatmaps and locations."""
        image = item["image"]
        size, slices = tuple(image.shape[1:3]), image.shape[3]
        if "structures" in self.parser:
            i, j = (axis * 224 / size[0] - 112 for axis in torch.meshgrid(*map(torch.arange, size), indexing="ij"))
            right, left = torch.hypot(i + 50, j), torch.hypot(i, j)
            parts = [torch.full(size, 0.5), right < 20, (left >= 20) & (left < 32), left < 20]
            logits = 8 * torch.stack([part.float() for part in parts])
            return logits[..., None].repeat(1, 1, 1, slices).to(image.device)
        affines = slice_affines(image, item.get("slice_affines"))
        planes = [self.exam.planes[view] for view in self.parser["views"]]
        origins, normals = (torch.tensor([plane[key] for plane in planes]) for key in ("origin", "normal"))
        lines = intersection_lines(affines[:, None], origins, normals)
        heatmaps = line_heatmaps(lines, size, float(self.parser["sigma"])).permute(1, 2, 3, 0)
        location = torch.linspace(0, 1, slices).expand(1, *size, slices)
        return torch.cat([heatmaps, location]).to(image.device)


def _whole(name: str, inference: _Inference, options: Options, limit: float | None) -> Bar:
    candidates = {"all steps": inference.run, "network": inference.bare}
    times = interleaved(candidates, options, warmup=1)
    volumes = len(inference.volumes)
    note = (
        f"{volumes} volume{'s' if volumes > 1 else ''}, {len(inference.slices)} slices, batches of {inference.batch_size}; "
        f"a volume {times['all steps'].least / volumes * 1e3:.0f} ms, "
        f"its network {times['network'].least / volumes * 1e3:.0f} ms"
    )
    return Bar(f"{name}: all steps / bare network", *ratio(times, "all steps", "network"), limit=limit, note=note)


def _take_out(transforms: list[dict[str, Any]], target: str) -> None:
    """Remove the transforms of one class from a config's list."""
    transforms[:] = [entry for entry in transforms if not entry["_target_"].endswith(target)]
