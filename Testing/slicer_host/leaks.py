"""What a module leaves behind: timers, processes, sockets, shortcuts, observers, threads, paused views."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import shiboken6
import slicer
from PySide6 import QtCore, QtGui, QtNetwork

from . import signals, wrappers
from .rendering import AbstractView


@dataclass(frozen=True)
class Leaks:
    """Everything here is empty for a module that cleans up; each entry says what and where."""

    timers: tuple[str, ...]
    processes: tuple[str, ...]
    sockets: tuple[str, ...]
    shortcuts: tuple[str, ...]
    observers: tuple[str, ...]
    threads: tuple[str, ...]
    connections: tuple[str, ...]
    views: tuple[str, ...]

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True)
class Baseline:
    """What was there before the module."""

    observers: dict[str, int]
    children: frozenset[int]
    threads: frozenset[int]
    connections: dict[QtCore.QObject, int]
    views: tuple[AbstractView, ...]


_of_new_scene: dict[str, int] = {}
"""Observers of a new scene of the host, which are the same each time; counting them makes VTK print 67 nodes."""


def baseline(scene: slicer.vtkMRMLScene, lasting: list[QtCore.QObject], views: Iterable[AbstractView]) -> Baseline:
    """Lasting are Qt objects that outlive the module, such as the application; scene and views are new ones."""
    threads = frozenset(t.ident for t in threading.enumerate())
    if not _of_new_scene:
        _of_new_scene.update(observer_counts(scene))
    return Baseline(_of_new_scene, children(), threads, _connections(lasting), tuple(views))


def with_connections_of_now(before: Baseline) -> Baseline:
    """What a module's own class connects (startupCompleted) lasts as long as the application, and may."""
    return replace(before, connections=_connections(before.connections))


def _connections(lasting: Iterable[QtCore.QObject]) -> dict[QtCore.QObject, int]:
    return {one: signals.connection_count(one) for one in lasting}


def look(scene: slicer.vtkMRMLScene, before: Baseline, widgets: list[object]) -> Leaks:
    """What is there now and was not before; widgets are the module's widget and logic objects."""
    made = [one for one in wrappers.made if shiboken6.isValid(one)]
    running = [f"process {pid}" for pid in children() - before.children]
    return Leaks(
        tuple(_told(one) for one in made if isinstance(one, QtCore.QTimer) and one.isActive()),
        tuple(running),
        tuple(_told(one) for one in made if _is_open(one)),
        tuple(_told(one) for one in made if isinstance(one, QtGui.QShortcut) and one.isEnabled()),
        (*_more_observers(scene, before), *_mixin_observers(widgets)),
        tuple(t.name for t in threading.enumerate() if t.ident not in before.threads),
        tuple(_told(one) for one, count in before.connections.items() if signals.connection_count(one) > count),
        (*_paused(before.views), *_observed(before.views)),
    )


def end_what_is_left() -> None:
    """So that one test's leak is not the next one's."""
    for one in [one for one in wrappers.made if shiboken6.isValid(one)]:
        if isinstance(one, QtCore.QTimer):
            one.stop()
        elif isinstance(one, QtNetwork.QTcpServer):
            one.close()
        elif isinstance(one, QtNetwork.QAbstractSocket):
            one.abort()
        elif isinstance(one, QtCore.QProcess) and _is_open(one):
            one.kill()
            one.waitForFinished(2000)


def observer_counts(scene: slicer.vtkMRMLScene) -> dict[str, int]:
    """How many observers, VTK's own included, the scene and each of its nodes have."""
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    return {"scene": _observers(scene)} | {node.GetID(): _observers(node) for node in nodes}


def children() -> frozenset[int]:
    """The processes that this one started and that still run; needs Linux."""
    found = set()
    for task in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        found |= {int(pid) for pid in task.read_text().split()}
    return frozenset(pid for pid in found if _runs(pid))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _paused(views: Iterable[AbstractView]) -> list[str]:
    return [f"view {view.name} is paused" for view in views if view.isRenderPaused()]


def _observed(views: Iterable[AbstractView]) -> list[str]:
    return [f"the render window of view {view.name} is observed" for view in views if _observers(view.renderWindow())]


def _observers(thing: object) -> int:
    return str(thing).count("vtkObserver (")


def _more_observers(scene: slicer.vtkMRMLScene, before: Baseline) -> list[str]:
    now = observer_counts(scene)
    counts = {name: (before.observers[name], now.get(name, 0)) for name in before.observers}
    return [f"{name}: {was} -> {count} observers" for name, (was, count) in counts.items() if count > was]


def _mixin_observers(widgets: list[object]) -> list[str]:
    kept = [entry for widget in widgets for entry in getattr(widget, "Observations", ())]
    return [f"{method.__qualname__} on {thing.GetClassName()}" for thing, _event, method, *_more in kept]


def _is_open(one: QtCore.QObject) -> bool:
    if isinstance(one, QtNetwork.QTcpServer):
        return one.isListening()
    if isinstance(one, QtNetwork.QAbstractSocket):
        return one.state() != QtNetwork.QAbstractSocket.SocketState.UnconnectedState
    return isinstance(one, QtCore.QProcess) and one.state() != QtCore.QProcess.ProcessState.NotRunning


def _told(one: QtCore.QObject) -> str:
    parent = one.parent()
    return f"{type(one).__name__} '{one.objectName()}' of {type(parent).__name__ if parent else 'nobody'}"
