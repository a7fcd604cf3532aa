"""Test the rules that apply to all bundles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser
from planewise.workshop.packaging.run import Run

from tests.bundles.conftest import BUNDLES, DECLARED, UNPUBLISHED, anatomy
from tests.conftest import ROOT
from tools.measured import write as measured
from tools.released.card import score_sentence, with_score

#: Each bundle's scores in ``metadata.json``.
DECLARED_SCORES = {
    name: json.loads((ROOT / "bundles" / name / "configs/metadata.json").read_text())["eval_metrics"]
    for name in BUNDLES
}


def numbers_of(scores: dict, above: str = "") -> list[tuple[str, float]]:
    """The numbers of nested scores, each with its path."""
    found = []
    for key, value in scores.items():
        if isinstance(value, dict):
            found += numbers_of(value, f"{above}{key}/")
        elif isinstance(value, (int, float)):
            found.append((f"{above}{key}", value))
    return found


def config(name: str, *files: str) -> dict:
    return ConfigParser.load_config_files([str(ROOT / "bundles" / name / "configs" / file) for file in files])


@pytest.mark.parametrize("name", BUNDLES)
def test_metadata_has_no_key_twice(name):
    """JSON would use the last of two equal keys, and MONAI would warn at each start."""

    def only_once(pairs):
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), keys
        return dict(pairs)

    json.loads((ROOT / "bundles" / name / "configs/metadata.json").read_text(), object_pairs_hook=only_once)


@pytest.mark.parametrize("name", BUNDLES)
def test_each_config_stands_alone_and_has_no_path_of_ours(name):
    """This test is stricter than the check, which accepts a percent sign inside a text."""
    for file in ("train.yaml", "inference.yaml"):
        text = (ROOT / "bundles" / name / "configs" / file).read_text()
        assert "%" not in re.sub(r"#.*", "", text), "a macro reads another file, but MONAI Label opens only one"
        assert not re.search(r"/home/|/Users/|/work/", text)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_config_opens_with_the_paper_and_its_command(name):
    files = list((ROOT / "bundles" / name / "configs").glob("*.yaml"))
    assert {"train.yaml", "evaluate.yaml", "inference.yaml"} <= {file.name for file in files}
    for file in files:
        comment = file.read_text().split("\nimports:")[0]
        assert comment.startswith("# ")
        if file.name in ("train.yaml", "evaluate.yaml", "inference.yaml"):
            assert "python -m monai.bundle run" in comment, f"the first comment of {file.name} must contain its command"
            cited = re.search(r"\b[A-Z][a-z]+( and [A-Z][a-z]+| et al\.)? (19|20)\d\d\b", comment)
            assert cited or UNPUBLISHED in comment, (
                f"the first comment of {file.name} must cite a paper, such as Zhang 2024 or Chen et al. 2019, or have "
                f"the word {UNPUBLISHED}"
            )


@pytest.mark.parametrize("name", BUNDLES)
def test_the_readme_has_the_scores_of_the_metadata_and_of_the_heads_of_configs(name):
    """The scores are declared in `eval_metrics`; the head of train.yaml repeats some. An overlay may have its own scores."""
    folder = ROOT / "bundles" / name
    documented = set(re.findall(r"(?<![\d.])\d+\.\d+(?!\d)", (folder / "docs/README.md").read_text()))
    scores = [value for _, value in numbers_of(DECLARED_SCORES[name])]
    assert scores
    assert [
        score for score in scores if documented.isdisjoint(f"{abs(score):.{digits}f}" for digits in range(1, 5))
    ] == []
    for path in sorted((folder / "configs").glob("*.yaml")):
        comment = re.match(r"(#.*\n)+", path.read_text())[0]
        heads = re.findall(r"# Score on (?:phantoms|patients) \((.*?)\): ((?:.*\n# )*.*)", comment)
        assert len(heads) == 1 or (not heads and path.name != "train.yaml"), (
            f"the first comment of {path.name} needs a line that begins `# Score on phantoms (the README's commands): `, "
            "with the main scores"
        )
        for made_by, score in heads:
            numbers = re.findall(r"\d+\.\d+", score)
            assert made_by.startswith(("tools/demo", "the README's commands", "tools/train_released_weights")), (
                path.name
            )
            assert numbers and documented.issuperset(numbers), f"{path.name} has scores that the README lacks"


def test_no_bundle_has_the_scores_of_the_bundle_that_it_was_copied_from():
    same = {name for names in with_equal_scores(DECLARED_SCORES) for name in names}
    assert same == set(), (
        "these bundles have the same scores: measure the copied bundle, and write its own eval_metrics. If all its scores "
        "are perfect, its own words under measured_on show that it was measured"
    )


@pytest.mark.parametrize("name", BUNDLES)
def test_no_page_has_gains_or_times_of_the_bundle_that_it_was_copied_from(name):
    """Gains belong to the bundles that `tables.yaml` lists, and times on a GPU to those in the table of `devices.md`."""
    page, head = (ROOT / "bundles" / name / file for file in ("docs/README.md", "configs/train.yaml"))
    texts = yaml.safe_load((measured.HERE / "tables.yaml").read_text())
    with_gains = {file for entry in texts if "methods" in entry for file in entry["files"]}
    assert measured.METHODS not in page.read_text() or page.relative_to(ROOT).as_posix() in with_gains, (
        "delete the table of gains, with its marks and its sentence: no study has measured this bundle"
    )
    timed = f"| `{name}` |" in (ROOT / "tools/docs/devices.md").read_text()
    assert timed or "on an H100" not in " ".join((page.read_text() + head.read_text()).split()), (
        "delete the time on an H100 from the README and from the head of train.yaml: it is not this bundle's"
    )


def with_equal_scores(declared: dict[str, dict]) -> list[set[str]]:
    """Groups of bundles whose scores are equal. Perfect scores are often equal by chance, so these count as equal only if
    they were also measured on the same images, in the same words.
    """
    groups: dict[tuple, set[str]] = {}
    for name, metrics in declared.items():
        scores = tuple(value for key, value in numbers_of(metrics) if "chance" not in key)
        words = str(metrics.get("measured_on")) if {*scores} <= {0, 1} else ""
        groups.setdefault((scores, words), set()).add(name)
    return [names for names in groups.values() if len(names) > 1]


def test_only_perfect_scores_may_be_equal_by_chance():
    def measured(score: float, words: str) -> dict:
        return {"measured_on": words, "accuracy": score, "chance": 0.25}

    assert with_equal_scores({"a": measured(0.91, "heads"), "b": measured(0.91, "noisy heads")}) == [{"a", "b"}]
    assert with_equal_scores({"a": measured(1.0, "heads"), "b": measured(1.0, "heads")}) == [{"a", "b"}]
    assert with_equal_scores({"a": measured(1.0, "heads"), "b": measured(1.0, "noisy heads")}) == []


@pytest.mark.parametrize(
    "name", [name for name in BUNDLES if (ROOT / "bundles" / name / "models/record.json").is_file()]
)
def test_inference_opens_with_the_scores_of_the_weights_that_ship(name):
    """The text must equal what `tools/train_released_weights` writes from the record."""
    folder = ROOT / "bundles" / name
    text = (folder / "configs/inference.yaml").read_text()
    assert with_score(text, score_sentence(Run.of_weights(folder / "models/model.pt"))) == text


def test_methods_that_learn_from_the_same_images_differ_in_colour():
    """A study draws these methods in one picture."""
    methods: dict[tuple[str, str], set[str]] = {}
    for name in (name for name in BUNDLES if name.startswith("pretext_")):
        methods.setdefault((anatomy(name), DECLARED[name]["colour"]), set()).add(DECLARED[name]["method"])
    same = {colour: names for (_, colour), names in methods.items() if len(names) > 1}
    used = sorted({colour for _, colour in methods})
    assert same == {}, f"choose another colour than {', '.join(used)}"


def test_bundles_know_nothing_of_python():
    for path in (ROOT / "bundles").rglob("*.py"):
        pytest.fail(f"{Path(path).relative_to(ROOT)}: logic belongs in tools/planewise")
