"""The sum of all volumes of a workspace is bounded: counted in bytes, with budgets as small as the volumes."""

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core import machine_memory
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage, image_of
from CRLMSegmentationLib.igtl.packing import HEADER, pack
from CRLMSegmentationLib.igtl.protocol import Decoder
from CRLMSegmentationLib.igtl.statistics import DropReason
from CRLMSegmentationLib.slicer.scene.history import History
from CRLMSegmentationLib.slicer.scene.instruments import CLASS as TRANSFORM
from CRLMSegmentationLib.slicer.scene.nodes import find_node, nodes_of_class
from CRLMSegmentationLib.slicer.scene.segmentations import CORRECTED
from CRLMSegmentationLib.slicer.scene.staleness import tag_of
from CRLMSegmentationLib.slicer.scene.volumes import CLASS, link_volumes, show_volume
from CRLMSegmentationLib.slicer.workspace import save as saving
from CRLMSegmentationLib.slicer.workspace import volume_memory as memory
from CRLMSegmentationLib.slicer.workspace.volume_memory import MAX_LINK_VOLUMES, default_limit_bytes, memory_text
from room_helpers import SEED, answer, paint

ONE = 40**3
"""Bytes of the tiny volume."""


def send(room, link, volume, *devices, number=0):
    for device in devices:
        link.inbox = [image_of(replace(volume, device=device, timestamp_s=100.0 + number))]
        room.tick()


def names(room):
    return [node.GetName() for node in link_volumes(room.scene)]


def test_every_volume_counts_once_for_the_scene_and_once_for_the_network(room, link, tiny_volume):
    send(room, link, tiny_volume, "A")
    assert room.memory.used_bytes == 2 * ONE
    send(room, link, tiny_volume, "B")
    assert room.memory.used_bytes == 3 * ONE  # the copy of A that the network saw is gone


def test_twelve_devices_take_no_more_than_the_limit_and_the_oldest_go(room, link, tiny_volume):
    room.follow(None)  # the newest is current: otherwise the first device would be followed, and stay
    room.memory.limit_bytes = 6 * ONE
    for number in range(12):
        send(room, link, tiny_volume, f"Device {number}", number=number)
        assert room.memory.used_bytes <= 6 * ONE
    assert names(room)[-1] == "Device 11" == room.volume.node.GetName()
    assert "Device 0" not in names(room)
    assert "'Device 0' of 0.1 MB was taken out of the scene" in "\n".join(room.log)
    assert "Device" in memory_text(room.memory)


def test_longest_silent_goes_first_and_not_the_one_that_came_first(room, link, tiny_volume):
    room.memory.limit_bytes = 6 * ONE
    send(room, link, tiny_volume, "A", "B", "C")
    send(room, link, tiny_volume, "A", number=1)
    send(room, link, tiny_volume, "D", "E", number=2)
    assert "A" in names(room)
    assert "B" not in names(room)


def test_followed_and_current_volumes_stay(room, link, engine, tiny_volume):
    send(room, link, tiny_volume, "A", "B")
    room.follow("A")
    room.add_seed(SEED)
    answer(room, engine)
    room.memory.limit_bytes = 6 * ONE
    for number in range(8):
        send(room, link, tiny_volume, f"Device {number}", number=number + 1)
        assert room.rows()[0].is_current
    assert "A" in names(room)
    assert room.memory.used_bytes <= 6 * ONE


def test_volume_that_a_view_or_a_module_refers_to_stays(room, link, tiny_volume):
    send(room, link, tiny_volume, "Shown", "B")
    composite = room.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetBackgroundVolumeID(find_node(room.scene, CLASS, "Shown").GetID())
    room.memory.limit_bytes = 6 * ONE
    for number in range(8):
        send(room, link, tiny_volume, f"Device {number}", number=number)
    assert "Shown" in names(room)


def test_volume_that_was_loaded_is_neither_counted_nor_taken(room, link, tiny_volume):
    show_volume(room.scene, tiny_volume, "loaded")
    room.memory.limit_bytes = 4 * ONE
    send(room, link, tiny_volume, "A", "B", "C")
    assert find_node(room.scene, CLASS, "loaded") is not None
    assert room.memory.used_bytes <= 4 * ONE


