"""Salted hashes."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from planewise.errors import InputError
from planewise.exams.identity import hashed, load_salt, salt_file


def test_the_salt_is_made_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "new" / "salt"))
    assert load_salt() == load_salt()
    assert os.stat(tmp_path / "new" / "salt").st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["salt"]


def test_processes_that_start_together_agree(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "salt"))
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: load_salt(), range(16)))) == 1


def test_without_the_variable_it_lies_in_the_users_settings(monkeypatch, tmp_path):
    monkeypatch.delenv("PLANEWISE_SALT_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert salt_file().is_relative_to(tmp_path)
    assert "planewise" in str(salt_file())


def test_a_place_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "file" / "salt"))
    with pytest.raises(InputError, match="PLANEWISE_SALT_FILE"):
        load_salt()


def test_an_empty_salt_hides_nothing(tmp_path, monkeypatch):
    (tmp_path / "salt").touch()
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "salt"))
    with pytest.raises(InputError, match="too short"):
        load_salt()


def test_hashes_are_ten_digits_and_depend_on_the_salt():
    assert len(hashed("1.2.3", b"a" * 20)) == 10
    assert int(hashed("1.2.3", b"a" * 20), 16) >= 0
    assert hashed("1.2.3", b"a" * 20) != hashed("1.2.3", b"b" * 20)
    assert hashed("1.2.3", b"a" * 20) != hashed("1.2.4", b"a" * 20)
