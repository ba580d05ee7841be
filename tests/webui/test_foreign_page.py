"""S5 in a real WebUI: a foreign web page tries every event of ours, in a real browser and with made-up headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browsers import REBOUND
from tests.ui.foreign import REFUSED, Event, attack, files, ours, post, somewhere_else
from tests.ui.test_foreign_page_in_browser import MADE_UP, values
from tests.webui.client import WebUI
from tests.webui.train_tab import folders, photos


@pytest.fixture
def events(webui: WebUI, tmp_path: Path) -> list[Event]:
    return ours(webui.address, values(photos(tmp_path / "photos")))


def kept(webui: WebUI) -> dict[Path, tuple[int, int]]:
    """Our folder, without what changes by itself, and the LoRA files."""
    home, loras = folders(webui)
    found = {**files(home), **(files(loras) if loras.is_dir() else {})}
    return {path: told for path, told in found.items() if not {"environment", "cache"} & set(path.parts)}


def test_s5_every_event_of_ours_is_guarded(webui: WebUI, events: list[Event]) -> None:
    before = kept(webui)
    assert len(events) > 70
    for event in events:
        for headers, more in MADE_UP:
            answer = post(webui.address, event.body(**more), headers)
            assert REFUSED in answer or (more and '"detail"' in answer), (event.about, headers, answer[:300])
    assert kept(webui) == before
    [ask] = [event for event in events if event.about == "lora_loop_txt2img_ask"]
    assert REFUSED not in post(webui.address, ask.body(), {"Origin": webui.address})


def test_s5_a_foreign_page_changes_and_reads_nothing(webui: WebUI, events: list[Event], browser: Any) -> None:
    before, port = kept(webui), webui.address.rpartition(":")[2]
    with somewhere_else() as other:
        for origin, target, sandboxed in (
            (f"http://localhost:{other}", webui.address, False),
            (f"http://127.0.0.1:{other}", webui.address, True),
            (f"http://{REBOUND}:{port}/favicon.ico", f"http://{REBOUND}:{port}", False),
        ):
            read = attack(browser, origin, target, events, sandboxed)
            assert not [text for status, text in read if status == 200 and '"data"' in text], origin
            assert kept(webui) == before, origin


def test_s5_the_webuis_own_api_needs_no_page(webui: WebUI) -> None:
    """Our script in a job of the API: no event, and no browser either."""
    request = {"prompt": "a {red|red} cat", "steps": 1, "width": 64, "height": 64, "seed": 1}
    assert "a red cat" in webui.call("/sdapi/v1/txt2img", request)["info"]
