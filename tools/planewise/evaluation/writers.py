"""The writers of inference configs: a folder for each exam, a table of all exams, volumes as NIfTI files, and the
findings and grades of each exam, also in the form that MONAI Label expects."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import nibabel
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.config import NdarrayOrTensor
from monai.data import MetaTensor, NibabelWriter
from monai.transforms import Transform
from nibabel.nifti1 import Nifti1Image
from torch import nn

from planewise.files.atomic_write import atomic_write
from planewise.files.masks import is_corrected, mark_predicted, set_aside
from planewise.files.nifti import written_affine
from planewise.findings import from_text, said
from planewise.metrics.classification import check_thresholds, predicted_grades
from planewise.networks import saliency_maps
from planewise.preprocessing.exam_name import loaded_name
from planewise.preprocessing.load_stack import missing_slices
from planewise.reports.classification_figures import Decision, photograph_figure, saliency_figure
from planewise.reports.research_only import RESEARCH_ONLY, research_note
from planewise.reports.slices import save_picture
from planewise.reports.tables import write_json, write_predictions
from planewise.words import count_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)


def no_labels(image: torch.Tensor) -> torch.Tensor:
    """A label map of zeros on the grid of an image ``(C, ...)``, ``(1, ...)`` uint8: MONAI Label shows ``pred`` as labels."""
    labels = torch.zeros((1, *image.shape[1:]), dtype=torch.uint8, device=image.device)
    return MetaTensor(labels, meta=image.meta) if isinstance(image, MetaTensor) else labels


@dataclass(eq=False, repr=False)
class ExamWriter:
    """Call `write` for each exam, with its folder ``output_dir/<exam>/``, and write the rows that it returns, if any, into
    ``predictions.csv``. Attach it to the evaluator of an inference config; this evaluator must decollate its batches.

    Args:
        output_dir: folder for the results.
    """

    output_dir: str | Path
    rows: dict[str, dict[str, Any] | None] = field(default_factory=dict, init=False)

    #: Sentence in every row of the table.
    note: ClassVar[str] = RESEARCH_ONLY

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda engine: self.rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            exam = loaded_name(output["image"])
            folder = Path(self.output_dir) / exam
            folder.mkdir(parents=True, exist_ok=True)
            self.rows[exam] = self.write(exam, folder, item, output)

    def write(
        self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Write the files of one exam.

        Args:
            exam: the exam's hash, or the name of its file.
            folder: folder of the exam; it exists.
            item: item of the evaluator's batch.
            output: output of the evaluator.

        Returns:
            The exam's row of ``predictions.csv``; None to write no table.
        """
        raise NotImplementedError

    def _finish(self, engine: Engine) -> None:
        if self.rows:  # only the number, because a folder's name may contain a person's name
            logger.info("wrote %s into the output folder, one for each result", count_of(len(self.rows), "folder"))
        rows = {exam: row for exam, row in self.rows.items() if row is not None}
        if rows:
            columns = {name: [row[name] for row in rows.values()] for name in next(iter(rows.values()))}
            write_predictions(Path(self.output_dir) / "predictions.csv", {"exam": [*rows]} | columns, self.note)


