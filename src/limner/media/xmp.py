"""Texts in an XMP packet (ISO 16684-1), one property a keyword, written and read back.

Owns our namespace. Reads our own properties alone, by search and never with an XML parser: packets come from strangers.
"""

import html
import re
from collections.abc import Mapping

_NAMESPACE = "urn:limner:text:1.0"
_HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    f'<rdf:Description rdf:about="" xmlns:limner="{_NAMESPACE}">'
)
_TAIL = '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,78}", re.ASCII)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2
_PROPERTY = re.compile(r"<limner:([\w-]{1,79})>([^<]*)</limner:\1>", re.ASCII)


def packet(texts: Mapping[str, str]) -> bytes:
    """The packet with every text under its keyword, which must be an XML name; b"" without texts.

    What XML cannot hold becomes U+FFFD.
    """
    assert all(_NAME.fullmatch(keyword) for keyword in texts), "not XML names"
    properties = (f"<limner:{keyword}>{_escaped(text)}</limner:{keyword}>" for keyword, text in texts.items())
    return f"{_HEAD}{''.join(properties)}{_TAIL}".encode() if texts else b""


def texts_in(packet: bytes) -> dict[str, str]:
    """The texts that `packet` wrote, also after other programs have written the packet anew; {} for a foreign one."""
    if _NAMESPACE.encode() not in packet:
        return {}
    return {found[1]: html.unescape(found[2]) for found in _PROPERTY.finditer(packet.decode("utf-8", "replace"))}


def _escaped(text: str) -> str:
    return html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text), quote=False).replace("\r", "&#13;")
