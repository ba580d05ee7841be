"""`ui`: the Train tab without a WebUI, with whichever generation of gradio this Python has."""

from __future__ import annotations

import argparse
import importlib
import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora_train.environment.errors import TrainerEnvironmentError
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.keywords.catalogue import CHECKPOINT, Catalogue, Entry
from lib_lora_train.ui.guard import Guard
from lib_lora_train.ui.origin import Rule

PORT = 7870
ROOT = Path(__file__).resolve().parents[2]
AROUND = """
window.gradioApp = () => document;
window.onUiLoaded = (work) => setTimeout(work, 0);
window.onAfterUiUpdate = () => {};
window.onOptionsChanged = () => {};
"""
"""What our scripts expect of a WebUI."""
USED = ("words", "tell")
"""What the tab's scripts use of the other ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ui`."""
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")
    parser.add_argument(
        "--listen", metavar="ADDRESS", default="127.0.0.1", help="such as 0.0.0.0 for the whole network"
    )
    parser.add_argument("--password", metavar="NAME:WORD", help="ask for it before anything is shown")
    parser.add_argument(
        "--host-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which the page is opened over plain http, such as lora.example.org, or through a proxy that changes the host name",
    )
    parser.add_argument("--allow-remote", action="store_true", help="let everyone who reaches the page train")
    parser.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="where base checkpoints are (default: HOME/models)",
    )
    parser.add_argument(
        "--photos",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of photos that the page may read",
    )
    parser.add_argument("--lora", type=Path, metavar="DIR", help="where finished LoRA files are copied to")


def run(options: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    try:
        gradio = importlib.import_module("gradio")
    except ImportError as error:
        raise TrainerEnvironmentError(
            f"The page needs gradio ({error}); install it with '{sys.executable} -m pip install gradio==4.40.0', "
            "or start this with the WebUI's own Python."
        ) from error
    password = tuple(options.password.partition(":")[::2]) if options.password else None
    if password is not None and not all(password):
        raise LoraLoopError("--password: write it as NAME:WORD.")
    host: Any = importlib.import_module("lib_lora_train.host")
    alone = Alone(options)
    host.find = lambda: alone
    names = frozenset(name.lower() for name in options.host_name)
    _guard(gradio, Rule(names, any_name=password is not None))
    page = _page(gradio)
    page.queue()
    page.launch(
        server_name=options.listen,
        server_port=options.port,
        auth=password,
        quiet=True,
        show_api=False,
        prevent_thread_lock=True,
    )
    print(f"The page is at http://{options.listen}:{options.port}. Ctrl+C ends it; what trains goes on.", flush=True)
    page.block_thread()
    return 0


def _guard(gradio: Any, rule: Rule) -> None:
    """Put the guard around every server that gradio makes. After `launch` it would be too late: the server runs then."""
    create = gradio.routes.App.create_app

    def guarded(*given: Any, **named: Any) -> Any:
        app = create(*given, **named)
        app.add_middleware(Guard, rule=rule)  # the last that is added is the outermost
        return app

    gradio.routes.App.create_app = staticmethod(guarded)


def _page(gradio: Any) -> Any:
    tab = importlib.import_module("lib_lora_train.ui.train_tab")
    listen = importlib.import_module("lib_lora_train.ui.events").listen
    folder = ROOT / "javascript"
    files = [*(folder / f"lora_loop_{name}.js" for name in USED), *sorted(folder.glob("lora_loop_train*.js"))]
    script = "\n".join(file.read_text("utf-8") for file in files)
    with gradio.Blocks(title="LoRA Loop", css=(ROOT / "style.css").read_text("utf-8"), analytics_enabled=False) as page:
        tab.build()
        listen(page.load, None, script=f"() => {{ {AROUND} {script} }}")
    return page


@dataclass(frozen=True, eq=False)
class Alone:
    """No WebUI: what the page asks of one, answered from the command line."""

    given: argparse.Namespace
    name: str = "LoRA Loop"

    @property
    def data_folder(self) -> Path:
        """The home itself: what lies around it is not ours to show."""
        return Path(self.given.home)

    @property
    def lora_folder(self) -> Path | None:
        """Where finished files go as well, when it was told."""
        return self.given.lora.absolute() if self.given.lora else None

    @property
    def lora_folders(self) -> tuple[Path, ...]:
        """No other folder is known."""
        return (self.lora_folder,) if self.lora_folder else ()

    def catalogue(self) -> Catalogue:
        """The checkpoints of the model folders."""
        folders = [one.absolute() for one in self.given.models] or [Path(self.given.home) / "models"]
        files = [file for folder in folders for file in sorted(folder.glob("**/*.safetensors"))]
        return Catalogue({CHECKPOINT: tuple(Entry(file.name, (), str(file)) for file in files)})

    def option(self, name: str, default: Any = None) -> Any:
        """There are no settings."""
        return default

    def is_non_local(self) -> bool:
        """Whether others may reach the page without a password."""
        try:
            local = ipaddress.ip_address(self.given.listen).is_loopback
        except ValueError:
            local = self.given.listen == "localhost"
        return not local and not self.given.password

    def flag(self, name: str, default: Any = None) -> Any:
        """The WebUI's flags that this command has too."""
        return {
            "lora_loop_home": str(self.given.home),
            "lora_loop_allow_remote": self.given.allow_remote,
            "lora_loop_photos": [str(one) for one in self.given.photos],
            "lora_loop_host_name": self.given.host_name,
            "server_name": self.given.listen,
        }.get(name, default)

    def render(self, fields: Any) -> Any:
        """Pictures are made by a WebUI only."""
        raise LoraLoopError("This page has no WebUI to draw with.")
