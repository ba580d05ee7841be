"""A WebUI in a few lines, with the names, signatures, fields and order of hooks that were recorded from real ones.

It renders nothing: a picture is 8 × 8 pixels of a colour that follows from everything that was asked for, so two pictures
are equal when the same was asked for. `tests/webui` runs the same questions against real WebUIs.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_lora_train.host import door, finding

RECORDINGS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in (Path(__file__).parent / "recordings").glob("*.json")
}
CHECKPOINTS = ("one", "two", "three_a", "three_b")
DEFAULTS: dict[str, Any] = {
    "prompt": "", "negative_prompt": "", "seed": 7, "subseed": 3, "subseed_strength": 0, "steps": 20, "cfg_scale": 7.0,
    "width": 64, "height": 64, "batch_size": 1, "n_iter": 1, "sampler_name": "Euler", "scheduler": "Automatic",
    "enable_hr": False, "hr_prompt": "", "hr_negative_prompt": "", "denoising_strength": None,
}  # fmt: skip
SHOWN = ("prompt", "negative_prompt", "hr_prompt", "seed", "steps", "cfg_scale", "width", "height", "sampler_name", "scheduler",
         "hr_second_pass_steps", "tiling", "checkpoint", "vae", "clip_skip", "networks")  # fmt: skip


class Failed(Exception):
    """The WebUI's own failure, in the middle of a job."""


class Options:
    """The WebUI's options: what is saved lies in `data`, what there is in `data_labels`."""

    def __init__(self, recorded: dict[str, Any]) -> None:
        self.data_labels = {
            name: types.SimpleNamespace(default=one["default"], component_args=one) for name, one in recorded.items()
        }
        self.data: dict[str, Any] = {}

    def add_option(self, name: str, info: Any) -> None:
        self.data_labels[name] = info


class Job:
    """A job with the recorded fields."""

    def __init__(self, double: Double, kind: str, **fields: Any) -> None:
        known = double.recording["jobs"]["img2img" if kind == "img2img" else "txt2img"]
        for name in known:
            setattr(self, name, None)
        if kind == "img2img":
            self.init_images = fields.pop("init_images")
        self.override_settings: dict[str, Any] = {}
        self.extra_generation_params: dict[str, Any] = {}
        self.comments: dict[str, int] = {}
        self.styles: list[str] = []
        defaults = {name: value for name, value in DEFAULTS.items() if name in known}
        for name, value in {**defaults, **fields}.items():
            assert name in known, f"{name} is no field of a recorded job"
            setattr(self, name, value)
        self.do_not_save_grid = True
        self.iteration = 0
        self.scripts, self.script_args = double.runner, double.runner.arguments
        self.apply = (double.styles.apply_styles_to_prompt, double.styles.apply_negative_styles_to_prompt)

    def comment(self, text: str) -> None:
        self.comments[text] = 1

    def setup_prompts(self) -> None:
        """The lists, from the job's own texts."""
        prompts = self.prompt if isinstance(self.prompt, list) else self.batch_size * self.n_iter * [self.prompt]
        self.all_prompts = [self.apply[0](text, self.styles) for text in prompts]
        self.all_negative_prompts = [self.apply[1](self.negative_prompt, self.styles) for _ in prompts]
        self.main_prompt, self.main_negative_prompt = self.all_prompts[0], self.all_negative_prompts[0]
        self.all_hr_prompts = len(prompts) * [getattr(self, "hr_prompt", None) or self.prompt]
        self.all_hr_negative_prompts = len(prompts) * [
            getattr(self, "hr_negative_prompt", None) or self.negative_prompt
        ]

    def init(self, prompts: Any, seeds: Any, subseeds: Any) -> None:
        """Nothing to prepare."""

    def setup_conds(self) -> None:
        """What is rendered is in `prompts` now."""

    def own_hires_record(self) -> None:
        """What the WebUI itself writes of hires prompts: A1111 and Forge at the job's start, Neo (below) in the pass."""


