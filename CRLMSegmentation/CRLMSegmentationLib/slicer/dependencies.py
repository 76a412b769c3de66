"""The Python packages that this project needs, which of them are missing, and how 3D Slicer gets them.

torch comes through the extension PyTorch, which finds the build for the graphics card, and nnunetv2 through the
extension NNUNet; the rest is small. SimpleITK and requests are Slicer's own and are never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True)
class Package:
    """A Python package that this project needs.

    Attributes:
        name: on PyPI.
        module: what it is imported as.
        window: versions known to work, as pip wants them.
        purpose: what does not work without it: "segment", "connect" or "report"; "speed" where all works, more slowly.
    """

    name: str
    module: str
    window: str
    purpose: str

    @property
    def requirement(self) -> str:
        return self.name + self.window

    @property
    def installed_version(self) -> str | None:
        """None when it is missing."""
        try:
            return version(self.name) if find_spec(self.module) else None
        except PackageNotFoundError:
            return None


TORCH = Package("torch", "torch", ">=2.6,<3", "segment")
NNUNET = Package("nnunetv2", "nnunetv2", ">=2.6,<2.9", "segment")
OPENVINO = Package("openvino", "openvino", ">=2024.4", "speed")
SMALL_PACKAGES = (
    Package("safetensors", "safetensors", ">=0.4", "segment"),
    Package("pyigtl", "pyigtl", ">=0.3.3,<0.4", "connect"),
    Package("crcmod", "crcmod", ">=1.7", "connect"),  # for pyigtl, which comes without its dependencies
    Package("fastcrc", "fastcrc", ">=0.5", "connect"),
    Package("filelock", "filelock", ">=3.12", "connect"),
    Package("Jinja2", "jinja2", ">=3.1", "report"),
    Package("matplotlib", "matplotlib", ">=3.8", "report"),
)
"""pip may install these into Slicer."""
PACKAGES = (TORCH, NNUNET, *SMALL_PACKAGES, OPENVINO)
WITHOUT_DEPENDENCIES = ("pyigtl", "crcmod", "fastcrc", "filelock", "safetensors", "openvino")
"""They need nothing that Slicer lacks; pip is told so, lest it replace numpy. OpenVINO would bring its telemetry."""


def missing(purpose: str | None = None) -> list[Package]:
    """Return the packages that cannot be imported, of all purposes or of one."""
    wanted = [package for package in PACKAGES if purpose in (None, package.purpose)]
    return [package for package in wanted if package.installed_version is None]


def lacks_needed_package() -> bool:
    """Whether a package is missing without which something does not work."""
    return any(package.purpose != "speed" for package in missing())


def pip_arguments(package: Package) -> str:
    """Return the arguments for `slicer.util.pip_install`."""
    alone = " --no-deps" if package.name in WITHOUT_DEPENDENCIES else ""
    return f"{package.requirement}{alone}"
