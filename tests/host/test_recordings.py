"""What the adapters ask of a WebUI is there in those that were recorded, and the recordings are of all kinds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lib_lora_train.keywords.table import KEYWORDS
from tests.host.double import RECORDINGS

HOST = Path(__file__).parents[2] / "lib_lora_train" / "host"
WATCHED = json.loads((Path(__file__).parent / "watched.json").read_text("utf-8"))
FORGE = (
    "modules_forge.main_entry:module_list",
    "modules_forge.main_entry:refresh_models",
    "modules_forge.main_thread:run_and_wait_result",
    "modules.sd_models:forge_model_reload",
    "modules.sd_models:model_data.forge_loading_parameters",
    "modules.processing:need_global_unload",
    "modules.sysinfo:set_config",
)
NEO = (
    "modules.processing:StableDiffusionProcessingTxt2Img.get_hr_prompt",
    "modules_forge.presets:is_video",
    "modules_forge.forge_version:release",
)
ABSENT = {
    "a1111": {*FORGE, *NEO},
    "forge": {*NEO},
    "neo": {"modules.sd_hijack:model_hijack", "modules.sd_models_config:"},
}
"""What not every WebUI has: the adapters ask for these by feature."""
FORGE_FIELDS = ("distilled_cfg_scale", "hr_cfg", "hr_distilled_cfg")


def test_all_kinds_are_recorded() -> None:
    assert set(RECORDINGS) == set(ABSENT)


@pytest.mark.parametrize("kind", sorted(RECORDINGS))
def test_every_name_is_there(kind: str) -> None:
    names = RECORDINGS[kind]["names"]
    assert set(names) == {f"{module}:{path}" for module, path in WATCHED["names"]}
    assert {name for name, found in names.items() if found is None} == ABSENT[kind]


def test_every_module_that_the_adapters_name_is_watched() -> None:
    named = set(
        re.findall(
            r'"((?:modules|modules_forge)\.\w+|networks)"',
            "\n".join(one.read_text("utf-8") for one in HOST.glob("*.py")),
        )
    )
    assert named - {"modules.processing"} <= {module for module, _ in WATCHED["names"]}


@pytest.mark.parametrize("kind", sorted(RECORDINGS))
def test_every_keyword_has_its_field(kind: str) -> None:
    recording = RECORDINGS[kind]
    fields = set().union(*recording["jobs"].values()) | {"inpainting_mask_weight"}
    absent = {row.target for row in KEYWORDS if row.recipe == "attribute" and row.target not in fields}
    assert absent == (set(FORGE_FIELDS) if kind == "a1111" else set())
    for row in KEYWORDS:
        if row.recipe in ("option", "both"):
            assert row.target in recording["options"]


@pytest.mark.parametrize("kind", sorted(RECORDINGS))
def test_hooks_come_in_the_order_that_we_build_on(kind: str) -> None:
    for mode in ("txt2img", "hires", "img2img"):
        calls = RECORDINGS[kind]["hooks"][mode]
        order = [call["hook"] for call in calls]
        assert (
            order[:4] == ["setup", "before_process", "process", "before_process_batch"] and order[-1] == "postprocess"
        )
        assert order.count("before_process_batch") == 2
        assert "all_prompts" not in calls[1]["lists"] and {"all_prompts", "all_seeds"} <= set(calls[2]["lists"])
        assert ("all_hr_prompts" in calls[2]["lists"]) == (mode == "hires")
