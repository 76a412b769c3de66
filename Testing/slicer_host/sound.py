"""Stand-in for QSoundEffect, whose Qt module PySide6-Essentials does not bring."""

from __future__ import annotations

from PySide6 import QtCore

from .stand_in import StandIn, plain, through


class SoundEffect(StandIn, QtCore.QObject):
    """Stand-in for QSoundEffect: silent, and counts how often it was played."""

    slicer_class = "QSoundEffect"
    own_signals = ("playingChanged()", "sourceChanged()", "volumeChanged()", "loopCountChanged()", "mutedChanged()")

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._playing, self.played = False, 0

    p_source = plain(QtCore.QUrl())
    p_loops = plain(1)
    p_loopsRemaining = through(lambda self: 0)
    p_volume = plain(1.0)
    p_muted = plain(False)
    p_playing = through(lambda self: self._playing)
    p_status = through(lambda self: 2)
    p_category = plain("")

    def play(self) -> None:
        self._playing, self.played = True, self.played + 1
        self.emit_own("playingChanged()")

    def stop(self) -> None:
        self._playing = False
        self.emit_own("playingChanged()")

    def setSource(self, url: QtCore.QUrl) -> None:
        self.p_source = url
        self.emit_own("sourceChanged()")

    def setVolume(self, volume: float) -> None:
        self.p_volume = volume