class NeoJob(Job):
    """A job of Forge Neo, whose record of the hires prompt is a method of its own."""

    @staticmethod
    def get_hr_prompt(p: Any, index: int, **_: Any) -> str:
        return p.all_hr_prompts[index]

    @staticmethod
    def get_hr_negative_prompt(p: Any, index: int, **_: Any) -> str:
        return p.all_hr_negative_prompts[index]

    def own_hires_record(self) -> None:
        self.extra_generation_params["Hires prompt"] = self.get_hr_prompt
        self.extra_generation_params["Hires negative prompt"] = self.get_hr_negative_prompt


class Other:
    """Another extension's always-on script: its hooks are those that a subclass has."""

    name = "Other"
    defaults: tuple[Any, ...] = ()
    args_from = args_to = 0
    filename = "/extensions/other/scripts/other.py"

    def title(self) -> str:
        return self.name


class Ours(Other):
    """Our own script, which forwards the WebUI's hooks."""

    name = "LoRA Loop prompts"

    def before_process(self, p: Any, *arguments: Any) -> None:
        door.before_process(p, p.scripts.double.arguments)

    def process(self, p: Any, *_: Any) -> None:
        door.process(p)

    def before_process_batch(self, p: Any, *_: Any, **__: Any) -> None:
        door.before_process_batch(p)

    def postprocess_image(self, p: Any, *_: Any) -> None:
        door.postprocess_image(p)

    def postprocess(self, p: Any, done: Any, *_: Any) -> None:
        door.postprocess(p, done)


class DynamicPrompts(Other):
    """As sd-dynamic-prompts does: all images from the first text, its own seeds, lists of another length."""

    name = "Dynamic Prompts v2.17.1"
    defaults = (True, False, 1, False, False, False, 1.1, 1.5, 100, 0.7, False, False, True, False, False, 0, "", "")

    def __init__(self) -> None:
        self.told: list[list[str]] = []

    def process(
        self, p: Any, is_enabled: Any, is_combinatorial: Any, combinatorial_batches: Any, is_magic_prompt: Any,
        is_feeling_lucky: Any, is_attention_grabber: Any, min_attention: Any, max_attention: Any, magic_prompt_length: Any,
        magic_temp_value: Any, use_fixed_seed: Any, unlink_seed_from_prompt: Any, disable_negative_prompt: Any,
        enable_jinja_templates: Any, no_image_generation: Any, max_generations: Any, magic_model: Any, magic_blocklist_regex: Any,
    ) -> None:  # fmt: skip
        if not is_enabled:
            return
        p.seed, p.subseed = int(p.seed), int(p.subseed)
        first, negative = p.all_prompts[0], p.all_negative_prompts[0]
        number = 1 if is_combinatorial else p.n_iter * p.batch_size
        number = max(number, 1)
        p.n_iter = math.ceil(number / p.batch_size)
        p.all_seeds = [p.seed + one for one in range(number)]
        p.all_subseeds = [p.subseed + one for one in range(number)]
        p.all_prompts = [first.replace("{red|blue}", ("red", "blue")[one % 2]) for one in range(number)]
        p.all_negative_prompts = [negative] * number
        p.extra_generation_params["Template"] = first
        p.prompt = first
        self.told.append(p.all_prompts)


class Runner:
    """The WebUI's runner of always-on scripts."""

    def __init__(self, double: Double) -> None:
        self.double = double
        self.arguments: tuple[Any, ...] = (None,)
        self.alwayson_scripts: list[Any] = []
        self.add(Ours())

    def add(self, script: Any, before_ours: bool = False) -> Any:
        script.args_from = len(self.arguments)
        self.arguments = (*self.arguments, *script.defaults)
        script.args_to = len(self.arguments)
        self.alwayson_scripts.insert(0 if before_ours else len(self.alwayson_scripts), script)
        return script

    def call(self, hook: str, p: Any, *given: Any, **named: Any) -> None:
        """A hook of all scripts, as the WebUI calls it: exceptions are swallowed."""
        for script in self.alwayson_scripts:
            if hasattr(script, hook):
                arguments = p.script_args[script.args_from : script.args_to]
                try:
                    getattr(script, hook)(p, *given, *arguments, **named)
                except Exception as error:  # a real one prints it and goes on
                    raise AssertionError(
                        f"{hook} of {script.name} raised {error!r}, which a WebUI would swallow"
                    ) from error


