"""Pass handwritten batches to a handler without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine
from matplotlib.figure import Figure


def pass_over(handler: Any, batches: Sequence[Any], outputs: Sequence[Any]) -> dict[str, Any]:
    """Attach a handler to an engine that yields these outputs for these batches; returns the metrics that it adds."""
    engine = Engine(lambda engine, batch: outputs[engine.state.iteration - 1])
    handler.attach(engine)
    engine.run(batches)
    return engine.state.metrics


def keep_figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Collect figures by the name of the file to which they would be saved, without drawing them."""
    kept: dict[str, Figure] = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: kept.update({Path(path).name: figure}))
    return kept
