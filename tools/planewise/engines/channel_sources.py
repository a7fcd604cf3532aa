"""Match the channels of images to those of pretrained weights, by name."""

from __future__ import annotations

import logging
from pathlib import Path

from planewise.engines.run_bundle import run_of
from planewise.exams.sections import channels_in

logger = logging.getLogger(__name__)


def channel_sources(pretrained: str | Path | None, datalist: str | Path) -> list[int] | None:
    """For each channel of a datalist's images, the number of the pretrained channel whose weights it takes.

    A channel takes the weights of the channel with its name. If there is none, it takes those of the nearest channel that
    has one: after pretraining on T1 and FLAIR, contrast-enhanced T1 takes T1's weights, and T2 takes FLAIR's (Taleb 2020,
    appendix A: "duplicating"), whatever the order in pretraining. The log names them.

    Args:
        pretrained: weights to start from, see `planewise.networks.load_pretrained`.
        datalist: the datalist; its header names the channels.

    Returns:
        None if the names are unknown or have nothing in common; the weights are then copied by position.
    """
    run, given = run_of(pretrained), channels_in(datalist)
    learned = run.channels if run is not None else []
    known = [place for place, name in enumerate(given) if name in learned]
    if not known:
        if learned and given:
            logger.warning(
                "the pretrained weights learned from the channels %s, and the images have %s: they share no name, so the "
                "weights of the first layer are copied by position",
                *map(", ".join, (learned, given)),
            )
        return None
    nearest = [min(known, key=lambda other: abs(other - place)) for place in range(len(given))]
    sources = [learned.index(given[place]) for place in nearest]
    logger.info(
        "in the first layer, the channels %s start from the pretrained weights of %s",
        ", ".join(given),
        ", ".join(learned[source] for source in sources),
    )
    return sources
