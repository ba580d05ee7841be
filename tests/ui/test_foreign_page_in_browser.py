"""A foreign web page in a real browser tries every event of our page, with both generations of gradio, and in vain."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train.base.random_base import write_random_base
from tests.browsers import REBOUND, missing
from tests.runs import draw_photo
from tests.ui import foreign
from tests.ui.conftest import GRADIOS, ROOT, TINY, Served, python_with
from tests.ui.foreign import REFUSED, Event, attack, files, ours, post, somewhere_else


def values(photos: Path) -> dict[str, Any]:
    """With which an unguarded page saves a preset, makes a wildcard's draft and starts a job."""
    return {
        "lora_loop_train_preset_name": "csrf",
        "lora_loop_train_name": "csrf",
        "lora_loop_train_trigger": "csrf",
        "lora_loop_train_class_word": "cat",
        "lora_loop_train_folder": str(photos),
        "lora_loop_train_base": "tiny.safetensors",
        "lora_loop_train_raw": '{"act": "delete", "job": "csrf"}',
        "lora_loop_wildcards_name": "csrf",
        "lora_loop_wildcards_text": "csrf",
    }


@pytest.fixture(scope="module", params=GRADIOS)
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`ui` as a person starts it."""
    python = python_with(request.param)
    if not python.exists():
        missing(f"gradio {request.param} is not installed in {python.parents[1]}; 'make setup' installs it.")
    data = tmp_path_factory.mktemp(f"alone-{request.param}")
    home = data / "lora-loop"
    (home / "models").mkdir(parents=True)
    (home / "presets").mkdir()
    (home / "presets" / "tiny.toml").write_text(TINY, "utf-8")
    (home / "photos").mkdir()
    for number in range(3):
        draw_photo(home / "photos" / f"{number}.png", number)
    write_random_base(home / "models" / "tiny.safetensors", "tiny", seed=0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "lib_lora_train", "ui", "--port", str(port), "--home", str(home)]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    with (data / "page.log").open("wb") as log:
        child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        served = Served(f"http://127.0.0.1:{port}", data, request.param)
        _wait(served, child)
        yield served
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(20)


def _wait(served: Served, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None:
        try:
            urllib.request.urlopen(f"{served.url}/config").close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail((served.data / "page.log").read_text("utf-8", "replace")[-3000:])


def own(served: Served) -> dict[str, str]:
    return {"Origin": served.url}


FORGED = {"headers": {"sec-fetch-site": "same-origin", "host": "127.0.0.1"}}
MADE_UP: tuple[tuple[dict[str, str], dict[str, Any]], ...] = (
    ({"Origin": "http://evil.example"}, {}),
    ({"Origin": "null"}, {}),
    ({}, {}),
    ({"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, {}),
    ({"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, {}),
    ({"Origin": "http://evil.example", "Host": "evil.example"}, {}),
    ({"Origin": "http://evil.example"}, {"request": FORGED}),
    ({"Origin": "http://evil.example"}, {"request": {"request": FORGED}}),
)
"""Headers that foreign pages' requests have, and what is put into the body besides."""


def events_of(served: Served) -> list[Event]:
    photos = served.data / "lora-loop" / "photos"
    return ours(served.url, values(photos if photos.is_dir() else served.data / "photos"))


def refuses_all(served: Served, events: list[Event]) -> None:
    """Each event is refused in each way; gradio 4 takes no made-up `request` at all (422)."""
    for event in events:
        for headers, more in MADE_UP:
            answer = post(served.url, event.body(**more), headers)
            assert REFUSED in answer or (more and '"detail"' in answer), (event.about, headers, answer[:300])


def test_s5_every_event_of_ours_is_guarded_in_a_webui(served: Served) -> None:
    events = events_of(served)
    before = files(served.data)
    assert len(events) > 60
    assert {event.about.split("_")[2] for event in events} >= {"train", "wildcards", "txt2img", "img2img", "grid"}
    refuses_all(served, events)
    assert files(served.data) == before
    answered = [post(served.url, event.body(), own(served)) for event in events if "preview_count" in event.about]
    assert not [answer for answer in answered if REFUSED in answer]


