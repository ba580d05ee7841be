"""Magic prompt, with a tiny model made here; nothing is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lib_lora_train.prompt.magic import MagicError, MagicPrompt


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("model")
    vocabulary = {
        word: place for place, word in enumerate(["<end>", "a", "red", "oak", "tree", "soft", "light", "mist"])
    }
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<end>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>", bos_token="<end>", unk_token="<end>"
    ).save_pretrained(path)
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=8, n_positions=64, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(path)
    return path


def test_it_continues_with_its_seed_and_leaves_tags_alone(folder: Path) -> None:
    import torch

    magic = MagicPrompt(folder, new_tokens=12, creativity=1.5)
    before = torch.get_rng_state()
    first = magic.continue_prompt("a red oak <lora:x:0.8>", 1)
    assert first.startswith("a red oak")
    assert first.endswith(" <lora:x:0.8>")
    assert magic.continue_prompt("a red oak <lora:x:0.8>", 1) == first
    assert len({magic.continue_prompt("a red oak", seed) for seed in range(6)}) > 1
    assert torch.equal(before, torch.get_rng_state())


def test_blocked_words_leave_the_prompt_as_it_was(folder: Path) -> None:
    assert MagicPrompt(folder, blocked=".").continue_prompt("a red oak", 1) == "a red oak"


def test_no_model_and_no_packages_are_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MagicError, match=r"config\.json is missing"):
        MagicPrompt(tmp_path).continue_prompt("a", 1)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MagicError, match="transformers"):
        MagicPrompt(folder).continue_prompt("a", 1)
