"""The sum of all volumes of a workspace is bounded: counted in bytes, with budgets as small as the volumes."""

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core import machine_memory
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage, image_of
from CRLMSegmentationLib.igtl.packing import HEADER, pack
from CRLMSegmentationLib.igtl.protocol import Decoder
from CRLMSegmentationLib.igtl.statistics import DropReason
from CRLMSegmentationLib.slicer.scene.instruments import CLASS as TRANSFORM
from CRLMSegmentationLib.slicer.scene.nodes import find_node, nodes_of_class
from CRLMSegmentationLib.slicer.scene.segmentation_undo import UndoStack
from CRLMSegmentationLib.slicer.scene.segmentations import CORRECTED
from CRLMSegmentationLib.slicer.scene.staleness import tag_of
from CRLMSegmentationLib.slicer.scene.volumes import CLASS, link_volumes, show_volume
from CRLMSegmentationLib.slicer.workspace import save as saving
from CRLMSegmentationLib.slicer.workspace import volume_memory as memory
from CRLMSegmentationLib.slicer.workspace.volume_memory import MAX_LINK_VOLUMES, default_limit_bytes, memory_text
from helpers.workspace_helpers import SEED, answer, paint

ONE = 40**3
"""Bytes of the tiny volume."""


def send(workspace, link, volume, *devices, number=0):
    for device in devices:
        link.inbox = [image_of(replace(volume, device=device, timestamp_s=100.0 + number))]
        workspace.tick()


def names(workspace):
    return [node.GetName() for node in link_volumes(workspace.scene)]


def test_every_volume_counts_once_for_the_scene_and_once_for_the_network(workspace, link, tiny_volume):
    send(workspace, link, tiny_volume, "A")
    assert workspace.memory.used_bytes == 2 * ONE
    send(workspace, link, tiny_volume, "B")
    assert workspace.memory.used_bytes == 3 * ONE  # the copy of A that the network saw is gone


def test_twelve_devices_take_no_more_than_the_limit_and_the_oldest_go(workspace, link, tiny_volume):
    workspace.follow(None)  # the newest is current: otherwise the first device would be followed, and stay
    workspace.memory.limit_bytes = 6 * ONE
    for number in range(12):
        send(workspace, link, tiny_volume, f"Device {number}", number=number)
        assert workspace.memory.used_bytes <= 6 * ONE
    assert names(workspace)[-1] == "Device 11" == workspace.volume.node.GetName()
    assert "Device 0" not in names(workspace)
    assert "'Device 0' of 0.1 MB was taken out of the scene" in "\n".join(workspace.log)
    assert "Device" in memory_text(workspace.memory)


def test_longest_silent_goes_first_and_not_the_one_that_came_first(workspace, link, tiny_volume):
    workspace.memory.limit_bytes = 6 * ONE
    send(workspace, link, tiny_volume, "A", "B", "C")
    send(workspace, link, tiny_volume, "A", number=1)
    send(workspace, link, tiny_volume, "D", "E", number=2)
    assert "A" in names(workspace)
    assert "B" not in names(workspace)


def test_followed_and_current_volumes_stay(workspace, link, engine, tiny_volume):
    send(workspace, link, tiny_volume, "A", "B")
    workspace.follow("A")
    workspace.add_seed(SEED)
    answer(workspace, engine)
    workspace.memory.limit_bytes = 6 * ONE
    for number in range(8):
        send(workspace, link, tiny_volume, f"Device {number}", number=number + 1)
        assert workspace.rows()[0].is_current
    assert "A" in names(workspace)
    assert workspace.memory.used_bytes <= 6 * ONE


def test_volume_that_a_view_or_a_module_refers_to_stays(workspace, link, tiny_volume):
    send(workspace, link, tiny_volume, "Shown", "B")
    composite = workspace.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetBackgroundVolumeID(find_node(workspace.scene, CLASS, "Shown").GetID())
    workspace.memory.limit_bytes = 6 * ONE
    for number in range(8):
        send(workspace, link, tiny_volume, f"Device {number}", number=number)
    assert "Shown" in names(workspace)


def test_volume_that_was_loaded_is_neither_counted_nor_taken(workspace, link, tiny_volume):
    show_volume(workspace.scene, tiny_volume, "loaded")
    workspace.memory.limit_bytes = 4 * ONE
    send(workspace, link, tiny_volume, "A", "B", "C")
    assert find_node(workspace.scene, CLASS, "loaded") is not None
    assert workspace.memory.used_bytes <= 4 * ONE


