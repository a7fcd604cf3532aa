"""Federated averaging of a bundle by MONAI's own client, on phantom sites that never share an image.

    python tools/studies/federated.py --out work/federated

Two sites with different scanners each have exams that the other never sees. In every round, each site trains the weights
that it receives on its own exams and returns only weights; the server averages them, weighted by the number of training
steps. For comparison, each site also trains alone for as many epochs. The bundle's own evaluation scores all of them on exams
of a third site.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import monai.bundle
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from planewise.exams import index_folder, write_datalist
from planewise.phantoms import LABELLED, UNLABELLED, Recipe, write_exams
from torch import Tensor

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"

#: The settings of the scanner at each place: two sites, which train, and a third place for the test.
SCANNERS: dict[str, dict[str, Any]] = {
    "north": {"noise": (0.01, 0.02), "shading": (0.1, 0.3), "image_rotation": 8.0},
    "south": {"noise": (0.03, 0.05), "shading": (0.5, 0.9), "opposed_phase": 1.0, "image_rotation": 8.0},
    "elsewhere": {},
}
SITES = ("north", "south")


@dataclass(frozen=True)
class Task:
    """A bundle that all sites train, and the scores of its report that are shown."""

    bundle: str
    exams: int
    """Number of exams of each site"""
    settings: Mapping[str, Any]
    scores: Mapping[str, tuple[Sequence[str], bool]]
    """For each name, the path of the score in metrics.json and whether higher is better"""
    layout: str = "dsbcc"
    population: Any = field(default=UNLABELLED, repr=False)


TASKS = {
    "pretext_cardiac_multitask": Task(
        "pretext_cardiac_multitask",
        exams=6,
        settings={"samples_per_epoch": 240, "lr_step": 100, "val_samples_per_exam": 2},
        scores={
            "heatmap MSE": (("orientation", "heatmap_mse"), False),
            "location MAE": (("location", "mae"), False),
            "location r": (("location", "pearson_r"), True),
        },
    ),
    "downstream_cardiac_sax_segmentation": Task(
        "downstream_cardiac_sax_segmentation",
        exams=6,
        settings={"samples_per_epoch": 240},
        scores={"mean Dice": (("mean", "dice", "mean"), True), "mean ASSD, mm": (("mean", "assd_mm", "mean"), False)},
        layout="acdc",
        population=LABELLED,
    ),
}


def write_places(task: Task, out: Path, exams: int, seed: int, **coarser: Any) -> dict[str, Path]:
    """Write each place's exams and datalist: the sites' exams are for training, those of the third place for the test."""
    lists = {}
    for number, (place, scanner) in enumerate(SCANNERS.items()):
        population = task.population.at_size("demo").with_values(phases=2, **scanner, **coarser)
        folder = out / place / task.layout
        list(write_exams(Recipe(task.layout, seed + number, population), folder, exams))
        datalist = index_folder(folder, split=(1, 0, 0)).datalist
        section = "training" if place in SITES else "test"
        datalist |= {"training": [], "validation": [], "test": []} | {section: datalist["training"]}
        if place in SITES:  # the last exam is for validation after each round
            last = datalist["training"][-1]["exam"]
            datalist["validation"] = [item for item in datalist["training"] if item["exam"] == last]
            datalist["training"] = [item for item in datalist["training"] if item["exam"] != last]
        lists[place] = out / place / f"{task.layout}.json"
        write_datalist(datalist, lists[place])
    return lists


def client(
    name: str, bundle: Path, configs: Sequence[str], settings: Mapping[str, Any], local_epochs: int
) -> MonaiAlgo:
    """MONAI's client of a site, with the options that a bundle's configs need."""
    options = {
        "bundle_root": str(bundle),
        # MonaiAlgo initialises twice and changes max_epochs in between, and each round starts from the weights it receives
        "resume": False,
        **settings,
    }
    made = MonaiAlgo(
        bundle_root=str(bundle),
        local_epochs=local_epochs,
        send_weight_diff=False,
        config_train_filename=list(configs),  # MonaiAlgo's default is a train.json
        train_kwargs=dict(options),
        config_evaluate_filename=list(
            configs
        ),  # train.yaml has validate#evaluator; MonaiAlgo's default adds an evaluate.json
        eval_kwargs=options | {"output_dir": f"{options['output_dir']}/evaluator"},
        best_model_filepath=f"{options['output_dir']}/models/model.pt",  # MonaiAlgo's default is in the bundle's folder
    )
    made.initialize({ExtraItems.CLIENT_NAME: name})
    return made


def mean_weights(given: Sequence[ExchangeObject]) -> dict[str, Tensor]:
    """Mean of the sites' weights, weighted by their numbers of steps (federated averaging); for counters the maximum."""
    steps = torch.tensor([site.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] for site in given], dtype=torch.float64)
    mean = {}
    for name, value in given[0].weights.items():
        values = torch.stack([site.weights[name] for site in given])
        if value.is_floating_point():
            shares = (steps / steps.sum()).reshape(-1, *(1,) * value.ndim)
            mean[name] = (values * shares).sum(dim=0).to(value.dtype)
        else:
            mean[name] = values.amax(dim=0)
    return mean


