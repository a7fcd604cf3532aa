"""Diagnosis from two phases, on whole images or on hearts alone (Nakashima 2022, Tables 1 to 3 and Fig. 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product

from planewise.reports import paper_tables
from planewise.reports.methods import method_name
from planewise.reports.paper_tables import BACKBONES, IMAGES, PRETRAININGS
from planewise.reports.study.budgets import add_budgets
from planewise.reports.study.data import drawn_in_words
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import Compared, Scores, add_differences, add_paired
from planewise.reports.study_figures import convergence_curves

#: Words of the page for the parts of a method's name.
_BACKBONES = {"vgg16": "VGG", "densenet121": "DenseNet"}
_PAPERS_BACKBONES = {"vgg16": "VGG16", "densenet121": "DenseNet121"}
_PRETRAININGS = {
    "none": "no pretraining",
    "imagenet": "ImageNet",
    "full": "SimCLR, whole images",
    "segmented": "SimCLR, hearts alone",
}
_IMAGES = {"full": "whole images", "segmented": "hearts alone"}
#: Maps the number of each table of the paper to its title, and to its columns by the ending of the methods' names.
_TABLES = {
    1: (
        "Macro AUC for the classification of whole images (Table 1)",
        {f"{name}_full": called for name, called in _PRETRAININGS.items()},
    ),
    2: (
        "Macro AUC for the classification of hearts alone (Table 2)",
        {f"{name}_segmented": called for name, called in _PRETRAININGS.items()},
    ),
    3: (
        "Macro AUC, images that SimCLR learns from - images to classify (Table 3)",
        {f"{one}_{other}": f"{_IMAGES[one]} - {_IMAGES[other]}" for one, other in product(IMAGES, IMAGES)},
    ),
}
_PHASES = ("ED", "ES")
#: Words of the page for the keys of a run's `saliency`.
_SHARES = {"inside": "inside", "by_area": "heart's share of the image"}


def add(page: Page, study: StudyFolder) -> None:
    runs = FineTunings.found(study, "confusion")
    # grading.py shows runs with ordered classes, which have a kappa
    if not runs.scores or "kappa" in runs.any:
        return
    page.add("<h2>Diagnosis from two phases (Nakashima 2022)</h2><p>{}</p>", _introduction(runs))
    auc = runs.values(lambda content: content["macro_auc"])
    named = any(_methods_of(runs.study, number) for number in _TABLES)
    for number, (title, columns) in _TABLES.items():
        if _methods_of(runs.study, number):
            page.table(title, ["labelled exams, backbone", *columns.values()], _paper_rows(runs, auc, number))
    if named:
        page.add(
            "<p class=note>ICM and AMYL are the paper's own data sets, of two classes each. In the tables below, "
            "a method's name gives its backbone, the images for pretraining and the images to classify: full "
            "means whole images, segmented means hearts alone. For DenseNet121 on ICM, from whole images to "
            "hearts alone, the paper gives .886 in its Table 2 and .866 in its Table 3; each is shown as "
            "printed. {}</p>",
            _in_the_paper(),
        )
    classes = list(runs.any["auc"])
    page.table(
        "AUC of each class",
        ["labelled exams, method", "macro AUC", *classes, "accuracy", "test exams", "draws"],
        runs.rows(
            lambda draws: (
                over_draws(each["macro_auc"] for each in draws),
                *(over_draws(each["auc"][known] for each in draws) for known in classes),
                over_draws(each["accuracy"] for each in draws),
                _range(each["exams"] for each in draws),
                len(draws),
            )
        ),
    )
    _add_controls(page, runs)
    add_budgets(page, study)
    if " to " in _exams(runs):
        page.add(
            "<p class=note>Methods with fewer test exams work on hearts alone. They leave out exams whose mask "
            "cannot be a heart, so their scores are for the other exams.</p>"
        )
    _add_validation(page, runs)
    _add_convergence(page, runs)
    _add_saliency(page, runs)
    add_paired(page, auc, "macro AUC", study.repeats, lead=True)
    if named:
        add_differences(
            page, "Paired differences in macro AUC between pretrainings", auc, _compared(auc, _of_pretraining)
        )
        add_differences(
            page, "Paired differences in macro AUC between images to classify", auc, _compared(auc, _of_images)
        )
        add_differences(page, "Paired differences in macro AUC between masks", auc, _compared(auc, _of_masks))
        page.add(
            "<p class=note>All draws share the test exams, so the intervals reflect the variation between trainings, not"
            " between patients. Each pretraining ran once, from one seed, for all draws, so the intervals do not include"
            " its chance variation. It has also seen the images of most validation folds, without their classes."
            " Of twenty intervals, one is expected to exclude zero by chance.</p>"
        )
        if panels := _panels(runs):
            page.figure(
                convergence_curves(panels, "val_loss", "validation loss"),
                "Validation while the classifier is trained (as Nakashima 2022, Fig. 1): each draw (pale) and the median of "
                "the draws. The colour shows the pretraining: full means SimCLR on whole images, and segmented means SimCLR "
                "on hearts alone.",
                main=True,
            )
    else:
        runs.add_curves(page, {"val_loss": "validation loss", "val_auc": "validation, macro AUC"})
    most = max(runs.counts)
    runs.show(page, "roc.png", ": ROC curves and confusion", at_least=most)
    runs.show(page, "saliency.png", ": where the network looked", at_least=most)


def _introduction(runs: FineTunings) -> str:
    config = runs.study.config
    draws = (
        "A draw is a fold of the exams outside the test section: one fold decides when the training stops, "
        "and the network learns from the others."
        if runs.study.has_folds
        else drawn_in_words(runs.study, runs.scores)
    )
    # a demo's overlay makes networks smaller
    masks = (
        " Hearts alone are cropped with the masks of the datalist, in the test exams too: if these are reference "
        "masks, the scores are an upper bound, because nobody has such masks in practice."
        if any(method.endswith("_segmented") for method in runs.study.methods)
        else ""
    )
    if any(method.endswith("_predicted") for method in runs.study.methods):
        masks += (
            ' Methods whose name ends in "predicted" crop them with masks from the segmentation that ships, in training and '
            "in the test."
        )
    size = "small networks of these kinds" if config.get("overlay") else "VGG16 and DenseNet121"
    return (
        f"{_exams(runs)} test exams, one backbone for end-diastole and one for end-systole. The score is the area "
        f"under the ROC curve of each class against the rest, averaged over {len(runs.any['auc'])} classes; 0.5 is chance. "
        f"{draws} Cells are the mean (standard deviation) over the draws. VGG and DenseNet are {size}. Without pretraining, "
        "a network is trained end to end; otherwise only the linear layer is trained, unless the study's settings below say "
        "otherwise."
        f"{masks}"
    )


def _in_the_paper() -> str:
    """State in how many of the paper's combinations of network and data pretraining on cropped hearts beats pretraining on
    whole images, if cropped hearts are classified."""
    better = [
        f"{_PAPERS_BACKBONES[backbone]} on {table.data}"
        for table, backbone in product(paper_tables.TWO_PHASE_AUC[2], BACKBONES)
        if table.values[f"{backbone}_segmented_segmented"] > table.values[f"{backbone}_full_segmented"]
    ]
    pairs = len(paper_tables.TWO_PHASE_AUC[2]) * len(BACKBONES)
    return (
        "When hearts alone are classified, pretraining SimCLR on hearts alone scores higher than pretraining it on whole "
        f"images in {len(better)} of the paper's {pairs} combinations of network and data ({', '.join(better)})."
    )


def _methods_of(study: StudyFolder, number: int) -> list[str]:
    """The study's methods that are in a table of the paper."""
    known = {method for table in paper_tables.TWO_PHASE_AUC[number] for method in table.values}
    return [method for method in study.methods if method in known]


