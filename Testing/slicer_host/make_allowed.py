"""Write allowed.json, what the host's classes offer, from the list that was read off a real 3D Slicer.

Usage: python make_allowed.py SLICER_API_JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

_CTK = "CollapsibleButton CollapsibleGroupBox DoubleSpinBox DirectoryButton MenuButton PathLineEdit PushButton"
SLICER = "qMRMLNodeComboBox qMRMLSliderWidget qMRMLSegmentsTableView qSlicerMarkupsPlaceWidget qMRMLWidget"
OBJECTS = {
    "slicer.app": "qSlicerApplication",
    "layoutManager()": "qSlicerLayoutManager",
    'sliceWidget("Red")': "qMRMLSliceWidget",
    "threeDWidget(0)": "qMRMLThreeDWidget",
    "threeDWidget(0).threeDView()": "qMRMLThreeDView",
    "mainWindow()": "qSlicerMainWindow",
    "sliceController": "qMRMLSliceControllerWidget",
    "sliceView": "qMRMLSliceView",
}
NAMESPACES = ("slicer", "slicer.util", "qt", "ctk")


def table(entry: dict) -> dict:
    """One class, without the private slots."""
    slots = [s for s in entry.get("slots_and_invokables", []) if not s.startswith("_")]
    kept = {"base": entry.get("adds_to"), "properties": entry.get("properties"), "signals": entry.get("signals")}
    kept |= {"slots": slots, "others": " ".join(entry.get("other_attributes", []))}
    return {key: value for key, value in kept.items() if value}


def tables(api: dict) -> dict[str, dict]:
    """Every class that the host can make, by its name in Slicer."""
    entries = {name: entry for name, entry in api["qt"].items() if "not in module" not in entry.get("note", "")}
    entries |= {f"ctk{name}": api["ctk"][f"ctk{name}"] for name in (*_CTK.split(), "SliderWidget")}
    entries |= {name: api["slicer"][name] for name in SLICER.split()}
    entries |= {name: api["objects"][key] for key, name in OBJECTS.items()}
    return {name: table(entry) for name, entry in entries.items()}


def namespaces(api: dict) -> dict[str, str]:
    """The names in a module; of slicer only what slicer-core does not bring."""
    kept = {name: [n for n in api["namespaces"][name] if not n.startswith("vtk")] for name in NAMESPACES}
    return {name: " ".join(names) for name, names in kept.items()}


def main() -> None:
    api = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = [f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(tables(api).items())]
    text = (
        '{"classes": {\n' + ",\n".join(lines) + '\n},\n"namespaces": ' + json.dumps(namespaces(api), indent=1) + "}\n"
    )
    Path(__file__).with_name("allowed.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
