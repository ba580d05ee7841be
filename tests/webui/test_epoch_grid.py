"""The epoch grid in a running WebUI: every picture is the one a direct job makes, loads are few, a stop is no loss."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.webui.client import BASE, Refused, WebUI, same
from tests.webui.lora_file import write_lora
from tests.webui.train_tab import folders

STRENGTH = 10
"""Makes every epoch and weight visible in a picture of two steps."""
EPOCHS, WEIGHTS = 10, "0,0.5,0.75,1"
NAME = "grid-test"
SCRIPT = "lora loop epoch grid"


class Files:
    """A run for the WebUI's base, in its LoRA folder: each file is one and the same LoRA times a factor."""

    def __init__(self, webui: WebUI) -> None:
        np, library = pytest.importorskip("numpy"), pytest.importorskip("safetensors.numpy")
        self._save, self._number = library.save_file, np.float32
        self.name = f"{NAME}{int(time.time())}"
        self.folder = folders(webui)[1]
        origin = self.path(self.name)
        write_lora(origin, webui.base(), seed=1)
        self._tensors = library.load_file(origin)

    def __getitem__(self, epoch: int) -> str:
        return f"{self.name}-{epoch:06d}"

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def write(self, name: str, factor: float, epoch: int) -> None:
        """As a trainer does it: under another name first, then in the place of what was there."""
        changed = {
            key: (tensor * self._number(STRENGTH * factor) if key.endswith("lora_up.weight") else tensor)
            for key, tensor in self._tensors.items()
        }
        texts = {"ss_output_name": self.name, "ss_epoch": str(epoch), "ss_base_model_version": "sd_v1"}
        self._save(changed, self.path(name).with_suffix(".new"), {**texts, "ss_lora_loop_trigger": "ohwx"})
        self.path(name).with_suffix(".new").replace(self.path(name))


@contextlib.contextmanager
def trained(webui: WebUI, epochs: int) -> Iterator[Files]:
    """So many epochs of a run, the last one also under the run's name; taken away again."""
    made = Files(webui)
    try:
        for epoch in range(1, epochs + 1):
            made.write(made[epoch], epoch / epochs, epoch)
        made.write(made.name, 1.0, epochs)
        webui.call("/sdapi/v1/refresh-loras", {})
        yield made
    finally:
        for path in made.folder.glob(f"{made.name}*"):
            path.unlink()
        webui.call("/sdapi/v1/refresh-loras", {})


@pytest.fixture(scope="module")
def files(webui: WebUI) -> Iterator[Files]:
    with trained(webui, EPOCHS) as made:
        yield made


def make(
    webui: WebUI, files: Files, prompt: str = "a {cat|dog} __nothing__", **form: Any
) -> tuple[Path, dict[str, Any]]:
    """The grid's folder and its manifest."""
    fields = {"run": files.name, "weights": WEIGHTS, "prompts": "- a teapot", "tile": 64, "format": "png", **form}
    body = {**BASE, "prompt": prompt, "script_name": SCRIPT, "script_args": [fields]}
    answer = webui.call("/sdapi/v1/txt2img", body)
    said = json.loads(answer["info"])["infotexts"][0]
    page = Path(said.split("the page is ")[1].split("\n")[0])
    return page.parent, json.loads((page.parent / "manifest.json").read_text(encoding="utf-8"))


def picture(folder: Path, row: dict[str, Any]) -> Image.Image:
    return Image.open(folder / row["file"]).convert("RGB")


def test_ten_epochs_by_three_weights_by_two_prompts(webui: WebUI, files: Files) -> None:
    """Stopped in the middle and continued; then each kind of cell against a direct job of the WebUI."""

    finished = threading.Event()

    def stop() -> None:
        while not finished.wait(0.02):
            if webui.call("/sdapi/v1/progress?skip_current_image=true")["state"]["job_no"] >= 20:
                webui.call("/sdapi/v1/interrupt", {})
                return

    pressing = threading.Thread(target=stop)
    pressing.start()
    folder, manifest = make(webui, files)
    finished.set()
    pressing.join()
    before = [row for row in manifest["cells"] if row["state"] == "done"]
    assert len(manifest["cells"]) == 62 and 0 < len(before) < 62
    kept = {row["file"]: (folder / row["file"]).stat().st_mtime_ns for row in before}
    folder, manifest = make(webui, files)
    rows = manifest["cells"]
    assert {row["state"] for row in rows} == {"done"}
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    texts = {row["prompt"].partition(" <lora")[0] for row in rows}
    assert len(texts) == 2 and "a teapot" in texts and not any("{" in text for text in texts)
    for row in rows[:: 3 if len(rows) > 20 else 1]:
        direct = webui.make(prompt=row["prompt"], seed=row["seed"])
        assert same(picture(folder, row), direct.images[0].convert("RGB")), row["prompt"]
        assert direct.images[0].info["parameters"] == picture_text(folder, row)
    assert len({row["sha256"] for row in rows}) == 62
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert files[1] in page and (folder / "sheets" / "grid-01.png").is_file()


def picture_text(folder: Path, row: dict[str, Any]) -> str:
    with Image.open(folder / row["file"]) as image:
        return image.info["parameters"]


