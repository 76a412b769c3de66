"""Samples of a batch in threads of their own give the outputs and gradients of the whole batch."""

from __future__ import annotations

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from CRLMSegmentationLib.research.training.fold_process import KEEP_MEMORY
from CRLMSegmentationLib.research.training.per_sample import SampleThreads, normalise_per_sample, run_per_sample
from torch import nn

FAULTS = """
import resource
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(4):
    before = faults()
    tensors = [bytearray(25_000_000) for _ in range(3)]
    del tensors
print(faults() - before)
"""
PAGES = 3 * 25_000_000 // 4096


class TwoResolutions(nn.Module):
    """A network with two outputs, as of deep supervision."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(2, 8, 3, padding=1), nn.InstanceNorm3d(8, affine=True), nn.LeakyReLU())
        self.down = nn.Sequential(nn.Conv3d(8, 8, 3, 2, 1), nn.InstanceNorm3d(8, affine=True), nn.LeakyReLU(0.01, True))
        self.fine, self.coarse = nn.Conv3d(8, 2, 1), nn.Conv3d(8, 2, 1)
        self.fails = False

    def forward(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        if self.fails:
            raise ArithmeticError("no answer")
        features = self.first(tiles)
        return [self.fine(features), self.coarse(self.down(features))]


@pytest.fixture
def torch_threads():
    """A function that sets the number of threads for the length of a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def networks(samples: int) -> tuple[TwoResolutions, TwoResolutions]:
    """The same network twice; the second one runs per sample."""
    torch.manual_seed(0)
    plain, parted = TwoResolutions(), TwoResolutions()
    parted.load_state_dict(plain.state_dict())
    run_per_sample(parted, samples)
    return plain, parted


def tiles_of(samples: int) -> torch.Tensor:
    return torch.randn(samples, 2, 12, 8, 8, generator=torch.Generator().manual_seed(1))


def loss_of(outputs: list[torch.Tensor]) -> torch.Tensor:
    """Every sample and every output counts differently."""
    weights = (torch.arange(1.0, 1 + output.numel()).sin().view_as(output) for output in outputs)
    return sum((output.sigmoid() * weight).mean() for output, weight in zip(outputs, weights))


def gradients(network: nn.Module, outputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    network.zero_grad()
    loss_of(outputs).backward()
    return {name: weight.grad.clone() for name, weight in network.named_parameters()}


def whole_batch(network: nn.Module, tiles: torch.Tensor) -> list[torch.Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        return [output.float() for output in network(tiles)]


def is_near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Up to the rounding of bfloat16, which has 8 bits, against the largest value."""
    return bool((found - expected).abs().max() <= 0.03 * expected.abs().max())


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_outputs_and_gradients_are_those_of_the_whole_batch(samples):
    plain, parted = networks(2)
    tiles = tiles_of(samples)
    outputs, whole = parted(tiles), whole_batch(plain, tiles)
    assert all(output.dtype == torch.float32 for output in outputs)
    assert all(is_near(a, b) for a, b in zip(outputs, whole))
    found, expected = gradients(parted, outputs), gradients(plain, whole)
    before_norm = {"first.0.bias", "down.0.bias"}  # whose gradient is zero but for rounding
    assert all(is_near(found[name], expected[name]) for name in expected if name not in before_norm)


def test_equal_batches_give_equal_bits():
    _, parted = networks(2)
    first, second = (gradients(parted, parted(tiles_of(2))) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_keep_names_type_and_order_in_memory():
    plain, parted = networks(2)
    loss_of(parted(tiles_of(2))).backward()
    expected = plain.state_dict()
    for name, weight in parted.state_dict().items():
        assert (weight.dtype, weight.stride()) == (expected[name].dtype, expected[name].stride())
    assert parted.state_dict().keys() == expected.keys()


def test_output_that_the_loss_leaves_out_gives_its_weights_no_gradient():
    _, parted = networks(2)
    loss_of(parted(tiles_of(2))[:1]).backward()
    without = {name for name, weight in parted.named_parameters() if weight.grad is None}
    assert without == {name for name, _ in parted.named_parameters() if name.startswith(("down", "coarse"))}


def test_without_gradients_the_outputs_are_the_same():
    _, parted = networks(2)
    expected = parted(tiles_of(2))
    with torch.no_grad():
        found = parted(tiles_of(2))
    assert all(output.requires_grad for output in expected)
    assert not any(output.requires_grad for output in found)
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


def test_network_with_a_single_output_returns_no_list():
    network = nn.Conv3d(2, 3, 1)
    run_per_sample(network, 2)
    assert network(tiles_of(2)).shape == (2, 3, 12, 8, 8)


def test_error_in_a_sample_is_raised():
    _, parted = networks(2)
    parted.fails = True
    with pytest.raises(ArithmeticError, match="no answer"):
        parted(tiles_of(2))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
def test_norm_of_one_sample_is_the_instance_norm(order):
    norm = nn.InstanceNorm3d(8, affine=True)
    torch.manual_seed(0)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    sample = torch.randn(1, 8, 6, 5, 4).to(memory_format=order)
    expected = norm(sample)
    normalise_per_sample(norm)
    for training in (True, False):
        found = norm.train(training)(sample)
        torch.testing.assert_close(found, expected)
        assert found.is_contiguous(memory_format=order)


@pytest.mark.parametrize(("total", "samples", "each"), [(1, 2, 1), (2, 2, 1), (5, 2, 2), (4, 3, 1)])
def test_samples_share_the_threads_of_torch(torch_threads, total, samples, each):
    torch_threads(total)
    threads = SampleThreads(samples)
    assert threads.map(lambda _: torch.get_num_threads(), range(6)) == [each] * 6
    assert torch.get_num_threads() == total
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == total


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is a setting of glibc")
def test_memory_that_was_used_is_not_cleared_again():
    for environment, again in (({}, True), (KEEP_MEMORY, False)):
        answer = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, check=True)
        assert (int(answer.stdout) > PAGES / 2) == again
