"""Installation of missing packages into 3D Slicer, after the user has agreed.

Slicer's own SimpleITK, requests and numpy stay as they are.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.metadata import requires

import slicer

from ...core.errors import CrlmError
from ...core.i18n import tr as _
from ..dependencies import NNUNET, OPENVINO, SMALL_PACKAGES, TORCH, pip_arguments

Say = Callable[[str], None]
NEVER_BY_PIP = ("torch", "SimpleITK", "requests", "numpy", "scipy")
"""Slicer's own, or of a build that pip would not choose."""


def install_missing(say: Say) -> None:
    """Install package by package: the small ones by pip, torch and nnU-Net through their extensions.

    Args:
        say: told what happens.

    Raises:
        CrlmError: an extension is missing, or Slicer must be started again; says what to do.
    """
    for package in SMALL_PACKAGES:
        if package.installed_version is None:
            say(_("Installing {name} ...").format(name=package.requirement))
            slicer.util.pip_install(pip_arguments(package))
    if TORCH.installed_version is None:
        say(_("Installing PyTorch; this takes some minutes ..."))
        _install_torch()
    if NNUNET.installed_version is None:
        say(_("Installing nnU-Net ..."))
        _install_nnunet(say)
    if OPENVINO.installed_version is None:
        _install_openvino(say)


def _install_openvino(say: Say) -> None:
    """Install OpenVINO; where there is none for this computer, torch does its work more slowly."""
    say(_("Installing OpenVINO, which makes segmentation faster ..."))
    try:
        slicer.util.pip_install(pip_arguments(OPENVINO))
    except subprocess.CalledProcessError as error:
        say(_("OpenVINO was not installed ({error}); segmentation works without it, more slowly").format(error=error))


def _install_torch() -> None:
    try:
        import PyTorchUtils  # type: ignore[import-not-found]  # a module of another extension of 3D Slicer
    except ImportError as error:
        raise _needs_extension("PyTorch") from error
    PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=TORCH.window)
    if TORCH.installed_version is None:
        raise CrlmError(_("PyTorch was not installed; look at the log, then press Install again"))


def _install_nnunet(say: Say) -> None:
    try:
        from SlicerNNUNetLib import InstallLogic  # type: ignore[import-not-found]  # of another extension
    except ImportError:
        say(_("Installing nnU-Net without the extension NNUNet, by pip ..."))
        _install_nnunet_by_pip()
        return
    installer = InstallLogic(doAskConfirmation=False)
    installer.progressInfo.connect(say)
    if not installer.setupPythonRequirements(NNUNET.requirement) or installer.needsRestart:
        raise CrlmError(_("nnU-Net is not ready yet; start Slicer again and press Install"))


def _install_nnunet_by_pip() -> None:
    """Install nnU-Net without its requirements, then each of these that neither Slicer nor PyTorch brings."""
    from packaging.requirements import Requirement

    slicer.util.pip_install(f"{NNUNET.requirement} --no-deps")
    for requirement in map(Requirement, requires(NNUNET.name) or ()):
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name not in NEVER_BY_PIP:
            slicer.util.pip_install(f"{requirement.name}{requirement.specifier}")


def _needs_extension(name: str) -> CrlmError:
    text = _("The extension {name} is missing; install it in the Extensions Manager and start Slicer again")
    return CrlmError(text.format(name=name))
