"""The one root of all errors that are meant for people.

Imports nothing. Each package derives its own family from `LoraLoopError`, so that the two places which catch
(the command line and the job runner) need to know one name and one exit code.
"""

from __future__ import annotations

from typing import ClassVar


class LoraLoopError(Exception):
    """An error whose text is one sentence for a person: the thing, the place and the cure.

    `exit_code` is the command line's: 2 bad config or usage, 3 bad data, 4 out of memory, 5 not finite,
    6 stopped by the user, 7 disk, 8 environment.
    """

    exit_code: ClassVar[int] = 2
