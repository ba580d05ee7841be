"""Rows M1 to M7: bases that cannot or should not be trained on, each with its sentence and cure."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_lora_train.train.base import detect
from lib_lora_train.train.base.family import LoadOptions
from lib_lora_train.train.base.fingerprint import change_since, fingerprint
from lib_lora_train.train.base.load import check_latents, load_base
from lib_lora_train.train.base.random_base import WIDTHS, Widths, write_random_base
from lib_lora_train.train.errors import BaseError, NotFinite
from lib_lora_train.train.sections import BaseConfig


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "good.safetensors"
    write_random_base(path, "tiny", dtype="fp16")
    return path


def refusal(path: Path, **fields: Any) -> str:
    """The sentence that both the check and the loader refuse `path` with."""
    said: list[str] = []
    for attempt in (
        lambda: detect.inspect(path, bool(fields.get("allow_pickle"))),
        lambda: load_base(BaseConfig(path=str(path), **fields)),
    ):
        with pytest.raises(BaseError) as caught:
            attempt()
        said.append(str(caught.value))
    assert said[0] == said[1] and said[0].endswith(".") and "\n" not in said[0]
    return said[0]


class Trap:
    """Leaves a mark when it is unpickled by anything but a careful reader."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_m1_pickles_are_refused_unless_allowed_and_never_run_code(good: Path, tmp_path: Path) -> None:
    tensors = load_file(good)
    for suffix in (".ckpt", ".pt", ".pth", ".bin"):
        path = tmp_path / f"model{suffix}"
        torch.save({"state_dict": tensors}, path)
        said = refusal(path)
        assert "can run code" in said and "convert it to .safetensors first" in said and "allow pickle" in said
    assert load_base(BaseConfig(path=str(tmp_path / "model.ckpt"), allow_pickle=True)).info.family == "sd1"

    mark = tmp_path / "run"
    torch.save({"state_dict": tensors, "callbacks": Trap(mark)}, tmp_path / "trap.ckpt")
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(Trap(mark), protocol=2))
    for name in ("trap.ckpt", "raw.ckpt"):
        assert "holds more than weights, so it was not opened" in refusal(tmp_path / name, allow_pickle=True)
        assert not mark.exists()

    (tmp_path / "renamed.safetensors").write_bytes((tmp_path / "model.ckpt").read_bytes())
    assert "is a pickled PyTorch file under another name" in refusal(
        tmp_path / "renamed.safetensors", allow_pickle=True
    )

    (tmp_path / "folder" / "unet").mkdir(parents=True)
    (tmp_path / "folder" / "unet" / "config.json").write_text("{}", encoding="utf-8")
    torch.save({}, tmp_path / "folder" / "unet" / "diffusion_pytorch_model.bin")
    assert "unet/diffusion_pytorch_model.bin is a pickled file" in refusal(tmp_path / "folder")


@pytest.mark.parametrize("keep", [0, 4, 8, 200, 5000, 20_000, 1_000_000, -1])
def test_m2_a_truncated_file_is_named_incomplete(keep: int, good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[:keep])
    said = refusal(path)
    assert said.startswith("cut.safetensors ") and "download or copy it again" in said
    if keep > 8 or keep < 0:
        assert "is incomplete: " in said and f"{len(content[:keep]):,}" in said


def test_m2_damaged_headers_are_named(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    path = tmp_path / "bad.safetensors"
    path.write_bytes((99_000_000).to_bytes(8, "little") + content[8:])
    assert "is incomplete: its header ends at byte 99,000,008" in refusal(path)
    path.write_bytes((1 << 40).to_bytes(8, "little") + content[8:])
    assert "more than the format allows" in refusal(path)
    names = [name for name in header if name != "__metadata__"]
    header[names[1]]["data_offsets"] = [offset - 2 for offset in header[names[1]]["data_offsets"]]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    assert "overlaps" in refusal(path)


def test_m2_a_file_that_shrinks_while_it_is_read(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shrinking.safetensors"
    path.write_bytes(good.read_bytes())
    from lib_lora_train.train.base import sd1

    fill = sd1.fill

    def shrink(*arguments: Any) -> None:
        with path.open("rb+") as stream:
            stream.truncate(100_000)
        fill(*arguments)

    monkeypatch.setattr(sd1, "fill", shrink)
    with pytest.raises(BaseError, match="became shorter while it was read"):
        load_base(BaseConfig(path=str(path)))


UNET = "model.diffusion_model."
FOREIGN = {
    "is an SDXL model": {f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3), f"{UNET}label_emb.0.0.weight": (8, 2816)},
    "is SDXL's refiner": {f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3), f"{UNET}label_emb.0.0.weight": (8, 2560)},
    "is an SD 2.x model": {
        f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3),
        f"{UNET}input_blocks.1.1.proj_in.weight": (8, 8),
    },
    "is a Flux model": {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (8, 8)},
    "is a LoRA": {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 8)},
    "is a VAE": {"encoder.conv_in.weight": (8, 3, 3, 3), "decoder.conv_in.weight": (8, 4, 3, 3)},
}


