"""The host's Qt behaves as measured in Slicer (shared/slicer-host.md)."""

from __future__ import annotations

import pytest
from slicer_host import HostError


def test_properties_have_no_parentheses(qt):
    button, combo, timer = qt.QPushButton("Go"), qt.QComboBox(), qt.QTimer()
    combo.addItems(["a", "b"])
    combo.currentIndex = 1
    timer.interval = 30
    assert (button.text, button.enabled, combo.currentText, combo.count) == ("Go", True, "b", 2)
    assert (timer.interval, timer.active, qt.QTableWidget(3, 2).rowCount, qt.QProgressBar().maximum) == (
        30,
        False,
        3,
        100,
    )
    with pytest.raises(TypeError, match="'str' object is not callable"):
        button.text()


def test_setters_and_is_functions_are_called(qt):
    button, timer = qt.QPushButton(), qt.QTimer()
    button.setEnabled(False)
    assert button.isEnabled() is False
    assert timer.isActive() is False
    button.setText("x")
    button.name = "go"
    assert (button.text, button.objectName, button.name) == ("x", "go", "go")


def test_an_item_of_a_table_is_no_qobject_and_has_methods(qt):
    table = qt.QTableWidget(1, 1)
    table.setItem(0, 0, qt.QTableWidgetItem("12 ml"))
    assert table.item(0, 0).text() == "12 ml"


def test_unknown_attributes_raise_on_read_and_write(qt):
    button = qt.QPushButton()
    with pytest.raises(AttributeError, match="QPushButton has no attribute named 'nosuch'"):
        _ = button.nosuch
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        button.nosuch = 3
    with pytest.raises(AttributeError):
        button.clicked = print


@pytest.mark.parametrize("value", [3, None, 2.5])
def test_a_text_takes_only_text(qt, value):
    with pytest.raises(AttributeError, match="does not accept"):
        qt.QLabel().text = value


def test_read_only_properties_cannot_be_set(qt):
    with pytest.raises(AttributeError, match="not writable"):
        qt.QTimer().active = True


def test_a_signal_by_attribute_passes_its_default_argument(qt):
    button, got = qt.QPushButton(), []
    assert button.clicked.connect(lambda *a: got.append(a)) is True
    button.click()
    assert got == [(False,)]


def test_a_signal_by_string_passes_what_the_string_says(qt):
    button, got = qt.QPushButton(), []

    def listener(*arguments):
        got.append(arguments)

    assert button.connect("clicked()", listener) is True
    assert button.connect("clicked( bool )", listener) is True
    button.click()
    assert got == [(), (False,)]
    assert button.disconnect("clicked()", listener) is True
    assert button.disconnect("clicked()", listener) is False


def test_a_function_gets_no_more_than_it_names(qt, host):
    button, got = qt.QPushButton(), []

    class Handler:
        def none(self):
            got.append("none")

        def one(self, checked):
            got.append(checked)

    for listener in (Handler().none, Handler().one):
        button.clicked.connect(listener)
    button.click()
    host.check()
    assert got == ["none", False]


def test_connecting_to_no_such_signal_is_false_and_no_exception(qt, capsys):
    assert qt.QPushButton().connect("nosuch()", print) is False
    assert "No such signal" in capsys.readouterr().err


def test_qt5_signals_that_qt6_dropped_still_come(qt):
    combo, got = qt.QComboBox(), []
    combo.addItems(["a", "b"])
    combo.connect("currentIndexChanged(QString)", got.append)
    combo.currentIndexChanged.connect(got.append)
    combo.setCurrentIndex(1)
    assert got == ["b", 1]


def test_enumerations_are_integers_on_the_class(qt):
    assert qt.Qt.AlignCenter == 132
    assert qt.QMessageBox.Ok == 1024
    assert isinstance(qt.Qt.AlignCenter | qt.Qt.AlignLeft, int)
    label = qt.QLabel()
    label.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignTop)
    label.alignment = 132
    assert label.alignment == qt.Qt.AlignCenter
    with pytest.raises(AttributeError):
        _ = qt.QMessageBox.StandardButton.Ok
    with pytest.raises(AttributeError):
        _ = qt.Qt.AlignmentFlag.AlignCenter