def test_volume_for_which_there_is_no_room_is_refused_and_what_is_shown_stays(workspace, link, tiny_volume):
    send(workspace, link, tiny_volume, "A")
    shown = workspace.volume.identity
    workspace.memory.limit_bytes = 3.5 * ONE
    large = np.concatenate([tiny_volume.array] * 4)
    link.inbox = [image_of(replace(tiny_volume, array=large, device="A", timestamp_s=101.0))]
    workspace.tick()
    assert workspace.volume.identity == shown
    assert "a volume of 0.3 MB was not loaded" in "\n".join(workspace.session.problems.lines)
    assert "raise 'Memory for volumes'" in "\n".join(workspace.log)
    link.inbox = [TransformMessage("StylusToReference", 0.0, np.eye(4))]
    workspace.tick()
    assert workspace.devices["StylusToReference"] == "transform"


def test_limit_is_asked_before_memory_is_taken_for_a_body(tiny_volume):
    asked = []

    def refusal(device, count):
        asked.append((device, count))
        return "no room" if count > 1000 else ""

    decoder = Decoder(refusal=refusal)
    small = TransformMessage("StylusToReference", 1.0, np.eye(4))
    data = bytes(pack(image_of(tiny_volume), 2)) + bytes(pack(small, 2))
    taken = max(len(decoder.writable()), 0)
    messages = []
    for start in range(0, len(data), 997):
        messages += decoder.feed(data[start : start + 997])
        taken = max(taken, len(decoder.writable()))
    assert [message.device for message in messages] == ["StylusToReference"]
    assert [device for device, _count in asked] == ["recvol_Reference"]
    assert asked[0][1] > ONE
    assert taken < 66_000  # the buffer for what is skipped
    assert decoder.statistics.dropped[DropReason.TOO_LARGE.value] == 1
    assert "no room" in decoder.statistics.last_problem


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("piece", [1, 50, 100_000])
def test_picture_near_the_limit_is_taken_and_no_volume_goes_for_it(workspace, link, tiny_volume, version, piece):
    send(workspace, link, tiny_volume, "A", "B")
    workspace.memory.limit_bytes = workspace.memory.used_bytes + 100
    picture = ImageMessage("Image_Reference", 101.0, np.full((1, 12, 16), 7, np.uint8), np.eye(4))
    decoder = Decoder(refusal=workspace.memory.refusal_of)
    data = bytes(pack(picture, version)) * 2
    taken = [m for start in range(0, len(data), piece) for m in decoder.feed(data[start : start + piece])]
    assert len(taken) == 2
    np.testing.assert_array_equal(taken[1].array, picture.array)
    assert names(workspace) == ["A", "B"]
    assert workspace.memory.notice == ""


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("piece", [1, 997, 1_000_000])
def test_volume_that_is_asked_for_arrives_whole(tiny_volume, version, piece):
    asked = []
    decoder = Decoder(refusal=lambda device, count: asked.append(count) or "")
    data = bytes(pack(image_of(replace(tiny_volume, array=tiny_volume.array[:9, :9, :9])), version))
    taken = [m for start in range(0, len(data), piece) for m in decoder.feed(data[start : start + piece])]
    np.testing.assert_array_equal(taken[0].array, tiny_volume.array[:9, :9, :9])
    assert asked == [len(data) - 58]


def test_image_that_is_too_short_to_say_what_it_is_is_left_out_and_what_follows_is_read():
    decoder = Decoder(refusal=lambda device, count: "")
    small = bytes(pack(TransformMessage("StylusToReference", 1.0, np.eye(4)), 2))
    for count in (0, 1, 12, 83):
        header = HEADER.pack(2, b"IMAGE", b"Short", 0, 0, count, 0)
        assert [message.device for message in decoder.feed(header + bytes(count) + small)] == ["StylusToReference"]


