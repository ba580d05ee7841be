"""The command `grid` as people use it: from a job to a page, again for what is new, and one epoch kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_lora_train import cli
from lib_lora_train.environment.state import Wanted, find
from lib_lora_train.train.job import Job
from tests.grid.files import write_lora
from tests.runs import Workshop, copy_job

ROOT = Path(__file__).parents[2]
QUICK = ("--size", "64x64", "--steps", "2", "--sampler", "euler", "--tile", "64", "--json")


def grid(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, events, and what was said on stderr."""
    code = cli.main(["grid", *words, "--home", str(home)])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_from_a_job_to_a_page_and_again_for_what_is_new(
    trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "--run",
        str(trained.folder),
        "--weights",
        "0,1",
        "--prompt",
        "{red|blue} [trigger] <lora:cat:0.3>",
        *QUICK,
    )
    code, events, _ = grid(capsys, tmp_path, *words)
    assert code == 0
    assert [event["kind"] for event in events] == ["plan", *["cell"] * 4, "done"]
    assert (
        events[0]["images"] == events[0]["waiting"] == 4
        and events[0]["disk_bytes"] > 0
        and events[0]["seconds"] is None
    )
    assert [epoch["label"] for epoch in events[0]["epochs"]] == ["epoch 1", "epoch 2", "epoch 3"]
    assert any("<lora:cat:0.3> is replaced" in note for note in events[0]["notes"])
    folder = tmp_path / "grids" / "cat"
    assert Path(events[-1]["page"]) == folder / "index.html" and Path(events[-1]["sheets"][0]).is_file()
    rows = json.loads((folder / "manifest.json").read_text())["cells"]
    assert len({row["prompt"].partition(" <lora")[0] for row in rows}) == 1  # one choice for all
    assert {row["settings"]["width"] for row in rows} == {64}
    with Image.open(folder / rows[1]["file"]) as picture:
        assert picture.info["parameters"].startswith(
            f"{rows[1]['prompt']}\nSteps: 2, Sampler: euler, CFG scale: 7, Seed: 1"
        )
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "steps" in page and "loss 0" in page  # from the job's diary
    _, more, _ = grid(capsys, tmp_path, *words, "--weights", "0,0.5,1", "--seeds", "1")
    assert (more[0]["images"], more[0]["waiting"]) == (7, 3) and more[0]["seconds"] > 0
    _, none, _ = grid(capsys, tmp_path, *words)
    assert [event["kind"] for event in none] == ["plan", "done"]


