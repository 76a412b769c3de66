"""Which attributes a class has in a real Slicer 5.8: tables read off one, and small ones for what they leave out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from .extra_tables import EXTRA


@dataclass(frozen=True)
class Table:
    """What one class offers to Python, with what it inherits.

    properties: name to Qt type, with " (read-only)" behind it where so; empty where only names were read.
    signals, slots: Qt signatures. names: methods and enumeration values.
    """

    properties: dict[str, str]
    signals: tuple[str, ...]
    slots: tuple[str, ...]
    names: frozenset[str]

    @cached_property
    def _names_of_signals(self) -> frozenset[str]:
        return frozenset(map(base_name, self.signals))

    @cached_property
    def _names_of_methods(self) -> frozenset[str]:
        return self.names | frozenset(map(base_name, self.slots))

    @cached_property
    def has_own_properties(self) -> bool:
        """Whether properties were read with their types, and not only names."""
        return bool(self.properties.keys() - {"objectName"})

    def has_signal(self, name: str) -> bool:
        return name in self._names_of_signals

    def has_method(self, name: str) -> bool:
        return name in self._names_of_methods

    def __contains__(self, name: str) -> bool:
        return name in self.properties or self.has_signal(name) or self.has_method(name)

    def every_name(self) -> set[str]:
        """For dir()."""
        return {*self.properties, *self.names, *map(base_name, self.signals), *map(base_name, self.slots)}


def base_name(signature: str) -> str:
    """ "clicked(bool)" -> "clicked"."""
    return signature.partition("(")[0]


@cache
def _data() -> dict:
    return json.loads(Path(__file__).with_name("allowed.json").read_text(encoding="utf-8"))


@cache
def namespace(name: str) -> frozenset[str]:
    """The names that a module of Slicer has ("qt", "ctk", "slicer", "slicer.util")."""
    return frozenset(_data()["namespaces"][name].split())


@cache
def table_of(class_name: str) -> Table | None:
    """The table of a class by its name in Slicer, or None where the host knows none."""
    entry = _data()["classes"].get(class_name) or EXTRA.get(class_name)
    if entry is None:
        return None
    base = table_of(entry["base"]) if entry.get("base") else Table({}, (), (), frozenset())
    if base is None:
        raise KeyError(f"the table of {class_name} adds to {entry['base']}, which has none")
    return Table(
        base.properties | entry.get("properties", {}),
        base.signals + tuple(entry.get("signals", ())),
        base.slots + tuple(entry.get("slots", ())),
        base.names | frozenset(entry.get("others", "").split()),
    )
