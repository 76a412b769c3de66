"""The card before the incision, and installing what is missing; on a stub engine."""

from __future__ import annotations

import re
import subprocess
import sys
import types

import pytest
from CRLMSegmentationLib.slicer import dependencies
from helpers.module_helpers import card, check_everything

SMALL = ("safetensors", "pyigtl", "crcmod", "fastcrc", "filelock", "Jinja2", "matplotlib")
EVERYTHING = ("torch", "nnunetv2", *SMALL, "openvino")


@pytest.fixture
def installed(monkeypatch):
    """Names of what is installed; a test takes some away, and an installation puts them back."""
    names = set(EVERYTHING)
    version = property(lambda package: "1.0" if package.name in names else None)
    monkeypatch.setattr(dependencies.Package, "installed_version", version)
    return names


class Signal:
    def __init__(self):
        self.told = []

    def connect(self, function):
        self.told.append(function)


@pytest.fixture
def extensions(monkeypatch, installed):
    """Strict stand-ins for what the extensions PyTorch and NNUNet bring; the answer lists what they were asked."""
    asked = []

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation, torchVersionRequirement):
            asked.append(("torch", askConfirmation, torchVersionRequirement))
            installed.add("torch")

    class InstallLogic:
        def __init__(self, doAskConfirmation):
            assert doAskConfirmation is False
            self.progressInfo, self.needsRestart = Signal(), False

        def setupPythonRequirements(self, requirement):
            asked.append(("nnunetv2", requirement))
            for tell in self.progressInfo.told:
                tell("nnU-Net is being installed")
            installed.add("nnunetv2")
            return True

    torch, nnunet = types.ModuleType("PyTorchUtils"), types.ModuleType("SlicerNNUNetLib")
    torch.PyTorchUtilsLogic, nnunet.InstallLogic = PyTorchUtilsLogic, InstallLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", torch)
    monkeypatch.setitem(sys.modules, "SlicerNNUNetLib", nnunet)
    return asked


def test_card_lists_everything_and_ends(panel, installed):
    check_everything(panel)
    assert card(panel)["Self-check case"][0] == "pending"
    panel.answer()
    panel.wait(lambda: card(panel)["Self-check case"][0] != "pending")
    lines = card(panel)
    assert list(lines) == [
        *("Packages", "Model", "Free memory", "Free disk space", "Link", "Computer", "Model warm"),
        "Self-check case",
    ]
    assert lines["Packages"][0] == "green"
    assert lines["Model"][0] == "amber"
    assert "simulated data only" in lines["Model"][1]
    assert lines["Link"] == ("amber", "no source is connected\n→ Connect to the tracker before the sweep")
    assert panel.table() == []


def test_missing_package_is_red_and_can_be_installed(panel, installed):
    installed.discard("Jinja2")
    check_everything(panel)
    level, found = card(panel)["Packages"]
    assert level == "red"
    assert found.startswith("missing: Jinja2>=3.1")
    assert panel.message
    assert panel.host.widget("installButton").visible


def test_failed_worker_is_red(panel):
    from CRLMSegmentationLib.segmentation.engine.engine import Failed

    panel.engine.events.append(Failed(None, "torch cannot be imported"))
    panel.wait(lambda: panel.message)
    check_everything(panel)
    panel.engine.events.append(Failed(None, "torch cannot be imported"))
    panel.wait(lambda: card(panel)["Computer"][0] == "red")
    assert card(panel)["Self-check case"][0] == "red"


def test_nothing_to_install_offers_nothing(panel, installed):
    panel.press("tipButton")
    assert panel.message
    assert not panel.host.widget("installButton").visible


def offer_to_install(panel, installed, *names):
    installed.difference_update(names)
    panel.press("tipButton")  # any message offers it
    panel.press("installButton") if panel.host.answers else None


def test_refused_installation_does_nothing(panel, installed, extensions):
    panel.host.answers.append(False)
    offer_to_install(panel, installed, "torch", "Jinja2")
    (question,) = [message for message in panel.host.messages if message.kind == "question"]
    assert "torch>=2.6,<3, Jinja2>=3.1" in question.text
    assert panel.host.user.pip == []
    assert extensions == []
    assert len(panel.engines) == 1


def test_small_packages_come_by_pip_and_the_others_through_their_extensions(panel, installed, extensions):
    panel.host.user.pip_result = lambda text: installed.add(text.partition(">")[0])
    panel.host.answers.append(True)
    offer_to_install(panel, installed, *EVERYTHING)
    assert [text.split(">=")[0] for text in panel.host.user.pip] == list(EVERYTHING[2:])
    assert not any(
        word in text for text in panel.host.user.pip for word in ("SimpleITK", "requests", "torch", "nnunet")
    )
    assert [text.endswith("--no-deps") for text in panel.host.user.pip] == [*[True] * 5, False, False, True]
    assert extensions == [("torch", False, ">=2.6,<3"), ("nnunetv2", "nnunetv2>=2.6,<2.9")]
    assert panel.message.startswith("Installed.")
    assert not panel.host.widget("installButton").visible
    assert len(panel.engines) == 2
    assert panel.engines[0].closed
    panel.wait(lambda: "Self-check case" in card(panel))  # proves the installation


def test_openvino_that_cannot_be_installed_is_done_without(panel, installed):
    def no_wheel(text):
        raise subprocess.CalledProcessError(1, "pip")

    panel.host.user.pip_result = no_wheel
    panel.host.answers.append(True)
    offer_to_install(panel, installed, "openvino")
    assert panel.host.user.pip == ["openvino>=2024.4 --no-deps"]
    assert panel.message.startswith("Installed.")
    assert panel.host.widget("installButton").visible


def test_without_its_extension_torch_is_not_installed_and_the_extension_is_named(
    panel, installed, extensions, monkeypatch
):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    panel.host.answers.append(True)
    offer_to_install(panel, installed, "torch")
    assert panel.message.startswith("The extension PyTorch is missing; install it in the Extensions Manager")
    assert panel.host.widget("installButton").visible
    assert panel.host.user.pip == []


def test_without_its_extension_nnunet_comes_by_pip_and_what_slicer_brings_stays(
    panel, installed, extensions, monkeypatch
):
    monkeypatch.setitem(sys.modules, "SlicerNNUNetLib", None)
    panel.host.user.pip_result = lambda text: installed.add(text.partition(">")[0])
    panel.host.answers.append(True)
    offer_to_install(panel, installed, "nnunetv2")
    first, *others = panel.host.user.pip
    assert first == "nnunetv2>=2.6,<2.9 --no-deps"
    names = {re.split("[<>=! ]", text)[0].lower() for text in others}
    assert {"batchgenerators", "dynamic-network-architectures", "acvl-utils"} <= names
    assert not names & {"torch", "simpleitk", "requests", "numpy", "scipy", "pre-commit"}
    assert panel.message.startswith("Installed.")


def test_failing_pip_is_told(panel, installed, extensions):
    def fail(text):
        raise RuntimeError(f"no network for {text}")

    panel.host.user.pip_result = fail
    panel.host.answers.append(True)
    offer_to_install(panel, installed, "Jinja2")
    assert panel.message == "no network for Jinja2>=3.1"
    assert panel.workspace is not None


def test_connecting_without_its_package_offers_to_install(panel, installed):
    installed.discard("pyigtl")
    panel.press("connectButton")
    assert panel.message.startswith("pyigtl>=0.3.3,<0.4 is missing; press Install")
    assert panel.host.widget("installButton").visible