def test_a_plan_draws_nothing(trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, [plan], _ = grid(capsys, tmp_path, "--run", str(trained.folder), "--plan", "--seeds", "1,2,3", *QUICK)
    assert code == 0 and plan["images"] == 3 * 4 * (1 + 3 * 3)  # the test card has four prompts
    assert not list((tmp_path / "grids" / "cat" / "cells").iterdir())


def test_several_bases_axes_and_a_card(
    trained: Job, workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lib_lora_train.train.base.random_base import write_random_base

    other = tmp_path / "other.safetensors"
    write_random_base(other, "tiny", seed=4)
    card = tmp_path / "card.toml"
    card.write_text(
        '[[prompt]]\nlabel = "mine"\ntext = "a mat"\ntrigger = false\n[[prompt]]\ntext = "[trigger]"\nnegative = "dog"\n'
    )
    words = ("--run", str(trained.out / "cat-000002.safetensors"), "--base", str(workshop.base), "--base", str(other))
    code, events, _ = grid(
        capsys,
        tmp_path,
        *words,
        "--epochs",
        "2",
        "--weights",
        "1",
        "--no-control",
        "--card",
        str(card),
        "--axis",
        "cfg=4,7.5",
        *QUICK,
    )
    assert code == 0 and events[0]["images"] == 8 and len(events[0]["sheets"]) == 4
    rows = json.loads((tmp_path / "grids" / "cat" / "manifest.json").read_text())["cells"]
    assert {row["checkpoint"] for row in rows} == {"tiny.safetensors", "other.safetensors"}
    assert {row["settings"]["cfg_scale"] for row in rows} == {4, 7.5}
    assert {(row["prompt_label"], row["negative_prompt"]) for row in rows} == {("mine", ""), ("prompt 2", "dog")}
    assert len({row["sha256"] for row in rows}) == 8


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--run", "nobody"), 3, "No LoRA called 'nobody' was found"),
        (("--weights", "a"), 2, "--weights: 'a' is no number"),
        (("--epochs", "9"), 3, "has no such epoch"),
        (("--seeds", "-1"), 2, "--seeds '-1': give whole numbers"),
        (("--size", "big"), 2, "--size 'big' is no size"),
        (("--size", "100x64"), 2, "width = 100 is not a multiple of 8"),
        (("--axis", "cfg"), 2, "write NAME=VALUE,VALUE"),
        (("--axis", "scheduler=karras"), 2, "scheduler is no setting of the standalone renderer"),
        (("--prompt", "a {b"), 2, "{"),
        (("--prompt", "a <lora:other:1>"), 2, "another LoRA than this run's"),
        (("--base", "gone.safetensors"), 3, "gone.safetensors"),
        (("--tile", "3"), 2, "--tile 3 is out of range"),
        (("--keep", "all"), 2, "names 3 epochs; name one"),
        (("--features", "nowhere"), 2, "is no CLIP or DINO model"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    given = words if "--run" in words else ("--run", str(trained.folder), *words)
    found, events, error = grid(capsys, tmp_path, *given, "--json")
    assert (found, said in error) == (code, True), error
    assert not any(event["kind"] == "cell" for event in events) and "Traceback" not in error


def test_a_second_process_in_the_same_folder_is_refused(
    trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from filelock import FileLock

    folder = tmp_path / "grids" / "cat"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        code, _, said = grid(capsys, tmp_path, "--run", str(trained.folder), *QUICK)
    assert code == 2 and "Another process is drawing into" in said


def test_one_epoch_is_kept_with_its_picture_and_comes_back(
    trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = copy_job(trained, tmp_path / "job")
    words = ("--run", str(job.folder), "--prompt", "[trigger]", "--weights", "0.7", "--epochs", "2,3", *QUICK)
    assert grid(capsys, tmp_path, *words)[0] == 0
    before = sorted(path.name for path in job.out.iterdir())
    code, [kept], _ = grid(
        capsys, tmp_path, "--run", str(job.folder), "--keep", "2@0.7", "--name", "best cat", "--json"
    )
    assert code == 0 and Path(kept["file"]).name == "best cat.safetensors"
    assert sorted(path.name for path in job.out.iterdir()) == ["best cat.json", "best cat.png", "best cat.safetensors"]
    assert json.loads((job.out / "best cat.json").read_text())["preferred weight"] == 0.7
    with Image.open(job.out / "best cat.png") as picture:
        assert "<lora:cat-000002:0.7>" in picture.info["parameters"]
    code, [undone], _ = grid(capsys, tmp_path, "--run", str(job.folder), "--undo", "--json")
    assert code == 0 and len(undone["files"]) == len(before)
    assert sorted(path.name for path in job.out.iterdir()) == before


def test_features_measure_and_recommend(
    trained: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str], workshop: Workshop
) -> None:
    torch = pytest.importorskip("torch")
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    folder = tmp_path / "dino"
    torch.manual_seed(0)
    Dinov2Model(
        Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
    ).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    words = (
        "--run",
        str(trained.folder),
        "--weights",
        "0,1",
        "--prompt",
        "[trigger]",
        "--features",
        str(folder),
        *QUICK,
    )
    code, events, _ = grid(capsys, tmp_path, *words)
    assert code == 0 and "has a likeness to the training photos of" in events[-1]["recommendation"]
    assert "rests on 1 picture each" in events[-1]["recommendation"]
    page = (tmp_path / "grids" / "cat" / "index.html").read_text(encoding="utf-8")
    assert "Likeness to the training photos" in page


def test_a_name_is_found_in_the_webuis_lora_folder(
    trained: Job, workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = tmp_path / "models" / "Lora" / "people"
    shutil.copytree(trained.out, lora)
    write_lora(lora / "wide-000001.safetensors", 1)
    home = tmp_path / "lora-loop"
    code, [plan], _ = grid(capsys, home, "--run", "cat", "--base", str(workshop.base), "--plan", *QUICK)
    assert code == 0 and len(plan["epochs"]) == 3
    code, events, said = grid(capsys, home, "--run", "wide", "--base", str(workshop.base), "--plan", *QUICK)
    assert code == 2 and not events and "wide has no file that can be used" in said


def test_for_a_person_there_are_sentences(trained: Job, tmp_path: Path) -> None:
    """Through the door that people use, in a real process."""
    if find(Wanted(tmp_path)) is None:
        pytest.skip("this Python is not the trainer's environment, and building one needs the network")
    command = [
        sys.executable,
        "-m",
        "lib_lora_train",
        "grid",
        "--run",
        str(trained.folder),
        "--prompt",
        "雪 [trigger]",
        "--weights",
        "0,1",
    ]
    done = subprocess.run(
        [*command, *QUICK[:-1], "--home", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "cat: epoch 1, epoch 2, epoch 3"
    assert "cat is the same as cat-000003 and is drawn once." in lines
    assert any(line.startswith("4 pictures; time: known after the first picture;") for line in lines)
    assert any(line.startswith("No recommendation") for line in lines)
    assert lines[-2] == f"The page is {(tmp_path / 'grids' / 'cat' / 'index.html').resolve()}"
