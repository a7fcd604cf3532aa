"""Test the rules that apply to all bundles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.bundles.conftest import BUNDLES
from tests.conftest import ROOT

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


@pytest.mark.parametrize("name", BUNDLES)
def test_each_config_stands_alone_and_has_no_path_of_ours(name):
    """This test is stricter than the check, which accepts a percent sign inside a text."""
    for file in ("train.yaml", "inference.yaml"):
        text = (ROOT / "bundles" / name / "configs" / file).read_text()
        assert "%" not in re.sub(r"#.*", "", text), "a macro reads another file, but MONAI Label opens only one"
        assert not re.search(r"/home/|/Users/|/work/", text)


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


def test_bundles_know_nothing_of_python():
    for path in (ROOT / "bundles").rglob("*.py"):
        pytest.fail(f"{Path(path).relative_to(ROOT)}: logic belongs in tools/planewise")
