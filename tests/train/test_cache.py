"""The cache: whole entries under names that say everything they depend on."""

from __future__ import annotations

from pathlib import Path

import torch

from lib_lora_train.train import cache
from lib_lora_train.train.cache import Cache


def test_keys_tell_their_parts_apart() -> None:
    keys = {cache.key("ab", "c"), cache.key("a", "bc"), cache.key("abc"), cache.key("ab", "c", ""), cache.key("\ud800")}
    assert len(keys) == 5
    assert cache.key("latent", "vae", "photo") == cache.key("latent", "vae", "photo")


def test_a_model_changed_in_one_number_or_only_in_type_is_another() -> None:
    def model(value: float = 0.0, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        module = torch.nn.Linear(3, 2)
        torch.nn.init.zeros_(module.weight)
        torch.nn.init.zeros_(module.bias)
        module.weight.data[1, 2] = value
        return module.to(dtype)

    assert cache.fingerprint(model()) == cache.fingerprint(model())
    assert len({cache.fingerprint(one) for one in (model(), model(1e-6), model(dtype=torch.float16))}) == 3


def test_an_entry_survives_on_disk_and_a_broken_one_counts_as_absent(tmp_path: Path) -> None:
    tensors = {"mean": torch.arange(6.0).view(2, 3).t(), "deviation": torch.ones(3)}
    Cache(tmp_path).put("aa11", tensors)
    found = Cache(tmp_path).get("aa11")
    assert found is not None and torch.equal(found["mean"], tensors["mean"])
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    file.write_bytes(file.read_bytes()[:-5])
    assert Cache(tmp_path).get("aa11") is None
    Cache(tmp_path).put("aa11", tensors)
    assert Cache(tmp_path).get("aa11") is not None


def test_without_a_folder_it_is_kept_in_memory_only() -> None:
    one = Cache(None)
    assert one.get("a") is None
    one.put("a", {"x": torch.ones(1)})
    assert one.get("a") is not None and Cache(None).get("a") is None
