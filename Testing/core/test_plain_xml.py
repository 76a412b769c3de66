"""XML from outside: plain elements are read, whatever could grow is refused."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.core.plain_xml import parse_xml


def test_element_is_read_with_a_byte_order_mark_comments_and_blanks_around() -> None:
    assert parse_xml("\ufeff\n <!-- PLUS --><a b='&#233;'/>\n", 100).attrib == {"b": "é"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid XML"),
        ("<a>", "not valid XML"),
        ("<a/>" + " " * 100, "too large"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type"),
        ("<! doctype a><a/>", "document type"),
    ],
)
def test_what_could_grow_or_is_none_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_xml(text, 100)
