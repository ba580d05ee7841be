"""A job folder: `job.json` is checked on reading and replaced whole; commands are files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import VERSION, Job


def config(**values: Any) -> TrainConfig:
    return configs.from_values({"name": "cat", **values})


def test_a_job_is_made_found_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = store.create(config(base={"path": "base.safetensors"}), tmp_path)
    two = store.create(config(), tmp_path)
    assert one.config().base.path == str(tmp_path.resolve() / "base.safetensors")
    assert two.folder.name == one.folder.name + "-2" and one.read()["status"] == "queued"
    assert [job.folder for job in store.every(tmp_path)] == [two.folder, one.folder]
    assert store.find(one.folder.name, tmp_path) == store.find(str(one.folder), tmp_path) == one
    assert store.find("cat-2", tmp_path) == two
    with pytest.raises(StateError, match="no job 'dog'"):
        store.find("dog", tmp_path)
    with pytest.raises(ConfigError, match="not empty"):
        store.create(config(), tmp_path, one.folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no job.json"),
        ("{", "cannot be read"),
        ("[1]", "not a job of this program"),
        ('{"config": 3}', "not a job of this program"),
        (json.dumps({"config": {}, "version": VERSION + 1}), "newer version"),
    ],
)
def test_a_job_file_that_cannot_be_used(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "job.json").write_text(text)
    with pytest.raises(StateError, match=said):
        Job(tmp_path).read()


def test_a_config_tampered_with_is_checked_again(tmp_path: Path) -> None:
    job = store.create(config(), tmp_path)
    job.update(config={"name": "../../scripts/x"})
    with pytest.raises(ConfigError, match="file name"):
        job.config()


def test_commands_are_taken_once_and_strangers_left(tmp_path: Path) -> None:
    job = Job(tmp_path)
    assert job.take() == []
    job.post("save_now")
    job.post("stop")
    (job.commands / "format_disk").write_text("")
    assert job.take() == ["stop", "save_now"]
    assert job.take() == [] and (job.commands / "format_disk").exists()
    with pytest.raises(ValueError, match="format_disk"):
        job.post("format_disk")


def test_t13_a_name_that_is_taken_is_refused_with_a_free_one(tmp_path: Path) -> None:
    host = tmp_path / "Lora"
    host.mkdir()
    (host / "category.safetensors").touch()  # another name that only starts alike
    save = {"save": {"copy_to": str(host)}}
    first = store.create(config(**save), tmp_path)
    with pytest.raises(ConfigError, match=f"by {first.folder.name}; call this one cat-v2"):  # in flight
        store.create(config(**save), tmp_path)
    first.update(status="done")
    (host / "cat-000002.safetensors").touch()
    (host / "cat-v2.safetensors").touch()
    with pytest.raises(ConfigError, match=r"by cat-000002\.safetensors; call this one cat-v3"):  # on disk
        store.create(config(**save), tmp_path)
    assert store.create(config(), tmp_path).read()["status"] == "queued"  # it stays in its own folder
