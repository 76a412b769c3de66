"""What rendering costs the tracking: turns of the panel while renders of all four views take 0, 10 and 300 ms.

    cd Testing && python -m benchmarks.benchmark_rendering [--seconds 16]

The panel runs in the stand-in host, whose views render when those of 3D Slicer would, and sleep for the cost. Four
lesions with two margins each, the room layout, three tools and the liver sensor at 60 Hz. A turn is what the panel's
timer calls; its own share is the processor time that it takes, in which renders, that sleep, do not count. The first
second of tracking, in which the nodes of the tools are made, has a row of its own. Promised: an own share of 10 ms
(median) and 50 ms (longest), ten distances a second, and half of the time for renders. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field

from helpers.module_helpers import Panel
from helpers.rendering_helpers import TURN_S, MovingTools, navigate, use_stub_engine
from PySide6 import QtCore
from slicer_host import SlicerHost

COSTS_S = (0.0, 0.01, 0.3)


@dataclass(eq=False)
class Bench:
    """Lets the panel take its turns, every 10 ms where the event loop allows, and times them.

    Attributes:
        turns_s, own_s: durations of the turns, and the processor time of each.
        measured_s: when a distance was measured.
    """

    panel: Panel
    turns_s: list[float] = field(default_factory=list)
    own_s: list[float] = field(default_factory=list)
    measured_s: list[float] = field(default_factory=list)
    _situation: object = None

    def __post_init__(self) -> None:
        self.panel.widget._timer.stop()
        self._timer = QtCore.QTimer()
        self._timer.setInterval(round(1000 * TURN_S))
        self._timer.timeout.connect(self.turn)

    def turn(self) -> None:
        began_s, own_began_s = time.perf_counter(), time.process_time()
        self.panel.widget.onTick()
        self.turns_s.append(time.perf_counter() - began_s)
        self.own_s.append(time.process_time() - own_began_s)
        situation = self.panel.workspace.navigation.situation
        if situation is not self._situation:
            self._situation = situation
            self.measured_s.append(time.perf_counter())

    def run(self, seconds: float) -> None:
        self._timer.start()
        self.panel.host.run_for(seconds)
        self._timer.stop()

    def forget(self) -> None:
        self.panel.host.rendering.forget()
        self.turns_s, self.own_s, self.measured_s = [], [], []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=16.0, help="of each render cost")
    seconds = parser.parse_args().seconds
    columns = ("turn", "longest", "own", "longest", "per s", "apart ms", "pictures/s", "share")
    print(f"  {'render, ms':12}" + "".join(f"{name:>11}" for name in columns))
    for cost_s in COSTS_S:
        with SlicerHost() as host:
            bench, _tools = begin(Panel(host))
            host.rendering.cost_s = cost_s
            bench.run(1.0)
            print(f"  {f'{1000 * cost_s:.0f}, begin':12}" + row(bench, 1.0))
            bench.forget()
            bench.run(seconds)
            print(f"  {f'{1000 * cost_s:.0f}':12}" + row(bench, seconds))
    print("turn and own share: median and longest, ms; per s, apart: distances a second, and longest time between two")


def begin(panel: Panel) -> tuple[Bench, MovingTools]:
    """Prepare everything but the tracking, which begins with the next turn."""
    use_stub_engine(panel)
    panel.widget.startWorkspace()
    bench = Bench(panel)
    tools = navigate(panel, lambda: bench.run(2 * TURN_S))
    panel.host.run_for(0.5)
    bench.forget()
    return bench, tools


def row(bench: Bench, seconds: float) -> str:
    renders = bench.panel.host.rendering.renders
    apart_s = [after - before for before, after in zip(bench.measured_s, bench.measured_s[1:])]
    pictures = sum(render.view == "1" for render in renders)
    figures = (
        1000 * statistics.median(bench.turns_s),
        1000 * max(bench.turns_s),
        1000 * statistics.median(bench.own_s),
        1000 * max(bench.own_s),
        len(bench.measured_s) / seconds,
        1000 * max(apart_s, default=seconds),
        pictures / seconds,
        sum(render.seconds for render in renders) / seconds,
    )
    return "".join(f"{figure:11.2f}" for figure in figures)


if __name__ == "__main__":
    main()
