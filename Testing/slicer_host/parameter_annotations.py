"""The annotations of slicer.parameterNodeWrapper in 5.8."""

from __future__ import annotations

import abc
import typing
from dataclasses import dataclass


class Default:
    """The value that a parameter begins with."""

    def __init__(self, value: object = None, *, generator: typing.Callable[[], object] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> object:
        return self._generator() if self._generator else self._value


class Validator(abc.ABC):
    """Looks at a value before it is stored."""

    @abc.abstractmethod
    def validate(self, value: object) -> None:
        """Raise where the value is not allowed."""


class NotNone(Validator):
    def validate(self, value: object) -> None:
        if value is None:
            raise ValueError("Value must not be None")


@dataclass
class IsInstance(Validator):
    classtype: object

    def validate(self, value: object) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type '{self.classtype}', is type '{type(value)}' value '{value}'")


@dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum(Validator):
    minimum: float

    def validate(self, value: float) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be greater than {self.minimum}, is {value}")


@dataclass
class Maximum(Validator):
    maximum: float

    def validate(self, value: float) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be less than {self.maximum}, is {value}")


@dataclass
class Choice(Validator):
    choices: list

    def validate(self, value: object) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass
class Exclude(Validator):
    excludedValues: list

    def validate(self, value: object) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value is {value}, but must not be an excluded value: {self.excludedValues}")


@dataclass
class RangeBounds(Validator):
    minimum: float
    maximum: float

    def validate(self, value: object) -> None:
        if not self.minimum <= value.minimum <= value.maximum <= self.maximum:
            raise ValueError(f"Range must be within [{self.minimum}, {self.maximum}]")


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


@dataclass
class Label:
    value: str


def split(kind: object) -> tuple[object, tuple[object, ...]]:
    """A type without its annotations, and them."""
    if typing.get_origin(kind) is typing.Annotated:
        first, *annotations = typing.get_args(kind)
        return first, tuple(annotations)
    return kind, ()


def first(annotations: tuple[object, ...], wanted: type) -> object | None:
    return next((one for one in annotations if isinstance(one, wanted)), None)
