"""The pre-flight check: what is tried before the incision."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from ...core.errors import CrlmError, os_reason
from ...core.i18n import tr as _
from ...core.resources import resource_path
from ...igtl.link import LinkState
from ...recording.case import Case, load_case
from ...recording.recorded_link import RecordedLink
from ...segmentation.models.package import load_model_package
from ...segmentation.models.registry import is_shipped
from ..dependencies import PACKAGES
from ..state import State
from .check import Check
from .server_checks import server_checks
from .workspace import Workspace

SAMPLE = "phantom-hypoechoic"
KNOWN_DICE = 0.70
"""Overlap with the ground truth of the shipped sample below which something is wrong."""
FREE_MEMORY_GB, FREE_DISK_GB = (2.0, 4.0), (2.0, 10.0)
"""An error below the first, a warning below the second."""
SLOW_START_S = 30.0
PROBLEM_LINES = 3


class Preflight:
    """Runs the checks; `workspace.tick` must go on meanwhile. Start it when nothing is being segmented.

    Args:
        folder: where results will be saved.
        sample: case with a truth whose answer is known.
    """

    def __init__(self, workspace: Workspace, folder: Path, sample: Path | None = None) -> None:
        self._workspace, self._folder = workspace, folder
        self._sample: Case | None = None
        self._is_shipped = is_shipped(workspace.session.model)
        self._at_once = [_packages(), _model(workspace), _memory(), _disk(folder), _link(workspace)]
        workspace.results.self_check, workspace.results.self_check_problem = None, ""
        try:
            self._sample = load_case(sample or resource_path("SampleCases", SAMPLE))
            if workspace.engine_problem:
                workspace.restart_engine()
            workspace.run_self_check(self._sample.volume(), np.array(self._sample.lesions[0].seed_ras_mm))
        except CrlmError as error:
            workspace.results.self_check_problem = str(error)

    @property
    def is_finished(self) -> bool:
        workspace = self._workspace
        return bool(workspace.results.self_check or workspace.results.self_check_problem or workspace.engine_problem)

    def checks(self) -> list[Check]:
        """Return the checks with their results so far."""
        of_server = server_checks(self._workspace)
        return [*self._at_once, *of_server, self._device(), self._start(), self._answer()]

    def _device(self) -> Check:
        name, ready, problem = _("Computer"), self._workspace.ready, self._workspace.engine_problem
        if problem:
            return Check(name, State.ERROR, problem, _("Install what is missing, then run this again"))
        if ready is None:
            return Check(name, State.PENDING, _("the worker is starting"))
        text = "; ".join([ready.device, *ready.warnings])
        if ready.pass_s is not None:
            text = _("{device}: one pass of the network takes {seconds:.2f} s").format(
                device=text, seconds=ready.pass_s
            )
        if ready.is_slow:
            action = _("Segmentation works but is slow here. Press Install for OpenVINO, or use a graphics card")
            return Check(name, State.WARNING, text, action)
        if ready.warnings:
            return Check(name, State.WARNING, text, _("Segmentation works; look at what is not used, and why"))
        return Check(name, State.OK, text)

    def _start(self) -> Check:
        name, ready = _("Model warm"), self._workspace.ready
        if ready is None:
            state = State.ERROR if self._workspace.engine_problem else State.PENDING
            return Check(name, state, _("not yet"))
        state = State.OK if ready.cold_start_s < SLOW_START_S else State.WARNING
        return Check(name, state, _("loaded and warm after {seconds:.1f} s").format(seconds=ready.cold_start_s))

    def _answer(self) -> Check:
        name, result = _("Self-check case"), self._workspace.results.self_check
        problem = self._workspace.results.self_check_problem or self._workspace.engine_problem
        if problem:
            return Check(name, State.ERROR, problem, _("Do not rely on results before this check passes"))
        if result is None:
            return Check(name, State.PENDING, _("segmenting a simulated case with known ground truth"))
        if not self._is_shipped:
            text = _("the right answer is known for the shipped model only; this one answered in {seconds:.1f} s")
            text = text.format(seconds=sum(result.timings_s.values()))
            return Check(name, State.WARNING, text, _("To prove the installation, choose the shipped model"))
        truth = self._sample.truth_of(self._sample.lesions[0], result.volume) if self._sample is not None else None
        if truth is None:
            return Check(name, State.ERROR, _("the shipped case is missing"), _("Install the extension again"))
        dice = 2 * (result.mask.mask & truth).sum() / max(1, result.mask.mask.sum() + truth.sum())
        seconds = sum(result.timings_s.values())
        text = _("simulated case: Dice {dice:.2f}, in {seconds:.1f} s").format(dice=dice, seconds=seconds)
        if dice >= KNOWN_DICE:
            return Check(name, State.OK, text)
        action = _("The installation is broken, or damaged: install it again before relying on results")
        return Check(name, State.ERROR, text, action)


def _packages() -> Check:
    name = _("Packages")
    absent = [package for package in PACKAGES if package.installed_version is None]
    if absent:
        text = _("missing: {names}").format(names=", ".join(package.requirement for package in absent))
        is_needed = any(package.purpose != "speed" for package in absent)
        return Check(name, State.ERROR if is_needed else State.WARNING, text, _("Press Install"))
    torch, nnunet, *others = PACKAGES
    versions = f"{torch.name} {torch.installed_version}, {nnunet.name} {nnunet.installed_version}"
    return Check(name, State.OK, _("{versions} and {count} more").format(versions=versions, count=len(others)))


def _model(workspace: Workspace) -> Check:
    name, model = _("Model"), workspace.session.model
    try:
        load_model_package(model.folder)
    except CrlmError as error:
        return Check(name, State.ERROR, str(error), _("Copy the model again, or choose another"))
    text = f"{model.name} {model.version}, SHA-256 {model.sha256[:12]}"
    if model.simulated_only:
        return Check(name, State.WARNING, text, _("Trained on simulated data only: not for decisions about patients"))
    if model.trained_on.get("simulated") is None:
        return Check(name, State.WARNING, text, _("Nobody has stated what it was trained on: ask its makers"))
    return Check(name, State.OK, text)


def _memory() -> Check:
    name = _("Free memory")
    free = free_memory_gb()
    if free is None:
        return Check(name, State.WARNING, _("unknown on this system"), _("Close other programs"))
    return _enough(name, free, FREE_MEMORY_GB, _("Close other programs"))


def _disk(folder: Path) -> Check:
    name = _("Free disk space")
    try:
        free = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        return Check(name, State.ERROR, f"{folder}: {os_reason(error)}", _("Choose another folder for results"))
    return _enough(name, free, FREE_DISK_GB, _("Delete what is not needed, or choose another folder"))


def _enough(name: str, free_gb: float, limits_gb: tuple[float, float], action: str) -> Check:
    text = f"{free_gb:.1f} GB"
    if free_gb >= limits_gb[1]:
        return Check(name, State.OK, text)
    return Check(name, State.WARNING if free_gb >= limits_gb[0] else State.ERROR, text, action)


def _link(workspace: Workspace) -> Check:
    name = _("Link")
    if workspace.session.link is None:
        return Check(name, State.WARNING, _("no source is connected"), _("Connect to the tracker before the sweep"))
    if workspace.link_state is not LinkState.CONNECTED:
        return Check(
            name,
            State.ERROR,
            workspace.link_reason or workspace.link_state.value,
            _("Start the server, check the cable"),
        )
    if isinstance(workspace.session.link, RecordedLink):
        return Check(name, State.WARNING, _("a recorded case is open"), _("Connect to the tracker before the sweep"))
    rate = workspace.message_rate.per_s
    text = _("{rate:.0f} messages a second").format(rate=rate)
    if workspace.session.problems.lines:
        action = _("Check sender and network: what was refused is lost")
        return Check(name, State.WARNING, "\n".join([text, *_shortened(workspace.session.problems.lines)]), action)
    if rate > 0:
        return Check(name, State.OK, text)
    return Check(name, State.WARNING, text, _("Start the devices of the server: it is silent"))


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - PROBLEM_LINES
    return lines if more <= 0 else [*lines[:PROBLEM_LINES], _("and {count} more kinds").format(count=more)]


def free_memory_gb() -> float | None:
    """Return the memory that is free without swapping, in GB; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / 1e9
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None
