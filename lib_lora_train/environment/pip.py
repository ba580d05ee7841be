"""Running pip: its output as a few readable lines, its failures as one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from lib_lora_train.environment.errors import IndexUnreachable, TrainerEnvironmentError
from lib_lora_train.environment.guard import Report
from lib_lora_train.files.errors import DiskError

TORCH_INDEX_VARIABLE = "TORCH_INDEX_URL"
SILENCE_SECONDS = 10.0

# A person's pip settings for the index, proxy and certificates are kept; these would send the packages elsewhere.
_REFUSED = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIREMENT",
    "PIP_CONSTRAINT",
    "PIP_EDITABLE",
    "PYTHONPATH",
    "PYTHONHOME",
)
_NO_NETWORK = re.compile(
    r"connection broken by|NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|getaddrinfo"
    r"|Name or service not known|Temporary failure in name resolution|Network is unreachable|Connection refused"
    r"|\(from versions: none\)",  # all that pip says without retries: every pinned package is on the index
    re.IGNORECASE,
)
_NO_SPACE = re.compile(
    r"No space left on device|\[Errno 28\]|not enough space on the disk|Disk quota exceeded", re.IGNORECASE
)
_NOT_FOUND = re.compile(
    r"(?:No matching distribution found for|Could not find a version that satisfies the requirement) (\S+)"
)


class Progress:
    """Turns pip's lines into readable ones, and says how long it has been silent."""

    def __init__(self, report: Report, total: int) -> None:
        self._report = report
        self._total = total
        self._count = 0
        self._began = self._spoke = time.monotonic()
        self._doing = "starting pip"
        self._done = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def line(self, text: str) -> None:
        """Take one line of pip's output."""
        if match := re.match(r"(?:Collecting|Processing) (?:\S*[\\/])?(\S+)", text):
            self._count += 1
            of = f"/{self._total}" if self._total else ""
            self._say(f"{self._count:3}{of} {match[1].split('[')[0]}")
        elif match := re.match(r"\s*Downloading (\S+) \(([\d.]+ [MG]B)\)", text):
            self._say(f"      downloading {match[1].rsplit('/', 1)[-1]}, {match[2]}")
        elif text.startswith("Installing collected packages"):
            self._say(f"      writing {text.count(',') + 1} packages to disk")

    def close(self) -> None:
        """Stop watching for silence."""
        self._done.set()

    def _say(self, text: str) -> None:
        self._doing = text.strip()
        self._spoke = time.monotonic()
        self._report(text)

    def _watch(self) -> None:
        while not self._done.wait(1.0):
            now = time.monotonic()
            if now - self._spoke >= SILENCE_SECONDS:
                self._spoke = now
                self._report(f"      … {self._doing} ({now - self._began:.0f} s so far)")


def of(python: Path) -> list[str]:
    """The command of that Python's own pip."""
    return [str(python), "-m", "pip"]


def install(program: Sequence[str], arguments: Sequence[str], scratch: Path, report: Report, total: int = 0) -> None:
    """Run `pip install ARGUMENTS` by `program` (`of(python)`), with its temporary files in `scratch`.

    Raises IndexUnreachable, DiskError or TrainerEnvironmentError with one sentence; pip's own words are in
    `pip.log` beside `scratch`'s parent.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--no-warn-script-location"]
    command = [*program, "install", *options, *arguments]
    progress = Progress(report, total)
    lines: list[str] = []
    log = scratch.parent.parent / "pip.log"
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_variables(scratch),
        encoding="utf-8",
        errors="replace",
    )
    try:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.append(line)
                progress.line(line.rstrip())
    finally:
        progress.close()
        process.kill()  # only matters when the loop was left by Ctrl-C
        code = process.wait()
        log.write_text(" ".join(command) + "\n" + "".join(lines), "utf-8")
    if code != 0:
        raise explain("".join(lines), log)


def explain(output: str, log: Path) -> DiskError | TrainerEnvironmentError:
    """The error that pip's failed run means, as one sentence with the cure."""
    if _NO_SPACE.search(output):
        return DiskError(
            f"The trainer's environment could not be written to {log.parent}: the disk is full; free some space and try again."
        )
    if _NO_NETWORK.search(output):
        return IndexUnreachable(
            "The trainer's packages could not be downloaded because the package index did not answer; "
            "check the network (or the proxy settings of pip) and try again, nothing was changed."
        )
    if missing := _NOT_FOUND.search(output):
        return TrainerEnvironmentError(
            f"The package index has no {missing[1]} for this Python and system; "
            f"use a 64-bit Python 3.10 to 3.13, or see {log} for what pip looked for."
        )
    if "DO NOT MATCH THE HASHES" in output:
        return TrainerEnvironmentError(
            f"A downloaded package is not the one that was pinned (its hash differs), so nothing was installed; try again, and if it "
            f"stays so the index or a proxy changes files: see {log}."
        )
    if "No module named pip" in output:
        return TrainerEnvironmentError(
            "This Python has no pip, so the trainer's packages cannot be installed; install pip for it (python -m ensurepip) and try again."
        )
    errors = [line.strip() for line in output.splitlines() if line.startswith("ERROR")]
    why = errors[-1].removeprefix("ERROR:").strip() if errors else "pip failed without a message"
    return TrainerEnvironmentError(
        f"The trainer's packages could not be installed: {why.rstrip('.')}; all that pip said is in {log}."
    )


def torch_arguments(requirement: str) -> list[str]:
    """pip's arguments for torch; another index by the variable that the WebUIs read (a CUDA build on Windows, say)."""
    index = os.environ.get(TORCH_INDEX_VARIABLE, "").strip()
    return [requirement, *(["--extra-index-url", index] if index else [])]


def _variables(scratch: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.upper() not in _REFUSED}
    # Temporary files beside the result: they go with it when a build is killed, and fill no other disk.
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    forced = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONUTF8": "1"}
    return {"PIP_RETRIES": "2", **kept, **temporary, **forced}