@pytest.mark.parametrize("device", ["Reconstruction", "LiverReconstruction_VolumeToReference"])
def test_next_volume_of_a_device_needs_as_much_whether_or_not_a_header_cuts_its_name(
    workspace, link, tiny_volume, device
):
    send(workspace, link, tiny_volume, device, "B")
    workspace.memory.limit_bytes = workspace.memory.used_bytes + 1.5 * ONE
    assert workspace.memory.refusal_of(device[:20], ONE) == ""
    assert names(workspace) == [device, "B"]
    workspace.memory.limit_bytes = workspace.memory.used_bytes + 0.5 * ONE
    workspace.memory.refusal_of(device[:20], ONE)
    assert device in names(workspace), "it would have made room for itself"


def test_volume_of_another_device_with_the_same_first_letters_is_counted_once_it_is_read(workspace, link, tiny_volume):
    send(workspace, link, tiny_volume, "LiverReconstruction_A")
    workspace.memory.limit_bytes = workspace.memory.used_bytes + 1.5 * ONE
    send(workspace, link, tiny_volume, "LiverReconstruction_B", number=1)
    assert workspace.memory.used_bytes <= workspace.memory.limit_bytes
    assert names(workspace) == ["LiverReconstruction_A"]
    assert "'LiverReconstruction_B' cannot be used: a volume of 0.1 MB was not loaded" in "\n".join(workspace.log)


def test_voxels_of_an_old_volume_go_before_any_volume_of_the_scene(workspace, link, engine, tiny_volume):
    workspace.session.follow("A")
    workspace.add_seed(SEED)
    send(workspace, link, tiny_volume, "A")
    answer(workspace, engine)
    send(workspace, link, tiny_volume, "B")
    send(workspace, link, replace(tiny_volume, array=tiny_volume.array + 1), "A", number=1)
    found = workspace.lesion_store.entries["Tumour 1"].segmentation
    assert found.result.volume.has_voxels
    workspace.memory.limit_bytes = workspace.memory.used_bytes + 0.5 * ONE
    send(workspace, link, replace(tiny_volume, array=tiny_volume.array + 2), "A", number=2)
    assert names(workspace) == ["A", "B"]
    after = workspace.lesion_store.entries["Tumour 1"].segmentation
    assert not after.result.volume.has_voxels
    assert after.result.volume.identity == found.result.volume.identity
    assert (after.volume_ml, after.fingerprint) == (found.volume_ml, found.fingerprint)
    assert "Tumour 1: the voxels of its earlier volume were removed from memory" in "\n".join(workspace.log)


def test_undo_holds_no_voxels_of_volumes_and_gives_them_back(with_volume, engine):
    node = with_volume.add_seed(SEED)
    answer(with_volume, engine)
    node.SetNthControlPointPositionWorld(0, 20.5, 20.0, 20.0)
    answer(with_volume, engine)
    held = [
        snapshot.notes
        for _node, history in with_volume.lesion_store._history._stacks.values()
        for snapshot in history._past
    ]
    volumes = [found.result.volume for notes in held for found in notes.values()]
    assert volumes
    assert not any(volume.has_voxels for volume in volumes)
    with_volume.lesion_store.undo()
    assert with_volume.lesion_store.entries["Tumour 1"].segmentation.result.volume is with_volume.session.volume


