"""Good news goes when what it is about has changed; dropped photos find their folder; a stopped file is put where it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.presets import SUBJECTS, subject_of
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.train import places, scene
from lib_lora_train.ui.train.desk import Desk
from lib_lora_train.ui.train.scene import Scene
from tests.runs import Workshop
from tests.ui.train.host import Folders, answers, desk_in


def test_good_news_is_over_when_the_state_changes_and_bad_news_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(scene.time, "monotonic", lambda: clock[0])
    now = Scene()
    now.say("x is queued.")
    now.told_of("x queued")
    clock[0] += 60
    now.told_of("x queued")
    assert now.message == "x is queued."
    now.told_of("x running")
    assert now.message == ""
    now.say("x is queued.")
    now.told_of("x queued")
    clock[0] += 1
    now.told_of("x running")
    assert now.message  # it can be read at least
    now.say("Choose a base.", False)
    for state in ("a", "b"):
        clock[0] += 60
        now.told_of(state)
    assert now.message == "Choose a base."


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["holiday-01.jpg", "holiday-02.jpg", "holiday-17.png"], "holiday"),
        (["IMG_20250101.jpg", "IMG_20250102.jpg"], "IMG"),
        (["me (1).jpg", "me (2).jpg"], None),
        (["a.jpg", "b.jpg"], None),
        ([], None),
    ],
)
def test_dropped_photos_without_a_name_are_called_after_what_they_have_in_common(
    names: list[str], folder: str | None
) -> None:
    found = places.name_of(names)
    assert found == folder if folder else len(found) == 10 and found.startswith("20")
    assert found != "photos"


def test_more_photos_join_the_first_until_a_run_uses_them_also_after_a_reload(
    workshop: Workshop, tmp_path: Path
) -> None:
    desk = desk_in(tmp_path)
    folder = desk.home / "photos" / "me"
    folder.mkdir(parents=True)
    assert desk.dropped_before(str(folder)) == folder
    for other in ("", None, str(tmp_path), str(folder / ".." / ".."), str(desk.home / "photos" / "none"), "x" * 5000):
        assert desk.dropped_before(other) is None
    store.create(configs.from_values(workshop.values(f"dataset.path={folder}")), desk.home)
    assert desk.dropped_before(str(folder)) is None


def a_stopped_job(workshop: Workshop, desk: Desk) -> tuple[str, str]:
    job = store.create(configs.from_values(workshop.values()), desk.home)
    file = "cat-step00000002.safetensors"
    job.out.mkdir()
    (job.out / file).write_bytes(b"weights")
    (job.out / "cat-step00000002.json").write_text("{}")
    (job.out / "cat-000001.safetensors").write_bytes(b"weights")
    log = EventLog(job.events).open()
    log.write("saved", file=file, step=2, epoch=1, bytes=7, kept_back=True)
    log.write("saved", file="cat-000001.safetensors", step=4, epoch=1, bytes=7)
    log.close()
    return job.folder.name, file


def test_a_stopped_run_s_file_is_put_into_the_lora_folder_when_it_is_asked_for(
    workshop: Workshop, tmp_path: Path
) -> None:
    desk = desk_in(tmp_path)
    assert isinstance(desk.host, Folders)
    desk.host.lora_folder = tmp_path / "Lora"
    job, file = a_stopped_job(workshop, desk)
    for wrong in ("cat-000001.safetensors", "../job.json", None, 7):
        with pytest.raises(PageError, match="not there any more"):
            desk.take(job, wrong)
    assert not desk.host.lora_folder.exists()
    assert file in desk.take(job, file)
    assert sorted(path.name for path in desk.host.lora_folder.iterdir()) == ["cat-step00000002.json", file]


def test_neo_11_every_lora_folder_may_be_named_and_the_first_gets_the_files(workshop: Workshop, tmp_path: Path) -> None:
    desk = desk_in(tmp_path / "webui", workshop.base)
    assert isinstance(desk.host, Folders)
    first, second = tmp_path / "Lora", tmp_path / "more"
    desk.host.lora_folder, desk.host.more_lora_folders = first, (second,)
    assert {first, second} < set(desk.roots())
    second.mkdir()
    file = second / "before.safetensors"
    file.write_bytes(b"weights")
    assert places.inside(str(file), desk.roots(), "network.start") == file
    found = desk.runs(answers(workshop.base.name, desk.home))
    assert [variant.config.save.copy_to for variant in found.variants] == [str(first)]


def test_a_preset_answers_what_it_is_for() -> None:
    assert all(subject_of(preset) == subject for subject, preset in SUBJECTS.items())
    assert (subject_of("face"), subject_of("small"), subject_of("mine"), subject_of("")) == ("person", "thing", "", "")
