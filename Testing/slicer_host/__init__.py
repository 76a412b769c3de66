"""A strict host that runs an unchanged scripted module of 3D Slicer on real MRML and real Qt, without Slicer."""

from .errors import HostError, HostGapError
from .leaks import Leaks
from .slicer_host import SlicerHost
from .user_messages import Message

__all__ = ["HostError", "HostGapError", "Leaks", "Message", "SlicerHost"]
