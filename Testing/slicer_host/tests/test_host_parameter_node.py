"""The parameter node wrapper, as Slicer 5.8's."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Union

import pytest


class Speed(enum.Enum):
    REAL = 1
    FAST = 10


@pytest.fixture
def make(host):
    """A wrapper class from annotations, on the scene's node of its name."""
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    def build(**annotations):
        wrapped = parameterNodeWrapper(type("Parameters", (), {"__annotations__": annotations}))
        node = slicer.mrmlScene.GetSingletonNode("Parameters", "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag("Parameters")
            node = slicer.mrmlScene.AddNode(node)
        return wrapped(node)

    return build


def test_values_keep_their_types(make, add_volume):
    import slicer

    node = make(on=bool, n=int, x=float, t=str, p=Path, e=Speed, v=slicer.vtkMRMLScalarVolumeNode, names=list[str])
    assert (node.on, node.n, node.x, node.t, node.p, node.e, node.v) == (False, 0, 0.0, "", Path(), Speed.REAL, None)
    volume = add_volume("us")
    node.on, node.n, node.x, node.t, node.p, node.e, node.v = True, 3, 2, "a", Path("/x"), Speed.FAST, volume
    node.names.append("Lesion 1")
    assert (node.on, node.n, node.x, node.t, node.p, node.e, node.v) == (
        True,
        3,
        2.0,
        "a",
        Path("/x"),
        Speed.FAST,
        volume,
    )
    assert node.names == ["Lesion 1"]
    assert node.parameterNode.GetParameter("e") == "FAST"


@pytest.mark.parametrize(("name", "value"), [("n", 1.5), ("n", None), ("t", 3), ("on", "yes"), ("e", "FAST")])
def test_other_types_are_refused(make, name, value):
    node = make(n=int, t=str, on=bool, e=Speed)
    with pytest.raises((TypeError, ValueError)):
        setattr(node, name, value)


def test_annotations_are_checked(make):
    from slicer.parameterNodeWrapper import Choice, Default, Maximum, Minimum, WithinRange

    node = make(
        size=Annotated[float, WithinRange(5, 90), Default(40.0)],
        port=Annotated[int, Minimum(1), Maximum(9), Default(4)],
        mode=Annotated[str, Choice(["a", "b"]), Default("b")],
    )
    assert (node.size, node.port, node.mode) == (40.0, 4, "b")
    for name, value in (("size", 91.0), ("port", 0), ("port", 10), ("mode", "c")):
        with pytest.raises(ValueError, match="Value"):
            setattr(node, name, value)
    with pytest.raises(ValueError, match="within range"):
        make(depth=Annotated[float, WithinRange(5, 90)])  # its default is 0


def test_what_cannot_be_stored_raises(make):
    with pytest.raises(Exception, match="Unable to create serializer"):
        make(x=object)
    with pytest.raises(Exception, match="Unable to create serializer"):
        make(x=complex)


def test_several_node_classes_are_one_parameter(make, add_volume):
    import slicer

    node = make(v=Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLModelNode, None])
    node.v = add_volume("us")
    with pytest.raises(TypeError):
        node.v = slicer.vtkMRMLTextNode()


def test_observers_hear_a_change_once(make):
    import vtk

    node, heard = make(a=int, b=int), []
    tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: heard.append((node.a, node.b)))
    was = node.StartModify()
    node.a, node.b = 1, 2
    node.EndModify(was)
    node.RemoveObserver(tag)
    node.a = 5
    assert heard == [(1, 2)]


def test_the_gui_is_bound_both_ways_until_it_is_not(make, qt):
    from slicer.parameterNodeWrapper import WithinRange

    node = make(text=str, number=Annotated[int, WithinRange(0, 9)], on=bool, speed=Speed)
    widgets = {"text": qt.QLineEdit(), "number": qt.QSpinBox(), "on": qt.QCheckBox(), "speed": qt.QComboBox()}
    tag = node.connectParametersToGui(widgets)
    assert (widgets["number"].maximum, widgets["speed"].count) == (9, 2)
    node.text, node.speed = "x", Speed.FAST
    assert (widgets["text"].text, widgets["speed"].currentText) == ("x", "FAST")
    widgets["number"].value = 7
    widgets["on"].setChecked(True)
    assert (node.number, node.on) == (7, True)
    node.disconnectGui(tag)
    widgets["number"].value = 1
    assert node.number == 7


def test_connectors_that_5_8_lacks_raise(make, qt, ctk):
    from slicer.parameterNodeWrapper import WithinRange

    node = make(i=Annotated[int, WithinRange(0, 9)], x=float, s=str, on=bool)
    for name, widget in (("i", ctk.ctkSliderWidget()), ("s", qt.QPlainTextEdit()), ("on", ctk.ctkPushButton())):
        with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
            node.connectParametersToGui({name: widget})
    with pytest.raises(RuntimeError, match="unbounded"):
        node.connectParametersToGui({"x": ctk.ctkSliderWidget()})
    with pytest.raises(RuntimeError, match="Choice"):
        node.connectParametersToGui({"s": qt.QComboBox()})
    with pytest.raises(ValueError, match="Cannot find a param"):
        node.connectParametersToGui({"nosuch": qt.QLineEdit()})


def test_values_survive_saving_and_loading(make, host, add_volume, tmp_path):
    import slicer

    annotations = {"x": float, "v": slicer.vtkMRMLScalarVolumeNode}
    node = make(**annotations)
    slicer.util.updateVolumeFromArray(volume := add_volume("us"), __import__("numpy").zeros((2, 2, 2), "uint8"))
    node.x, node.v = 2.5, volume
    host.save_scene(tmp_path / "scene.mrb")
    host.close_scene()
    assert make(**annotations).x == 0.0
    host.load_scene(tmp_path / "scene.mrb")
    again = make(**annotations)
    assert again.x == 2.5
    assert again.v.GetName() == "us"


def test_closing_the_scene_brings_the_defaults_back(make, host):
    node = make(n=int)
    node.n = 5
    host.close_scene()
    assert node.n == 0
