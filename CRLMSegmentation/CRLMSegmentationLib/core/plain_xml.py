"""XML that came from outside, read without what could make a small text large."""

from __future__ import annotations

import re
from xml.etree import ElementTree

BLANKS = "\ufeff \t\r\n"


def parse_xml(text: str, max_characters: int) -> ElementTree.Element:
    """The element that a text holds.

    Raises:
        ValueError: it is too long, is no XML, or declares a document type, through which entities could explode.
    """
    if len(text) > max_characters:
        raise ValueError(f"it is too large: {len(text)} characters, at most {max_characters} are taken")
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ValueError("it declares a document type; remove <!DOCTYPE ...>")
    try:
        return ElementTree.fromstring(text.strip(BLANKS))
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not valid XML: {error}") from error
