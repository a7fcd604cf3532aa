"""Plan many stacks with the planning bundle in this process, without writing files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from planewise.own_exams.heart_bundles import PLANS
from planewise.own_exams.load_bundle import bundles_folder


def plans_of(data: Sequence[Mapping[str, Any]], **settings: object) -> list[dict[str, Any]]:
    """Run the inference of the planning bundle, and keep only the plans.

    Args:
        data: items from `planewise.data.find_inputs`.
        settings: overrides of the bundle's ``inference.yaml``.

    Returns:
        The plan of each stack, from `planewise.evaluation.PlanViewsd`.
    """
    folder = bundles_folder(None) / PLANS
    config = ConfigParser.load_config_file(str(folder / "configs" / "inference.yaml"))
    steps, handlers = config["postprocessing"]["transforms"], config["handlers"]
    config["postprocessing"]["transforms"] = [step for step in steps if step["_target_"].endswith(".PlanViewsd")]
    config["handlers"] = [handler for handler in handlers if not handler["_target_"].endswith("Writer")]
    config["dataset"]["data"] = list(data)
    parser = ConfigParser(config)
    parser.update({"bundle_root": str(folder), **settings})
    plans: list[dict[str, Any]] = []

    def keep(engine: Engine) -> None:
        plans.extend(output["plan"] for output in engine.state.output)

    evaluator = parser.get_parsed_content("evaluator")
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, keep)
    evaluator.run()
    return plans
