"""Interrupt, skip and failure: the page's settings are afterwards what they were, and the next job is untouched."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest

from tests.webui.client import Made, Refused, WebUI, same

TAGS = "<checkpoint:{}><clip_skip:4><opt:eta_noise_seed_delta:9><s_churn:3>"


def during(webui: WebUI, path: str, **fields: object) -> Made:
    """Make a long job, and call `path` as soon as its sampling has begun."""

    def press() -> None:
        for _ in range(600):
            if webui.call("/sdapi/v1/progress?skip_current_image=true")["state"]["sampling_step"] >= 2:
                webui.call(path, {})
                return
            time.sleep(0.05)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        return webui.make(**fields)  # type: ignore[arg-type]
    finally:
        thread.join()


@pytest.mark.parametrize("path", ["/sdapi/v1/interrupt", "/sdapi/v1/skip"])
def test_interrupt_and_skip(webui: WebUI, other_checkpoint: str, path: str) -> None:
    before, plain = webui.options(), webui.make(prompt="a cat")
    template = f"a cat {TAGS.format(other_checkpoint)} <steps:{{120|121}}>"
    made = during(webui, path, prompt=template, n_iter=3, width=128, height=128)
    assert len(made.images) == (1 if "interrupt" in path else 3)
    after = webui.options()
    assert {key for key in before if before[key] != after[key]} <= {"sd_checkpoint_hash"}
    again = webui.make(prompt="a cat")
    assert again.texts == plain.texts and same(again.images[0], plain.images[0])


def test_failure_in_the_job(webui: WebUI, other_checkpoint: str) -> None:
    """A job that fails in the WebUI's own code, after our settings were put in."""
    before, plain = webui.options(), webui.make(prompt="a cat")
    with pytest.raises(Refused):
        webui.make(
            "hires",
            prompt=f"a cat {TAGS.format(other_checkpoint)}",
            hr_upscaler="none of that name",
            n_iter=2,
        )
    after = webui.options()
    assert {key for key in before if before[key] != after[key]} <= {"sd_checkpoint_hash"}
    again = webui.make(prompt="a cat")
    assert again.texts == plain.texts and same(again.images[0], plain.images[0])


def test_failure_in_mid_job(webui: WebUI, other_checkpoint: str) -> None:
    """The first image is made, with a checkpoint and settings of its own; the second fails in the WebUI's own code."""
    before, plain = webui.options(), webui.make(prompt="a cat")
    template = f"a cat <hires:{{off|on}}> {TAGS.format(other_checkpoint)}"
    asked = {"hr_upscaler": "none of that name", "request": {"mode": "combinatorial"}}
    with pytest.raises(Refused):
        webui.make("hires", prompt=template, **asked)
    assert len(webui.make("hires", prompt=template.replace("{off|on}", "off"), **asked).images) == 1
    after = webui.options()
    assert {key for key in before if before[key] != after[key]} <= {"sd_checkpoint_hash"}
    again = webui.make(prompt="a cat")
    assert again.texts == plain.texts and same(again.images[0], plain.images[0])


def test_generate_for_ever(webui: WebUI, other_checkpoint: str) -> None:
    """200 rounds with a random seed and a growing set of prompts: a drawn checkpoint is kept for as many images as the
    setting says (8), each has its share, and the WebUI's memory stays flat."""
    first = webui.small_checkpoints()[0]
    used: list[str] = []
    prompts: set[str] = set()
    memory: list[int] = []
    for number in range(200):
        words = "|".join(f"word{word}" for word in range(number // 10 + 2))
        made = webui.make(prompt=f"a {{{words}}} cat <checkpoint:{{{first}|{other_checkpoint}}}>", seed=-1)
        used.append(made.texts[0].split("Model: ")[1].split(",")[0])
        prompts |= set(made.prompts)
        memory.append(webui.call("/sdapi/v1/memory")["ram"]["used"])
    kept = int(webui.options().get("lora_loop_keep_images", 8))
    changes = sum(one != two for one, two in pairwise(used))
    print(f"{len(prompts)} prompts, {changes} switches, {[used.count(name) for name in set(used)]} images of each, ")
    print(f"memory {[round(memory[at] / 2**20) for at in (0, 39, 79, 119, 159, 199)]} MiB")
    assert len(prompts) >= 12 and changes <= 200 / kept
    assert all(used.count(name) >= 50 for name in set(used)) and len(set(used)) == 2
    assert max(memory[60:]) - max(memory[:60]) < 100 * 2**20
