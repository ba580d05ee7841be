"""The main file of every process in the trainer's environment: `python start.py MODULE ARGUMENTS…`.

Its first lines make the environment, at import on purpose: a spawned worker (DataLoader on Windows) runs only the main
file's top level again. It is started by its path, because an embeddable Python ignores PYTHONPATH and `-m` both.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).absolute().parent
_ROOT = str(_HERE.parents[1])
# Our folder of modules must not be a place to import `errors` from; the checkout comes last, as it holds a `tests`.
sys.path[:] = [entry for entry in sys.path if entry not in (_ROOT, str(_HERE), str(_HERE.resolve()))] + [_ROOT]

from lib_lora_train.environment.activate import activate  # noqa: E402

activate()

if __name__ == "__main__":
    from importlib import import_module

    sys.argv = sys.argv[1:]
    sys.exit(import_module(sys.argv[0]).main(sys.argv[1:]))
