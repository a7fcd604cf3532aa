"""Test that the five groups differ by ACDC's definitions and overlap as real patients do."""

import numpy as np
import pytest
from planewise.workshop.phantoms import LABELLED, Recipe
from planewise.workshop.phantoms.heart.heart import END_SYSTOLE
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict


@pytest.fixture(scope="module")
def features() -> tuple[np.ndarray, np.ndarray]:
    """The ten features of the diagnosis forest for 150 hearts, and the hearts' groups."""
    recipe = Recipe("acdc", seed=1, population=LABELLED)
    rows, groups = [], []
    for number in range(1, 151):
        heart = recipe.organ(number)
        diastole, systole, patient = heart.volumes(0.0), heart.volumes(END_SYSTOLE), heart.patient
        fractions = [1 - systole[name] / diastole[name] for name in ("lv", "rv")]
        volumes = [at[name] for name in ("lv", "rv") for at in (diastole, systole)]
        masses = [1.05 * at["myocardium"] for at in (diastole, systole)]
        rows.append([*fractions, *volumes, *masses, patient.height, patient.weight])
        groups.append(patient.group)
    return np.array(rows), np.array(groups)


def test_groups_are_what_they_are_called(features):
    rows, groups = features
    lv_ef, rv_ef, lv_edv, _, rv_edv, _, mass = (rows[:, column] for column in range(7))
    surface = np.sqrt(rows[:, 8] * rows[:, 9] / 3600)
    assert (lv_ef[np.isin(groups, ["DCM", "MINF"])] < 0.44).all()
    assert (lv_ef[np.isin(groups, ["NOR", "HCM"])] > 0.45).all()
    assert np.median((lv_edv / surface)[groups == "DCM"]) > 110
    assert np.median((rv_edv / surface)[groups == "RV"]) > 110
    assert np.median(rv_ef[groups == "RV"]) < 0.45
    assert np.median(mass[groups == "HCM"]) > 1.4 * np.median(mass[groups == "NOR"])


def test_sizes_are_those_of_people(features):
    rows, groups = features
    normal = rows[groups == "NOR"]
    assert 60 < np.median(normal[:, 2]) < 220
    assert 70 < np.median(normal[:, 6]) < 170
    assert ((rows[:, 8] >= 145) & (rows[:, 8] <= 202)).all()
    # large people have large hearts
    assert np.corrcoef(np.sqrt(normal[:, 8] * normal[:, 9]), normal[:, 2])[0, 1] > 0.3


def test_a_forest_tells_the_groups_apart_well_but_not_perfectly(features):
    forest = RandomForestClassifier(100, random_state=0)
    probabilities = cross_val_predict(forest, *features, cv=5, method="predict_proba")
    area = roc_auc_score(features[1], probabilities, multi_class="ovr")
    accuracy = (np.unique(features[1])[probabilities.argmax(axis=1)] == features[1]).mean()
    assert 0.93 < area < 0.999
    assert 0.7 < accuracy < 0.97