def _range(counts: Iterable[int]) -> str:
    """``70``, or ``68 to 70``."""
    counts = sorted(counts)
    return f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"


def _exams(runs: FineTunings) -> str:
    """The number of test exams; methods on hearts alone may have fewer."""
    return _range(content["exams"] for _, _, draws in runs.cells() for content in draws.values())


def _paper_rows(runs: FineTunings, auc: Scores, number: int) -> list[Row]:
    """A row for each backbone, our rows before the paper's, with the columns of one of the paper's tables."""
    columns = _TABLES[number][1]
    rows = []
    for count, backbone in product(runs.counts, BACKBONES):
        scores = [auc.get((f"{backbone}_{column}", count)) for column in columns]
        if any(scores):
            cells = [over_draws(found.values()) if found else "" for found in scores]
            rows.append(Row.of(f"{count}, {_BACKBONES[backbone]}", *cells))
    for table, backbone in product(paper_tables.TWO_PHASE_AUC[number], BACKBONES):
        cells = [f"{table.values[f'{backbone}_{column}']:.3f}" for column in columns]
        name = f"{table.paper.name}, {table.data}, {_PAPERS_BACKBONES[backbone]}"
        rows.append(Row.of(name, *cells, published=table))
    return rows


def _add_controls(page: Page, runs: FineTunings) -> None:
    """Add a table that compares the trained linear layer with a logistic regression on the same frozen features."""
    keys = ("macro_auc", "logistic_regression")
    if rows := runs.rows(lambda draws: (over_draws(each.get(key) for each in draws) for key in keys), having=keys[1]):
        page.table("Frozen features", ["labelled exams, method", "linear layer", "logistic regression"], rows)
        page.add(
            "<p class=note>Macro AUC on the test exams. The linear layer is the one in the network, trained on "
            "augmented images. The logistic regression is from scikit-learn: it is fitted until it converges, on the "
            "standardised features of the same images without augmentation. If it scores much higher, the linear layer is "
            "not trained well. Random is a frozen backbone with its initial weights: a pretraining that scores no higher "
            "is of no use for this task.</p>"
        )


