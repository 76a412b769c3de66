"""Choice of the device whose volumes become current, where several devices send some."""

from __future__ import annotations

MAX_NAMED_DEVICES = 4
"""So many devices are named in a note."""


class FollowedDevice:
    """Decides for each volume whether it becomes current, by the device that sent it.

    Where nobody has chosen a device, the first that sends a volume is followed, and `note` names the others: to change
    between them without being asked would be a guess. Once several have sent, that one is followed over a reconnection
    as well, whichever sends first then; a sender that was alone may come back with another name.

    Attributes:
        chosen: only its volumes become current; None where the user has chosen no device.
        takes_newest: the user has chosen that the newest volume becomes current, whoever sent it.
    """

    def __init__(self) -> None:
        self.chosen: str | None = None
        self.takes_newest = False
        self._epoch: int | None = None
        self.reset()

    def reset(self) -> None:
        """Drop all senders, as for another link; what the user has chosen stays."""
        self._senders: dict[str, None] = {}
        self._have_sent: set[str] = set()
        self._left_behind, self._were_several = "", False

    def choose(self, device: str | None) -> None:
        """Follow one device; None follows all of them, so that the newest volume becomes current."""
        self.chosen, self.takes_newest = device, device is None

    def remove(self, device: str) -> None:
        """Drop a sender that is no longer known."""
        self._senders.pop(device, None)

    def accepts(self, device: str, epoch: int | None) -> bool:
        """Record that a device has sent a volume, and return whether that becomes current.

        Args:
            epoch: number of the connection, which changes with each reconnection; None of a link without any.
        """
        if epoch != self._epoch:
            self._reconnect(device, epoch)
        self._senders.setdefault(device)
        self._have_sent.add(device)
        self._were_several = self._were_several or len(self._senders) > 1
        return self.takes_newest or device == self.in_use

    def _reconnect(self, device: str, epoch: int | None) -> None:
        self._epoch, in_use = epoch, next(iter(self._senders), "")
        self._senders = {in_use: None} if self._were_several and in_use else {}
        self._left_behind = "" if self._senders or device == in_use else in_use
        self._have_sent = set()

    @property
    def in_use(self) -> str | None:
        """The device whose volumes become current: the chosen one, or the first that sent one; None for the newest."""
        if self.chosen is not None or self.takes_newest:
            return self.chosen
        return next(iter(self._senders), None)

    @property
    def note(self) -> str:
        """A sentence on which device is followed where several send volumes and none was chosen; else empty."""
        if self.chosen is not None:
            return ""
        if len(self._senders) < 2:
            return self._renamed_note
        names = [f"'{device}'" for device in self._senders][:MAX_NAMED_DEVICES]
        if self.takes_newest:
            return (
                f"volumes come under several names ({', '.join(names)}), and the newest is shown; choose one to follow"
            )
        others = ", ".join(names[1:])
        if self.in_use not in self._have_sent:
            silent = f"{names[0]} is followed, but has sent no volume since the connection was made again"
            return f"{silent}; volumes come under {others}; choose which one to follow"
        return f"{names[0]} is followed, volumes come under {others} as well; choose which one to follow"

    @property
    def _renamed_note(self) -> str:
        if not self._left_behind or not self._senders or self.takes_newest:
            return ""
        now = f"'{self.in_use}' is followed since the connection was made again"
        return f"{now}, '{self._left_behind}' was before; choose the one to follow"
