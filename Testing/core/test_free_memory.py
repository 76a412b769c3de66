from CRLMSegmentationLib.core import free_memory
from CRLMSegmentationLib.core.free_memory import free_memory_bytes


def system(tmp_path, monkeypatch, available_kb=None, limit=None, used=0, cached=0):
    """A system that says so much of its memory."""
    monkeypatch.setattr(free_memory, "MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(free_memory.os, "sysconf", lambda _: (_ for _ in ()).throw(ValueError))
    if available_kb is not None:
        (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {available_kb} kB\n")
    if limit is not None:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")
        (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")


def test_free_memory_is_what_the_system_says(tmp_path, monkeypatch):
    system(tmp_path, monkeypatch, available_kb=100)
    assert free_memory_bytes() == 102_400


def test_limit_of_a_container_counts_with_what_it_uses(tmp_path, monkeypatch):
    system(tmp_path, monkeypatch, available_kb=100, limit=50_000, used=30_000, cached=4_000)
    assert free_memory_bytes() == 24_000
    system(tmp_path, monkeypatch, available_kb=100, limit="max")
    assert free_memory_bytes() == 102_400


def test_system_that_says_nothing_gives_none(tmp_path, monkeypatch):
    system(tmp_path, monkeypatch)
    assert free_memory_bytes() is None
