from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train.dataset import captions
from lib_lora_train.train.dataset.captions import caption_for, tag_frequency, words_of
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.sections import DatasetConfig

TAGS = "ohwx man, red hat, beach, sunset, smiling, portrait"
PHOTO = Photo(Path("a.jpg"), "10_x/my_cat (2).jpg", 10, 10, "abc", "10_x y", words="x y", caption=TAGS)


def caption(photo: Photo = PHOTO, repeat: int = 0, epoch: int = 1, seed: int = 7, **settings: Any) -> str:
    return caption_for(photo, repeat, epoch, seed, DatasetConfig(**settings), "ohwx man")


def test_as_it_stands() -> None:
    assert caption() == TAGS
    assert caption(replace(PHOTO, caption="  first, line \n\nsecond")) == "first, line"
    assert caption(replace(PHOTO, caption="a;  b"), separator=";") == "a;  b"


def test_prefix_and_suffix_are_joined_with_a_blank() -> None:
    assert caption(prefix="photo of", suffix="by me") == f"photo of {TAGS} by me"
    assert caption(replace(PHOTO, caption="one\ntwo"), suffix="end") == "one end"


@pytest.mark.parametrize(("fallback", "words"), [("trigger", "ohwx man"), ("folder", "x y"), ("filename", "my cat")])
def test_fallbacks(fallback: str, words: str) -> None:
    assert caption(replace(PHOTO, caption=None), fallback=fallback) == words


def test_regularisation_is_never_called_by_the_trigger() -> None:
    assert caption(replace(PHOTO, caption=None, is_regularisation=True, words="man")) == "man"


def test_shuffle_keeps_all_tags_and_the_first_ones_in_place() -> None:
    seen = {caption(epoch=epoch, shuffle=True, keep_tags=2) for epoch in range(1, 30)}
    assert len(seen) > 10
    for text in seen:
        assert text.startswith("ohwx man, red hat, ")
        assert sorted(text.split(", ")) == sorted(TAGS.split(", "))


def test_tag_dropout_takes_its_share_but_never_kept_tags() -> None:
    texts = [caption(epoch=epoch, tag_dropout=0.5, keep_tags=1).split(", ") for epoch in range(1, 401)]
    assert all(tags[0] == "ohwx man" for tags in texts)
    assert 0.45 < sum(len(tags) - 1 for tags in texts) / (400 * 5) < 0.55
    order = TAGS.split(", ")
    assert all(tags == sorted(tags, key=order.index) for tags in texts), "order changes without shuffle"


def test_caption_dropout_by_share_and_by_epoch() -> None:
    share = sum(caption(epoch=epoch, caption_dropout=0.3) == "" for epoch in range(1, 1001)) / 1000
    assert 0.25 < share < 0.35
    assert [epoch for epoch in range(1, 10) if caption(epoch=epoch, caption_dropout_every=3) == ""] == [3, 6, 9]


def test_draws_are_their_own() -> None:
    base = caption(shuffle=True)
    assert base == caption(shuffle=True)
    others = [caption(shuffle=True, seed=8), caption(shuffle=True, repeat=1), caption(shuffle=True, epoch=2)]
    others.append(caption(replace(PHOTO, identity="abd"), shuffle=True))
    assert len({base, *others}) > 3
    assert caption(replace(PHOTO, name="other.jpg", folder="else"), shuffle=True) == base, "a new name changes nothing"


def test_templates_draw_for_each_occasion_and_pick_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "expand", lambda template, seed: f"{template}:{seed}")
    photo = replace(PHOTO, caption="{a|b}\n{c|d}")
    seen = {caption(photo, epoch=epoch, templates=True) for epoch in range(1, 20)}
    assert len(seen) == 19
    assert {text[:5] for text in seen} == {"{a|b}", "{c|d}"}


def test_templates_are_the_prompt_language() -> None:
    pytest.importorskip("lib_lora_train.prompt")
    drawn = {captions.expand("a {red|blue} hat, 50% off", seed) for seed in range(20)}
    assert drawn == {"a red hat, 50% off", "a blue hat, 50% off"}


def test_words_of_file_names() -> None:
    assert [words_of(stem) for stem in ("red_car (3)", "cat-001", "a  b", "2023", "IMG")] == [
        "red car",
        "cat",
        "a b",
        "2023",
        "IMG",
    ]


def test_frequencies_are_by_folder_lower_case_and_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(PHOTO, caption="Beach, beach , dog", folder="5_z")
    assert tag_frequency([PHOTO, other], DatasetConfig(), "") == {
        "10_x y": dict.fromkeys(TAGS.split(", "), 1),
        "5_z": {"beach": 2, "dog": 1},
    }
    monkeypatch.setattr(captions, "FREQUENCY_BYTES", 40)
    assert tag_frequency([PHOTO, other], DatasetConfig(), "")["5_z"] == {"beach": 2}