def test_volume_for_which_there_is_no_room_is_refused_and_what_is_shown_stays(room, link, tiny_volume):
    send(room, link, tiny_volume, "A")
    shown = room.volume.identity
    room.memory.limit_bytes = 3.5 * ONE
    large = np.concatenate([tiny_volume.array] * 4)
    link.inbox = [image_of(replace(tiny_volume, array=large, device="A", timestamp_s=101.0))]
    room.tick()
    assert room.volume.identity == shown
    assert "a volume of 0.3 MB is left out" in "\n".join(room.problem_lines)
    assert "raise 'Memory for volumes'" in "\n".join(room.log)
    link.inbox = [TransformMessage("StylusToReference", 0.0, np.eye(4))]
    room.tick()
    assert room.devices["StylusToReference"] == "transform"


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
def test_picture_near_the_limit_is_taken_and_no_volume_goes_for_it(room, link, tiny_volume, version, piece):
    send(room, link, tiny_volume, "A", "B")
    room.memory.limit_bytes = room.memory.used_bytes + 100
    picture = ImageMessage("Image_Reference", 101.0, np.full((1, 12, 16), 7, np.uint8), np.eye(4))
    decoder = Decoder(refusal=room.memory.refusal_of, check_crc=True)
    data = bytes(pack(picture, version)) * 2
    taken = [m for start in range(0, len(data), piece) for m in decoder.feed(data[start : start + piece])]
    assert len(taken) == 2
    np.testing.assert_array_equal(taken[1].array, picture.array)
    assert names(room) == ["A", "B"]
    assert room.memory.notice == ""


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("piece", [1, 997, 1_000_000])
def test_volume_that_is_asked_for_arrives_whole(tiny_volume, version, piece):
    asked = []
    decoder = Decoder(refusal=lambda device, count: asked.append(count) or "", check_crc=True)
    data = bytes(pack(image_of(replace(tiny_volume, array=tiny_volume.array[:9, :9, :9])), version))
    taken = [m for start in range(0, len(data), piece) for m in decoder.feed(data[start : start + piece])]
    np.testing.assert_array_equal(taken[0].array, tiny_volume.array[:9, :9, :9])
    assert asked == [len(data) - 58]


def test_image_that_is_too_short_to_say_what_it_is_is_left_out_and_what_follows_is_read():
    decoder = Decoder(refusal=lambda device, count: "", check_crc=False)
    small = bytes(pack(TransformMessage("StylusToReference", 1.0, np.eye(4)), 2))
    for count in (0, 1, 12, 83):
        header = HEADER.pack(2, b"IMAGE", b"Short", 0, 0, count, 0)
        assert [message.device for message in decoder.feed(header + bytes(count) + small)] == ["StylusToReference"]


@pytest.mark.parametrize("device", ["Reconstruction", "LiverReconstruction_VolumeToReference"])
def test_next_volume_of_a_device_needs_as_much_whether_or_not_a_header_cuts_its_name(room, link, tiny_volume, device):
    send(room, link, tiny_volume, device, "B")
    room.memory.limit_bytes = room.memory.used_bytes + 1.5 * ONE
    assert room.memory.refusal_of(device[:20], ONE) == ""
    assert names(room) == [device, "B"]
    room.memory.limit_bytes = room.memory.used_bytes + 0.5 * ONE
    room.memory.refusal_of(device[:20], ONE)
    assert device in names(room), "it would have made room for itself"


def test_volume_of_another_device_with_the_same_first_letters_is_counted_once_it_is_read(room, link, tiny_volume):
    send(room, link, tiny_volume, "LiverReconstruction_A")
    room.memory.limit_bytes = room.memory.used_bytes + 1.5 * ONE
    send(room, link, tiny_volume, "LiverReconstruction_B", number=1)
    assert room.memory.used_bytes <= room.memory.limit_bytes
    assert names(room) == ["LiverReconstruction_A"]
    assert "'LiverReconstruction_B' cannot be used: a volume of 0.1 MB is left out" in "\n".join(room.log)


def test_voxels_of_an_old_volume_go_before_any_volume_of_the_scene(room, link, engine, tiny_volume):
    room.session.followed_device = "A"
    room.add_seed(SEED)
    send(room, link, tiny_volume, "A")
    answer(room, engine)
    send(room, link, tiny_volume, "B")
    send(room, link, replace(tiny_volume, array=tiny_volume.array + 1), "A", number=1)
    found = room.ledger.entries["Tumour 1"].found
    assert found.result.volume.has_voxels
    room.memory.limit_bytes = room.memory.used_bytes + 0.5 * ONE
    send(room, link, replace(tiny_volume, array=tiny_volume.array + 2), "A", number=2)
    assert names(room) == ["A", "B"]
    after = room.ledger.entries["Tumour 1"].found
    assert not after.result.volume.has_voxels
    assert after.result.volume.identity == found.result.volume.identity
    assert (after.volume_ml, after.fingerprint) == (found.volume_ml, found.fingerprint)
    assert "Tumour 1: the voxels of its earlier volume were let go" in "\n".join(room.log)