@pytest.mark.parametrize("words", FOREIGN)
def test_m3_other_models_are_told_from_their_keys(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in FOREIGN[words].items()}, path)

    def refuse(*_: Any) -> None:
        raise AssertionError("tensors were read")

    monkeypatch.setattr("lib_lora_train.train.base.tensors.TensorFile.read", refuse)
    said = refusal(path)
    assert words in said and "choose" in said


def test_m3_an_inpainting_model_is_told(tmp_path: Path) -> None:
    tiny = WIDTHS["tiny"]
    path = tmp_path / "inpaint.safetensors"
    write_random_base(path, Widths(tiny.unet, tiny.vae, tiny.text, tiny.text_layers, tiny.text_heads, in_channels=9))
    assert "is an inpainting model (9 input channels)" in refusal(path)


def test_m4_quantised_files_are_named(good: Path, tmp_path: Path) -> None:
    tensors = load_file(good)
    path = tmp_path / "small.safetensors"
    name = f"{UNET}input_blocks.0.0.weight"
    save_file({**tensors, name: tensors[name].to(torch.float8_e4m3fn)}, path)
    assert "holds fp8 weights" in refusal(path) and "choose the fp16, bf16 or fp32 file" in refusal(path)
    save_file({**tensors, f"{name}.quant_state.bitsandbytes__nf4": torch.zeros(3, dtype=torch.uint8)}, path)
    assert "holds nf4 weights" in refusal(path)
    save_file({**tensors, name: tensors[name].to(torch.int8)}, path)
    assert "holds int8 weights" in refusal(path)
    for file in (tmp_path / "model.gguf", tmp_path / "model-gguf.safetensors"):
        file.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(400))
        assert "is a GGUF file, which cannot be trained on; choose the fp16 or fp32" in refusal(file)


def test_m5_v_prediction_is_seen_and_sets_the_schedule(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_file({**load_file(good), "v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}, path)
    info = detect.inspect(path)
    assert info.prediction == "v_prediction" and info.zero_terminal_snr
    loaded = load_base(BaseConfig(path=str(path)))
    assert loaded.prediction == "v_prediction" and loaded.alphas_cumprod[-1] == 0 and not loaded.extras
    assert load_base(BaseConfig(path=str(path), prediction="epsilon")).prediction == "epsilon"


def test_m6_the_vae_stays_out_of_fp16_and_bad_latents_stop_the_run(good: Path, tmp_path: Path) -> None:
    loaded = load_base(BaseConfig(path=str(good)), LoadOptions(dtype=torch.float16, vae_dtype=torch.float16))
    assert {weight.dtype for weight in loaded.vae.parameters()} == {torch.float32}
    tensors = load_file(good)
    tensors["first_stage_model.encoder.conv_in.weight"] *= float("nan")
    save_file(tensors, tmp_path / "broken.safetensors")
    broken = load_base(BaseConfig(path=str(good), vae=str(tmp_path / "broken.safetensors")))
    mean, _ = broken.family.encode_images(broken.vae, torch.zeros(1, 3, 64, 64))
    with pytest.raises(
        NotFinite, match=r"broken\.safetensors gives latents that are not finite for photo\.png; choose another VAE"
    ):
        check_latents(broken, mean, "photo.png")


def test_m7_a_base_that_changed_since_queueing_is_told(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    path.write_bytes(good.read_bytes())
    queued = fingerprint(path)
    assert change_since(path, queued) == "" and load_base(BaseConfig(path=str(path))).hashes == queued
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "base.safetensors has changed since this run was set up" in change_since(path, queued)
    path.unlink()
    with pytest.raises(BaseError, match="cannot be read"):
        change_since(path, queued)
