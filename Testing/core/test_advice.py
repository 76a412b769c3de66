"""Every option, command, environment variable and file of the repository that a message or the README names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from CRLMSegmentationLib.cli.commands import app
from helpers.paths import ROOT

LIBRARY = ROOT / "CRLMSegmentation" / "CRLMSegmentationLib"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
CALL = re.compile(r"crlm-seg((?: [a-z][a-z-]*)+)")
VARIABLE = re.compile(r"\bCRLM_[A-Z_]+\b")
OF_OTHERS = {"--no-deps", "--query-gpu", "--format"}
"""Options of pip and nvidia-smi, which the library calls."""


def commands() -> dict[str, click.Command]:
    """All commands by their words, such as "model list"."""
    found: dict[str, click.Command] = {}

    def add(command: click.Command, words: tuple[str, ...]) -> None:
        found[" ".join(words)] = command
        for name, inner in getattr(command, "commands", {}).items():
            add(inner, (*words, name))

    add(typer.main.get_command(app), ())
    return found


COMMANDS = commands()
OPTIONS = {name: {o for p in c.params for o in (*p.opts, *p.secondary_opts)} for name, c in COMMANDS.items()}
ALL_OPTIONS = {"--help", *(option for options in OPTIONS.values() for option in options)}


def texts_in(path: Path) -> Iterator[tuple[int, str]]:
    """Literals of a module with their line; of an f-string its parts together, {} for what is put in."""
    tree = ast.parse(path.read_text("utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def sources() -> list[Path]:
    return [ROOT / "CRLMSegmentation" / "CRLMSegmentation.py", *sorted(LIBRARY.rglob("*.py"))]


def options_of_modules() -> set[str]:
    """Of those modules that are programs of their own (`python -m`), as their parsers add them."""
    found = set()
    for path in sources():
        code = path.read_text("utf-8")
        if "ArgumentParser(" in code:
            found |= {text for _, text in texts_in(path) if OPTION.fullmatch(text)}
    return found


OWN = ALL_OPTIONS | options_of_modules() | OF_OTHERS


def unknown_options(text: str) -> list[str]:
    """Options in a text that no command has; behind `crlm-seg COMMAND` those that this command has not."""
    unknown = [option for option in OPTION.findall(text) if option not in OWN]
    for call in CALL.finditer(text):
        command = command_in(call.group(1))
        if command is None:
            continue
        rest = re.split(r"[`;\n]|crlm-seg|\. ", text[call.end() :])[0]
        allowed = OPTIONS[command] | OPTIONS[""] | {"--help"}
        unknown += [option for option in OPTION.findall(rest) if option not in allowed]
    return unknown


def command_in(words: str) -> str | None:
    """The longest command that a text begins with."""
    parts = words.split()
    names = (" ".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in COMMANDS), None)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT / "CRLMSegmentation").as_posix())
def test_options_and_commands_that_a_text_names_exist(path: Path) -> None:
    wrong = []
    for line, text in texts_in(path):
        wrong += [f"line {line}: {option}" for option in unknown_options(text)]
        for call in CALL.finditer(text):
            if command_in(call.group(1)) is None:
                wrong.append(f"line {line}: crlm-seg{call.group(1)}")
    assert wrong == []


def test_options_and_commands_that_the_readme_names_exist() -> None:
    wrong = []
    for number, line in enumerate((ROOT / "README.md").read_text("utf-8").splitlines(), 1):
        wrong += [f"line {number}: {option}" for option in unknown_options(line)]
        wrong += [f"line {number}: crlm-seg{c.group(1)}" for c in CALL.finditer(line) if not command_in(c.group(1))]
    assert wrong == []


def test_environment_variables_that_a_text_names_are_read() -> None:
    read = set()
    for path in [*sources(), *(ROOT / "Testing").rglob("*.py")]:
        code = path.read_text("utf-8")
        read |= {n for n in VARIABLE.findall(code) if re.search(rf'["\']{n}["\']', code)}
    named = {n for path in [*sources(), ROOT / "README.md"] for n in VARIABLE.findall(path.read_text("utf-8"))}
    assert named - read == set()


def test_an_option_that_does_not_exist_is_found() -> None:
    assert unknown_options("prepare it with --held-out-share") == ["--held-out-share"]
    assert unknown_options("play it with: crlm-seg replay CASE --model x") == ["--model"]
    assert unknown_options("play it with: crlm-seg replay CASE --speed 2") == []
    assert command_in(" replays it") is None