def train(sites: Sequence[MonaiAlgo], rounds: int) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train in rounds of federated averaging; with one site, the site trains alone.

    Returns:
        The weights after the last round, and for each round the key metric of each site on its own exams.
    """
    # a client in the same process returns its network's own tensors, which its training would later change
    weights = {name: value.clone() for name, value in sites[0].get_weights().weights.items()}
    course = []
    for _ in range(rounds):
        sent = ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS)
        for site in sites:
            site.train(sent)
        weights = mean_weights([site.get_weights() for site in sites])
        sent = ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS)
        scores = [(site, site.evaluate(sent).metrics) for site in sites]
        course.append({site.client_name: float(told[site.evaluator.state.key_metric_name]) for site, told in scores})
    for site in sites:
        site.finalize()
    return weights, course


def score(bundle: Path, configs: Sequence[str], weights: Mapping[str, Tensor], out: Path, settings: Mapping) -> dict:
    """Score weights on the test section of a datalist with the bundle's own evaluation."""
    (out / "models").mkdir(parents=True, exist_ok=True)
    torch.save(dict(weights), out / "models" / "model.pt")
    monai.bundle.run(
        config_file=[str(bundle / file) for file in (*configs, "configs/evaluate.yaml")],
        bundle_root=str(bundle),
        logging_file=False,
        weights=str(out),
        section="test",
        **settings | {"output_dir": str(out)},
    )
    return json.loads((out / "test" / "metrics.json").read_text())


def study(task: Task, lists: Mapping[str, Path], out: Path, rounds: int, local_epochs: int = 1, **smaller: Any) -> dict:
    """Run all trainings of a task and score them.

    Returns:
        The scores by name for each site alone and for ``averaged``, and ``rounds``: the sites' key metric after each round.
    """
    bundle, configs = BUNDLES / task.bundle, ["configs/train.yaml", "configs/demo.yaml"]
    shared = {**task.settings, "progress": False, "max_epochs": rounds * local_epochs, "num_workers": 0, **smaller}
    table: dict[str, Any] = {}
    for name, members in {**{f"{site} alone": [site] for site in SITES}, "averaged": list(SITES)}.items():
        folder = out / task.bundle / name.replace(" ", "_")
        shutil.rmtree(folder, ignore_errors=True)
        clients = [
            client(
                site, bundle, configs,
                shared | {"datalist": str(lists[site]), "output_dir": str(folder / site), "cache_dir": str(out / site)},
                local_epochs,
            )
            for site in members
        ]  # fmt: skip
        weights, course = train(clients, rounds)
        if len(members) > 1:
            table["rounds"] = course
        place = {"datalist": str(lists["elsewhere"]), "cache_dir": str(out / "elsewhere/cache")}
        report = score(bundle, configs, weights, folder, shared | place)
        table[name] = {key: _at(report, where) for key, (where, _) in task.scores.items()}
    return table


def _at(report: Any, where: Sequence[str]) -> float:
    for key in where:
        report = report[key]
    return float("nan") if report is None else float(report)


def no_worse(task: Task, table: Mapping[str, Mapping[str, float]]) -> dict[str, bool]:
    """For each score, whether the averaged weights are at least as good as the worse of the two sites alone."""
    held = {}
    for name, (_, higher) in task.scores.items():
        own, averaged = [table[f"{site} alone"][name] for site in SITES], table["averaged"][name]
        held[name] = averaged >= min(own) if higher else averaged <= max(own)
    return held


def lines(task: Task, table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The table as Markdown."""
    text = [f"| {task.bundle} | {' | '.join(task.scores)} |", f"|---|{'---|' * len(task.scores)}"]
    for who in (*(f"{site} alone" for site in SITES), "averaged"):
        text.append(f"| {who} | {' | '.join(f'{table[who][name]:.4f}' for name in task.scores)} |")
    held = no_worse(task, table)
    text.append(f"| no worse than the worse site | {' | '.join('yes' if held[name] else 'NO' for name in held)} |")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("work/federated"))
    parser.add_argument("--bundle", choices=TASKS, action="append", help="bundle to train; by default both")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--local-epochs", type=int, default=1, help="epochs of each site in a round")
    parser.add_argument("--seed", type=int, default=70, help="seed of the phantoms")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    # phantoms need no protection, and with a fixed salt the exams are in the same order on every machine
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "salt").write_text("phantoms are nobody\n")
    os.environ["PLANEWISE_SALT_FILE"] = str(given.out / "salt")
    held = True
    for name in given.bundle or TASKS:
        task = TASKS[name]
        lists = write_places(task, given.out, task.exams, given.seed)
        table = study(task, lists, given.out, given.rounds, given.local_epochs)
        print("\n".join(lines(task, table)), flush=True)
        for site in SITES:
            course = " ".join(f"{metrics[site]:.3f}" for metrics in table["rounds"])
            print(f"key metric on an exam of {site}, round by round: {course}")
        print(flush=True)
        held = held and all(no_worse(task, table).values())
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
