"""Enumerations as PythonQt has them: integers on the class, no enumeration class with members."""

from __future__ import annotations

import enum
from functools import cache

from PySide6 import QtCore

_LATER = (
    "ColorScheme ContextMenuTrigger ContrastPreference MotionPreference PermissionStatus ReturnByValueConstant TimerId"
)
NOT_IN_QT_5 = frozenset(_LATER.split())


class EnumValue(int):
    """An integer that remembers the Qt 6 member behind it, which PySide's functions insist on."""

    member: enum.Enum

    def __new__(cls, member: enum.Enum) -> EnumValue:
        value = super().__new__(cls, int(member.value))
        value.member = member
        return value

    def __or__(self, other: int) -> int:
        return _combined(self, other, int(self) | int(other))

    def __and__(self, other: int) -> int:
        return _combined(self, other, int(self) & int(other))

    def __ror__(self, other: int) -> int:
        return self | other

    def __rand__(self, other: int) -> int:
        return self & other


def _combined(left: EnumValue, right: int, value: int) -> int:
    kind = type(left.member)
    same = not isinstance(right, EnumValue) or type(right.member) is kind
    return EnumValue(kind(value)) if same and issubclass(kind, enum.Flag) else value


class EnumType:
    """What qt.QMessageBox.StandardButton is in PythonQt: callable, and without members."""

    def __init__(self, kind: type[enum.Enum]) -> None:
        self._kind = kind

    def __call__(self, value: int) -> EnumValue:
        return EnumValue(self._kind(int(value)))

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"type object '{self._kind.__name__}' has no attribute '{name}'")


def is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


@cache
def member_of(owner: type, name: str) -> object | None:
    """The value or enumeration type of a name on a Qt class, its bases included; None where there is none."""
    for cls in owner.__mro__:
        for key, kind in vars(cls).items():
            if not is_enum(kind) or (cls is QtCore.Qt and key in NOT_IN_QT_5):
                continue
            if name in (key, key + "s"):  # QFlags are called after the enumeration, with an s
                return EnumType(kind)
            if name in kind.__members__:
                return EnumValue(kind.__members__[name])
    return None
