"""README and Documentation: every command parses, every link leads somewhere, what is marked as executed runs."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from CRLMSegmentationLib.cli.commands import app
from CRLMSegmentationLib.cli.main import join_points, main
from CRLMSegmentationLib.segmentation.engine import worker_engine
from helpers.paths import ROOT, TESTING

PAGES = [ROOT / "README.md", *sorted((ROOT / "Documentation").glob("*.md"))]
PROGRAM = "crlm-seg"
EXECUTED = "<!-- executed -->"
"""Stands before a block of commands that a test runs as they are."""
BLOCK = re.compile(rf"({re.escape(EXECUTED)}\n)?```bash\n(.*?)```", re.DOTALL)
LINK = re.compile(r"""\]\(([^)\s]+)\)|src="([^"]+)\"""")
README_LINES = 150


def commands_of(page: Path, executed_only: bool = False) -> Iterator[list[str]]:
    """The command lines of this program in the bash blocks of a page, without the program's name."""
    for mark, block in BLOCK.findall(page.read_text()):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0].endswith(PROGRAM) and (mark or not executed_only):
                yield words[1:]


ALL_COMMANDS = [
    pytest.param(words, id=f"{page.stem}-{' '.join(words)}") for page in PAGES for words in commands_of(page)
]


@pytest.mark.parametrize("words", ALL_COMMANDS)
def test_command_of_the_documentation_has_valid_arguments(words):
    command, context = typer.main.get_command(app), None
    words = join_points(words)
    while words and hasattr(command, "commands"):
        context = command.make_context(PROGRAM, [], parent=context, resilient_parsing=True)
        assert words[0] in command.commands, f"there is no command '{words[0]}'"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, list(words), parent=context)  # raises for what the command does not take


@pytest.mark.slow
def test_commands_marked_as_executed_run(tmp_path, monkeypatch):
    """With workers that call dark voxels tumour; the network itself is run by the tests of each command."""
    monkeypatch.setattr(worker_engine, "WORKER_MODULE", "helpers.dark_worker")
    monkeypatch.setenv("PYTHONPATH", str(TESTING))
    (tmp_path / "Resources").symlink_to(ROOT / "Resources")
    monkeypatch.chdir(tmp_path)
    shutil.copy("Resources/SampleCases/phantom-hypoechoic/volume.nrrd", ".")  # the page does it with cp
    commands = [words for page in PAGES for words in commands_of(page, executed_only=True)]
    assert commands
    for words in commands:
        monkeypatch.setattr(sys, "argv", [PROGRAM, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files_and_headings(page):
    for found in LINK.findall(page.read_text()):
        target = "".join(found)
        if not target.startswith("http"):
            name, _, heading = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            assert path.exists(), f"{page.name}: {target}"
            assert not heading or heading in anchors_of(path), f"{page.name}: {target}"


def anchors_of(page: Path) -> set[str]:
    """The anchors that a repository's web view gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short_and_lists_every_page():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= README_LINES
    for page in PAGES[1:]:
        assert f"Documentation/{page.name}" in readme


def test_make_targets_that_a_page_names_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets, page.name