def test_undo_is_bounded_in_bytes_and_keeps_the_last_state(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    node, history = with_volume.lesion_store.segmentation_node, UndoStack(max_bytes=1)
    for _ in range(5):
        history.remember(node, {})
    assert history.size_bytes > 1
    history.undo(node, {})
    assert not history.can_undo
    generous = UndoStack()
    for _ in range(50):
        generous.remember(node, {})
    assert len(generous._past) == 20
    assert generous.size_bytes == 20 * history.size_bytes


def test_undo_history_goes_with_its_segmentations(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    answer(with_volume, engine)
    assert with_volume.lesion_store.can_undo
    with_volume.scene.RemoveNode(with_volume.lesion_store.segmentation_node)
    with_volume.tick()
    assert not with_volume.lesion_store._history._stacks


def test_links_that_send_ever_other_names_fill_no_scene(workspace, link, tiny_volume):
    tiny = replace(tiny_volume, array=tiny_volume.array[:4, :4, :4])
    for number in range(MAX_LINK_VOLUMES + 20):
        if number % 20 == 0:
            workspace.use_link(link)
            workspace.session._incoming._volume_times_s.clear()
        link.inbox = [image_of(replace(tiny, device=f"Device {number}"))]
        workspace.tick()
    assert len(names(workspace)) <= MAX_LINK_VOLUMES


def test_limit_is_half_of_what_the_machine_or_its_container_allows(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory_bytes", lambda: 6_000)
    assert default_limit_bytes() == 3_000
    monkeypatch.setattr(memory, "machine_memory_bytes", lambda: None)
    assert default_limit_bytes() == memory.FALLBACK_BYTES
    monkeypatch.undo()
    monkeypatch.setattr(machine_memory, "_container_bytes", lambda: 1_000)
    assert machine_memory.machine_memory_bytes() == 1_000


def test_limit_of_the_panel_is_in_gigabytes_and_0_is_the_default(workspace):
    workspace.memory.set_limit_gb(1.5)
    assert workspace.memory.limit_bytes == 1.5e9
    assert "of 1.5 GB" in memory_text(workspace.memory)
    workspace.memory.set_limit_gb(0.0)
    assert workspace.memory.limit_bytes == default_limit_bytes()


def test_a_line_of_the_log_is_bounded(workspace):
    workspace.note("x" * 100_000)
    assert len(workspace.log[-1]) < 2100


def test_correction_is_remembered_while_another_volume_is_looked_at(with_volume, engine, tiny_volume):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    first = with_volume.volume.node
    paint(with_volume, "Tumour 1", np.s_[5:8, 5:8, 5:8])
    with_volume.tick()
    with_volume.use_node(show_volume(with_volume.scene, replace(tiny_volume, timestamp_s=9.0), "other"))
    with_volume.tick()
    with_volume.use_node(first)
    with_volume.tick()
    segment = with_volume.lesion_store.segmentation_node.GetSegmentation().GetSegment("Tumour 1")
    assert tag_of(segment, CORRECTED) == "1"
    assert with_volume.lesion_store.entries["Tumour 1"].segmentation.corrected


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_volume_without_voxels_is_the_same_volume_and_takes_no_memory(tiny_volume, dtype):
    volume = replace(tiny_volume, array=tiny_volume.array.astype(dtype))
    left = volume.without_voxels()
    assert left.identity == volume.identity
    assert (left.array.shape, left.array.dtype) == (volume.array.shape, dtype)
    assert volume.has_voxels
    assert not left.has_voxels
    assert left.array.base.nbytes <= 8


def test_links_that_send_ever_other_tools_fill_no_scene_and_keep_what_is_tracked_now(workspace, link, monkeypatch):
    monkeypatch.setattr("CRLMSegmentationLib.slicer.workspace.device_transforms.MAX_NODES", 5)
    for number in range(20):
        for device in ("StylusToReference", f"Tool{number}ToReference"):
            link.inbox.append(TransformMessage(device, 1_700_000_000.0 + number, np.eye(4)))
        workspace.tick()
    nodes = [
        node.GetName() for node in nodes_of_class(workspace.scene, TRANSFORM) if node.GetName().endswith("ToReference")
    ]
    assert nodes == ["StylusToReference", *(f"Tool{number}ToReference" for number in range(16, 20))]
    assert "Tool3ToReference" not in workspace.devices


def test_page_of_a_volume_whose_voxels_were_let_go_is_left_out_and_told(with_volume, engine, tmp_path, monkeypatch):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    entry = with_volume.lesion_store.entries["Tumour 1"]
    result = entry.segmentation.result
    entry.segmentation = replace(entry.segmentation, result=replace(result, volume=result.volume.without_voxels()))
    begun = []
    monkeypatch.setattr(saving, "missing", lambda *_: [])
    monkeypatch.setattr(saving, "_begin_page", lambda workspace, folder, results, entries: begun.append(results))
    saving.save(with_volume, tmp_path)
    assert begun[0][0].volume is with_volume.session.volume
    with_volume.session.volume = replace(result.volume, timestamp_s=9.0)
    begun.clear()
    monkeypatch.setattr(saving.time, "strftime", lambda *_: "another-folder")
    saving.save(with_volume, tmp_path)
    assert not begun
    assert "not in memory any more" in with_volume.log[-1]
    with_volume.children += [None] * saving.MAX_CHILDREN
    monkeypatch.setattr(saving.time, "strftime", lambda *_: "a-third-folder")
    saving.save(with_volume, tmp_path)
    assert "pages are being written" in with_volume.log[-1]
    with_volume.children.clear()
