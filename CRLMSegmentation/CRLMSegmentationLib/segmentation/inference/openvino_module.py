"""Import of OpenVINO without its telemetry: `import openvino` alone would report its use to its maker over the network.

Every other module imports OpenVINO from here. Where something else has imported it before, it has reported that, and
nothing is changed here; nothing in the worker does.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

TELEMETRY = "openvino_telemetry"

sys.modules.setdefault(TELEMETRY, cast(ModuleType, None))  # importing it fails; OpenVINO then takes its own stub
import openvino  # noqa: E402  (imported above, without it)

__all__ = ["openvino"]