class Done:
    """The result of a job."""

    def __init__(self, p: Any, images: list[Any], infotexts: list[str]) -> None:
        self.images, self.infotexts, self.info = images, infotexts, infotexts[0] if infotexts else ""
        self.index_of_first_image = 0
        self.all_prompts, self.all_seeds = list(p.all_prompts), list(p.all_seeds)
        self.extra_generation_params = p.extra_generation_params
        self.comments = "".join(f"{text}\n" for text in p.comments)

    def js(self) -> str:
        """The API's answer, as Forge Classic and A1111 before 1.9 write it. Raises TypeError where functions are left."""
        return json.dumps({"extra_generation_params": self.extra_generation_params, "infotexts": self.infotexts})

    @property
    def texts(self) -> list[str]:
        return self.infotexts

    @property
    def prompts(self) -> list[str]:
        return [text.split("\n")[0] for text in self.infotexts]


class PlainTexts:
    """A WebUI that calls no functions in a picture's text and writes its answer as plain JSON: A1111 before 1.9."""

    def infotext(self, p: Any, index: int, all_prompts: list[str]) -> str:
        fields = {
            "Steps": p.steps,
            "Seed": p.all_seeds[index + p.iteration * p.batch_size],
            **p.extra_generation_params,
        }
        said = ", ".join(f"{key}: {json.dumps(value) if ',' in str(value) else value}" for key, value in fields.items())
        return f"{all_prompts[index]}\n{said}"


