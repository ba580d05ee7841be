"""Let this process see the trainer's packages, and of the host's only torch and what belongs to it.

The trainer runs on the host's Python to reuse its torch (gigabytes). The host's other packages must stay out of sight,
also of `importlib.metadata`: an old transformers, a bitsandbytes that crashes at import, an xformers built for another
torch. So the host's folders leave `sys.path`, our folder comes first, and one finder shows an allow-list of the host's
packages. Everything else (lark, yaml, transformers …) comes from our own folder or not at all.

xformers is not on the list, as a broken one takes diffusers down with it; `LORA_LOOP_ALSO_FROM_HOST=xformers` lets a
package through by hand.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from types import ModuleType

PACKAGES_VARIABLE = "LORA_LOOP_PACKAGES"
# A variable, as a spawned worker starts with a copy of a `sys.path` that is already clean.
HOST_PATHS_VARIABLE = "LORA_LOOP_HOST_PATHS"
ALSO_VARIABLE = "LORA_LOOP_ALSO_FROM_HOST"

# Top-level modules and distributions, in the form that `_key` gives both.
ALLOWED = frozenset(
    [
        "torch",
        "torchgen",
        "functorch",
        "caffe2",
        "torchvision",
        "triton",
        "pytorch_triton",
        "pytorch_triton_rocm",
        "pytorch_triton_xpu",
        "triton_windows",
        "nvidia",
        "cuda",
        "cuda_bindings",
        "cuda_pathfinder",
        "cuda_toolkit",
        "rocm",
        "rocm_sdk",
        "numpy",
        "pil",
        "pillow",
        "sympy",
        "mpmath",
        "isympy",
        "networkx",
        "jinja2",
        "markupsafe",
        "filelock",
        "fsspec",
        "typing_extensions",
        "opt_einsum",
        "intel_extension_for_pytorch",
        "oneccl_bindings_for_pytorch",
        "torch_directml",
        "torch_directml_native",
        "torch_npu",
        "torch_musa",
        "torch_mlu",
    ]
)
ALLOWED_PREFIXES = ("nvidia_", "rocm_sdk_", "torch_directml_", "intel_extension_for_pytorch_")


class HostFinder(MetaPathFinder):
    """Finds the allowed packages, and their metadata, in the host's folders."""

    def __init__(self, folders: Sequence[str], also: Iterable[str] = ()) -> None:
        self._folders = list(folders)
        self._allowed = ALLOWED | {_key(name) for name in also}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A top-level module of the list; submodules are found through their package as always."""
        if path is not None or not self._allows(fullname):
            return None
        return PathFinder.find_spec(fullname, self._folders, target)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """The metadata of the list's distributions; of no others, so that nobody thinks they are there."""
        name = context.name if context is not None else None
        if name is not None and not self._allows(name):
            return []
        wanted = DistributionFinder.Context(name=name, path=self._folders)
        return [
            found
            for found in MetadataPathFinder.find_distributions(wanted)
            if self._allows(found.metadata["Name"] or "")
        ]

    def _allows(self, name: str) -> bool:
        key = _key(name)
        return key in self._allowed or key.startswith(ALLOWED_PREFIXES)


def activate(variables: Mapping[str, str] | None = None) -> None:
    """Make the process see what the variables say; does nothing without them. May be called again."""
    variables = os.environ if variables is None else variables
    packages = _split(variables.get(PACKAGES_VARIABLE, ""))
    host = _split(variables.get(HOST_PATHS_VARIABLE, ""))
    hidden = {_same(folder) for folder in host}
    sys.path[:] = [*packages, *(entry for entry in sys.path if entry not in packages and _same(entry) not in hidden)]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, HostFinder)]
    if host:
        _forget_what_pth_files_loaded(hidden)
        sys.meta_path.append(HostFinder(host, _split(variables.get(ALSO_VARIABLE, ""), ",")))


def _forget_what_pth_files_loaded(hidden: set[str]) -> None:
    """Undo what the host's `.pth` files did at start: namespace packages that point at it, finders for its packages."""
    gone = {name for name, module in sys.modules.items() if _lies_in(module, hidden)}
    sys.meta_path[:] = [finder for finder in sys.meta_path if _module_of(finder) not in gone]
    for name in gone:
        del sys.modules[name]


def _lies_in(module: ModuleType, hidden: set[str]) -> bool:
    file = getattr(module, "__file__", None)
    places = [os.path.dirname(file)] if file else list(getattr(module, "__path__", ()))  # noqa: PTH120 - starts every process
    return any((_same(place) + os.sep).startswith(folder + os.sep) for place in places for folder in hidden)


def _module_of(finder: object) -> str:
    return str(getattr(finder, "__module__", ""))


def _same(folder: str) -> str:
    return os.path.normcase(os.path.realpath(folder))


def _split(text: str, separator: str = os.pathsep) -> list[str]:
    return [part for part in text.split(separator) if part]


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower().lstrip("_")
