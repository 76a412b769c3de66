"""The fastest runtime that agrees is chosen, the choice is kept, and a warning names what is not used.

Runtimes are stubs with a clock of their own, but for the tests at the end.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.segmentation.inference import inference_cache, runtime_choice, torch_runtime
from CRLMSegmentationLib.segmentation.inference.inference_cache import FOLDER_VARIABLE, InferenceCache
from CRLMSegmentationLib.segmentation.inference.runtime import (
    Device,
    DeviceMemoryError,
    Precision,
    RuntimeChoice,
    RuntimeName,
)
from CRLMSegmentationLib.segmentation.inference.runtime_choice import (
    CHOICE_FILE,
    REFERENCE,
    TIMED_PASSES,
    Wish,
    available_cpu_threads,
    choose_runtime,
    open_runtime,
)
from CRLMSegmentationLib.segmentation.inference.runtime_model import pass_image
from helpers.inference_helpers import without_openvino
from helpers.stub_runtime import PassFunction, StubRuntime, dark_is_tumour

TORCH = REFERENCE
TORCH_BF16 = replace(TORCH, precision=Precision.BFLOAT16)
OPENVINO = RuntimeChoice(RuntimeName.OPENVINO, Device.CPU, Precision.FLOAT32)
OPENVINO_BF16 = replace(OPENVINO, precision=Precision.BFLOAT16)
INTEL_GPU = replace(OPENVINO, device=Device.INTEL_GPU, precision=Precision.FLOAT16)
CUDA = replace(TORCH, device=Device.CUDA, precision=Precision.FLOAT16)
IMAGE = np.random.default_rng(0).standard_normal((2, 6, 6, 6)).astype(np.float32)
ANYTHING = Wish()
OPENVINO_MODULE = "CRLMSegmentationLib.segmentation.inference.openvino_runtime"


class Machine:
    """Runtimes that are there, with the seconds of a pass; a clock that only their passes move.

    Attributes:
        runs: what a runtime computes, where it is not right.
        broken: what a runtime raises when it is opened.
        opened: which were opened, in order.
    """

    def __init__(self, package, folder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.package, self.folder = package, folder
        self.passes_s: dict[RuntimeChoice, float] = {TORCH: 1.0}
        self.runs: dict[RuntimeChoice, PassFunction] = {}
        self.broken: dict[RuntimeChoice, Exception] = {}
        self.opened: list[RuntimeChoice] = []
        self.runtimes: list[StubRuntime] = []
        self.device_warnings: list[str] = []
        self.openvino_version = "2026.0"
        self.now_s = 0.0
        fake = ModuleType(OPENVINO_MODULE)
        fake.openvino_choices = lambda: self._there(RuntimeName.OPENVINO)
        monkeypatch.setitem(sys.modules, OPENVINO_MODULE, fake)
        torch_choices = lambda device: (self._there(RuntimeName.TORCH), list(self.device_warnings))  # noqa: E731
        monkeypatch.setattr(torch_runtime, "torch_choices", torch_choices)
        monkeypatch.setattr(runtime_choice, "package_version", lambda name: self.openvino_version)
        monkeypatch.setattr(runtime_choice, "open_runtime", self._open)

    def choose(self, wish: Wish = ANYTHING, image: np.ndarray = IMAGE, threads: int = 2) -> tuple[str, tuple[str, ...]]:
        """Start once; return what was chosen, and the warnings."""
        self.opened.clear()
        self.runtimes.clear()
        cache = InferenceCache(self.package, self.folder)
        runtime, warnings = choose_runtime(self.package, image, wish, threads, cache, lambda: self.now_s)
        assert runtime.passes, "the first pass loads code, so it has been run"
        return str(runtime.choice), warnings

    @property
    def has_measured(self) -> bool:
        return REFERENCE in self.opened and len(self.opened) > 1

    def kept(self) -> dict[str, Any]:
        content = InferenceCache(self.package, self.folder).read_json(CHOICE_FILE)
        assert content is not None
        return content

    def _there(self, name: RuntimeName) -> list[RuntimeChoice]:
        return [choice for choice in self.passes_s if choice.name is name]

    def _open(self, choice: RuntimeChoice, package, cpu_threads: int, cache: InferenceCache) -> StubRuntime:
        self.opened.append(choice)
        if choice in self.broken:
            raise self.broken[choice]

        def run(network: int, image: np.ndarray) -> np.ndarray:
            self.now_s += self.passes_s[choice]
            return self.runs.get(choice, dark_is_tumour)(network, image)

        self.runtimes.append(StubRuntime(choice, run))
        return self.runtimes[-1]


@pytest.fixture
def machine(tiny_package, tmp_path, monkeypatch) -> Machine:
    made = Machine(tiny_package, tmp_path / "caches", monkeypatch)
    made.passes_s |= {TORCH_BF16: 0.15, OPENVINO: 0.4, OPENVINO_BF16: 0.1}
    return made


def raising(error: Exception) -> PassFunction:
    def run(network: int, image: np.ndarray) -> np.ndarray:
        raise error

    return run


def shifted(by: float) -> PassFunction:
    """Logits of tumour that are too high by so much."""

    def run(network: int, image: np.ndarray) -> np.ndarray:
        logits = dark_is_tumour(network, image)
        logits[1] += by
        return logits

    return run


def one_voxel_of(value: float) -> PassFunction:
    def run(network: int, image: np.ndarray) -> np.ndarray:
        logits = dark_is_tumour(network, image)
        logits[1, 2, 3, 4] = value
        return logits

    return run


@pytest.mark.parametrize("fastest", [TORCH, TORCH_BF16, OPENVINO, OPENVINO_BF16, INTEL_GPU, CUDA])
def test_fastest_is_chosen(machine, fastest):
    machine.passes_s |= {INTEL_GPU: 0.5, CUDA: 0.5}
    machine.passes_s[fastest] = 0.05
    assert machine.choose() == (str(fastest), ())
    table = machine.kept()["measured"]
    assert sorted((e["runtime"], e["device"], e["precision"], e["pass_s"]) for e in table) == sorted(
        (c.name.value, c.device.value, c.precision.value, pytest.approx(pass_s))
        for c, pass_s in machine.passes_s.items()
    )


@pytest.mark.parametrize(
    ("reduced", "whole", "reduced_s", "chosen"),
    [
        (OPENVINO_BF16, OPENVINO, 0.06, OPENVINO),
        (OPENVINO_BF16, OPENVINO, 0.04, OPENVINO_BF16),
        (TORCH_BF16, OPENVINO, 0.06, OPENVINO),
        (CUDA, OPENVINO, 0.06, CUDA),
    ],
)
def test_reduced_precision_must_save_half_of_the_time_but_on_cuda(machine, reduced, whole, reduced_s, chosen):
    machine.passes_s |= {OPENVINO_BF16: 0.9, TORCH_BF16: 0.9, whole: 0.1, reduced: reduced_s}
    assert machine.choose() == (str(chosen), ())


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (shifted(4.0), r"its probabilities differ by up to 0\.\d\d"),
        (shifted(0.2), r"its probabilities differ by up to 0\.\d\d"),
        (one_voxel_of(30.0), r"its probabilities differ by up to [01]\.\d\d"),
        (one_voxel_of(np.nan), "its probabilities are no numbers"),
        (raising(RuntimeError("kernel failed\nin some file")), "kernel failed"),
        (raising(ValueError()), "ValueError"),
        (
            raising(
                RuntimeError(
                    "Exception from src/inference/core.cpp:84:\nCheck 'exists' failed at x.cpp:1:\nno plugin\n"
                )
            ),
            "no plugin",
        ),
    ],
)
def test_runtime_that_does_not_agree_or_fails_is_not_used_and_the_user_is_told_why(machine, run, reason):
    machine.runs[OPENVINO_BF16] = run
    chosen, warnings = machine.choose()
    assert chosen == str(TORCH_BF16)
    (warning,) = warnings
    assert warning.startswith("OpenVINO bfloat16 (CPU) is not used: ")
    assert re.fullmatch(reason, warning.partition("used: ")[2])
    entry = next(e for e in machine.kept()["measured"] if (e["runtime"], e["precision"]) == ("OpenVINO", "bfloat16"))
    assert (entry["pass_s"], entry["problem"]) == (None, warning.partition("used: ")[2])
    assert machine.choose() == (chosen, warnings), "the next start says so as well"
    assert machine.opened == [TORCH_BF16]


@pytest.mark.parametrize("error", [ImportError("no libopenvino"), OSError("libtbb.so.12"), RuntimeError("no plugin")])
def test_runtime_that_cannot_be_opened_is_not_used(machine, error):
    machine.broken = {OPENVINO: error, OPENVINO_BF16: error}
    chosen, warnings = machine.choose()
    assert chosen == str(TORCH_BF16)
    assert warnings == tuple(f"OpenVINO {p} (CPU) is not used: {error}" for p in ("float32", "bfloat16"))


def test_small_differences_of_bfloat16_are_no_reason(machine):
    machine.runs[OPENVINO_BF16] = shifted(0.01)
    assert machine.choose() == (str(OPENVINO_BF16), ())


def test_openvino_that_is_broken_is_told_and_that_is_missing_is_not(machine, monkeypatch):
    def broken() -> list[RuntimeChoice]:
        raise AttributeError("module 'openvino' has no attribute 'Core'")

    monkeypatch.setattr(sys.modules[OPENVINO_MODULE], "openvino_choices", broken)
    reason = "OpenVINO is not used: module 'openvino' has no attribute 'Core'"
    assert machine.choose() == (str(TORCH_BF16), (reason,))
    machine.openvino_version = ""
    assert machine.choose(threads=1) == (str(TORCH_BF16), ())


def test_gpu_that_cannot_be_used_is_told_at_every_start(machine):
    machine.device_warnings = ["the GPU is not used: no kernel image"]
    assert machine.choose() == (str(OPENVINO_BF16), ("the GPU is not used: no kernel image",))
    assert machine.choose() == (str(OPENVINO_BF16), ("the GPU is not used: no kernel image",))
    assert not machine.has_measured


def test_choice_is_kept_and_nothing_else_is_opened(machine):
    machine.choose()
    assert machine.has_measured
    machine.passes_s[TORCH] = 0.001
    assert machine.choose() == (str(OPENVINO_BF16), ())
    assert machine.opened == [OPENVINO_BF16]
    assert len(machine.runtimes[0].passes) == 1


def another_processor(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_choice, "processor_name", lambda: "Another CPU")


def another_gpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_choice, "gpus_of_driver", lambda: ["NVIDIA H100"])


def another_version(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_cache, "package_version", lambda name: "9.9")


def another_model(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.package = replace(machine.package, sha256="1" * 64)


@pytest.mark.parametrize("change", [another_processor, another_gpu, another_version, another_model])
def test_change_of_machine_version_or_model_measures_anew(machine, monkeypatch, change):
    machine.choose()
    machine.passes_s[TORCH] = 0.001
    change(machine, monkeypatch)
    assert machine.choose() == (str(TORCH), ())
    assert machine.has_measured
    machine.choose()
    assert not machine.has_measured


@pytest.mark.parametrize(
    "asked",
    [
        {"threads": 1},
        {"wish": Wish("cpu")},
        {"wish": Wish("auto", "float32")},
        {"image": np.zeros((2, 8, 8, 8), np.float32)},
    ],
)
def test_other_cores_wish_or_size_of_a_pass_measure_anew(machine, asked):
    machine.choose()
    machine.choose(**asked)
    assert machine.has_measured
    machine.choose(**asked)
    assert not machine.has_measured


def no_longer_opens(machine: Machine) -> None:
    machine.broken[OPENVINO_BF16] = RuntimeError("unknown device")


def no_longer_runs(machine: Machine) -> None:
    machine.runs[OPENVINO_BF16] = raising(RuntimeError("illegal instruction"))


@pytest.mark.parametrize("failure", [no_longer_opens, no_longer_runs])
def test_kept_choice_that_fails_is_measured_anew(machine, failure, caplog):
    machine.choose()
    failure(machine)
    with caplog.at_level(logging.WARNING):
        chosen, warnings = machine.choose()
    assert chosen == str(TORCH_BF16)
    assert warnings[0].startswith("OpenVINO bfloat16 (CPU) is not used: ")
    assert "chosen earlier cannot be used any more" in caplog.text
    assert machine.choose()[0] == str(TORCH_BF16)
    assert machine.opened == [TORCH_BF16]


@pytest.mark.parametrize(
    "damage",
    [
        {"choice": {"runtime": "OpenVINO", "device": "CPU", "precision": "int4"}},
        {"choice": {"runtime": "OpenVINO"}},
        {"choice": "OpenVINO"},
        {"choice": None},
        {"warnings": None},
        {"machine": None},
    ],
)
def test_kept_choice_that_is_damaged_is_measured_anew(machine, damage):
    machine.choose()
    cache = InferenceCache(machine.package, machine.folder)
    cache.write_json(CHOICE_FILE, {**machine.kept(), **damage})
    assert machine.choose() == (str(OPENVINO_BF16), ())
    assert machine.has_measured
    machine.choose()
    assert not machine.has_measured


def test_gpu_that_is_full_at_this_start_is_tried_at_the_next(machine):
    machine.passes_s[CUDA] = 0.01
    machine.runs[CUDA] = raising(DeviceMemoryError("CUDA out of memory"))
    chosen, warnings = machine.choose()
    assert (chosen, warnings) == (str(OPENVINO_BF16), ("torch float16 (CUDA) is not used: CUDA out of memory",))
    del machine.runs[CUDA]
    assert machine.choose() == (str(CUDA), ())
    machine.runs[CUDA] = raising(DeviceMemoryError("CUDA out of memory"))
    assert machine.choose()[0] == str(OPENVINO_BF16)
    del machine.runs[CUDA]
    assert machine.choose() == (str(CUDA), ())
    assert not machine.has_measured, "what was kept before is still there"


@pytest.mark.parametrize(
    ("wish", "chosen"),
    [
        (Wish(), INTEL_GPU),
        (Wish("cpu"), OPENVINO_BF16),
        (Wish("cuda"), CUDA),
        (Wish("cpu", "float32"), OPENVINO),
        (Wish("auto", "float32"), OPENVINO),
    ],
)
def test_wish_is_obeyed(machine, wish, chosen):
    machine.passes_s |= {CUDA: 0.02, INTEL_GPU: 0.01}
    assert machine.choose(wish) == (str(chosen), ())


def test_nothing_that_can_be_used_is_told_with_the_reasons(machine):
    machine.passes_s[CUDA] = 0.01
    machine.runs[CUDA] = raising(RuntimeError("unspecified launch failure"))
    with pytest.raises(WorkerError, match=r"cannot be run as asked: .*launch failure; choose the device 'auto'"):
        machine.choose(Wish("cuda"))


def test_runtime_that_is_much_slower_than_another_is_not_timed_again(machine):
    """A pass of a large model takes many seconds on a CPU."""
    machine.passes_s = {OPENVINO_BF16: 0.1, OPENVINO: 0.19, TORCH_BF16: 0.9, TORCH: 9.0}
    machine.choose()
    counts = {runtime.choice: len(runtime.passes) for runtime in machine.runtimes}
    assert counts == {OPENVINO_BF16: 1 + TIMED_PASSES, OPENVINO: 1 + TIMED_PASSES, TORCH_BF16: 2, TORCH: 3}


def test_shortest_of_some_passes_counts(machine):
    """What else the machine does only makes passes longer."""
    slow = iter([0.0, 2.0, 0.0, 2.0])
    machine.passes_s = {TORCH: 1.0, TORCH_BF16: 0.3}

    def disturbed(network: int, image: np.ndarray) -> np.ndarray:
        machine.now_s += next(slow)
        return dark_is_tumour(network, image)

    machine.runs[TORCH_BF16] = disturbed
    assert machine.choose()[0] == str(TORCH_BF16)


def test_choice_is_made_where_nothing_can_be_kept(machine):
    machine.folder.touch()
    for _ in range(2):
        assert machine.choose() == (str(OPENVINO_BF16), ())
        assert machine.has_measured


def test_two_that_start_at_once_choose_each_for_itself(machine, tiny_package, tmp_path, monkeypatch):
    """The second starts and ends while the first measures."""
    inner: list[Any] = []
    run = machine.runs.get(TORCH, dark_is_tumour)

    def starts_another(network: int, image: np.ndarray) -> np.ndarray:
        machine.runs[TORCH] = run
        inner.append(
            choose_runtime(tiny_package, IMAGE, Wish(), 2, InferenceCache(tiny_package, machine.folder), clock)
        )
        return run(network, image)

    def clock() -> float:
        return machine.now_s

    machine.runs[TORCH] = starts_another
    assert machine.choose() == (str(OPENVINO_BF16), ())
    assert str(inner[0][0].choice) == str(OPENVINO_BF16)
    machine.choose()
    assert not machine.has_measured


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_cuda_without_a_gpu_is_told_with_what_to_do(tiny_package, tmp_path):
    with pytest.raises(WorkerError, match="CUDA cannot be used: torch finds none; choose the device 'cpu' or 'auto'"):
        choose_runtime(tiny_package, IMAGE, Wish("cuda"), 1, InferenceCache(tiny_package, tmp_path))


@pytest.mark.parametrize("choice", [TORCH, OPENVINO_BF16, INTEL_GPU, CUDA])
def test_choice_is_read_as_it_was_written(choice):
    assert RuntimeChoice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


def test_threads_are_no_more_than_the_environment_allows(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = available_cpu_threads()
    for allowed, expected in (("1", 1), ("1000", cores), ("0", cores), ("", cores), ("4,2", cores)):
        monkeypatch.setenv("OMP_NUM_THREADS", allowed)
        assert available_cpu_threads() == expected, allowed


START = """
import sys
from pathlib import Path
from CRLMSegmentationLib.segmentation.inference.loading import load_model
from CRLMSegmentationLib.segmentation.inference.runtime_choice import Wish
from CRLMSegmentationLib.segmentation.models.package import load_model_package
model, warnings = load_model(load_model_package(Path(sys.argv[1])), Wish(), cpu_threads=1)
print(model.device_text, "torch" in sys.modules, "nnunetv2" in sys.modules, len(warnings), sep="|")
"""


@without_openvino
def test_second_start_with_real_runtimes_needs_no_torch(tiny_package, tmp_path, monkeypatch):
    """The first start is in this process, which has torch loaded; which of them is fastest depends on the machine."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    cache = InferenceCache(tiny_package)
    runtime, warnings = choose_runtime(tiny_package, pass_image(tiny_package), Wish(), 1, cache)
    kept = cache.read_json(CHOICE_FILE)
    assert warnings == ()
    assert kept["choice"] == runtime.choice.to_json()
    assert {(e["runtime"], e["precision"]) for e in kept["measured"]} >= {("torch", "float32"), ("OpenVINO", "float32")}
    assert all(e["problem"] == "" and e["pass_s"] > 0 for e in kept["measured"])
    assert max(e["difference"] for e in kept["measured"] if e["precision"] == "float32") < 1e-4
    cache.write_json(CHOICE_FILE, {**kept, "choice": OPENVINO.to_json()})
    start = [sys.executable, "-c", START, str(tiny_package.folder)]
    done = subprocess.run(start, capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.strip() == "OpenVINO float32, 1 core|False|False|0"


@without_openvino
def test_networks_are_exported_once_and_without_a_cache_each_time(tiny_package, tmp_path, monkeypatch):
    from CRLMSegmentationLib.segmentation.inference import openvino_export

    exports = []
    monkeypatch.setattr(openvino_export, "export_networks", counted(openvino_export.export_networks, exports))
    (tmp_path / "file").touch()
    for root, counts in ((tmp_path / "caches", (1, 1)), (tmp_path / "file", (2, 3))):
        for count in counts:
            runtime = open_runtime(OPENVINO, tiny_package, 1, InferenceCache(tiny_package, root))
            assert runtime.logits(0, pass_image(tiny_package)).shape == (2, 16, 16, 16)
            assert len(exports) == count


def counted(function: Callable, calls: list) -> Callable:
    def call(*arguments: object) -> object:
        calls.append(arguments)
        return function(*arguments)

    return call
