"""An extension that writes down what a running WebUI is like, for the double in `tests/host/double.py`.

Link the folder `tests/host/recorder` into the WebUI's `extensions`, start it with `LORA_LOOP_RECORD=FILE.json` and `--api`, then
run `python -m tests.host.record http://127.0.0.1:7860`. Without that variable it does nothing.
"""

import importlib
import inspect
import json
import os
import sys
from pathlib import Path

from modules import scripts, shared

FILE = os.environ.get("LORA_LOOP_RECORD", "")
WATCHED = Path(__file__).resolve().parents[2] / "watched.json"
HOOKS = (
    "setup",
    "before_process",
    "process",
    "before_process_batch",
    "process_batch",
    "postprocess_batch",
    "postprocess_batch_list",
    "postprocess_image",
    "postprocess",
)
RECORD = {"names": {}, "jobs": {}, "hooks": {}, "processed": {}, "options": {}, "samplers": [], "schedulers": []}


def described(found):
    if inspect.isclass(found):
        return "class"
    if callable(found):
        try:
            return f"function{inspect.signature(found)}"
        except (TypeError, ValueError):
            return "function"
    return type(found).__name__


def look_up(name, path):
    try:
        found = importlib.import_module(name)
    except ImportError:
        return None
    for part in filter(None, path.split(".")):
        if not hasattr(found, part):
            return None
        found = getattr(found, part)
    return described(found)


def record_names():
    watched = json.loads(WATCHED.read_text("utf-8"))
    RECORD["names"] = {f"{name}:{path}": look_up(name, path) for name, path in watched["names"]}
    for name in watched["options"]:
        info = shared.opts.data_labels.get(name)
        if info is None:
            continue
        extra = info.component_args() if callable(info.component_args) else info.component_args
        extra = extra if isinstance(extra, dict) else {}
        choices = extra.get("choices", ())
        choices = [str(one) for one in (choices() if callable(choices) else choices)]
        RECORD["options"][name] = {
            "default": info.default,
            "minimum": extra.get("minimum"),
            "maximum": extra.get("maximum"),
            "choices": choices,
        }
    samplers = importlib.import_module("modules.sd_samplers").all_samplers
    RECORD["samplers"] = [[one.name, list(one.aliases)] for one in samplers]
    schedulers = importlib.import_module("modules.sd_schedulers").schedulers
    RECORD["schedulers"] = [[one.name, one.label, list(one.aliases or [])] for one in schedulers]
    RECORD["latent_upscale_modes"] = list(shared.latent_upscale_modes)
    RECORD["version"] = importlib.import_module("modules.launch_utils").git_tag()
    RECORD["python"] = sys.version.split()[0]


def kind(p):
    return "img2img" if hasattr(p, "init_images") else "hires" if p.enable_hr else "txt2img"


def note(hook, p, keywords):
    calls = RECORD["hooks"].setdefault(kind(p), [])
    if hook == "setup":
        calls.clear()
    calls.append(
        {
            "hook": hook,
            "keywords": sorted(keywords),
            "lists": [
                name for name in ("all_prompts", "all_seeds", "all_hr_prompts", "prompts") if getattr(p, name, None)
            ],
            "model_known": p.sd_model_name is not None,
        }
    )
    if hook == "before_process":
        RECORD["jobs"][kind(p)] = {
            name: type(getattr(p, name)).__name__
            for name in dir(p)
            if not name.startswith("_") and not callable(getattr(type(p), name, None))
        }


class Recorder(scripts.Script):
    def title(self):
        return "LoRA Loop recorder"

    def show(self, is_img2img):
        return scripts.AlwaysVisible if FILE else False

    def ui(self, is_img2img):
        return []


def forwarded(hook):
    def call(self, p, *args, **keywords):
        note(hook, p, keywords)
        if hook == "postprocess":
            RECORD["processed"] = {name: type(value).__name__ for name, value in vars(args[0]).items()}
            record_names()
            Path(FILE).write_text(json.dumps(RECORD, indent=1, sort_keys=True), "utf-8")

    return call


for hook in HOOKS:
    setattr(Recorder, hook, forwarded(hook))
