"""A real WebUI for the tests in this folder: its address comes from `make test-host WEBUI=http://…`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.webui.client import WebUI

ADDRESS = os.environ.get("WEBUI", "")

EXACT = "lora_loop_exact"
"""Our setting that makes every picture reproducible to the bit; without it the WebUI itself is not."""
TOUCHED = (
    "CLIP_stop_at_last_layers",
    "s_churn",
    "s_tmin",
    "s_tmax",
    "s_noise",
    "eta_noise_seed_delta",
    "uni_pc_order",
    "save_to_dirs",
    "samples_filename_pattern",  # the Batch tab of img2img
)
"""Options that direct jobs override. The WebUI puts back only what is saved, so they are saved first."""


@pytest.fixture(scope="session")
def webui() -> Iterator[WebUI]:
    """The running WebUI; its options are compared at the end."""
    if not ADDRESS:
        pytest.skip("No WebUI was named: run `make test-host WEBUI=http://127.0.0.1:7860` with one that has --api.")
    client = WebUI(ADDRESS)
    before = client.options()
    kept = {EXACT: False, **{name: before[name] for name in (*TOUCHED, EXACT) if name in before}}
    client.call("/sdapi/v1/options", {**kept, EXACT: True})
    yield client
    client.call("/sdapi/v1/options", kept)
    after = client.options()
    changed = {key for key in before if before[key] != after.get(key)} - {"sd_checkpoint_hash"}
    assert not changed, f"options were left changed: {changed}"


@pytest.fixture
def other_checkpoint(webui: WebUI) -> str:
    """A second checkpoint that is quick to load (files above 500 MB are left alone)."""
    names = webui.small_checkpoints()
    if len(names) < 2:
        pytest.skip("The WebUI has no second small checkpoint.")
    return names[1]
