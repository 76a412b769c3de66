"""The host is no more permissive than the real Slicer whose attributes are listed in shared/slicer-api.json."""

from __future__ import annotations

import json

import pytest
from helpers.paths import TESTING
from slicer_host import HostGapError
from slicer_host.allowed import table_of
from slicer_host.make_allowed import OBJECTS, namespaces, tables
from slicer_host.qt_module import STAND_INS
from slicer_host.stand_in import StandIn
from slicer_host.wrappers import find_class, wrapper_class

ALLOWED = TESTING / "slicer_host" / "allowed.json"


def chain(api: dict, entry: dict) -> list[dict]:
    found = [entry]
    while entry.get("adds_to"):
        entry = api["qt"][entry["adds_to"]]
        found.append(entry)
    return found


def every_name(api: dict, entry: dict) -> set[str]:
    """All that a real object answers to."""
    names: set[str] = set()
    for one in chain(api, entry):
        names |= {*one.get("properties", {}), *one.get("other_attributes", [])}
        names |= {s.partition("(")[0] for key in ("signals", "slots_and_invokables") for s in one.get(key, [])}
    return names


def test_the_committed_tables_are_those_of_the_list(slicer_api):
    assert json.loads(ALLOWED.read_text(encoding="utf-8"))["classes"] == tables(slicer_api)
    assert json.loads(ALLOWED.read_text(encoding="utf-8"))["namespaces"] == namespaces(slicer_api)


def entries(api: dict) -> dict[str, dict]:
    named = {name: entry for group in ("qt", "ctk", "slicer") for name, entry in api[group].items()}
    return named | {name: api["objects"][key] for key, name in OBJECTS.items()}


def test_no_class_of_the_host_has_a_name_that_the_real_one_lacks(slicer_api):
    too_much = {}
    for name, entry in entries(slicer_api).items():
        table = table_of(name)
        extra = table.every_name() - every_name(slicer_api, entry) if table else set()
        if extra:
            too_much[name] = extra
    assert too_much == {}


def every_stand_in(base: type = StandIn) -> list[type]:
    return [cls for sub in base.__subclasses__() for cls in (sub, *every_stand_in(sub))]


@pytest.mark.parametrize("cls", every_stand_in(), ids=lambda cls: cls.slicer_class)
def test_a_stand_in_declares_only_what_the_real_class_has(host, cls):
    table = table_of(cls.slicer_class)
    declared = {n[2:] for base in cls.__mro__ for n in vars(base) if n.startswith("p_")}
    assert declared <= set(table.properties)
    assert set(cls.own_signals) <= set(table.signals)
    assert "tand-in for" in cls.__doc__


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_every_property_of_a_stand_in_can_be_read(host, name):
    widget = wrapper_class(STAND_INS[name])()
    for prop in table_of(name).properties:
        getattr(widget, prop)


@pytest.mark.parametrize(
    "name", ["QPushButton", "QCheckBox", "QLabel", "QComboBox", "QSpinBox", "QTableWidget", "QTimer", "QProgressBar"]
)
def test_every_property_of_a_qt_widget_can_be_read(qt, slicer_api, name):
    widget, gaps = getattr(qt, name)(), set()
    for one in chain(slicer_api, slicer_api["qt"][name]):
        for prop in one.get("properties", {}):
            try:
                getattr(widget, prop)
            except HostGapError:
                gaps.add(prop)
    assert gaps <= {"autoCompletion", "autoCompletionCaseSensitivity"}  # not in Qt 6


def test_names_of_pyside_that_slicer_lacks_are_refused(qt, slicer_api):
    refused, accepted = 0, set()
    for name, entry in slicer_api["qt"].items():
        real = find_class(name)
        if real is None or name not in slicer_api["namespaces"]["qt"]:
            continue
        known = every_name(slicer_api, entry)
        extra = {n for n in dir(real) if not n.startswith("_")} - known - {"exec_"}
        accepted |= {f"{name}.{n}" for n in extra if hasattr(getattr(qt, name), n)}
        refused += len(extra)
    assert accepted == set()
    assert refused > 500


def test_the_modules_have_only_the_names_of_the_real_ones(host, slicer_api):
    import slicer

    public = {n for n in vars(slicer.util) if not n.startswith("_")}
    modules = {n for n in public if type(getattr(slicer.util, n)).__name__ in ("module", "_Feature", "bool")}
    assert public - modules <= set(slicer_api["namespaces"]["slicer.util"])
    with pytest.raises(AttributeError):
        _ = slicer.arrayFromVolume
    with pytest.raises(AttributeError):
        _ = slicer.nosuch
    with pytest.raises(AttributeError):
        _ = slicer.modules.openigtlinkif
