"""A person's own presets: what a stranger's file may do, and what becomes of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora_train.train import config as configs
from lib_lora_train.train import own_presets, presets, toml
from lib_lora_train.train.errors import ConfigError

GOOD = b"""
[preset]
title = "Ink drawings"
about = "Black ink,\\n white paper."
source = "mine"
[adapter]
rank = 8
alpha = 8.0
"""


def test_a_stranger_s_preset_is_taken_in_and_found(tmp_path: Path) -> None:
    made, left_out = own_presets.take_in(tmp_path, b"\xef\xbb\xbf" + GOOD, "ink.toml")
    assert (made.name, made.title, made.about, left_out) == (
        "Ink drawings",
        "Ink drawings",
        "Black ink, white paper.",
        [],
    )
    assert presets.find("Ink drawings", tmp_path).values == {"adapter": {"rank": 8, "alpha": 8.0}}
    again, _ = own_presets.take_in(tmp_path, GOOD, "ink.toml")
    assert again.name == "Ink drawings-2"
    listed = {one.name: one for one in presets.listed(tmp_path)}
    assert listed["Ink drawings"].is_own and not listed["person"].is_own


def test_s6_a_stranger_s_preset_never_stands_in_for_a_known_one(tmp_path: Path) -> None:
    before = presets.find("person", tmp_path).values
    made, _ = own_presets.take_in(tmp_path, b"[adapter]\nrank = 4\n", "Person.toml")
    assert made.name == "Person-2" and presets.find("person", tmp_path).values == before


def test_s6_what_belongs_to_its_maker_is_left_out(tmp_path: Path) -> None:
    document = b"""
name = "me"
trigger = "ohwx"
[base]
path = "/home/eve/x.safetensors"
allow_pickle = true
[dataset]
path = "/home/eve/photos"
regularisation = "../../etc"
[save]
copy_to = "/"
[log]
notify = "https://example.org/collect"
[loop]
steps = 7
"""
    made, left_out = own_presets.take_in(tmp_path, document, "../../../evil.toml")
    assert left_out == [
        "name", "trigger", "base.path", "base.allow_pickle", "dataset.path", "dataset.regularisation", "save.copy_to",
        "log.notify",
    ]  # fmt: skip
    [path] = (tmp_path / "presets").iterdir()
    text = path.read_text("utf-8")
    assert not any(word in text for word in ("eve", "etc", "example.org", "ohwx", "allow_pickle"))
    assert made.values["loop"] == {"steps": 7} and path.parent == tmp_path / "presets"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"[adapter]\nrnk = 8\n", "adapter.rnk is not a setting"),
        (b"import_path = 'os.system'\n", "import_path is not a setting"),
        (b"[adapter]\nrank = 99999\n", "out of range"),
        (b"[adapter]\nrank = '8'\n", "adapter.rank"),
        (b"adapter = 3\n", "section"),
        (b"[optimizer]\nname = 'os.system'\n", "not known"),
        (b"preset = 3\n[adapter]\nrank = 8\n", ""),
        (b"a: !!python/object/apply:os.system ['x']\n", "TOML"),
        (b"{\"adapter\": {\"rank\": 8}}", "TOML"),
        (b"\xff\xfe\x00\x01", "TOML"),
        (b"a = " + b"[" * 20_000, "TOML"),
        (b"# " + b"x" * own_presets.MOST_BYTES, "larger than"),
    ],
)  # fmt: skip
def test_s6_a_file_that_is_no_preset_leaves_nothing_behind(document: bytes, words: str, tmp_path: Path) -> None:
    if not words:  # a preset that began as another one: its name belongs to a run, and goes
        assert own_presets.take_in(tmp_path, document, "x.toml")[1] == ["preset"]
        return
    with pytest.raises(ConfigError, match=words):
        own_presets.take_in(tmp_path, document, "x.toml")
    assert not list(tmp_path.rglob("*.toml"))


@pytest.mark.parametrize("name", ["", "   ", "..", "///", "\x00"])
def test_s3_a_preset_needs_a_name_that_can_be_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a name"):
        own_presets.save(tmp_path, name, {})


def test_a_preset_is_saved_renamed_and_put_away(tmp_path: Path) -> None:
    values = configs.to_values(configs.from_values({"name": "me", "adapter": {"rank": 8}, "base": {"path": "/x"}}))
    saved = own_presets.save(tmp_path, "  Mine / best ", values, source="Began as the preset Person.")
    assert (saved.name, saved.title) == ("Mine _ best", "Mine / best")
    assert saved.values["adapter"]["rank"] == 8 and "name" not in saved.values and "path" not in saved.values["base"]
    assert own_presets.save(tmp_path, "Mine / best", {"adapter": {"rank": 9}}).values["adapter"]["rank"] == 9
    renamed = own_presets.rename(tmp_path, saved.name, "Better")
    assert [path.name for path in (tmp_path / "presets").iterdir()] == ["Better.toml"] and renamed.title == "Better"
    gone = own_presets.delete(tmp_path, "Better")
    assert toml.read(gone)["adapter"]["rank"] == 9 and not list((tmp_path / "presets").iterdir())


@pytest.mark.parametrize("name", ["person", "../person", "nothing", "", "../../etc/passwd"])
def test_only_own_presets_are_renamed_or_put_away(name: str, tmp_path: Path) -> None:
    for act in (lambda: own_presets.rename(tmp_path, name, "x"), lambda: own_presets.delete(tmp_path, name)):
        with pytest.raises(ConfigError, match="of your own"):
            act()
    assert (presets.SHIPPED / "person.toml").exists()


def test_the_name_of_a_shipped_preset_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="comes with LoRA Loop"):
        own_presets.save(tmp_path, "person", {})
    own_presets.save(tmp_path, "mine", {})
    with pytest.raises(ConfigError, match="already"):
        own_presets.rename(tmp_path, "mine", "person")


def test_a_broken_preset_is_listed_with_its_problem(tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "broken.toml").write_text("[adapter\n", "utf-8")
    [broken] = [one for one in presets.listed(tmp_path) if one.name == "broken"]
    assert "TOML" in broken.problem and broken.is_own
