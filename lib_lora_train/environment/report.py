"""What the doctor finds, as data: each problem is one sentence with the command that mends it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib_lora_train.environment.build import NEEDED_MIB, examine
from lib_lora_train.environment.locate import Host, extension_folder, find_host
from lib_lora_train.environment.locks import Lock
from lib_lora_train.environment.size import expected
from lib_lora_train.environment.state import LIGHT, Environment, Wanted, find

BUILD = "python -m lib_lora_train doctor --build"
REBUILD = "python -m lib_lora_train doctor --rebuild"


@dataclass(frozen=True)
class Report:
    """Everything that the doctor looked at."""

    python: str
    platform: str
    home: str
    host: dict[str, str] | None
    environment: dict[str, Any]
    torch: dict[str, Any]
    trial: dict[str, Any]
    packages: dict[str, str]
    free_gib: float
    tokenizer: str
    problems: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def collect(wanted: Wanted) -> Report:
    """Look at everything; starts the self-test if there is an environment, builds nothing."""
    problems: list[str] = []
    host = find_host(home=wanted.home)
    found = find(wanted)
    lock = wanted.lock if found and found.folder else Lock(wanted.trainer.files)
    tested = examine(found, lock, wanted.trial) if found else {}
    if found is None:
        problems.append(_missing(wanted))
    problems += [
        f"The trainer's packages do not work: {problem}; run '{REBUILD}'." for problem in tested.get("problems", [])
    ]
    trial = tested.get("trial", {})
    if trial.get("skipped"):
        problems.append(f"The short training was left out: {trial['skipped']}, then run doctor again.")
    problems += _about_devices(tested)
    problems += _about_host(host)
    free = _free_gib(wanted.home)
    if found is None and free * 1024 < NEEDED_MIB["host" if wanted.host_python else "complete"]:
        problems.append(
            f"Only {free:.1f} GiB are free on the disk of {wanted.home}; free some space or choose another --home."
        )
    tokenizer = _tokenizer(host, found)
    return Report(
        python=f"{platform.python_version()} at {sys.executable}",
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        home=str(wanted.home),
        host=_host(host),
        environment=_environment(wanted, found),
        torch={key: tested[key] for key in ("torch", "cuda", "mps", "devices") if key in tested},
        trial=trial,
        packages=tested.get("packages", {}),
        free_gib=round(free, 1),
        tokenizer=tokenizer,
        problems=problems,
    )


def _environment(wanted: Wanted, found: Environment | None) -> dict[str, Any]:
    about = {"lock": wanted.lock.digest(), "kind": "the WebUI's torch" if wanted.host_python else "complete"}
    if found is None:
        return {**about, "state": "missing", "folder": str(wanted.folder)}
    extras = [path.name for path in found.packages if path.parent.name == "extras"]
    where = str(found.folder) if found.folder else "this Python itself"
    return {**about, "state": "complete", "folder": where, "python": str(found.python), "extras": extras}


def _missing(wanted: Wanted) -> str:
    leftovers = list(wanted.folder.glob("*.tmp"))
    older = [
        folder for folder in wanted.folder.glob("cp*") if folder not in leftovers and not folder.name.endswith(LIGHT)
    ]
    why = (
        "an earlier build was interrupted"
        if leftovers
        else "this version of LoRA Loop needs other packages"
        if older
        else "it is built at first use"
    )
    return f"The trainer's environment is not in {wanted.folder} ({why}); run '{BUILD}': {expected(wanted).sentence}."


def _about_devices(tested: dict[str, Any]) -> list[str]:
    if not tested.get("torch") or tested["cuda"] or tested["mps"] or not _nvidia_card():
        return []
    problem = (
        f"torch {tested['torch']} cannot use the NVIDIA card that is here, so training would run on the processor; set TORCH_INDEX_URL "
        f"to the address of PyTorch's CUDA builds and run '{REBUILD}' (inside a WebUI: mend the WebUI's torch)."
    )
    return [problem]


def _about_host(host: Host | None) -> list[str]:
    if host is None or host.python is not None:
        return []
    return [
        f"The WebUI in {host.folder} has no Python that could be found, so a complete environment would be made; start the WebUI once, so that its Python is known and its torch is shared."
    ]


def _nvidia_card() -> bool:
    command = shutil.which("nvidia-smi")
    if command is None:
        return False
    done = subprocess.run([command, "-L"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "GPU" in done.stdout


def _host(host: Host | None) -> dict[str, str] | None:
    if host is None:
        return None
    versions = {name: host.package_version(name) for name in ("gradio", "torch")}
    return {
        "kind": host.kind,
        "version": host.version,
        "folder": str(host.folder),
        "python": str(host.python or ""),
        **versions,
    }


def _tokenizer(host: Host | None, found: Environment | None) -> str:
    """Where the CLIP tokenizer's vocabulary is; the project ships one, Forge another."""
    places = [
        extension_folder() / "lib_lora_train",
        *([host.folder / "backend" / "huggingface"] if host and found else []),
    ]
    files = (file for place in places if place.is_dir() for file in sorted(place.glob("**/merges.txt")))
    return next((str(file.parent) for file in files if (file.parent / "vocab.json").is_file()), "")


def _free_gib(folder: Path) -> float:
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    return shutil.disk_usage(existing).free / 2**30