def test_undo_holds_no_voxels_of_volumes_and_gives_them_back(with_volume, engine):
    node = with_volume.add_seed(SEED)
    answer(with_volume, engine)
    node.SetNthControlPointPositionWorld(0, 20.5, 20.0, 20.0)
    answer(with_volume, engine)
    held = [snapshot.notes for _node, history in with_volume.ledger._histories.values() for snapshot in history._past]
    volumes = [found.result.volume for notes in held for found in notes.values()]
    assert volumes
    assert not any(volume.has_voxels for volume in volumes)
    with_volume.ledger.undo()
    assert with_volume.ledger.entries["Tumour 1"].found.result.volume is with_volume.session.volume


def test_undo_is_bounded_in_bytes_and_keeps_the_last_state(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    node, history = with_volume.ledger.segmentation_node, History(max_bytes=1)
    for _ in range(5):
        history.remember(node, {})
    assert history.size_bytes > 1
    history.undo(node, {})
    assert not history.can_undo
    generous = History()
    for _ in range(50):
        generous.remember(node, {})
    assert len(generous._past) == 20
    assert generous.size_bytes == 20 * history.size_bytes


def test_undo_history_goes_with_its_outlines(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    answer(with_volume, engine)
    assert with_volume.ledger.can_undo
    with_volume.scene.RemoveNode(with_volume.ledger.segmentation_node)
    with_volume.tick()
    assert not with_volume.ledger._histories


def test_links_that_send_ever_other_names_fill_no_scene(room, link, tiny_volume):
    tiny = replace(tiny_volume, array=tiny_volume.array[:4, :4, :4])
    for number in range(MAX_LINK_VOLUMES + 20):
        if number % 20 == 0:
            room.use_link(link)
            room.session._incoming._volume_times_s.clear()
        link.inbox = [image_of(replace(tiny, device=f"Device {number}"))]
        room.tick()
    assert len(names(room)) <= MAX_LINK_VOLUMES


def test_limit_is_half_of_what_the_machine_or_its_container_allows(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory_bytes", lambda: 6_000)
    assert default_limit_bytes() == 3_000
    monkeypatch.setattr(memory, "machine_memory_bytes", lambda: None)
    assert default_limit_bytes() == memory.FALLBACK_BYTES
    monkeypatch.undo()
    monkeypatch.setattr(machine_memory, "_container_bytes", lambda: 1_000)
    assert machine_memory.machine_memory_bytes() == 1_000


def test_limit_of_the_panel_is_in_gigabytes_and_0_is_the_default(room):
    room.memory.set_limit_gb(1.5)
    assert room.memory.limit_bytes == 1.5e9
    assert "of 1.5 GB" in memory_text(room.memory)
    room.memory.set_limit_gb(0.0)
    assert room.memory.limit_bytes == default_limit_bytes()


def test_a_line_of_the_log_is_bounded(room):
    room.note("x" * 100_000)
    assert len(room.log[-1]) < 2100


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
    segment = with_volume.ledger.segmentation_node.GetSegmentation().GetSegment("Tumour 1")
    assert tag_of(segment, CORRECTED) == "1"
    assert with_volume.ledger.entries["Tumour 1"].found.corrected


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_volume_without_voxels_is_the_same_volume_and_takes_no_memory(tiny_volume, dtype):
    volume = replace(tiny_volume, array=tiny_volume.array.astype(dtype))
    left = volume.without_voxels()
    assert left.identity == volume.identity
    assert (left.array.shape, left.array.dtype) == (volume.array.shape, dtype)
    assert volume.has_voxels
    assert not left.has_voxels
    assert left.array.base.nbytes <= 8


def test_links_that_send_ever_other_tools_fill_no_scene_and_keep_what_is_tracked_now(room, link, monkeypatch):
    monkeypatch.setattr("CRLMSegmentationLib.slicer.workspace.workspace.MAX_TRANSFORM_NODES", 5)
    for number in range(20):
        for device in ("StylusToReference", f"Tool{number}ToReference"):
            link.inbox.append(TransformMessage(device, 1_700_000_000.0 + number, np.eye(4)))
        room.tick()
    nodes = [node.GetName() for node in nodes_of_class(room.scene, TRANSFORM) if node.GetName().endswith("ToReference")]
    assert nodes == ["StylusToReference", *(f"Tool{number}ToReference" for number in range(16, 20))]
    assert "Tool3ToReference" not in room.devices


def test_page_of_a_volume_whose_voxels_were_let_go_is_left_out_and_told(with_volume, engine, tmp_path, monkeypatch):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    entry = with_volume.ledger.entries["Tumour 1"]
    result = entry.found.result
    entry.found = replace(entry.found, result=replace(result, volume=result.volume.without_voxels()))
    begun = []
    monkeypatch.setattr(saving, "missing", lambda *_: [])
    monkeypatch.setattr(saving, "_begin_page", lambda room, folder, results, entries: begun.append(results))
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
