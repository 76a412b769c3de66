"""Runs a network in bfloat16 on a processor, each sample of a batch in a thread of its own. Imports torch.

oneDNN, which computes torch's convolutions, divides the gradient of bfloat16 weights among the threads of one call.
They wait for each other in busy loops, several times in each call: when another program holds a core, a thread waits
for it with its own core at full load. Samples that are computed side by side need not wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Union

import torch
from torch.nn import functional

Outputs = Union[torch.Tensor, list[torch.Tensor]]
"""Of a network: one tensor, or one for each resolution of deep supervision."""
Network = Callable[[torch.Tensor], Outputs]
Gradients = Sequence[Union[torch.Tensor, None]]


def run_per_sample(network: torch.nn.Module, samples: int) -> None:
    """Change the forward pass of a network: bfloat16, and a thread for each sample; outputs are float32.

    Weights keep their type, order in memory and names. The gradient of a weight is the sum of those of the samples in
    their order, so that equal batches give equal bits.

    Args:
        network: with InstanceNorm3d as its only norm, so that no sample depends on another one.
        samples: in a batch. As many threads are started, but no more than torch uses now; they share its number.
    """
    normalise_per_sample(network)
    threads = SampleThreads(samples)
    parameters = list(network.parameters())
    run_one = network.forward

    def forward(tiles: torch.Tensor) -> Outputs:
        learns = torch.is_grad_enabled()
        answers = threads.map(lambda tile: _run_one(run_one, tile, learns), tiles.split(1))
        single = isinstance(answers[0], torch.Tensor)
        rows = [[answer] for answer in answers] if single else answers
        outputs = _Joined.apply(threads, rows, *parameters) if learns else _join(rows)
        return outputs[0] if single else list(outputs)

    network.forward = forward


def normalise_per_sample(network: torch.nn.Module) -> None:
    """Compute each InstanceNorm3d as the batch norm of one sample, which is the same; only for batches of one.

    torch's instance norm copies a tensor whose channels come last, the order in which convolutions need no copies.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.InstanceNorm3d):
            module.forward = partial(_norm_of_one, module)


def _norm_of_one(norm: torch.nn.InstanceNorm3d, sample: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(sample, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)


class SampleThreads:
    """Threads that share the number of torch's threads of the thread that makes them.

    Args:
        samples: that are to run at the same time.
    """

    def __init__(self, samples: int) -> None:
        total = torch.get_num_threads()
        count = min(samples, total)
        started = threading.Barrier(count)
        self._pool = ThreadPoolExecutor(count, "sample", partial(_limit_threads, total // count))
        list(self._pool.map(lambda _: started.wait(), range(count)))
        torch.set_num_threads(total)  # which the threads have set for all threads to come

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Return the results in the order of the items; an error of any is raised."""
        return list(self._pool.map(function, items))


def _limit_threads(count: int) -> None:
    torch.set_num_threads(count)
    torch.get_num_threads()  # otherwise the first operation in this thread takes the number of the process


def _run_one(forward: Network, tile: torch.Tensor, learns: bool) -> Outputs:
    """Return the outputs for one tile, shape (1, C, K, J, I), as float32."""
    # without the cache of converted weights, which all threads share and any of them may clear
    with torch.set_grad_enabled(learns), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        outputs = forward(tile.contiguous(memory_format=torch.channels_last_3d))
    return outputs.float() if isinstance(outputs, torch.Tensor) else [output.float() for output in outputs]


def _join(rows: Sequence[Sequence[torch.Tensor]]) -> tuple[torch.Tensor, ...]:
    """Return a tensor for each resolution, of a row of them for each sample."""
    return tuple(torch.cat([output.detach() for output in outputs]) for outputs in zip(*rows))


class _Joined(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    """Outputs of all samples, whose backward passes run in parallel; weights are inputs so that they get gradients."""

    @staticmethod
    def forward(
        ctx: Any, threads: SampleThreads, rows: Sequence[Sequence[torch.Tensor]], *parameters: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)  # weights of an output that the loss leaves out keep no gradient, not zeros
        ctx.threads, ctx.rows, ctx.parameters = threads, rows, parameters
        return _join(rows)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        used = [number for number, gradient in enumerate(gradients) if gradient is not None]
        rows, ctx.rows = ctx.rows, None
        parts = [gradient.split(1) for gradient in gradients if gradient is not None]

        def gradients_of(sample: int) -> Gradients:
            outputs = [rows[sample][number] for number in used]
            of_outputs = [part[sample] for part in parts]
            found: Gradients = torch.autograd.grad(outputs, ctx.parameters, of_outputs, allow_unused=True)
            return found

        of_samples = ctx.threads.map(gradients_of, range(len(rows)))
        return (None, None, *(_sum(of_weight) for of_weight in zip(*of_samples)))


def _sum(gradients: Gradients) -> torch.Tensor | None:
    """Add the gradients of one weight in the order of the samples; None if there are none."""
    given = [gradient for gradient in gradients if gradient is not None]
    return sum(given[1:], given[0]) if given else None
