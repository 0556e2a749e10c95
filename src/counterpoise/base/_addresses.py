"""Which network addresses belong to the open internet."""

import ipaddress

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # carrier-grade NAT
_GLOBAL = ipaddress.ip_network("2000::/3")  # all that is given out of IPv6
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # carries an IPv4 address in its last four bytes


def public_address(address: str) -> bool:
    """Whether an IP address is one of the open internet: not private, loopback, link-local, multicast, reserved or
    shared, and no such address in IPv6 clothes. Raises ValueError for what is no address."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return public_address(str(inner))
        if ip in _NAT64:
            return public_address(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in _GLOBAL:  # old ways to carry an IPv4 address, site-local ones, and what is not given out
            return False
    return ip.is_global and not ip.is_multicast and not (isinstance(ip, ipaddress.IPv4Address) and ip in _SHARED)
