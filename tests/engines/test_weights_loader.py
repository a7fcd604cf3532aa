"""Test loading weights into a network before a run."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from planewise.engines import WeightsLoader
from planewise.errors import InputError


def network(width: int = 3) -> torch.nn.Module:
    return torch.nn.Linear(2, width)


def test_weights_of_a_file_or_a_folder_replace_the_networks_own(tmp_path):
    trained = network()
    file = tmp_path / "models/model.pt"
    file.parent.mkdir()
    torch.save(trained.state_dict(), file)
    for weights in (str(file), str(tmp_path)):
        own = network()
        engine = Engine(lambda engine, batch: None)
        WeightsLoader(own, weights).attach(engine)
        assert not torch.equal(own.weight, trained.weight), "the weights load when the run starts, not before"
        engine.run([0])
        assert torch.equal(own.weight, trained.weight) and torch.equal(own.bias, trained.bias)


def test_no_device_is_needed_that_is_not_there(tmp_path):
    """Weights that were saved on a GPU load on the CPU."""
    torch.save(network().state_dict(), tmp_path / "model.pt")
    assert WeightsLoader(network(), str(tmp_path / "model.pt")).map_location == "cpu"


def test_weights_of_another_network_are_refused_before_the_run(tmp_path):
    torch.save(network(5).state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError):
        WeightsLoader(network(), str(tmp_path / "model.pt"))
    with pytest.raises(InputError, match="there are no weights at"):
        WeightsLoader(network(), str(tmp_path / "absent.pt"))


def test_a_relative_path_is_named_in_full_with_the_bundles_root(tmp_path, monkeypatch):
    """`create_workflow` looks for the bundle's weights in the current folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="; train first, .* the bundle's path as bundle_root$") as caught:
        WeightsLoader(network(), "./models/model.pt")
    assert f"at {tmp_path / 'models/model.pt'}; " in str(caught.value)
