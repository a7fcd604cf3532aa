"""The layouts of real data sets in which phantom exams are written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from planewise.files.atomic_write import atomic_write
from planewise.workshop.phantoms.abdomen import ABDOMENS, Abdomen
from planewise.workshop.phantoms.files import NiftiFile, write_files
from planewise.workshop.phantoms.head import HEADS, Head
from planewise.workshop.phantoms.heart import exam as heart_exam
from planewise.workshop.phantoms.heart.heart import ATRIA, END_SYSTOLE, LABELS
from planewise.workshop.phantoms.heart.population import GROUPS, LABELLED, UNLABELLED, VOLUNTEERS
from planewise.workshop.phantoms.knee import exam as knee_exam
from planewise.workshop.phantoms.knee.population import KNEE_LABELLED, KNEE_UNLABELLED
from planewise.workshop.phantoms.retina import RETINAS, Retina
from planewise.workshop.phantoms.settings import Settings

if TYPE_CHECKING:
    from planewise.workshop.phantoms.recipe import Recipe

#: The table rows of an exam, by the table's name.
Rows = dict[str, tuple[object, ...]]


class Layout:
    """A real data set that phantom exams imitate, with its patients, files and folders.

    Attributes:
        seed: part of every seed, so that exams of different layouts show different people.
        exam: class of its exams; ``sample`` samples a whole exam, and ``sample_organ``, which fast ones lack, only the organ.
        population: default patients and scanners; any other population must be of the same class.
        groups: diagnoses assigned to exams in turn; if empty, they are drawn according to the population's shares.
        header: first row of the data set's tables.
    """

    seed: int
    exam: Any
    population: Settings
    groups: tuple[str, ...] = ()
    header: tuple[str, ...] = ()

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        """The files or folders of an exam under the root of the set."""
        raise NotImplementedError

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        """Write an exam to ``paths``, which have the order of `exam_paths`."""
        raise NotImplementedError

    def table_rows(self, recipe: Recipe, number: int) -> Rows:
        """An exam's rows of the data set's tables. The first cell identifies the exam."""
        return {}

    def write_listing(self, out: Path) -> None:
        """Write a file that lists the whole tree, if the data set has one."""


# --- hearts --------------------------------------------------------------------------------------------------------------


class Dsbcc(Layout):
    """The Data Science Bowl Cardiac Challenge: one folder of DICOM files per series, and a table of volumes in ml."""

    seed, exam, population = 1, heart_exam.Exam, UNLABELLED
    header = ("Id", "Systole", "Diastole")

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        return [f"train/train/{number}"]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        exam, identity = recipe.exam(number), recipe.identity(number)
        for series in heart_exam.plan_series(exam, recipe.population.extra_views):
            write_files(heart_exam.series_files(exam, series, identity), paths[0])

    def table_rows(self, recipe: Recipe, number: int) -> Rows:
        heart = recipe.organ(number)
        systole, diastole = (round(heart.volumes(phase)["lv"], 1) for phase in (END_SYSTOLE, 0.0))
        return {"train.csv": (number, systole, diastole)}


class Acdc(Layout):
    """The Automated Cardiac Diagnosis Challenge: NIfTI volumes, masks, Info.cfg."""

    seed, exam, population, groups = 2, heart_exam.Exam, LABELLED, tuple(GROUPS)

    #: The same label numbers as ours; atria are not labelled.
    codes = {value: value for value in LABELS.values()}

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        """The folder depends only on the exam's number. As in the real set, blocks of 20 patients have the same diagnosis,
        and after 100 patients the order repeats. With fewer exams, the numbers of the folders have gaps."""
        rank, group = divmod(number - 1, len(GROUPS))
        hundred, place = divmod(rank, 20)
        return [f"training/patient{100 * hundred + 20 * group + place + 1:03d}"]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        exam, folder = recipe.exam(number), paths[0]
        name = self.exam_paths(recipe, number)[0].removeprefix("training/")
        scanner, patient, frame = exam.scanner, exam.patient, f"{name}_frame{{1:02d}}"
        for file in heart_exam.view_files(exam, "sax", self.codes, f"{name}_4d", frame, f"{frame}_gt"):
            # the affine contains the spacing but no orientation, as in ACDC
            file.affine = np.diag([scanner.spacing, scanner.spacing, scanner.distance, 1.0])
            file.write(folder)
        (folder / "Info.cfg").write_text(
            f"ED: 1\nES: {exam.end_systole + 1}\nGroup: {patient.group}\nHeight: {patient.height}\n"
            f"NbFrame: {scanner.phases}\nWeight: {patient.weight}\n"
        )


class Mnms2(Layout):
    """The M&Ms-2 challenge: short-axis and 4ch volumes with masks at ED and ES, and a table."""

    seed, exam, population, groups = 5, heart_exam.Exam, LABELLED, tuple(GROUPS)
    header = ("SUBJECT_CODE", "DISEASE", "VENDOR", "SCANNER", "FIELD")

    #: Maps our labels to those of the data set. Atria are not labelled.
    codes = {LABELS["lv"]: 1, LABELS["myocardium"]: 2, LABELS["rv"]: 3}
    #: Turns positions in the patient, RAS+, to those in the headers, which are mirrored from head to foot, as those of both
    #: real samples that are public.
    mirror = np.diag([1.0, 1.0, -1.0, 1.0])

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        return [f"dataset/{number:03d}"]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        exam = recipe.exam(number)
        for view, short in (("sax", "SA"), ("4ch", "LA")):
            stem = f"{number:03d}_{short}"
            files = heart_exam.view_files(exam, view, self.codes, f"{stem}_CINE", f"{stem}_{{0}}", f"{stem}_{{0}}_gt")
            for file in files:
                replace(file, affine=self.mirror @ file.affine).write(paths[0])

    def table_rows(self, recipe: Recipe, number: int) -> Rows:
        group = recipe.organ(number).patient.group
        return {"dataset_information.csv": (f"{number:03d}", group, "phantom", "phantom", "1.5")}


class Ukbb(Layout):
    """UK Biobank pipelines: a folder for each participant, and a NIfTI cine for each view.

    The names come from the public pipeline of W. Bai and colleagues (baiwenjia/ukbb_cardiac): ``la_4ch`` is a cine,
    ``la_4ch_ES`` its frame, and ``label_la_4ch_ES`` a manual mask. The labels are the five structures of Bai 2019, section 3.
    """

    seed, exam, population = 6, heart_exam.Exam, VOLUNTEERS

    #: Each view's name, and a map of our labels to those of the data set; a view without codes gets no labels.
    views = {
        "sax": ("sa", Mnms2.codes),
        "2ch": ("la_2ch", None),
        "4ch": ("la_4ch", Mnms2.codes | {ATRIA["la"]: 4, ATRIA["ra"]: 5}),
    }

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        return [f"{1_000_000 + number}"]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        exam = recipe.exam(number)
        for view, (name, codes) in self.views.items():
            codes = codes if recipe.population.masks else None
            for file in heart_exam.view_files(exam, view, codes, name, f"{name}_{{0}}", f"label_{name}_{{0}}"):
                file.write(paths[0])


# --- knees ---------------------------------------------------------------------------------------------------------------


class FastMri(Layout):
    """fastMRI's knees as DICOM files: a folder for each exam and series, and an image for each slice."""

    seed, exam, population = 3, knee_exam.KneeExam, KNEE_UNLABELLED

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        """The name of the folder contains a comma, as in the real set."""
        code = int(hashlib.sha256(f"{recipe.seed} {number}".encode()).hexdigest()[:8], 16)
        return [f"{number:05d},{code % 10**6:06d}"]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        exam, identity = recipe.exam(number), recipe.identity(number)
        for series in knee_exam.plan_series(exam, recipe.population):
            write_files(knee_exam.series_files(exam, series, identity), paths[0])


