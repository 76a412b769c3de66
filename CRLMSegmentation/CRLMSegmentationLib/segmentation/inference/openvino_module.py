"""Import of OpenVINO without its telemetry: `import openvino` alone would report its use to its maker over the network.

Every other module imports OpenVINO from here.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

TELEMETRY = "openvino_telemetry"

sys.modules.setdefault(TELEMETRY, cast(ModuleType, None))  # importing it fails; OpenVINO then takes its own stub
import openvino  # noqa: E402  (imported above, without it)

__all__ = ["openvino"]