class Double:
    """The WebUI: `make` runs a job, `rendered` is every image made, in order."""

    def __init__(self, recording: dict[str, Any], folder: Path) -> None:
        self.recording, self.folder = recording, folder
        self.rendered: list[dict[str, Any]] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.loads: list[str] = []
        self.unloads = 0
        self.fail: tuple[int, str] = (-1, "")
        self.arguments: tuple[Any, ...] = ()
        self.opts = Options(recording["options"])
        self.opts.data["sd_model_checkpoint"] = "one.safetensors"
        self.state = types.SimpleNamespace(interrupted=False, stopping_generation=False, job_count=-1)
        infos = [types.SimpleNamespace(name=f"{name}.safetensors", title=f"{name}.safetensors [{name}]", name_for_extra=name,
                                       model_name=name, shorthash=None, filename=str(folder / f"{name}.safetensors"))
                 for name in CHECKPOINTS]  # fmt: skip
        self.infos = {alias: one for one in infos for alias in (one.name, one.title, one.name_for_extra)}
        self.model_data = types.SimpleNamespace(sd_model=None, forge_loading_parameters={}, forge_hash="")
        self.is_forge = recording["names"]["modules.sd_models:forge_model_reload"] is not None
        self.flags = types.SimpleNamespace(lora_dir=str(folder), skip_load_model_at_start=False)
        self.runner = Runner(self)
        self.styles = types.SimpleNamespace(
            styles={"noir": None},
            apply_styles_to_prompt=lambda text, names: ", ".join([text, *(f"{name} {{a|b}}" for name in names)]),
            apply_negative_styles_to_prompt=lambda text, names: text,
        )
        self.hooks = [call["hook"] for call in recording["hooks"]["txt2img"]]

    @property
    def options(self) -> dict[str, Any]:
        """What every option says now."""
        return {name: self.opts.data.get(name, label.default) for name, label in self.opts.data_labels.items()}

    def batch_values(self, name: str) -> list[set[Any]]:
        return [{shot[name] for shot in batch} for batch in self.batches]

    def at_image(self, number: int, how: str) -> None:
        """Fail ("raise") or be interrupted when image `number` of those rendered is made."""
        self.fail = (number + len(self.rendered) if number >= 0 else -1, how)

    def job(self, **fields: Any) -> Any:
        kind = NeoJob if self.recording["names"].get("modules_forge.presets:is_video") else Job
        return kind(self, "img2img" if "init_images" in fields else "txt2img", **fields)

    def make(self, arguments: tuple[Any, ...] = (), **fields: Any) -> Done:
        self.arguments = arguments
        self.state.interrupted, self.state.job_count = False, -1
        return self.process_images(self.job(**fields))

    # The WebUI's own way ------------------------------------------------------------------------------------------------

    def process_images(self, p: Any) -> Done:
        first, last = self.hooks.index("before_process_batch"), self.hooks.index("postprocess")
        before = self.hooks[self.hooks.index("before_process") : first]
        assert before == ["before_process", "process"], "the recorded order has changed"
        p.scripts.call("before_process", p)
        stored = {name: self.opts.data[name] for name in p.override_settings.keys() if name in self.opts.data}  # noqa: SIM118 - as there
        try:
            self.set_config(p.override_settings)
            if not (self.is_forge and getattr(p, "txt2img_upscale", False)):
                self.load()
            getattr(p, "setup_prompts", lambda: self.fill(p))()
            numbers = range(len(p.all_prompts))
            p.all_seeds = p.seed if isinstance(p.seed, list) else [int(p.seed) + number for number in numbers]
            p.all_subseeds = (
                p.subseed if isinstance(p.subseed, list) else [int(p.subseed) + number for number in numbers]
            )
            p.scripts.call("process", p)
            p.init(p.all_prompts, p.all_seeds, p.all_subseeds)
            images, texts = self.loop(p)
            done = Done(p, images, texts or [self.infotext(p, 0, p.all_prompts)])
            assert self.hooks[last] == "postprocess"
            p.scripts.call("postprocess", p, done)
            return done
        finally:
            self.set_config(stored)

    def loop(self, p: Any) -> tuple[list[Any], list[str]]:
        images: list[Any] = []
        texts: list[str] = []
        for number in range(p.n_iter):
            if self.state.interrupted:
                break
            p.iteration = number
            part = slice(number * p.batch_size, (number + 1) * p.batch_size)
            p.prompts, p.negative_prompts, p.seeds = (
                p.all_prompts[part],
                p.all_negative_prompts[part],
                p.all_seeds[part],
            )
            named = {"batch_number": number, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}
            p.scripts.call("before_process_batch", p, **named)
            p.scripts.call("process_batch", p, **named)
            p.setup_conds()
            if getattr(p, "enable_hr", False):
                p.own_hires_record()
            batch: list[dict[str, Any]] = []
            self.batches.append(batch)
            for index in range(len(p.prompts)):
                if len(self.rendered) == self.fail[0]:
                    self.state.interrupted = self.fail[1] == "interrupt"
                    if self.fail[1] == "raise":
                        raise Failed("out of memory")
                shot = self.shot(p, index, part.start + index)
                batch.append(shot)
                self.rendered.append(shot)
                colour = hashlib.sha256(json.dumps(shot, sort_keys=True, default=str).encode()).digest()[:3]
                images.append(Image.new("RGB", (8, 8), tuple(colour)))
                p.batch_index = index
                p.scripts.call("postprocess_image", p)
                texts.append(self.infotext(p, index, p.prompts))
        return images, texts

    def shot(self, p: Any, index: int, place: int) -> dict[str, Any]:
        from lib_lora_train.keywords.read import networks

        values = {name: getattr(p, name, None) for name in SHOWN if hasattr(p, name)}
        return {
            **values,
            "prompt": p.prompts[index],
            "negative_prompt": p.negative_prompts[index],
            "hr_prompt": p.all_hr_prompts[place] if getattr(p, "enable_hr", False) else "",
            "seed": p.seeds[index],
            "networks": networks(p.prompts[0]),  # the host reads the first prompt of a batch
            "checkpoint": self.model_data.sd_model.sd_checkpoint_info.name,
            "vae": self.opts.data.get("forge_additional_modules" if self.is_forge else "sd_vae"),
            "clip_skip": self.options["CLIP_stop_at_last_layers"],
        }

    def infotext(self, p: Any, index: int, all_prompts: list[str]) -> str:
        """The text of a picture; a callable gets the place in the batch, as recorded from the WebUIs' source."""
        fields = {"Steps": p.steps, "CFG scale": p.cfg_scale, "Seed": p.all_seeds[index if all_prompts is p.all_prompts else index + p.iteration * p.batch_size],
                  "Size": f"{p.width}x{p.height}", **p.extra_generation_params}  # fmt: skip
        skip = self.opts.data.get("CLIP_stop_at_last_layers", self.opts.data_labels["CLIP_stop_at_last_layers"].default)
        fields |= {"Sampler": p.sampler_name, "Schedule type": p.scheduler, "Model": self.model_data.sd_model.sd_checkpoint_info.name_for_extra}  # fmt: skip
        if skip > 1 or self.recording["version"] == "neo":
            fields["Clip skip"] = skip
        if getattr(p, "enable_hr", False):
            fields |= {"Hires upscale": p.hr_scale, "Denoising strength": p.denoising_strength}
        if self.is_forge:
            modules = self.opts.data.get("forge_additional_modules") or []
            fields |= {f"Module {at}": Path(one).name.removesuffix(".pt") for at, one in enumerate(modules, 1)}
        said = []
        for key, value in fields.items():
            if callable(value):
                value = value(p=p, index=index, all_prompts=all_prompts, use_main_prompt=False)
            if value is not None:
                text = str(value)
                said.append(
                    f"{key}: {json.dumps(text, ensure_ascii=False) if any(c in text for c in ',:' + chr(10)) else text}"
                )
        place = index if all_prompts is p.all_prompts else index + p.iteration * p.batch_size
        negative = f"\nNegative prompt: {p.all_negative_prompts[place]}" if p.all_negative_prompts[place] else ""
        return f"{all_prompts[index]}{negative}\n{', '.join(said)}"

    def set_config(self, wanted: dict[str, Any], **_: Any) -> None:
        """Set options. Forge then chooses what to load, and orders the model that is there out of the card's memory."""
        changed = {name for name, value in wanted.items() if self.opts.data.get(name) != value}
        self.opts.data.update(wanted)
        if self.is_forge and changed & {"sd_model_checkpoint", "forge_additional_modules"}:
            self.choose()

    def choose(self) -> None:
        info = self.infos[self.opts.data["sd_model_checkpoint"]]
        modules = list(self.opts.data.get("forge_additional_modules") or [])
        self.model_data.forge_loading_parameters = {"checkpoint_info": info, "additional_modules": modules}
        sys.modules["modules.processing"].need_global_unload = True  # type: ignore[attr-defined]

    def load(self) -> None:
        if self.is_forge:
            self.load_forge()
            return
        wanted = self.infos[self.opts.data["sd_model_checkpoint"]]
        if getattr(self.model_data.sd_model, "sd_checkpoint_info", None) is not wanted:
            self.loads.append(wanted.name)
            self.model_data.sd_model = types.SimpleNamespace(sd_checkpoint_info=wanted)

    def load_forge(self) -> None:
        """Load what was chosen; what is in memory already is moved out of the card's memory where that was ordered."""
        processing: Any = sys.modules["modules.processing"]
        if not self.model_data.forge_loading_parameters:
            self.choose()
        chosen = self.model_data.forge_loading_parameters
        if str(chosen) != self.model_data.forge_hash:
            self.loads.append(chosen["checkpoint_info"].name)
            self.model_data.sd_model = types.SimpleNamespace(sd_checkpoint_info=chosen["checkpoint_info"])
            self.model_data.forge_hash = str(chosen)
        elif processing.need_global_unload:
            self.unloads += 1
        processing.need_global_unload = False

    def look_for_loras(self) -> None:
        """The WebUI's own refresh: every LoRA file of the folder by name."""
        known = sys.modules["networks"].available_networks
        known.update({
            file.stem: types.SimpleNamespace(filename=str(file), alias=file.stem) for file in self.folder.glob("*.lora")
        })  # fmt: skip

    # The names that the adapters look for --------------------------------------------------------------------------------

    def modules(self) -> dict[str, Any]:
        """The modules that there are in the recording, with what the adapters use of them."""
        jobs = {
            f"StableDiffusionProcessing{kind}": type(kind, (), dict.fromkeys(self.recording["jobs"][kind.lower()]))
            for kind in ("Txt2Img", "Img2Img")
        }
        monitor = types.SimpleNamespace(cuda_mem_get_info=lambda: (1_100_000_000, 8_000_000_000))
        main: dict[str, Any] = {
            "modules.shared": {"opts": self.opts, "state": self.state, "prompt_styles": self.styles, "sd_upscalers": [], "gr": None,
                               "cmd_opts": self.flags, "sd_model": None, "mem_mon": monitor,
                               "latent_upscale_modes": dict.fromkeys(self.recording["latent_upscale_modes"]),
                               "OptionInfo": types.SimpleNamespace},
            "modules.processing": {"process_images": self.process_images, "get_fixed_seed": lambda seed: 1234 if seed in (-1, None) else seed,
                                   "create_infotext": self.infotext, **jobs},
            "modules.sd_models": {"checkpoints_list": {one.title: one for one in self.infos.values()},
                                  "checkpoint_aliases": self.infos, "model_data": self.model_data},
            "modules.sd_vae": {"vae_dict": {"kl.vae.pt": "/v/kl.vae.pt"}},
            "modules.sd_samplers": {"all_samplers": [types.SimpleNamespace(name=name, aliases=aliases) for name, aliases in self.recording["samplers"]]},
            "modules.sd_schedulers": {"schedulers": [types.SimpleNamespace(name=name, label=label, aliases=aliases) for name, label, aliases in self.recording["schedulers"]]},
            "modules.extra_networks": {"extra_network_registry": {"lora": None, "hypernet": None}, "extra_network_aliases": {}},
            "modules.paths": {"data_path": str(self.folder)},
            "modules.rng": {"manual_seed": lambda seed: None},
            "modules.launch_utils": {"git_tag": lambda: self.recording["version"]},
            "modules.call_queue": {"queue_lock": threading.Lock()},
            "modules.devices": {"device": types.SimpleNamespace(type="cpu", index=None)},
            "networks": {"available_networks": {}, "list_available_networks": self.look_for_loras},
        }  # fmt: skip
        if self.is_forge:
            main["modules.sd_models"]["forge_model_reload"] = self.load
            main["modules.processing"]["need_global_unload"] = False
            main["modules.sysinfo"] = {"set_config": self.set_config}
            main["modules_forge.forge_version"] = {"version": self.recording["version"]}
            main["modules_forge.main_entry"] = {
                "module_list": {"kl.vae.pt": "/v/kl.vae.pt"},
                "refresh_models": lambda: None,
            }
        for name, members in main.items():
            for member in members:
                assert self.recording["names"].get(f"{name}:{member}", True)
        return main


class OldDouble(PlainTexts, Double):
    """A1111 before 1.9."""


@pytest.fixture(params=sorted(RECORDINGS))
def webui(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A double of each recorded WebUI, found as ours is found in the real one."""
    yield from placed(Double(RECORDINGS[request.param], tmp_path), monkeypatch)


@pytest.fixture
def old_webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A double of A1111 before 1.9."""
    yield from placed(OldDouble(RECORDINGS["a1111"], tmp_path), monkeypatch)


def placed(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """The double in the place of a WebUI's modules."""
    for package in ("modules", "modules_forge"):
        if package == "modules" or double.is_forge:
            monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    for name, members in double.modules().items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    finding.find.cache_clear()
    yield double
    finding.find.cache_clear()
