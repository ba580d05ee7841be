"""How much one prompt may cost. Every limit is checked before the memory is taken or within milliseconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one expansion. `template_bytes` also bounds a wildcard's line, `file_bytes` a text file.

    `depth` bounds the nesting of braces and, separately, of wildcards and variables inside each other, `count_seconds`
    the exact count of combinations.
    """

    template_bytes: int = 64 * 1024
    depth: int = 64
    expansions: int = 200_000
    seconds: float = 2.0
    count_seconds: float = 60.0
    output_characters: int = 1024 * 1024
    file_bytes: int = 2 * 1024**3
    table_bytes: int = 16 * 1024**2
    table_nodes: int = 500_000
    table_depth: int = 50
    files: int = 200_000
    folder_depth: int = 32
    scan_seconds: float = 5.0


DEFAULT_LIMITS = Limits()