def _add_validation(page: Page, runs: FineTunings) -> None:
    """Add a table of validation scores at the kept epoch, which has the lowest loss."""
    rows = []
    for count, method, _ in runs.cells():
        seen = [[row for row in rows_of if "val_loss" in row] for rows_of in runs.histories[method, count]]
        kept = [min(rows_of, key=lambda row: row["val_loss"]) for rows_of in seen if rows_of]
        if kept:
            name = f"{count}, {method_name(method)}"
            rows.append(
                Row.of(name, *(over_draws(row.get(key) for row in kept) for key in ("val_loss", "val_auc")), len(kept))
            )
    if rows:
        page.table("Validation", ["labelled exams, method", "loss", "macro AUC", "draws"], rows)
        page.add(
            "<p class=note>Scores on each draw's validation exams, at the kept epoch. Choose settings by this"
            " table, and look at the test scores only once.</p>"
        )


def _add_convergence(page: Page, runs: FineTunings) -> None:
    """Add a table of the number of epochs that trainings took."""
    keys = ("converged_epoch", "epochs")
    if rows := runs.rows(
        lambda draws: (over_draws((each.get(key) for each in draws), 1) for key in keys), having=keys[0]
    ):
        page.table("Epochs to converge (Fig. 1)", ["labelled exams, method", "to converge", "trained"], rows)
        page.add(
            "<p class=note>The first epoch at which the validation loss had covered 95 % of its total decrease "
            "(our definition), and the number of epochs until it stopped falling. A network that learns next to "
            "nothing converges early: read this together with the AUC. End-to-end training and training of the "
            "linear layer alone may use different learning rates. The paper's curves are for its AMYL and HCM "
            "exams only.</p>"
        )


def _add_saliency(page: Page, runs: FineTunings) -> None:
    """Add a table of the share of saliency inside the heart."""
    rows = []
    for count, method, draws in runs.cells():
        if found := [content["saliency"] for content in draws.values() if content.get("saliency")]:
            shares = [over_draws(entry[kind][phase] for entry in found) for phase in _PHASES for kind in _SHARES]
            exams = (_range(entry["exams"][phase] for entry in found) for phase in _PHASES)
            rows.append(Row.of(f"{count}, {method_name(method)}", *shares, *exams))
    if rows:
        header = ["labelled exams, method", *(f"{called}, {phase}" for phase in _PHASES for called in _SHARES.values())]
        page.table("Share of saliency inside the heart", [*header, *(f"exams, {phase}" for phase in _PHASES)], rows)
        page.add(
            "<p class=note>Grad-CAM of the predicted class, on test exams with masks; the last columns count "
            "the exams whose map is not zero everywhere. The heart's share of the image is the value for a uniform map."
            " The maps are as coarse as the network's last levels, so even a map of the heart alone spills over its"
            " border: the share stays below 1, and in small images far below 1. The heart is the mask as it was drawn;"
            " images of hearts alone show a margin around it.</p>"
        )


def _compared(auc: Scores, comparisons: Callable[[str], Sequence[tuple[str, str]]]) -> list[Compared]:
    """The comparisons for `add_differences`, for every number of labelled exams and backbone."""
    counts = sorted({count for _, count in auc})
    return [
        Compared(count, one, other)
        for count, backbone in product(counts, BACKBONES)
        for one, other in comparisons(backbone)
    ]


def _of_pretraining(backbone: str) -> list[tuple[str, str]]:
    """Pairs of methods that classify the same images: each pretraining is paired with no pretraining; pretraining on hearts
    alone with pretraining on whole images; and each of these two pretrainings with a random frozen backbone."""
    compared = [(name, "none") for name in PRETRAININGS[1:]] + [("segmented", "full")]
    compared += [(name, "random") for name in ("full", "segmented")]
    return [
        (f"{backbone}_{one}_{images}", f"{backbone}_{other}_{images}") for images in IMAGES for one, other in compared
    ]


def _of_images(backbone: str) -> list[tuple[str, str]]:
    """Pairs of methods with the same pretraining: one classifies hearts alone, the other whole images."""
    return [(f"{backbone}_{name}_segmented", f"{backbone}_{name}_full") for name in PRETRAININGS]


def _of_masks(backbone: str) -> list[tuple[str, str]]:
    """Pairs of methods with the same pretraining: one crops hearts with predicted masks, the other with reference masks."""
    return [(f"{backbone}_{name}_predicted", f"{backbone}_{name}_segmented") for name in PRETRAININGS]


def _panels(runs: FineTunings) -> dict[str, dict[str, list]]:
    """Histories by panel (a backbone and its images to classify) and pretraining, for the largest number of labelled
    exams."""
    most = max(runs.counts)
    panels: dict[str, dict[str, list]] = {}
    for backbone, images, name in product(BACKBONES, IMAGES, PRETRAININGS):
        draws = runs.histories.get((f"{backbone}_{name}_{images}", most), ())
        # a single validation is no curve
        if found := [draw for draw in draws if sum("val_loss" in row for row in draw) > 1]:
            panels.setdefault(f"{_BACKBONES[backbone]}, {_IMAGES[images]}", {})[name] = found
    return panels
