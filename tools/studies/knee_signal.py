"""Measure how much of a tear is visible in phantom knees: an upper bound for the study of knees.

A logistic regression learns each finding from the brightness of the pixels in which the intact ligament or menisci would lie.
It knows the true place of these structures, which a network must find. The program prints the mean AUC and its standard
deviation over random draws of the labelled exams; all draws share the test exams, which are the last 40 %.

    python -m tools.studies.knee_signal
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from planewise.phantoms import KNEE_LABELLED, KneeExam, Recipe
from planewise.phantoms.imaging import image_points
from planewise.phantoms.knee import joint
from planewise.phantoms.layouts import stretched
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FINDINGS = ("acl", "meniscus")
#: The middle of the ligament, as shares of its length, where tears lie.
MIDDLE = (0.15, 0.75)
#: Depth inside a meniscus, mm: its border is bright in intact knees, too.
INSIDE = 0.9


def brightness(exam: KneeExam) -> dict[str, np.ndarray]:
    """Five numbers for the ligament and for each meniscus: mean, percentiles 10, 50 and 90, and maximum of its pixels.
    Every slice has mean 0 and standard deviation 1, as in training.

    Args:
        exam: an exam of a phantom knee.
    """
    volume = stretched(exam.volume("sagittal")).astype(np.float32)
    volume = (volume - volume.mean((1, 2), keepdims=True)) / volume.std((1, 2), keepdims=True)
    protocol = exam.scanner.protocols["sagittal"]
    found: dict[str, list[np.ndarray]] = {"acl": [], "medial": [], "lateral": []}
    for pose, image in zip(exam.poses["sagittal"], volume, strict=True):
        local = exam.knee.to_local(image_points(pose, protocol.spacing, protocol.matrix)[0])
        at = (local[..., 0], local[..., 1], local[..., 2])
        depth, share = joint.acl(at, exam.knee)
        found["acl"].append(image[(depth > 0) & (share > MIDDLE[0]) & (share < MIDDLE[1])])
        tibia = exam.knee.into("tibia", at)
        _, above = joint.tibia(tibia, exam.knee.shape)
        for side, medial in (("medial", True), ("lateral", False)):
            found[side].append(image[joint.meniscus(tibia[0], tibia[1], above, medial).depth > INSIDE])
    numbers = {name: _five(np.concatenate(pixels)) for name, pixels in found.items()}
    return {"acl": numbers["acl"], "meniscus": np.concatenate([numbers["medial"], numbers["lateral"]])}


def _five(pixels: np.ndarray) -> np.ndarray:
    """Mean, percentiles and maximum. If no slice cuts the structure, all are 0, which is the mean of an image."""
    if not len(pixels):
        return np.zeros(5)
    return np.array([pixels.mean(), *np.percentile(pixels, (10, 50, 90)), pixels.max()])


def areas(features: np.ndarray, labels: np.ndarray, count: int, draws: int) -> list[float]:
    """AUC on the last 40 % of the exams, after learning from ``count`` of the other exams, for each draw that has both
    labels.

    Args:
        features: shape ``(exams, features)``.
        labels: 0 or 1, shape ``(exams,)``.
        count: number of labelled exams.
        draws: number of random draws.
    """
    others = round(0.6 * len(labels))
    found = []
    for draw in range(draws):
        chosen = np.random.default_rng(draw).permutation(others)[:count]
        if len(set(labels[chosen])) == 2:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000))
            model.fit(features[chosen], labels[chosen])
            found.append(float(roc_auc_score(labels[others:], model.decision_function(features[others:]))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, default=480)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument(
        "--severity", type=float, nargs="+", default=[1.0, 2.5], help="as --set severity of the phantoms"
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[16, 64, 240], help="numbers of labelled exams")
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    print(f"| severity, finding | {' | '.join(map(str, options.counts))} |\n|---|{'--:|' * len(options.counts)}")
    for severity in options.severity:
        recipe = Recipe("mrnet", options.seed, replace(KNEE_LABELLED, severity=severity).at_size("demo"))
        exams = [recipe.exam(number + 1) for number in range(options.exams)]
        numbers = [brightness(exam) for exam in exams]
        for finding in FINDINGS:
            features = np.array([each[finding] for each in numbers])
            labels = np.array([exam.findings.labels[finding] for exam in exams])
            found = [areas(features, labels, count, options.draws) for count in options.counts]
            cells = [f"{np.mean(each):.3f} ({np.std(each):.3f})" for each in found]
            print(f"| {severity:g}, {finding} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
