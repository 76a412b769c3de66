"""Safe parsing of XML from other programs, without entities, which could expand a small text to gigabytes."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from xml.etree import ElementTree
from xml.parsers import expat

BLANKS = "\ufeff \t\r\n"
DOCUMENT_TYPE = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
"""Matches malformed declarations too; in bytes, whose encoding is unknown, the parser reports them."""


def parse_xml(source: str | bytes, max_characters: int) -> ElementTree.Element:
    """Parse XML that declares no document type.

    Args:
        source: text, or the bytes of a file, whose encoding is the one that the XML declares (UTF-8 where it declares
            none; UTF-16 by its byte order mark).
        max_characters: characters or bytes that are accepted.

    Raises:
        ValueError: it is too long, is no XML, or declares a document type, through which entities could explode.
    """
    if len(source) > max_characters:
        raise ValueError(f"it is too large: {len(source)} characters, at most {max_characters} are accepted")
    if isinstance(source, str):
        if DOCUMENT_TYPE.search(source):
            _refuse_document_type()
        content, encoding = source.strip(BLANKS).encode("utf-8", "replace"), "utf-8"  # whatever the text declares
    else:
        content, encoding = source.removeprefix(BOM_UTF8).lstrip(), None
    checker = expat.ParserCreate(encoding)
    checker.StartDoctypeDeclHandler = checker.EntityDeclHandler = _refuse_document_type
    try:
        checker.Parse(content, True)
        return ElementTree.fromstring(content, ElementTree.XMLParser(encoding=encoding))
    except (expat.ExpatError, ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"it is not valid XML: {error}") from error


def _refuse_document_type(*_: object) -> None:
    raise ValueError("it declares a document type; remove <!DOCTYPE ...>")