@pytest.mark.parametrize("name", ["QThread", "QNothing", "Slots", "QtCore"])
def test_what_the_module_lacks_raises(qt, name):
    with pytest.raises(AttributeError, match=name):
        getattr(qt, name)


def test_exec_has_an_underscore(qt):
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(1, loop.quit)
    assert loop.exec_() == 0
    with pytest.raises(AttributeError):
        _ = loop.exec


def test_what_only_pyside_would_convert_is_refused(qt):
    parent = qt.QWidget()
    with pytest.raises(TypeError, match="PythonQt wants"):
        qt.QShortcut(parent).setKey("n")
    with pytest.raises(TypeError, match="PythonQt wants"):
        qt.QProcess().write(b"bytes")
    with pytest.raises(TypeError, match="keyword"):
        qt.QPushButton().setText(text="x")


def test_lists_come_back_as_tuples(qt):
    widget = qt.QWidget()
    labels = [qt.QLabel(widget), qt.QLabel(widget)]
    assert widget.findChildren(qt.QLabel) == tuple(labels)
    assert isinstance(widget.children(), tuple)


def test_the_same_object_is_the_same_wrapper(qt):
    widget = qt.QWidget()
    child = qt.QPushButton(widget)
    assert child.parent() is widget
    assert type(widget.children()[0]) is qt.QPushButton
    assert isinstance(child, qt.QAbstractButton)
    assert not isinstance(child, qt.QLabel)


def test_a_destroyed_object_says_so(qt):
    button = qt.QPushButton()
    button.delete()
    with pytest.raises(ValueError, match="destroyed QPushButton"):
        _ = button.text
    assert not button


def test_a_timer_that_nobody_keeps_stops(qt, host):
    got = []

    def start():
        timer = qt.QTimer()
        timer.timeout.connect(lambda: got.append(1))
        timer.start(1)

    start()
    host.run_for(0.03)
    assert got == []


def test_a_single_shot_reports_its_error(qt, host):
    qt.QTimer.singleShot(1, lambda: 1 / 0)
    with pytest.raises(HostError, match="ZeroDivisionError"):
        host.run_for(0.03)


def test_an_event_filter_in_python_is_called(qt, host):
    class Filter(qt.QObject):
        def __init__(self):
            qt.QObject.__init__(self)
            self.types = []

        def eventFilter(self, _watched, event):
            self.types.append(event.type())
            return False

    button, watcher = qt.QPushButton(), Filter()
    button.installEventFilter(watcher)
    button.setText("x")
    button.setEnabled(False)
    assert qt.QEvent.EnabledChange in watcher.types


def test_a_modal_dialog_never_waits(qt, host):
    with pytest.raises(HostError, match="dialog_answers"):
        qt.QFileDialog.getOpenFileName(None, "Open")
    host.dialog_answers += ["/case", qt.QMessageBox.Yes]
    assert qt.QFileDialog.getExistingDirectory(None, "Open") == "/case"
    assert qt.QMessageBox().exec_() == qt.QMessageBox.Yes


def test_an_exception_in_a_slot_is_kept_for_the_test(qt, host, capsys):
    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in capsys.readouterr().err
    with pytest.raises(HostError, match="ZeroDivisionError"):
        host.check()
    host.check()


def test_an_exception_in_an_observer_is_kept_for_the_test(host, capsys):
    def fail(_node, _event):
        raise KeyError("gone")

    host.scene.AddObserver(host.scene.NodeAddedEvent, fail)
    host.scene.AddNewNodeByClass("vtkMRMLTextNode")
    with pytest.raises(HostError, match="KeyError"):
        host.check()