def test_a_file_replaced_under_its_name_is_not_stale(webui: WebUI, files: Files) -> None:
    """WebUIs keep LoRAs by name. The same settings give the pictures of the new file, for its cells only."""
    form = {"epochs": "2-3", "weights": "1", "prompts": ""}
    webui.make(prompt=f"a cat <lora:{files[2]}:1>")  # so that the WebUI has read it
    _, before = make(webui, files, "a cat", **form)
    files.write(files[2], 3.0, 2)
    files.write(f"{files.name}x", 3.0, 2)  # the same content under a name that no WebUI has read
    folder, after = make(webui, files, "a cat", **form)
    webui.call("/sdapi/v1/refresh-loras", {})
    rows = {row["lora"]: row for row in after["cells"]}
    old = {row["lora"]: row for row in before["cells"]}
    assert rows[files[3]]["sha256"] == old[files[3]]["sha256"] and rows[""]["sha256"] == old[""]["sha256"]
    fresh = webui.make(prompt=f"{rows['']['prompt']} <lora:{files.name}x:1>", seed=rows[""]["seed"])
    assert same(picture(folder, rows[files[2]]), fresh.images[0].convert("RGB"))
    assert rows[files[2]]["sha256"] != old[files[2]]["sha256"]
    files.write(files[2], 0.2, 2)


def test_checkpoints_and_a_keyword_as_axes_leave_the_page_as_it_was(
    webui: WebUI, files: Files, other_checkpoint: str
) -> None:
    options, plain = webui.options(), webui.make(prompt="a cat")
    first = webui.small_checkpoints()[0]
    form = {
        "epochs": "10",
        "weights": "1",
        "prompts": "",
        "checkpoints": f"{first}, {other_checkpoint}",
        "axis": "cfg_scale=3,9",
    }
    folder, manifest = make(webui, files, "a cat", **form)
    rows = manifest["cells"]
    assert len(rows) == 8 and {row["state"] for row in rows} == {"done"}
    for row in rows:
        name = Path(row["checkpoint"]).stem
        direct = webui.make(
            prompt=row["prompt"],
            cfg_scale=row["settings"]["cfg_scale"],
            override_settings={"sd_model_checkpoint": name},
        )
        assert same(picture(folder, row), direct.images[0].convert("RGB")), (
            row["checkpoint"],
            row["settings"]["cfg_scale"],
        )
    again = webui.make(prompt="a cat")
    assert again.texts == plain.texts and same(again.images[0], plain.images[0])
    assert {key for key in options if options[key] != webui.options()[key]} <= {"sd_checkpoint_hash"}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"run": "nobody"}, "No LoRA called 'nobody' was found"),
        ({"run": ""}, "choose the LoRA whose epochs are compared"),
        ({"weights": "x"}, "--weights: 'x' is no number"),
        ({"axis": "cfg_scale=900"}, "cfg_scale"),
        ({"axis": "nothing=1"}, "write a keyword and values"),
        ({"checkpoints": "no such thing"}, "is not known"),
        ({"seeds": 0}, "seeds = 0 is not a whole number"),
        ({"colour": "red"}, "there is no field 'colour'"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_drawn(
    webui: WebUI, files: Files, form: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        make(webui, files, **form)


def test_the_axes_of_the_xyz_plot(webui: WebUI, files: Files) -> None:
    """LoRA epoch by LoRA weight, with None as the control: each cell is a direct job's picture."""
    labels = {choice: number for number, choice in enumerate(_axis_labels(webui))}
    names = ["None", files[2], files.name]
    epoch, weight = labels["[LoRA Loop] LoRA epoch"], labels["[LoRA Loop] LoRA weight"]
    arguments: list[Any] = [epoch, "", names, weight, "0.5,1", [], 0, "", []]
    given = _xyz_arguments(webui, arguments)
    prompt = f"a cat <lora:{files[5]}:0.8> on a mat"
    answer = webui.make(prompt=prompt, script_name="x/y/z plot", script_args=given)
    cells = [image.convert("RGB") for image in answer.images if image.size == (64, 64)]
    assert len(cells) >= 6
    for row, w in enumerate(("0.5", "1")):
        for column, name in enumerate(names):
            tag = "" if name == "None" else f"<lora:{name}:{w}>"
            direct = webui.make(prompt=f"a cat {tag} on a mat")
            assert same(cells[-6:][row * 3 + column], direct.images[0].convert("RGB")), (name, w)


def _plot(webui: WebUI) -> dict[str, Any]:
    every = webui.call("/sdapi/v1/script-info")
    return next(one for one in every if one["name"] == "x/y/z plot" and not one["is_img2img"])


def _axis_labels(webui: WebUI) -> list[str]:
    """The plot's choices for txt2img, in the order of their numbers."""
    return [label[0] if isinstance(label, list) else label for label in _plot(webui)["args"][0]["choices"]]


def _xyz_arguments(webui: WebUI, axes: list[Any]) -> list[Any]:
    """The plot's arguments with their own defaults after the axes; single pictures are given back."""
    info = _plot(webui)
    rest = [argument["value"] for argument in info["args"][len(axes) :]]
    given = [*axes, *rest]
    for number, argument in enumerate(info["args"]):
        if "Include Sub Images" in str(argument["label"]):
            given[number] = True
    return given
