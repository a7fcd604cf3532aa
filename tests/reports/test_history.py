"""Test reading a run's history."""

from __future__ import annotations

import pytest
from planewise.reports.tables import read_history


def test_columns_that_an_epoch_left_empty_are_absent(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,train_loss,val_loss\n1,0.5,\n2,0.25,0.75\n")
    rows = read_history(tmp_path / "history.csv")
    assert rows == [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25, "val_loss": 0.75}]
    assert [type(row["epoch"]) for row in rows] == [int, int]
    assert read_history(tmp_path / "no.csv") == []


@pytest.mark.parametrize("broken", ["x,1", "1e999,1", "nan,1", "3,0.5,7"])
def test_a_broken_row_is_left_out_with_a_warning(tmp_path, caplog, broken):
    (tmp_path / "history.csv").write_text(f"epoch,val_loss\n1,0.5\n{broken}\n")
    assert read_history(tmp_path / "history.csv") == [{"epoch": 1, "val_loss": 0.5}]
    assert "cannot be read" in caplog.text
