"""The writers of inference configs: a folder for each exam, a table of all exams, and volumes as NIfTI files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.config import NdarrayOrTensor
from monai.data import MetaTensor, NibabelWriter
from nibabel.nifti1 import Nifti1Image

from planewise.files.atomic_write import atomic_write
from planewise.files.nifti import written_affine
from planewise.files.predicted_masks import is_corrected, mark_predicted, set_aside
from planewise.preprocessing.exam_name import loaded_name
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_predictions
from planewise.words import count_of

logger = logging.getLogger(__name__)


def no_labels(image: torch.Tensor) -> torch.Tensor:
    """A label map of zeros on the grid of an image ``(C, ...)``, ``(1, ...)`` uint8: MONAI Label shows ``pred`` as labels."""
    labels = torch.zeros((1, *image.shape[1:]), dtype=torch.uint8, device=image.device)
    return MetaTensor(labels, meta=image.meta) if isinstance(image, MetaTensor) else labels


class ExamWriter:
    """Call `write` for each exam, with its folder ``output_dir/<exam>/``. Attach it to the evaluator of an inference
    config; this evaluator must decollate its batches.

    Args:
        output_dir: folder for the results.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir)
        self.written: set[str] = set()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            exam = loaded_name(output["image"])
            folder = self.folder / exam
            folder.mkdir(parents=True, exist_ok=True)
            self.write(exam, folder, item, output)
            self.written.add(exam)

    def _finish(self, engine: Engine) -> None:
        if self.written:  # only the number, because a folder's name may contain a person's name
            logger.info("wrote %s into the output folder, one for each result", count_of(len(self.written), "folder"))

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        """Write the files of one exam.

        Args:
            exam: the exam's hash, or the name of its file.
            folder: folder of the exam; it exists.
            item: item of the evaluator's batch.
            output: output of the evaluator.
        """
        raise NotImplementedError


class PredictionsWriter(ExamWriter):
    """Call `diagnose` for each exam, with its folder ``output_dir/<exam>/``, and write the returned rows into
    ``predictions.csv``.

    Args:
        output_dir: folder for the results.
        note: sentence in every row of the table.
    """

    def __init__(self, output_dir: str | Path, note: str = RESEARCH_ONLY) -> None:
        super().__init__(output_dir)
        self.note = note

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        super().attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._write_table)

    def diagnose(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files of one exam (see `ExamWriter.write`).

        Returns:
            The row of the exam, which maps columns to values.
        """
        raise NotImplementedError

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        self._rows.append({"exam": exam, **self.diagnose(exam, folder, item, output)})

    def _start(self, engine: Engine) -> None:
        self._rows: list[dict[str, Any]] = []

    def _write_table(self, engine: Engine) -> None:
        if not self._rows:
            return
        columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
        write_predictions(self.folder / "predictions.csv", columns, self.note)


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
