"""Sizes as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """A number of bytes, in decimal units.

    >>> size(512), size(32_768), size(1_250_000), size(48_000_000_000)
    ('512 B', '33 kB', '1.2 MB', '48 GB')
    """
    if count < 1000:
        return f"{count} B"
    amount, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{amount:.1f} {units[0]}" if amount < 9.95 and units[0] != "kB" else f"{amount:,.0f} {units[0]}"