def test_s5_every_event_of_the_page_alone_is_guarded(alone: Served) -> None:
    events = events_of(alone)
    before = files(alone.data)
    assert len(events) > 20
    refuses_all(alone, events)
    assert files(alone.data) == before


def test_s5_a_foreign_page_changes_and_reads_nothing(served: Served, browser: Any) -> None:
    _attacked(served, browser)


def test_s5_a_foreign_page_changes_and_reads_nothing_of_the_page_alone(alone: Served, browser: Any) -> None:
    _attacked(alone, browser)


def _attacked(served: Served, browser: Any) -> None:
    events, before = events_of(served), files(served.data)
    port = served.url.rpartition(":")[2]
    with somewhere_else() as other:
        for origin, target, sandboxed in (
            (f"http://localhost:{other}", served.url, False),
            (f"http://127.0.0.1:{other}", served.url, False),
            (f"http://{REBOUND}:{other}", served.url, False),
            (f"http://127.0.0.1:{other}", served.url, True),
            (f"http://{REBOUND}:{port}", f"http://{REBOUND}:{port}", False),
        ):
            read = attack(browser, origin, target, events, sandboxed)
            told = [text for status, text in read if status == 200 and '"data"' in text]
            assert not told, (origin, told[:3])
            assert files(served.data) == before, origin


def test_s5_the_page_alone_is_not_read_under_a_strangers_name(alone: Served) -> None:
    for path in ("/", "/config", "/file=/etc/passwd"):
        request = urllib.request.Request(alone.url + path, headers={"Host": "evil.example:7870"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 403
        assert "'evil.example'" in refused.value.read().decode()


def test_s5_the_page_alone_gives_no_cors_answer(alone: Served) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        request = urllib.request.Request(f"{alone.url}/run/predict", method=method, headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 403
        assert "Access-Control-Allow-Origin" not in refused.value.headers


def test_s5_the_page_alone_leads_nowhere_else(alone: Served) -> None:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    for path in ("/file=http://evil.example/", "/file=https://evil.example/", "/file/http://evil.example/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.build_opener(Stay).open(alone.url + path)
        assert refused.value.code in (403, 404)
        assert "location" not in refused.value.headers


def test_the_page_alone_works_for_who_opens_it(alone: Served, browser: Any) -> None:
    """Typed into the address bar, linked from elsewhere, and with the same events as the attack's."""
    page = browser.new_page()
    try:
        with somewhere_else() as other:
            page.goto(f"http://localhost:{other}")
            page.set_content(f'<a href="{alone.url}">our page</a>')
            page.click("a")
        page.wait_for_selector("#lora_loop_train_queue", timeout=90_000)
        page.wait_for_function("document.querySelector('#lora_loop_train_beat')?.innerText.trim()", timeout=60_000)
        [save] = [event for event in events_of(alone) if event.about == "lora_loop_train_save"]
        told = {"target": alone.url, "events": [save.body()]}
        assert page.evaluate(foreign.ATTACK, told)
        made = alone.data / "lora-loop" / "presets" / "csrf.toml"
        assert made.is_file()  # the very request that changed nothing when a foreign page sent it
        made.unlink()
    finally:
        page.close()


def test_the_scripts_of_the_page_alone_are_all_there(alone: Served, browser: Any) -> None:
    """`ui` loads only some of our scripts: what those use of the others must come too."""
    page, thrown = browser.new_page(), []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    try:
        page.goto(alone.url)
        page.wait_for_selector("#lora_loop_train_build [data-say]", timeout=90_000)
        page.wait_for_selector("#lora_loop_train_build [data-say][data-said]", timeout=15_000)
        beat = page.text_content("#lora_loop_train_beat")
        page.wait_for_function(
            "beat => document.querySelector('#lora_loop_train_beat').textContent !== beat", arg=beat, timeout=15_000
        )
    finally:
        page.close()
    assert not thrown
