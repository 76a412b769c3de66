"""What people, senders and other modules do to a workspace, one random act at a time.

Each act draws what it needs from a random generator of its own and does nothing where its object is missing, so that
any part of a list of acts can be left out and the rest still means the same.
"""

from __future__ import annotations

import itertools
import random
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import slicer
import vtk
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of
from CRLMSegmentationLib.segmentation.engine.engine import Failed, Progress
from CRLMSegmentationLib.segmentation.models.package import takes_points
from CRLMSegmentationLib.segmentation.results import LesionSegmented
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.correction_points import point_node, point_nodes
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.scene.nodes import nodes_of_class, to_vtk_matrix
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes, seeds_in
from CRLMSegmentationLib.slicer.scene.staleness import CLASS as SEGMENTATION
from CRLMSegmentationLib.slicer.scene.volumes import CLASS as VOLUME
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace import save as saving
from CRLMSegmentationLib.slicer.workspace.publisher import Publisher
from CRLMSegmentationLib.slicer.workspace.volume_source import VolumeSource
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from CRLMSegmentationLib.slicer.workspace.workspace_recorder import WorkspaceRecorder
from vtk.util.numpy_support import vtk_to_numpy

from .stub_engine import StubEngine
from .workspace_helpers import Clock, StubLink, paint

MAX_LESIONS = 4
DEVICES = ("Live", "Other", "Third")
TOOLS = (
    "StylusToReference",
    "ProbeToReference",
    "LiverToReference",
    "CusaToReference",
    "DrillToTracker",
    "ReferenceToTracker",
)
KNOWN_TOOLS = 4
"""Transforms that are known at once; the others are forgotten in turns."""
RADIUS = 3.5
SHAPES = ((24, 24, 24), (22, 26, 24))
OBLIQUE = np.array([[0.8, -0.6, 0, 4], [0.6, 0.8, 0, -3], [0, 0, 1.2, 2], [0, 0, 0, 1]])
MATRICES = (np.eye(4), np.diag([1.0, 1.0, 1.0, 1.0]) + np.eye(4, k=3) * 5, OBLIQUE, np.diag([-0.9, 1.0, 1.1, 1.0]))
CENTRES_IJK = np.array([(7.0, 8.0, 8.0), (16.0, 15.0, 14.0), (8.0, 16.0, 15.0)])
DARK = 80
EPOCH_S = 1_700_000_000.0


@dataclass(frozen=True)
class Act:
    """One act: its name, and the seed of what it draws."""

    name: str
    draw: int

    def __str__(self) -> str:
        return f"{self.name}:{self.draw}"


def volume_of(number: int, shape: int = 0, matrix: int = 0, device: str = DEVICES[0]) -> Volume:
    """Three dark balls in bright noise; each number has them in other places, and its own time."""
    rng = np.random.default_rng(number)
    size = SHAPES[shape]
    kji = np.indices(size)
    array = rng.integers(110, 140, size)
    for centre in CENTRES_IJK + number % 3 - 1:
        inside = sum((grid - middle) ** 2 for grid, middle in zip(kji, centre[::-1])) < RADIUS**2
        array = np.where(inside, rng.integers(20, 60, size), array)
    return Volume(array.astype(np.uint8), MATRICES[matrix].copy(), device, 100.0 + number)


