"""Which IP addresses may be connected to on a client's word.

The tables follow the IANA special-purpose registries (RFC 6890 and later entries) rather than ``is_global``, whose
meaning differs between Python releases.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host, this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; also some clouds' metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent, on a public address
        "169.254.0.0/16",  # link-local, with most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and limited broadcast
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")  # leaves out ::/96, ULA, link-local, site-local, multicast, 64:ff9b:1::/48
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """CIDR networks or single addresses; raises ValueError naming the first that is neither."""
    return tuple(ip_network(text) for text in texts)


def may_connect(address: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether ``address``, as a resolver gave it, is public or lies in an allowed network.

    An IPv4 address inside an IPv6 one (mapped, or NAT64's well-known prefix) is judged by itself. Anything that is
    not an address, or that names an interface, is refused.
    """
    faces = _faces(address)
    return _lies_in(faces, allowed) or (bool(faces) and _is_public(faces[-1]))


def lies_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether ``address``, or the IPv4 address inside it, belongs to one of ``networks``."""
    return _lies_in(_faces(address), networks)


def _faces(address: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """What ``address`` stands for, outermost first: itself, and the IPv4 address that NAT64 would lead to."""
    try:
        ip = ip_address(address)
    except ValueError:
        return ()
    if isinstance(ip, IPv4Address):
        return (ip,)
    if ip.scope_id is not None:
        return ()
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    return (ip, IPv4Address(int(ip) & 0xFFFF_FFFF)) if ip in _NAT64 else (ip,)


def _lies_in(faces: Sequence[IPv4Address | IPv6Address], networks: Sequence[Network]) -> bool:
    return any(ip in network for ip in faces for network in networks)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return not _lies_in((ip,), _REFUSED_V4)
    return ip in _GLOBAL_UNICAST_V6 and not _lies_in((ip,), _REFUSED_V6)
