"""The sounds of margins that a tip enters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer

from ..views.margin_alarm import write_sound


class AlarmSounds:
    """Plays the sounds of `views.margin_alarm`, each made when it is first played.

    Attributes:
        effects: the QSoundEffect of each sound that was played.
    """

    def __init__(self) -> None:
        self.effects: dict[str, Any] = {}

    def play(self, which: str) -> None:
        """Play the sound of a margin, "outer" or "inner"."""
        if which not in self.effects:
            self.effects[which] = qt.QSoundEffect()
            file = write_sound(which, Path(slicer.app.temporaryPath))
            self.effects[which].setSource(qt.QUrl.fromLocalFile(str(file)))
        self.effects[which].play()
