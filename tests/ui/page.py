"""A small page in the shape of a WebUI's, for the browser tests: run by a Python that has one of the hosts' gradios.

    python tests/ui/page.py PORT DATA_FOLDER [--shared] [--trainer PYTHON]

It holds prompt boxes with the host's ids, our accordion and the epoch grid's form in both tabs, the wildcards tab and
the Train tab, and loads our scripts and style as a WebUI does. `script.js` of the host, and the two of its modules that
*Keep this one* asks, are played by a few lines below.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import gradio as gr  # noqa: E402

from lib_lora_train import host  # noqa: E402
from lib_lora_train.environment import launch  # noqa: E402
from lib_lora_train.environment.state import Environment  # noqa: E402
from lib_lora_train.host.grid_form import TITLE  # noqa: E402
from lib_lora_train.keywords.catalogue import CHECKPOINT, Catalogue, Entry  # noqa: E402
from lib_lora_train.keywords.check import OptionSpec  # noqa: E402
from lib_lora_train.ui import accordion, epoch_grid, train_tab, wildcards_tab  # noqa: E402
from lib_lora_train.ui.train import building  # noqa: E402

HOST_SCRIPT = """
window.opts = window.opts || {};
window.switch_to_txt2img = () => document.querySelector("#tabs button")?.click();
window.gradioApp = () => document;
const loaded = [], updated = [], changed = [];
window.onUiLoaded = (f) => loaded.push(f);
window.onAfterUiUpdate = (f) => updated.push(f);
window.onOptionsChanged = (f) => changed.push(f);
window.changeOptions = (values) => { Object.assign(window.opts, values); changed.forEach((f) => f()); };
let started = false, timer = 0;
const run = (all) => all.forEach((f) => { try { f(); } catch (e) { console.error(e); } });
document.addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
    if (!started && document.querySelector("#txt2img_prompt textarea")) { started = true; run(loaded); }
    clearTimeout(timer); timer = setTimeout(() => run(updated), 200);
}).observe(document.body, {childList: true, subtree: true}));
"""


class Standing:
    """A host that is nothing but a folder."""

    name = "test page"

    def __init__(self, folder: Path, reachable: bool) -> None:
        self.data_folder = folder
        self.shared = SimpleNamespace(state=SimpleNamespace(job=""))
        self.reachable = reachable

    def catalogue(self) -> Catalogue:
        models = sorted((self.data_folder / "models").glob("*.safetensors"))
        trained = tuple(Entry(path.name, (), str(path)) for path in models)
        return Catalogue({CHECKPOINT: (*trained, Entry("narrow.safetensors"), Entry("narrow_b.safetensors"))})

    @property
    def lora_folder(self) -> Path | None:
        folder = self.data_folder / "Lora"
        return folder if folder.is_dir() else None

    @property
    def lora_folders(self) -> tuple[Path, ...]:
        return (self.lora_folder,) if self.lora_folder else ()

    def option(self, name: str, default: Any = None) -> Any:
        loaded = self.data_folder / "loaded.txt"
        return loaded.read_text("utf-8") if name == "sd_model_checkpoint" and loaded.is_file() else default

    def is_non_local(self) -> bool:
        return self.reachable

    def options(self) -> dict[str, OptionSpec]:
        return {}

    size_step = 8

    def foreign_tags(self) -> frozenset[str]:
        return frozenset()

    def flag(self, name: str, default: Any = None) -> Any:
        return default


def head() -> str:
    scripts = [HOST_SCRIPT, *(file.read_text("utf-8") for file in sorted((ROOT / "javascript").glob("*.js")))]
    return "".join(f"<script>{script}</script>\n" for script in scripts)


def foot() -> str:
    """The style comes last, so that it wins over gradio's of the same weight."""
    return f"<style>{(ROOT / 'style.css').read_text('utf-8')}</style>"


def tab(name: str) -> None:
    with gr.Tab(name, id=name, elem_id=f"tab_{name}"), gr.Column():
        for label, box in (("Prompt", "prompt"), ("Negative", "neg_prompt")):
            gr.Textbox(
                label=label,
                elem_id=f"{name}_{box}",
                show_label=False,
                lines=3,
                interactive=True,
                elem_classes=["prompt"],
            )
        gr.Number(value=-1, label="Seed", elem_id=f"{name}_seed", precision=0, interactive=True)
        accordion.build(name == "img2img")
        scripts(name)


def scripts(name: str) -> None:
    """The host's list of scripts, with the epoch grid in it."""
    with gr.Group(elem_id=f"{name}_script_container"):
        chosen = gr.Dropdown(label="Script", elem_id="script_list", choices=["None", TITLE], value="None", type="index")
        with gr.Group(visible=False) as form:
            epoch_grid.build(name == "img2img")
        chosen.change(lambda index: gr.update(visible=bool(index)), [chosen], [form])


def build() -> gr.Blocks:
    with gr.Blocks(title="page") as demo, gr.Tabs(elem_id="tabs"):
        tab("txt2img")
        tab("img2img")
        with gr.Tab("Wildcards", id="wildcards", elem_id="tab_lora_loop_wildcards"):
            wildcards_tab.build()
        with gr.Tab("Train", id="train", elem_id="tab_lora_loop_train"):
            train_tab.build()
    return demo


def play_modules() -> None:
    """The WebUI's lock against drawing, and the place of its cached prompts."""
    for name in ("modules", "modules.call_queue", "modules.processing"):
        sys.modules[name] = ModuleType(name)
    sys.modules["modules.call_queue"].queue_lock = threading.Lock()  # type: ignore[attr-defined]


def inject() -> None:
    """Put our scripts into the page, the way the WebUIs do."""
    original = gr.routes.templates.TemplateResponse

    def answer(*args: Any, **kwargs: Any) -> Any:
        response = original(*args, **kwargs)
        body = response.body.replace(b"</head>", f"{head()}</head>".encode())
        response.body = body.replace(b"</body>", f"{foot()}</body>".encode())
        response.init_headers()
        return response

    gr.routes.templates.TemplateResponse = answer


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("port", type=int)
    reader.add_argument("folder", type=Path)
    reader.add_argument("--shared", action="store_true")
    reader.add_argument(
        "--trainer", type=Path, help="a Python with the trainer's packages; without it they are missing"
    )
    given = reader.parse_args()
    found = (lambda wanted: Environment(wanted.home, given.trainer)) if given.trainer else (lambda _wanted: None)
    launch.find = building.find = found
    standing = Standing(given.folder, given.shared)
    host.find = lambda: standing  # type: ignore[attr-defined]
    play_modules()
    demo = build()
    inject()
    demo.queue()
    demo.launch(server_name="127.0.0.1", server_port=given.port, quiet=True, prevent_thread_lock=True, show_api=False)
    print(json.dumps({"ready": given.port, "gradio": gr.__version__}), flush=True)
    demo.block_thread()


if __name__ == "__main__":
    main()