class StressedWorkspace:
    """A workspace without windows, and everything that acts upon it.

    Attributes:
        painted: lesions that have been painted on since their last answer.
        errors: what a turn has raised, or an act that must not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.scene = folder, new_scene()
        self.clock = Clock()
        self.numbers, self.recordings = itertools.count(1), itertools.count(1)
        self.places: list = []
        self.painted: set[str] = set()
        self.errors: list[str] = []
        self.open()
        self.baseline = {self.scene.GetNthNode(n).GetID() for n in range(self.scene.GetNumberOfNodes())}

    def open(self) -> None:
        """A workspace in the scene, as when the panel is opened."""
        self.engine = StubEngine(takes_points=True)
        self.workspace = Workspace(self.scene, Session(self.engine, model_of(0)), clock=self.clock)
        self.workspace.requests.auto_segment = False
        self.source, self.publisher = VolumeSource(self.workspace), Publisher(self.workspace)
        self.recording = WorkspaceRecorder(self.workspace, self.clock)
        self.link: StubLink | None = None
        self.painted.clear()
        self.connect()

    def close(self) -> None:
        self.recording.end()
        self.workspace.close()

    def connect(self) -> None:
        self.link = StubLink()
        self.link.epoch = 1
        self.workspace.use_link(self.link)

    def do(self, act: Act) -> None:
        """Do one act, and let the workspace take its turns."""
        rng = random.Random(act.draw)
        with suppress(CrlmError):  # a refusal with a reason is an answer
            getattr(self, f"act_{act.name}")(rng)
        self.turn(rng.choice((0.02, 0.1, 0.4, 1.5)))
        self.turn(0.02)

    def turn(self, seconds: float) -> None:
        self.clock.now_s += seconds
        try:
            self.source.update()
            events = self.workspace.tick()
            self.recording.update()
            self.publisher.update()
        except Exception as error:
            self.errors.append(f"a turn raised {type(error).__name__}: {error}")
            return
        for event in events:
            if isinstance(event, LesionSegmented) and not event.result.request.purpose.is_background:
                self.painted.discard(event.result.request.lesion)

    # ---- what is there

    def lesion(self, rng: random.Random) -> str | None:
        lesions = list(seed_nodes(self.scene))
        return rng.choice(lesions) if lesions else None

    def volume_nodes(self) -> list:
        return nodes_of_class(self.scene, VOLUME)

    def place_in_volume(self, rng: random.Random) -> np.ndarray:
        volume = self.workspace.session.volume
        centre = CENTRES_IJK[rng.randrange(len(CENTRES_IJK))] + [rng.uniform(-0.8, 0.8) for _ in range(3)]
        matrix = np.eye(4) if volume is None else volume.ijk_to_ras
        if volume is not None and volume.timestamp_s >= 100:
            centre = centre + (int(volume.timestamp_s) - 100) % 3 - 1
        return (matrix @ [*centre, 1.0])[:3]

    # ---- seeds

    def act_place_seed(self, rng: random.Random) -> None:
        if len(seed_nodes(self.scene)) < MAX_LESIONS:
            self.workspace.add_seed(self.place_in_volume(rng))

    def act_add_seed_without_a_place(self, rng: random.Random) -> None:
        if len(seed_nodes(self.scene)) < MAX_LESIONS:
            self.workspace.add_seed()

    def act_move_seed(self, rng: random.Random) -> None:
        lesion = self.lesion(rng)
        if lesion is None:
            return
        node, place = seed_nodes(self.scene)[lesion], self.place_in_volume(rng)
        if node.GetNumberOfControlPoints():
            node.SetNthControlPointPositionWorld(0, place.tolist())
        else:
            node.AddControlPointWorld(place.tolist(), lesion)

    def act_unplace_seed(self, rng: random.Random) -> None:
        lesion = self.lesion(rng)
        if lesion is not None:
            node = seed_nodes(self.scene)[lesion]
            rng.choice((node.RemoveAllControlPoints, lambda: node.UnsetNthControlPointPosition(0)))()

    def act_remove_lesion(self, rng: random.Random) -> None:
        lesion = self.lesion(rng)
        if lesion is not None:
            self.workspace.remove_seed(lesion)

    def act_delete_seed_node(self, rng: random.Random) -> None:
        lesion = self.lesion(rng)
        if lesion is not None:
            self.scene.RemoveNode(seed_nodes(self.scene)[lesion])

    def act_rename(self, rng: random.Random) -> None:
        lesion = self.lesion(rng)
        if lesion is not None:
            self.workspace.clicks.rename_lesion(lesion, rng.choice(("A", "B", "Tumour 1", " ")))

    # ---- points

    def act_place_point(self, rng: random.Random) -> None:
        """Through the panel, or as a click into a view that places it without asking anybody."""
        lesion = self.lesion(rng)
        if lesion is None:
            return
        seed = seeds_in(self.scene).get(lesion, np.zeros(3))
        kind = rng.choice(list(PointKind))
        reach_mm = 1.5 if kind is PointKind.INCLUDE else 6.0
        place = seed + [rng.uniform(-reach_mm, reach_mm) for _ in range(3)]
        if rng.random() < 0.5:
            self.workspace.lesion_store.active_lesion = lesion
            self.workspace.clicks.add_point(kind, place)
        else:
            point_node(self.scene, lesion, kind).AddControlPointWorld(place.tolist())

    def act_undo_point(self, rng: random.Random) -> None:
        self.workspace.lesion_store.active_lesion = self.lesion(rng)
        self.workspace.clicks.undo_point()

    def point_of(self, rng: random.Random):
        """A node with points, and the index of one; None without any."""
        nodes = [node for _lesion, _kind, node in point_nodes(self.scene) if node.GetNumberOfControlPoints()]
        if not nodes:
            return None
        node = rng.choice(nodes)
        return node, rng.randrange(node.GetNumberOfControlPoints())

    def act_move_point(self, rng: random.Random) -> None:
        found = self.point_of(rng)
        if found is not None:
            node, index = found
            place = np.array(node.GetNthControlPointPositionWorld(index)) + [rng.uniform(-3, 3) for _ in range(3)]
            node.SetNthControlPointPositionWorld(index, place.tolist())

    def act_delete_point(self, rng: random.Random) -> None:
        found = self.point_of(rng)
        if found is not None:
            found[0].RemoveNthControlPoint(found[1])

    def act_delete_point_node(self, rng: random.Random) -> None:
        nodes = [node for _lesion, _kind, node in point_nodes(self.scene)]
        if nodes:
            self.scene.RemoveNode(rng.choice(nodes))

    # ---- undo

    def act_undo(self, rng: random.Random) -> None:
        self.workspace.lesion_store.undo()

    def act_redo(self, rng: random.Random) -> None:
        self.workspace.lesion_store.redo()

    def act_undo_and_redo(self, rng: random.Random) -> None:
        """Both in a row change no segmentation."""
        lesion_store = self.workspace.lesion_store
        if not lesion_store.can_undo:
            return
        before = fingerprints(lesion_store)
        lesion_store.undo()
        lesion_store.redo()
        if fingerprints(lesion_store) != before:
            self.errors.append(
                f"undo and redo have changed the segmentations: {before} -> {fingerprints(lesion_store)}"
            )

    # ---- volumes

    def act_new_volume(self, rng: random.Random) -> None:
        number = next(self.numbers)
        self.send(volume_of(number, rng.choice((0, 0, 0, 1)), rng.choice((0, 0, 0, 1, 2, 3)), rng.choice(DEVICES)))

    def act_next_volume_of_the_current_device(self, rng: random.Random) -> None:
        volume = self.workspace.session.volume
        if volume is not None and volume.device in DEVICES:
            self.send(volume_of(next(self.numbers), device=volume.device))

    def act_same_volume_again(self, rng: random.Random) -> None:
        volume = self.workspace.session.volume
        if volume is not None:
            device = rng.choice((volume.device, *DEVICES))
            matrix = rng.choice((volume.ijk_to_ras, MATRICES[1], MATRICES[2]))
            self.send(replace(volume, device=device, ijk_to_ras=matrix))

    def act_volume_of_the_scene(self, rng: random.Random) -> None:
        kept = [node for node in self.volume_nodes() if node.GetAttribute("stress")]
        if len(kept) < 2:
            volume = volume_of(next(self.numbers), device=f"Loaded {len(kept) + 1}")
            node = show_volume(self.scene, volume, volume.device)
            node.SetAttribute("stress", "1")
        self.workspace.use_node(rng.choice(self.volume_nodes()))

    def act_move_volume_by_transform(self, rng: random.Random) -> None:
        nodes = self.volume_nodes()
        if not nodes:
            return
        place = self.place_node(rng)
        node = rng.choice(nodes)
        node.SetAndObserveTransformNodeID(rng.choice((place.GetID(), place.GetID(), None)))

    def act_move_segmentations_by_transform(self, rng: random.Random) -> None:
        node = self.workspace.lesion_store.segmentation_node
        if node is not None:
            node.SetAndObserveTransformNodeID(rng.choice((self.place_node(rng).GetID(), None)))

    def act_move_transform(self, rng: random.Random) -> None:
        matrix = np.eye(4)
        matrix[:3, 3] = [rng.uniform(-6, 6) for _ in range(3)]
        self.place_node(rng).SetMatrixTransformToParent(to_vtk_matrix(matrix))

    def act_bend_transform(self, rng: random.Random) -> None:
        """A transform that no matrix can say above the volume."""
        node = self.workspace.volume.node
        if node is not None:
            name = "warp"
            warp = self.scene.GetFirstNodeByName(name) or self.scene.AddNewNodeByClass(
                "vtkMRMLBSplineTransformNode", name
            )
            if warp.GetTransformFromParent() is None or warp.IsTransformToWorldLinear():
                grid = slicer.vtkOrientedBSplineTransform()
                coefficients = vtk.vtkImageData()
                coefficients.SetDimensions(5, 5, 5)
                coefficients.AllocateScalars(vtk.VTK_DOUBLE, 3)
                vtk_to_numpy(coefficients.GetPointData().GetScalars())[:] = 1.0
                grid.SetCoefficientData(coefficients)
                warp.SetAndObserveTransformFromParent(grid)
            node.SetAndObserveTransformNodeID(warp.GetID())

    def act_change_matrix(self, rng: random.Random) -> None:
        nodes = self.volume_nodes()
        if nodes:
            rng.choice(nodes).SetIJKToRASMatrix(to_vtk_matrix(rng.choice(MATRICES)))

    def act_change_voxels(self, rng: random.Random) -> None:
        node = rng.choice(self.volume_nodes() or [None])
        if node is None or node.GetImageData() is None:
            return
        other = volume_of(next(self.numbers), SHAPES.index(node.GetImageData().GetDimensions()[::-1]))
        scalars = node.GetImageData().GetPointData().GetScalars()
        vtk_to_numpy(scalars)[:] = other.array.ravel()
        scalars.Modified()

    def act_delete_volume(self, rng: random.Random) -> None:
        nodes = self.volume_nodes()
        if nodes:
            self.scene.RemoveNode(rng.choice(nodes))

    def act_follow(self, rng: random.Random) -> None:
        self.workspace.follow(rng.choice((None, None, *DEVICES)))

    # ---- segmentations

    def act_paint(self, rng: random.Random) -> None:
        node, volume = self.workspace.lesion_store.segmentation_node, self.workspace.session.volume
        if node is None or volume is None or not node.GetSegmentation().GetNumberOfSegments():
            return
        lesion = rng.choice(node.GetSegmentation().GetSegmentIDs())
        corner = rng.randrange(4, 14)
        paint(self.workspace, lesion, (slice(corner, corner + 4),) * 3)
        self.painted.add(lesion)

    def act_delete_segment(self, rng: random.Random) -> None:
        node = self.workspace.lesion_store.segmentation_node
        if node is not None and node.GetSegmentation().GetNumberOfSegments():
            node.GetSegmentation().RemoveSegment(rng.choice(node.GetSegmentation().GetSegmentIDs()))

    def act_delete_segmentation(self, rng: random.Random) -> None:
        nodes = nodes_of_class(self.scene, SEGMENTATION)
        if nodes:
            self.scene.RemoveNode(rng.choice(nodes))

    def act_delete_something(self, rng: random.Random) -> None:
        """A display, a model, a transform, a box: anything that does not belong to an empty scene."""
        nodes = [self.scene.GetNthNode(n) for n in range(self.scene.GetNumberOfNodes())]
        nodes = [node for node in nodes if node.GetID() not in self.baseline and not node.GetSingletonTag()]
        if nodes:
            self.scene.RemoveNode(rng.choice(nodes))

    # ---- the network

    def act_segment(self, rng: random.Random) -> None:
        self.workspace.segment()

    def act_segment_one(self, rng: random.Random) -> None:
        lesion = self.lesion(rng)
        if lesion is not None:
            self.workspace.segment([lesion])

    def act_answer(self, rng: random.Random) -> None:
        for _ in range(rng.choice((1, 1, 3))):
            if self.engine.pending is not None:
                self.engine.finish()
            self.turn(0.02)

    def act_answer_all(self, rng: random.Random) -> None:
        """Whatever is asked for, until nothing is."""
        for _ in range(12):
            if self.engine.pending is not None:
                self.engine.finish()
            self.turn(0.3)

    def act_segment_and_answer(self, rng: random.Random) -> None:
        self.workspace.segment()
        self.act_answer_all(rng)

    def act_progress_only(self, rng: random.Random) -> None:
        if self.engine.pending is not None:
            self.engine.events.append(Progress(self.engine.pending, "inference", 1, 3))

    def act_cancel(self, rng: random.Random) -> None:
        self.workspace.cancel()

    def act_fail(self, rng: random.Random) -> None:
        if self.engine.pending is not None:
            self.engine.fail(rng.choice(("out of memory", "the worker was lost")))

    def act_engine_gives_up(self, rng: random.Random) -> None:
        if self.engine.pending is not None:
            self.engine.fail("the worker was lost")
        self.engine.events.append(Failed(None, "the worker was lost twice"))

    def act_restart_engine(self, rng: random.Random) -> None:
        self.workspace.restart_engine()

    def act_use_model(self, rng: random.Random) -> None:
        model = model_of(rng.randrange(3))
        self.engine = StubEngine(takes_points=takes_points(model))
        self.workspace.use_model(self.engine, model)

    # ---- settings

    def act_switch(self, rng: random.Random) -> None:
        workspace = self.workspace
        what = rng.randrange(7)
        if what == 0:
            workspace.background_refinement.enabled = not workspace.background_refinement.enabled
        elif what == 1:
            workspace.navigation.shows_margins = not workspace.navigation.shows_margins
        elif what == 2:
            workspace.navigation.margins_mm = rng.choice(((5.0, 10.0), (3.0,), (), (2.0, 4.0, 6.0)))
        elif what == 3:
            workspace.navigation.shows_consensus = not workspace.navigation.shows_consensus
        elif what == 4:
            workspace.resegmentation.enabled = not workspace.resegmentation.enabled
        elif what == 5:
            workspace.requests.auto_segment = not workspace.requests.auto_segment
        else:
            workspace.requests.crop_size_mm = rng.choice((20.0, 30.0))

    # ---- link and tools

    def act_reconnect(self, rng: random.Random) -> None:
        self.connect()

    def act_disconnect(self, rng: random.Random) -> None:
        self.link = None
        self.workspace.use_link(None)

    def act_link_is_lost(self, rng: random.Random) -> None:
        if self.link is not None:
            self.link.state, self.link.state_reason = rng.choice(
                ((LinkState.RETRYING, "refused"), (LinkState.CONNECTED, ""))
            )
            self.link.epoch += 1

    def act_poses(self, rng: random.Random) -> None:
        if self.link is None:
            return
        for device in rng.sample(TOOLS, rng.randrange(1, len(TOOLS) + 1)):
            matrix = np.eye(4)
            matrix[:3, 3] = [rng.uniform(0, 40) for _ in range(3)]
            metadata = rng.choice(({}, {}, {"TransformStatus": "MISSING"}))
            self.link.inbox.append(TransformMessage(device, EPOCH_S + self.clock.now_s, matrix, metadata))

    def act_poses_for_a_while(self, rng: random.Random) -> None:
        for _ in range(8):
            self.act_poses(random.Random(7))
            self.turn(0.05)

    def act_pause(self, rng: random.Random) -> None:
        self.clock.now_s += rng.choice((3.0, 60.0, 4000.0))

    # ---- files

    def act_save(self, rng: random.Random) -> None:
        parent = self.folder / "saved"
        shutil.rmtree(parent, ignore_errors=True)
        parent.mkdir()
        saving.save(self.workspace, parent)

    def act_record_or_stop(self, rng: random.Random) -> None:
        if self.recording.is_recording:
            self.recording.end()
            shutil.rmtree(self.recording.folder, ignore_errors=True)
        else:
            self.recording.begin(self.folder / f"recorded-{next(self.recordings)}", 50e6)

    def act_clear_scene(self, rng: random.Random) -> None:
        """As another module or a script does it, without asking anybody."""
        self.places.clear()
        self.scene.Clear(False)

    def act_reopen(self, rng: random.Random) -> None:
        """The panel is closed and opened again in the same scene."""
        self.close()
        self.open()

    # ----

    def send(self, volume: Volume) -> None:
        if self.link is not None:
            self.link.inbox.append(image_of(volume))

    def place_node(self, rng: random.Random) -> slicer.vtkMRMLLinearTransformNode:
        name = rng.choice(("place 1", "place 2"))
        return self.scene.GetFirstNodeByName(name) or self.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)


WEIGHTS = {
    "place_seed": 10,
    "segment_and_answer": 10,
    "answer": 8,
    "segment": 6,
    "segment_one": 6,
    "next_volume_of_the_current_device": 6,
    "new_volume": 6,
    "same_volume_again": 3,
    "poses_for_a_while": 3,
    "unplace_seed": 5,
    "move_seed": 6,
    "undo": 8,
    "redo": 5,
    "switch": 6,
    "save": 0.3,
    "clear_scene": 0.5,
    "reopen": 0.7,
    "reconnect": 1.5,
    "pause": 1.5,
    "use_model": 1,
    "engine_gives_up": 1,
    "record_or_stop": 1,
    "bend_transform": 0.7,
    "delete_something": 4,
}
ACTS = tuple(name[len("act_") :] for name in vars(StressedWorkspace) if name.startswith("act_"))


def random_acts(seed: int, count: int) -> list[Act]:
    """A list of acts that is always the same for a seed."""
    rng = random.Random(seed)
    names = rng.choices(ACTS, [WEIGHTS.get(name, 2) for name in ACTS], k=count)
    return [Act(name, rng.randrange(1 << 30)) for name in names]


def model_of(number: int) -> SimpleNamespace:
    """A stub of a model package; the second sees whole volumes and takes no points."""
    return SimpleNamespace(
        name=f"stub {number}",
        version="0",
        sha256=str(number) * 64,
        region="volume" if number == 1 else "crop",
        crop_size_mm=30.0,
        spacing_mm=1.0,
        channels=("ultrasound", "seed") if number == 1 else CLICK_CHANNELS,
        not_for_clinical_use="A stub.",
        intended_use="Tests.",
        trained_on={"simulated": True},
        simulated_only=True,
        card={},
        calibration={},
    )


def fingerprints(lesion_store) -> dict[str, str]:
    return {
        lesion: entry.segmentation.fingerprint for lesion, entry in lesion_store.entries.items() if entry.segmentation
    }
