"""Versions of the installed packages and names of the devices, found without importing the packages."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__

PACKAGES = ("nnunetv2", "torch", "openvino", "numpy", "scipy", "SimpleITK", "vtk", "pyigtl", "slicer-core")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/gpus")
"""Where the Linux driver names its GPUs, at no cost; nvidia-smi may take seconds to wake one."""
PROCESSORS = Path("/proc/cpuinfo")


def versions() -> dict[str, str]:
    """Return the versions of this program, of Python, and of the packages that a result depends on."""
    found = {"crlm-seg": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def devices() -> list[str]:
    """Return the names of the GPUs, as their driver reports them, and the number of processor cores."""
    return [*(gpus_of_driver() or _gpus_of_nvidia_smi()), f"CPU with {os.cpu_count()} cores"]


def processor_name() -> str:
    """Return the name of the processor; empty where the system does not tell."""
    try:
        lines = PROCESSORS.read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def gpus_of_driver() -> list[str]:
    """Return the names of the NVIDIA GPUs, as their driver lists them at no cost; empty on Windows."""
    lines = [line for file in sorted(NVIDIA_DRIVER.glob("*/information")) for line in file.read_text().splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def _gpus_of_nvidia_smi() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=3, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