class MrNet(Layout):
    """MRNet-v1.0: an 8-bit volume without geometry for each exam, and labels in tables. Only sagittal volumes are written,
    because later steps read only these, and every additional plane would take the same time again."""

    seed, exam, population = 4, knee_exam.KneeExam, KNEE_LABELLED

    #: Numbers of exams in the two parts of the real set. The identifiers of the second part continue those of the first.
    train, valid = 1130, 120

    def place(self, number: int) -> tuple[str, str]:
        """The part of the set to which an exam belongs, and the exam's identifier.

        Exams of the two parts are interleaved in the real proportions, so that even a small set has exams of both parts.
        """
        both = self.train + self.valid
        block, rank = divmod(number - 1, both)
        before = rank * self.valid // both
        valid = (rank + 1) * self.valid // both > before
        place = self.train + before if valid else rank - before
        return ("valid" if valid else "train"), f"{block * both + place:04d}"

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        return ["{}/sagittal/{}.npy".format(*self.place(number))]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        volume = recipe.exam(number).volume("sagittal")
        # stretched to 8 bits; the darkest and the brightest pixels are clipped
        low, high = np.percentile(volume, (0.5, 99.8))
        stretched = np.clip(np.round((volume - low) * (255 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)
        # a file object is passed, because NumPy would add an ending to a name
        with paths[0].open("wb") as file:
            np.save(file, stretched)

    def table_rows(self, recipe: Recipe, number: int) -> Rows:
        part, name = self.place(number)
        return {f"{part}-{task}.csv": (name, label) for task, label in recipe.organ(number).findings.labels.items()}


# --- volumes and photographs ---------------------------------------------------------------------------------------------

#: Every third case of `Msd` and of `Aptos` is a test image without a mask or a grade: 139 of 420 and 1928 of 5590 in the
#: real sets.
TESTED = 3


class Brats(Layout):
    """BraTS 2018: each grade has a folder, and in it each case has a folder with four contrasts and a mask."""

    seed, exam, population = 7, Head, HEADS

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        """The name of a case contains year, site, patient and scan as in BraTS."""
        return [f"{recipe.organ(number).grade}/Brats18_PHANTOM_{number:03d}_1"]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        """A head without a tumour has no mask, or a mask of its tissues."""
        head = recipe.exam(number)
        images, mask = head.scan()
        # i points to the patient's left and j to the back, as in the files of BraTS
        affine = np.diag([-head.spacing, -head.spacing, head.spacing, 1.0])
        affine[:3, 3] = np.array([1, 1, -1]) * head.spacing * (head.population.side - 1) / 2
        volumes = {contrast: np.round(image).astype(np.int16) for contrast, image in images.items()}
        if head.tumour or head.has_tissues:
            volumes["seg"] = mask
        for name, volume in volumes.items():
            NiftiFile(f"Brats18_PHANTOM_{number:03d}_1_{name}.nii.gz", volume, affine).write(paths[0])


class Msd(Layout):
    """Task 7 of the Medical Segmentation Decathlon: images, masks, and a list of both."""

    seed, exam, population = 8, Abdomen, ABDOMENS

    #: Content of the file that macOS writes next to each file in an archive of the real set. It is not an image, although
    #: its name ends like that of an image.
    hidden = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        folders = ("imagesTs",) if number % TESTED == 0 else ("imagesTr", "labelsTr")
        return [f"{folder}/pancreas_{number:03d}.nii.gz" for folder in folders]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        abdomen = recipe.exam(number)
        affine = np.diag([*abdomen.spacing, 1.0])
        affine[:3, 3] = -np.array(abdomen.spacing) * (abdomen.population.side - 1) / 2
        # the masks of test images are not published
        for path, volume in zip(paths, abdomen.scan(), strict=False):
            (path.parent / f"._pancreas_{number:03d}.nii.gz").write_bytes(self.hidden)
            NiftiFile(path.name, volume, affine).write(path.parent)

    def write_listing(self, out: Path) -> None:
        """Write ``dataset.json``, which lists the existing cases."""
        names = {
            folder: sorted(path.name for path in (out / folder).glob("[!.]*.nii.gz"))
            for folder in ("imagesTr", "imagesTs")
        }
        listing = {
            "name": "Pancreas",
            "description": "Phantoms in the layout of the decathlon's pancreas: synthetic, no patients",
            "licence": "of the program that wrote them",
            "tensorImageSize": "3D",
            "modality": {"0": "CT"},
            "labels": {"0": "background", "1": "pancreas", "2": "cancer"},
            "numTraining": len(names["imagesTr"]),
            "numTest": len(names["imagesTs"]),
            "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names["imagesTr"]],
            "test": [f"./imagesTs/{name}" for name in names["imagesTs"]],
        }
        with atomic_write(out / "dataset.json") as part:
            part.write_text(json.dumps(listing, indent=1) + "\n")


class Aptos(Layout):
    """APTOS 2019: training photographs with a table of grades, and test photographs without grades. Their names have twelve
    digits, as many as the hexadecimal names of the real set."""

    seed, exam, population = 9, Retina, RETINAS
    header = ("id_code", "diagnosis")

    def exam_paths(self, recipe: Recipe, number: int) -> list[str]:
        return [f"{'test' if number % TESTED == 0 else 'train'}_images/{number:012d}.png"]

    def write_exam(self, recipe: Recipe, number: int, paths: list[Path]) -> None:
        Image.fromarray(recipe.exam(number).photograph()).save(paths[0], "PNG", compress_level=1)

    def table_rows(self, recipe: Recipe, number: int) -> Rows:
        return {} if number % TESTED == 0 else {"train.csv": (f"{number:012d}", recipe.organ(number).grade)}

    def write_listing(self, out: Path) -> None:
        """Write ``test.csv``, which names the photographs without grades."""
        names = sorted(path.stem for path in (out / "test_images").glob("[!.]*.png"))
        with atomic_write(out / "test.csv") as part:
            part.write_text("".join(f"{name}\n" for name in ("id_code", *names)))


#: Maps names to layouts.
LAYOUTS: dict[str, Layout] = {
    kind.__name__.lower(): kind() for kind in (Dsbcc, Acdc, Mnms2, Ukbb, FastMri, MrNet, Brats, Msd, Aptos)
}
