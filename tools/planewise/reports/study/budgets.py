"""The budget of every pretraining of a study: the number and content of its steps, processor time, learning rate,
augmentation, exams, and the weights that are kept.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planewise.engines.run_record import RELEASED, config_file
from planewise.exams.words import listed
from planewise.not_computed import FILES, NOT_COMPUTED
from planewise.reports.history import read_history
from planewise.reports.methods import method_name
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page
from planewise.reports.study_figures import History
from planewise.text_files import read_yaml

#: Settings of the image augmentation, each group with the setting of its probability: if this is 0, the group does nothing.
_CHANGES: Sequence[tuple[Sequence[str], str | None]] = (
    (("rotate",), "rotate_prob"),
    (("zoom",), "zoom_prob"),
    (("shift", "flip_prob", "gamma", "bias_field", "noise"), None),
    (("blur_sigma",), "blur_prob"),
    (("brightness", "contrast_range"), "intensity_prob"),
)
#: Limits that change nothing; for settings that are not named here, these are 1.
_NEUTRAL = {"blur_sigma": 0}
#: Settings of a fine-tuning that concern only the use of pretrained weights.
_OF_WEIGHTS = {"transfer", "frozen_epochs", "pretext_settings", "auxiliary_interval"}


@dataclass(frozen=True)
class Budget:
    """The budget of a pretraining.

    Attributes:
        steps: number and content of the steps, in words.
        rate: the highest learning rate; None if the history contains none.
        exams: identifier of the run's datalist; None if the run has no record.
        changes: image augmentation, in words.
        kept: share of the steps after which the weights for fine-tuning were saved. These are the weights with the lowest
            validation loss, or always the last weights, whose share is 1. None if the history does not show it.
        minutes: processor time of the whole job, with start, validation and scoring; None if it is not known.
    """

    steps: str
    rate: float | None = None
    exams: tuple[str, ...] | None = None
    changes: str | None = None
    kept: float | None = None
    minutes: float | None = None


def add_budgets(page: Page, study: StudyFolder) -> None:
    """Add a note to the main table and, at the top of the page, a warning about methods whose fine-tuning settings differ
    from those of training from scratch; add nothing if no training has left its settings."""
    budgets = {name: budget for name in study.pretexts if (budget := _read(study, name))}
    elsewhere = _trained_elsewhere(study)
    said = [budgets_in_words(budgets, elsewhere)] if budgets or elsewhere else []
    said += _frozen_in_words(study)
    if said:
        page.add("<p class=note>{}</p>", " ".join(said))
    if others := _together(_other_settings(study)):
        words = "; ".join(f"{listed(settings)} for {_called(names)}" for settings, names in others.items())
        page.lead(
            "<p class=warning>Some methods were fine-tuned with settings that differ from those of training from scratch and "
            f"may explain part of their gain: {html.escape(words, quote=False)}.</p>"
        )


def budgets_in_words(budgets: Mapping[str, Budget], elsewhere: Mapping[str, str] = MappingProxyType({})) -> str:
    """Describe the budgets in sentences; pretrainings with equal budgets are named together.

    Args:
        budgets: maps each pretraining to its budget.
        elsewhere: maps each method that starts from weights which the study did not train to their data, in words; empty
            text if this is not known.
    """
    others = [
        f"{method_name(name)} ({f'learned from {data}' if data else 'the exams from which they learned are not known here'})"
        for name, data in elsewhere.items()
    ]
    apart = (
        "Some weights were trained outside this study, with other exams, steps and schedules, which may explain a part of "
        f"their gain: {'; '.join(others)}."
    )
    if not budgets:
        return apart
    all_of_them = "all that were pretrained here" if elsewhere else "all"
    each = _together({name: budget.steps for name, budget in budgets.items()})
    steps = "; ".join(
        f"{steps} for {all_of_them if len(names) == len(budgets) > 1 else _called(names)}"
        for steps, names in each.items()
    )
    sentences = [
        f"Budgets of pretraining: {steps}. In each step the network sees one batch of this size and is updated once."
    ]
    minutes = {name: budget.minutes for name, budget in budgets.items() if budget.minutes is not None}
    if minutes:
        shares = [f"{method_name(name)} {time:.1f}" for name, time in sorted(minutes.items(), key=lambda item: item[1])]
        sentences.append(f"Minutes of processor time, with validation and scoring: {listed(shares)}.")
    rates = {name: f"{budget.rate:g}" for name, budget in budgets.items() if budget.rate is not None}
    if rates:
        sentences.append(f"The learning rate is at most {_most_and_others(rates)}.")
    changes = {name: budget.changes for name, budget in budgets.items() if budget.changes is not None}
    if changes:
        sentences.append(f"Images are augmented with the settings {_most_and_others(changes)}.")
    exams = _together({name: budget.exams for name, budget in budgets.items() if budget.exams})
    if len(exams) == 1:
        sentences.append(f"{all_of_them.capitalize()} learned from the same list of exams.")
    elif exams:
        _, *others = exams.values()
        sentences.append(f"Different exams: {'; '.join(map(_called, others))}.")
    kept = {name: f"{budget.kept:.0%}" for name, budget in budgets.items() if budget.kept is not None}
    if kept:
        shares = "; ".join(f"{share} for {_called(names)}" for share, names in _together(kept).items())
        sentences.append(f"Fine-tuning starts from the weights after this share of the steps: {shares}.")
    return " ".join(sentences + [apart] * bool(elsewhere))


def steps_in_words(config: Mapping[str, Any], epochs: int, processes: int = 1, photographs: bool = False) -> str:
    """The number and content of a run's steps: ``"1000 steps of 16 slices"``.

    If an epoch is one pass over the exams, the number of steps does not follow from the run's settings, so the text gives the
    number of passes instead.

    Args:
        config: the run's settings.
        epochs: number of epochs of the training.
        processes: number of processes that shared each step; ``batch_size`` is the batch of one process.
        photographs: whether the images are photographs.
    """
    items = int(config["batch_size"]) * processes
    one, several = _units(config, photographs)
    if length := config.get("samples_per_epoch"):
        # processes drop the remainder of the division, as in `planewise.data.epoch_sampler`
        steps = epochs * math.ceil((length - length % processes) / items)
        return f"{steps} steps of {items} {one if items == 1 else several}"
    drawn = config.get("samples_per_exam")
    of_each = f", {drawn} {one if drawn == 1 else several} of each," if drawn else ""
    return f"{epochs} passes over the exams{of_each} in steps of {items} {one if items == 1 else several}"


def changes_in_words(config: Mapping[str, Any]) -> str:
    """The settings that augment images before the pretext, and the names of transforms that are not planewise's own:
    ``"rotate 15, zoom 0.9 to 1.1"``."""
    texts = []
    for names, probability in _CHANGES:
        if config.get(probability, 1) == 0:
            continue
        found = [_setting_in_words(name, config[name]) for name in names if name in config]
        known = [text for text in found if text]
        if probability in config and (known or not found):
            known.append(_setting_in_words(probability, config[probability]))
        texts += known
    augmentation = config.get("train", {}).get("augmentation")
    transforms = augmentation.get("transforms", [augmentation]) if isinstance(augmentation, dict) else []
    targets = [str(transform["_target_"]) for transform in transforms if isinstance(transform, dict)]
    texts += [target.rpartition(".")[2] for target in targets if not target.startswith("planewise.")]
    return ", ".join(texts) or "none"


def _setting_in_words(name: str, value: Any) -> str:
    """A setting with its value; empty if the value changes nothing."""
    if isinstance(value, list):
        return "" if set(value) == {_NEUTRAL.get(name, 1)} else f"{name} {value[0]:g} to {value[1]:g}"
    if isinstance(value, str):  # an expression
        return f"{name} {value}"
    return f"{name} {value:g}" if value else ""


def _units(config: Mapping[str, Any], photographs: bool) -> tuple[str, str]:
    """The unit of a batch, singular and plural."""
    sampler = config["train"]["sampler"]["_target_"]
    if sampler.endswith("SeriesSampler"):
        most = config.get("max_slices")
        unit = f"series of up to {most} slices" if most else "whole series"
        return unit, unit
    if sampler.endswith("PairSampler"):
        return "pair of slices", "pairs of slices"
    if photographs:
        return "photograph", "photographs"
    return ("volume", "volumes") if config.get("spatial_dims") == 3 else ("slice", "slices")


def _read(study: StudyFolder, name: str) -> Budget | None:
    folder = study.path / "pretrain" / name
    config, history = config_file(folder), read_history(folder / "history.csv")
    if not config.is_file() or not history:
        return None
    run, settings = read_json(folder / "run.json") or {}, read_yaml(config)
    steps = steps_in_words(
        settings, history[-1]["epoch"], run.get("processes", 1), photographs=study.config["anatomy"] == "photograph"
    )
    # the settings may hold an expression instead of the rate
    rate = max((row["learning_rate"] for row in history if "learning_rate" in row), default=None)
    exams = tuple(sorted(run.get("files", {}).values())) or None
    minutes = _processor_minutes(study.path / "logs" / f"pretrain_{name}")
    return Budget(steps, rate, exams, changes_in_words(settings), _kept(settings, history), minutes)


def _frozen_in_words(study: StudyFolder) -> list[str]:
    """A sentence on the first epochs of fine-tuning, in which pretrained encoders are frozen; none if they never are."""
    shares = set()
    for method in study.path.glob("finetune/*"):
        # all fine-tunings of a method have the same settings
        config = next(filter(Path.is_file, map(config_file, method.glob("*/*"))), None)
        settings = read_yaml(config) if config else {}
        frozen, epochs = settings.get("frozen_epochs"), settings.get("max_epochs")
        if isinstance(frozen, int) and isinstance(epochs, int) and frozen and settings.get("pretrained"):
            shares.add((min(frozen, epochs), epochs))
    if not shares:
        return []
    parts = " or ".join(f"{frozen} of {epochs}" for frozen, epochs in sorted(shares))
    return [
        f"In the first {parts} epochs of fine-tuning, pretrained encoders are frozen (`frozen_epochs`), whereas training "
        "from scratch trains all weights in all epochs."
    ]


def _other_settings(study: StudyFolder) -> dict[str, tuple[str, ...]]:
    """Names of the settings in which each method's fine-tuning differs from training from scratch, apart from those that use
    the weights; methods without such differences are left out.

    The two runs compared have the same exams and draw. A setting that only one of them has is ignored, because runs of
    different versions differ in this way.
    """
    runs = {(method, *run): config_file(path) for method, *run, path in study.runs("finetune")}
    found: dict[str, tuple[str, ...]] = {}
    for (method, *run), config in runs.items():
        scratch = runs.get(("none", *run))
        if method in ("none", *found) or not scratch or not (scratch.is_file() and config.is_file()):
            continue
        one, other = read_yaml(config), read_yaml(scratch)
        compared = (one.keys() & other.keys()) - {*NOT_COMPUTED, *FILES, *_OF_WEIGHTS}
        found[method] = tuple(name for key in sorted(compared) for name in _differing(key, one[key], other[key]))
    return {method: names for method, names in found.items() if names}


def _differing(name: str, one: Any, other: Any) -> list[str]:
    """The name of a setting that has two values; for a group of settings, such as ``train``, the names of these settings."""
    if not all(isinstance(value, dict) and "_target_" not in value for value in (one, other)):
        return [name] * (one != other)
    return [f"{name}#{key}" for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]


def _trained_elsewhere(study: StudyFolder) -> dict[str, str]:
    """Methods that start from weights which the study did not train, see `budgets_in_words`."""
    methods = study.config["methods"]
    named = methods.items() if isinstance(methods, dict) else ()  # in an older study, methods have no settings
    found = {}
    for name, settings in named:
        weights = (settings or {}).get("weights")
        if "/" in str(weights) and study.path not in Path(str(weights)).parents:
            found[name] = str((read_json(Path(str(weights)).parent / RELEASED) or {}).get("data") or "")
    return found


def _processor_minutes(job: Path) -> float | None:
    """The processor time of a job, see `Budget`; None if an earlier job did a part of the work.

    Args:
        job: the job's log and the file with its seconds of user and system time, without their suffixes.
    """
    try:
        if "resuming after epoch" in job.with_suffix(".log").read_text(errors="replace"):
            return None
        # the shell writes numbers as the machine's locale does
        user, system = job.with_suffix(".time").read_text().replace(",", ".").split()
        return (float(user) + float(system)) / 60
    except (OSError, ValueError):
        return None  # an older study


def _kept(settings: Mapping[str, Any], history: History) -> float | None:
    """Share of the steps after which the kept weights were saved, see `Budget`."""
    # "$lambda current, best: current < best", or "...: True" if the last is always the best
    better = settings.get("validate", {}).get("evaluator", {}).get("metric_cmp_fn", "").partition(":")[2]
    if better.strip() == "True":
        return 1.0
    checked = [row for row in history if "val_loss" in row]
    return min(checked, key=lambda row: row["val_loss"])["epoch"] / history[-1]["epoch"] if checked else None


def _most_and_others(values: Mapping[str, str]) -> str:
    """``"0.001; for SimCLR 0.003"``: the most common value, followed by the others."""
    (most, _), *others = _together(values).items()
    return most + "".join(f"; for {_called(names)} {value}" for value, names in others)


def _together(values: Mapping[str, Any]) -> dict[Any, list[str]]:
    """Map each value to the names that have it, the most common value first."""
    names: dict[Any, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    return dict(sorted(names.items(), key=lambda entry: -len(entry[1])))


def _called(names: list[str]) -> str:
    """The methods' names on a page, as a list in words: ``"a, b and c"``."""
    return listed(map(method_name, names))