class VolumeWriter(NibabelWriter):
    """MONAI's writer of NIfTI files for volumes ``(channels, i, j, slices)``, with millimetres as their unit; a volume of one
    channel and one slice is written as ``(i, j, 1)``. Whole numbers are marked as predicted (`is_predicted`): masks, and the
    lines of planned views, which an index would otherwise take as labels, because they lie on the images' grid.

    MONAI's own writer drops the last axis of such a volume, and then `SaveImage` (1.6.1) fails. It also fails for sagittal
    and coronal volumes that lie exactly along the patient's axes, and gives a sheared volume two geometries (see
    `written_affine`). On a full disk, it replaces an old file by a truncated file; this class keeps the old file. It also
    keeps a mask that a person corrected, under another name (`set_aside`). Use it as the ``writer`` of `SaveImaged`.
    """

    def set_data_array(self, data_array: NdarrayOrTensor, channel_dim: int | None = 0, **kwargs: Any) -> None:
        super().set_data_array(data_array, channel_dim, **kwargs | {"squeeze_end_dims": False})
        if self.data_obj.shape[-1] == 1:
            self.data_obj = self.data_obj[..., 0]

    def set_metadata(self, *args: Any, **kwargs: Any) -> None:
        super().set_metadata(*args, **kwargs)
        self.affine = written_affine(np.asarray(self.affine), self.data_obj.shape)

    @classmethod
    def resample_if_needed(cls, data_array: NdarrayOrTensor, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        # MONAI (1.6.1) mistakes the first of three axes for channels, and reads the affine of a slice, which may be singular
        resampled, affine = super().resample_if_needed(data_array[..., None], *args, **kwargs)
        return resampled[..., 0], affine

    def write(self, filename: str | PathLike[str], verbose: bool = False, **kwargs: Any) -> None:
        ending = ".nii.gz" if fspath(filename).endswith(".nii.gz") else ".nii"
        with atomic_write(fspath(filename), ending=ending) as part:
            super().write(part, verbose, **kwargs)
            file = Path(fspath(filename))
            if nibabel.load(part).get_data_dtype().kind in "iu" and is_corrected(file):
                logger.warning("%s", set_aside(file, ending))

    @classmethod
    def create_backend_obj(cls, *args: Any, **kwargs: Any) -> Nifti1Image:
        image = super().create_backend_obj(*args, **kwargs)
        image.header.set_xyzt_units("mm")
        if image.get_data_dtype().kind in "iu":
            mark_predicted(image)
        return image


@dataclass(eq=False, repr=False)
class FindingsWriter(ExamWriter):
    """For every stack, write the probabilities of the findings into ``output_dir``.

    - ``<exam>/findings.json`` and ``<exam>/saliency.png``: probabilities, and for each finding the decisive slices and
      regions. Slices are counted from 1: from the patient's right for DICOM, in the file's order for a volume;
    - ``predictions.csv``: all exams.

    For a stack of the wrong kind, the files contain the reason instead of probabilities; for a stack that is probably
    of the wrong kind, they contain probabilities and a remark. The remark also reports missing slices, doubts about the
    headers, and what else the study contains, such as another knee or a second series that fits.

    Args:
        output_dir: folder for the results.
        network: `planewise.networks.StackClassifier`, whose saliency is drawn.
        tasks: names of the findings.
        trained_on: what the weights were trained on, if not on people, such as ``phantoms``; noted next to every result.
    """

    network: nn.Module
    tasks: Sequence[str]
    trained_on: str | None = None

    @property
    def note(self) -> str:  # type: ignore[override]
        return research_note(self.trained_on)

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        why_not, remarks = (from_text(item.get(key, "[]")) for key in ("why_not", "findings"))
        affines = item.get("slice_affines")
        gap = missing_slices(torch.as_tensor(affines)) if affines is not None else []
        remark = said([*why_not, *gap, *remarks])
        doubt = said([*why_not, *(each for each in remarks if each.code == "stack-unsure")])
        found = {"note": self.note, "remark": remark or None, "probabilities": None}
        if why_not:
            probabilities = {}
            logger.warning("exam %s is not judged: %s", exam, remark)
        else:
            values = torch.as_tensor(output["pred"]).float().cpu().tolist()
            probabilities = dict(zip(self.tasks, values, strict=True))
            stack = torch.as_tensor(output["image"])[0]
            numbers = [int(rank) + 1 for rank in item.get("kept_slices", range(stack.shape[-1]))]
            maps = (saliency_maps(self.network, stack[None], index).numpy() for index in range(len(self.tasks)))
            rows = {
                task: Decision(f"{task} {value:.2f}", stack.cpu().numpy(), each, numbers)
                for (task, value), each in zip(probabilities.items(), maps, strict=True)
            }
            # the decisive slices by their numbers, with their shares of the saliency
            decisive = {
                task: [{"slice": row.number(index), "share": round(share, 3)} for index, share in row.decisive(3)]
                for task, row in rows.items()
            }
            found |= {"probabilities": probabilities, "decisive_slices": decisive}
            title = f"exam {exam}{': ' * bool(doubt)}{doubt}.\n{self.note}"
            save_picture(folder / "saliency.png", lambda: saliency_figure(list(rows.values()), title))
            logger.info("exam %s: %s", exam, ", ".join(f"{task} {value:.2f}" for task, value in probabilities.items()))
        write_json(folder / "findings.json", found)
        return {**{f"p({task})": probabilities.get(task, "") for task in self.tasks}, "remark": remark}


class AsNumbersd(Transform):
    """Let a server return the numbers of ``pred``, one for each class: writes ``pred``, ``(classes,)``, as a float32
    `MetaTensor` on the CPU, and ``image`` without ``spatial_shape`` in its ``meta``.

    MONAI Label resizes every ``pred`` to the original size of the image, which fails if ``pred`` has no spatial axis
    (`monailabel.transform.post.Restored`). It leaves ``pred`` alone if the image's metadata has no original size.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image = item["image"]
        if isinstance(image, MetaTensor):
            meta = {key: value for key, value in image.meta.items() if key != "spatial_shape"}
            item["image"] = MetaTensor(image.as_tensor(), meta=meta, applied_operations=image.applied_operations)
        item["pred"] = MetaTensor(torch.as_tensor(item["pred"]).float().cpu())
        return item


@dataclass(eq=False, repr=False)
class GradeWriter(ExamWriter):
    """For every photograph, write its grade into ``output_dir``.

    - ``<exam>/grade.json`` and ``<exam>/saliency.png``: the result of `GradeAnswerd`, and where the network looked;
    - ``predictions.csv``: all photographs.

    Args:
        output_dir: folder for the results.
        network: the network whose saliency is drawn.
    """

    network: nn.Module

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        found = output["result"]
        image = torch.as_tensor(output["image"])

        def draw() -> Figure:
            # for grade 0, the places that support any higher grade
            (saliency,) = saliency_maps(self.network, image, max(found["grade"], 1) - 1)
            title = f"grade {found['grade']}: {found['name']}\n{exam}. {RESEARCH_ONLY}"
            return photograph_figure(image.cpu().numpy(), saliency.numpy(), title)

        save_picture(folder / "saliency.png", draw)
        write_json(folder / "grade.json", found)
        logger.info("exam %s: grade %d (%s)", exam, found["grade"], found["name"])
        told = {f"p({name} or above)": value for name, value in found["at_least"].items()}
        return {"grade": found["grade"], "name": found["name"], **told}


class GradeAnswerd(Transform):
    """Add to an item the grade that follows from its probabilities.

    Reads ``image``, ``(C, i, j)``, and ``pred``, probabilities of a grade above each threshold, ``(thresholds,)``. Writes
    ``grade``, a whole number; and for MONAI Label, ``result``: ``grade``, its ``name``, and under ``at_least`` the
    probability of each grade or a higher one; and ``pred``: labels of zero, ``(1, i, j)``, uint8.

    Args:
        grades: names in order, one more than there are thresholds.

    Raises:
        InputError: ``pred`` does not have one value for each threshold.
    """

    def __init__(self, grades: Sequence[str]) -> None:
        self.grades = tuple(str(name) for name in grades)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        probabilities = torch.as_tensor(data["pred"]).float().cpu().numpy()
        check_thresholds(probabilities[None], self.grades)
        grade = int(predicted_grades(probabilities[None])[0])
        found = {"note": RESEARCH_ONLY, "grade": grade, "name": self.grades[grade]}
        at_least = zip(self.grades[1:], probabilities, strict=True)
        found["at_least"] = {name: float(f"{value:.6g}") for name, value in at_least}
        return {**data, "grade": grade, "result": found, "pred": no_labels(data["image"])}
