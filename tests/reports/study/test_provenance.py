"""Test the section about versions and settings."""

import html

from planewise.reports.study import provenance

from tests.reports.study.studies import study_folder, tables_of, write


def test_versions_of_all_installed_packages_the_commit_and_the_settings(tmp_path):
    packages = {"planewise": "1.2", "monai": "3.4", "itk": None}
    first = {"packages": packages, "python": "3.11", "commit": "abc"}
    write(tmp_path / "pretrain/a/run.json", first)
    write(tmp_path / "pretrain/b/run.json", {"devices": ["a GPU", "a <processor>"], "precision": "bfloat16"} | first)
    write(tmp_path / "finetune/b/run.json", first | {"devices": ["a GPU"], "precision": None})
    (tmp_path / "finetune/b/run.json").rename(tmp_path / "finetune/run.json")
    (tmp_path / "pretrain/b/broken").mkdir()
    (tmp_path / "pretrain/b/broken/run.json").write_text('{"devices": [')
    given = {
        "out": str(tmp_path),
        "datalists": {"labelled": str(tmp_path / "Doe/labelled.json")},
        "overrides": {"finetune": {"weights": [str(tmp_path / "Doe/a.pt"), "b.pt"]}},
        "overlay": "demo.yaml",
        "phantom": {"labelled": f"--exams 4 --views {tmp_path}/Doe/views.yaml --set 'noise=1 / 2'"},
        "index": {"labelled": "--labels '/data/Jane Doe/masks' --classes=~/Doe/grades.csv --split 0.5 0.2 0.3"},
        "imagenet": "~Doe/weights.pth",
        "target": {"arguments": """--data $load('/data/Doe/a') --x $@batch_size // 2 --url https://host/Doe's"""},
        "salt": "a file:///home/Doe/b, or both",
    }
    _, page = tables_of(provenance, study_folder(tmp_path, seed=5, **given))
    text = page.html("")
    assert ">planewise 1.2, monai 3.4; Python 3.11; commit abc.<" in text and '"seed": 5' in text
    assert ">Trained on: a &lt;processor&gt;, a GPU; bfloat16.<" in text
    assert str(tmp_path) not in text and "Doe" not in text.replace("https://host/Doe", "")
    shown = html.unescape(text)
    for option in (
        "--views .../views.yaml --set 'noise=1 / 2'",
        "'.../masks' --classes=.../grades.csv --split",
        '".../weights.pth"',
    ):
        assert option in shown
    assert "$load('.../a') --x $@batch_size // 2 --url https://host/Doe's" in shown and '"a .../b, or both"' in shown
    assert all(name in text for name in ('".../labelled.json"', '"demo.yaml"', '".../a.pt"', '"b.pt"'))


def test_a_page_says_what_dirty_means(tmp_path):
    write(tmp_path / "pretrain/a/run.json", {"packages": {}, "python": "3.11", "commit": "abc-dirty"})
    _, page = tables_of(provenance, study_folder(tmp_path))
    assert "commit abc-dirty (-dirty: its code had changes that were not committed).<" in page.html("")
    assert "different code" not in page.html("")
    write(tmp_path / "pretrain/b/run.json", {"packages": {}, "python": "3.11", "commit": "def"})
    _, page = tables_of(provenance, study_folder(tmp_path))
    assert "Trainings may have run different code; their commits: abc-dirty, def.<" in page.html("")
