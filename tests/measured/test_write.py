"""Test how measured numbers go from a study's folder into its record, and from records into the documents."""

from __future__ import annotations

import pytest
import yaml

from tests.reports.study.studies import write
from tools.benchmarks.page import END
from tools.measured import write as measured
from tools.studies.methods import methods_of, pretrainings_of

RECORD = {
    "pretrain": {"location": {"location": {"mae": 0.11244}}},
    "tables": {"Dice": {"4, from scratch": {"mean": "0.461 (0.306)", "missed": "-"}}},
}


def test_the_documents_are_as_the_records_say(capsys):
    assert measured.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("file", sorted(measured.HERE.glob("*.json")), ids=lambda file: file.stem)
def test_a_record_is_of_the_study_that_its_config_describes(file):
    """A study whose pretexts, methods, numbers of labelled exams or draws change must be run and recorded again."""
    record = measured.from_text(file.read_text())
    config = yaml.safe_load((measured.ROOT / "tools/studies/configs" / file.name).with_suffix(".yaml").read_text())
    methods = methods_of(config)
    pretrainings = list(pretrainings_of(config, methods))
    assert list(record["pretrain"]) == [name for name in pretrainings if name in record["pretrain"]]
    assert set(pretrainings) == set(record["pretrain"])
    # a study of a paper's tables has a title for its page, and a time for the list of `tools/demo`
    assert config["title"] and config["time"]


def test_a_path_that_leads_nowhere_says_where_it_ends():
    with pytest.raises(ValueError, match="ends at mse; there is mae"):
        measured.value_of(RECORD, "pretrain/location/location/mse")
    with pytest.raises(ValueError, match="is '-', not a number"):
        measured.value_of(RECORD, "tables/Dice/4, from scratch/missed")


def test_a_record_is_what_the_study_found(tmp_path):
    location = {"mse": 0.01, "mae": 0.02, "pearson_r": 0.03, "r2": 0.04, "explained_variance": 0.05}
    write(tmp_path / "study.json", {"pretexts": ["location"], "methods": ["none"]})
    write(tmp_path / "pretrain/location/test/metrics.json", {"location": location})
    write(
        tmp_path / "pretrain/location/run.json",
        {"commit": "abc", "packages": {}, "python": "3.11", "precision": "float32"},
    )
    write(tmp_path / "pretrain/position/run.json", {"devices": ["a processor"], "precision": "bfloat16"})
    record = measured.recorded(tmp_path)
    assert record["pretrain"]["location"] == {"location": location}
    title = "Scores in the pretexts' own tasks"
    assert list(record["tables"][title]) == ["location"]
    assert measured.value_of(record, f"tables/{title}/location/value") == 0.01
    assert record["made_by"]["commit"] == "abc"
    assert record["made_by"]["devices"] == ["a processor"] and record["made_by"]["precision"] == "bfloat16, float32"
    text = measured.as_text(record)
    assert measured.from_text(text) == record
    assert '["location", "location MSE", "0.0100", "-"]]' in text.splitlines()


def test_the_command_writes_then_checks(tmp_path, monkeypatch, capsys):
    (tmp_path / "records").mkdir()
    blocks = [f"{measured.mark_of(f'scores {number}')}\n{END}" for number in (1, 2)]
    (tmp_path / "page.md").write_text("\n".join(blocks))
    (tmp_path / "records/heart.json").write_text(measured.as_text(RECORD | {"made_by": {}}))
    entry = "- {{study: heart, files: [page.md], rows: ['{} {{pretrain/location/location/mae|.3f}}']}}\n"
    (tmp_path / "records/tables.yaml").write_text(entry.format("one") + entry.format("two"))
    monkeypatch.setattr(measured, "HERE", tmp_path / "records")
    monkeypatch.setattr(measured, "ROOT", tmp_path)
    monkeypatch.setattr(measured.documents, "__defaults__", (tmp_path,))
    assert measured.main(["--check"]) == 1 and "differs: page.md" in capsys.readouterr().out
    assert measured.main([]) == 0 and measured.main(["--check"]) == 0
    assert [line for line in (tmp_path / "page.md").read_text().splitlines() if "0" in line] == [
        "one 0.112",
        "two 0.112",
    ]


def test_bundles_with_one_summary_share_a_row(tmp_path):
    seen = {"group": measured.GROUPS[1], "summary": "which views show the same slice"}
    masks = {"group": measured.GROUPS[2], "summary": "ventricles"}
    for name, declared in {"pretext_b": seen, "pretext_a": seen, "downstream_c": masks}.items():
        write(tmp_path / "bundles" / name / "configs/metadata.json", {"version": "0.1.0", "planewise": declared})
    assert measured.bundle_table(measured.released_bundles(tmp_path / "bundles"), "bundles").splitlines()[2:] == [
        "| **pretexts that read planes** | |",
        "| **pretexts for any images** | |",
        "| [`pretext_a`](bundles/pretext_a/docs/README.md), [`pretext_b`](bundles/pretext_b/docs/README.md) | "
        "which views show the same slice |",
        "| **segmentation** | |",
        "| [`downstream_c`](bundles/downstream_c/docs/README.md) | ventricles |",
        "| **classification** | |",
    ]
