"""The values that settings of the bundles take, as `settings.yaml` declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from planewise.files.masks import LARGEST_LABEL
from planewise.parse_bool import parse_bool

#: Words that stand for null on a command line: MONAI takes ``null`` and ``none`` for text, and drops ``None``.
NULLS = ("null", "none", "None")


@dataclass(frozen=True)
class Setting:
    """The declaration of a setting."""

    kind: str
    """a name in `KINDS`"""
    text: str
    """what it determines"""
    words: tuple[Any, ...] = ()
    """the words of a choice; words that are valid next to numbers"""
    least: float = -inf
    most: float = inf
    within: bool = False
    """whether a number may not be ``least`` or ``most`` itself"""
    shortest: int = 1
    longest: float = inf
    """length of a list"""
    or_null: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a value is valid."""
        return self.or_null if value is None else KINDS[self.kind][0](self, value)

    def converted(self, name: str, value: str) -> Any:
        """The value that a word of a command line stands for."""
        if self.or_null and value in NULLS:
            return None
        return parse_bool(value, f"--{name}") if True in self.words and value not in self.words else value

    @property
    def values(self) -> str:
        """The valid values, in words."""
        ends = f"{'above' if self.within else 'of at least'} {self.least}" if self.least > -inf else ""
        if self.most < inf:
            ends = f"{'between' if self.within else 'from'} {self.least} {'and' if self.within else 'to'} {self.most}"
        listed = [str(word).lower() for word in self.words]
        choice = f"{', '.join(listed[:-1])} or {listed[-1]}" if len(listed) > 1 else "".join(listed)
        length = f"{'' if self.shortest == self.longest else 'at least '}{self.shortest} " if self.shortest > 1 else ""
        said = KINDS[self.kind][1].format(ends=ends, choice=choice, length=length)
        said += ", or all" if self.kind == "whole" and self.words else ""
        return f"{said.strip()}{', or null' if self.or_null else ''}"


def _is_word(own: Setting, value: Any) -> bool:
    return any(value is word if isinstance(word, bool) else value == word for word in own.words)


def _is_number(own: Setting, value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool) or not -inf < value < inf:
        return False
    return own.least <= value <= own.most and not (own.within and value in (own.least, own.most))


def _list_of(kind: str, *limits: float) -> Callable[[Setting, Any], bool]:
    """A check of a list whose entries are of a kind, within ``limits``."""
    each = Setting(kind, "", (), *limits)

    def holds(own: Setting, value: Any) -> bool:
        fits = isinstance(value, (list, tuple)) and own.shortest <= len(value) <= own.longest
        return fits and all(map(each.takes, value))

    return holds


def _are_names(own: Setting, value: Any) -> bool:
    return _list_of("word")(own, value) and len(set(value)) == len(value)


def _are_structures(own: Setting, value: Any) -> bool:
    if not isinstance(value, Mapping) or not _are_names(own, list(value.values())):
        return False
    labels = {int(key) if str(key).isdecimal() else 0 for key in value}
    return min(labels) > 0 and max(labels) <= LARGEST_LABEL and len(labels) == len(value)


#: Maps each kind of setting to a check, and to the valid values in words.
KINDS: Mapping[str, tuple[Callable[[Setting, Any], bool], str]] = {
    # a part of a config, or a setting that the class that uses it checks
    "anything": (lambda own, value: True, "as in the bundle's config"),
    "path": (lambda own, value: not isinstance(value, (bool, int, float)) and value != "", "a path"),
    "word": (lambda own, value: isinstance(value, str), "a word"),
    "choice": (_is_word, "{choice}"),
    "number": (_is_number, "a number {ends}"),
    "whole": (
        lambda own, value: _is_word(own, value) or (isinstance(value, Integral) and _is_number(own, value)),
        "a whole number {ends}",
    ),
    "names": (_are_names, "a list of {length}different names, such as \"['2ch', '4ch']\""),
    "sizes": (_list_of("whole", 1), 'a list of {length}whole numbers, such as "[16, 32]"'),
    "shares": (_list_of("number", 0, 1), 'a list of numbers from 0 to 1, such as "[0.0, 0.4]"'),
    "span": (
        lambda own, value: _list_of("number", 0, inf, True)(own, value) and len(value) == 2 and value[0] <= value[1],
        "two numbers above 0, the smaller one first",
    ),
    # people give some of these names to settings of their own, too (``channels: 3`` of a network)
    "several": (
        lambda own, value: not isinstance(value, str),
        "a list or a table, such as \"['t1', 'flair']\"; [] for none",
    ),
    "structures": (
        _are_structures,
        f"different names of mask values, which are whole numbers from 1 to {LARGEST_LABEL}, such as \"{{{{'1': LV}}}}\" "
        "(`planewise index --label-map` renames other values)",
    ),
}
#: Shorter names of kinds with the usual limits.
_USUAL: Mapping[str, Mapping[str, Any]] = {
    "positive": {"kind": "number", "least": 0, "within": True},
    "share": {"kind": "number", "least": 0, "most": 1},
    "switch": {"kind": "choice", "words": (True, False)},
    "whole": {"kind": "whole", "least": 1},
}


def _declared(entry: Mapping[str, Any]) -> Setting:
    (kind, text), *limits = entry.items()
    return Setting(**{"kind": kind, "text": text, **_USUAL.get(kind, {}), **dict(limits)})


#: Maps the name of each setting to its declaration.
SETTINGS: Mapping[str, Setting] = {
    name: _declared(entry)
    for name, entry in yaml.load(
        Path(__file__).with_name("settings.yaml").read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    ).items()
}

#: Keys of configs that are no settings, but parts.
PARTS = frozenset(
    (
        "auxiliary_task", "dataloader", "dataset", "evaluate", "evaluator", "finalize", "handlers", "imports", "inferer",
        "initialize", "learner", "learner_def", "loss", "network", "network_def", "optimizer",
        "postprocessing", "preprocessing", "probe", "run", "scored", "train", "train_and_evaluate", "validate",
    )
)  # fmt: skip
