"""Keywords in a prompt (`<steps:20>`): one table, reading them, checking them, and the plan of batches. Pure."""

from __future__ import annotations
