"""Sample prompts: the guides' flags, the WebUI's emphasis, every sampler, and pictures that go wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from lib_lora_train.train import samples
from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.samples import Sample
from lib_lora_train.train.sections import SAMPLERS, BaseConfig, SamplesConfig
from tests.runs import Workshop

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")


def parse(line: str, **options: Any) -> Sample:
    return samples.parse(line, SamplesConfig(**options), 512, "ohwx man", 42)


@pytest.fixture(scope="module")
def base(workshop: Workshop) -> BaseModel:
    return load_base(BaseConfig(path=str(workshop.base)))


def test_the_guides_line_is_understood() -> None:
    line = "best quality, ([trigger]:1.2), beach -- sea --n low quality, worst --w 768 --h 770 --l 3.5 --s 50 --d 1 --ss k_euler_a"
    sample = parse(line)
    assert sample == Sample(
        "best quality, (ohwx man:1.2), beach -- sea", "low quality, worst", 768, 768, 3.5, 50, 1, "euler_a"
    )
    assert sample.infotext.endswith("Steps: 50, Sampler: euler_a, CFG scale: 3.5, Seed: 1, Size: 768x768")


def test_what_is_not_said_comes_from_the_config() -> None:
    assert parse("a cat", sampler="ddim", steps=7, cfg=2.0) == Sample("a cat", "", 512, 512, 2.0, 7, 42, "ddim")
    assert parse("  ").prompt == ""
    assert parse("a --n").negative == ""


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--w 32", r"--w 32 is out of range: use from 64 to 2048"),
        ("--w wide", r"--w 'wide' is not a number"),
        ("--s 0", r"--s 0 is out of range"),
        ("--s 2.5", r"--s '2\.5' is not a number"),
        ("--l 51", r"--l 51"),
        ("--l nan", r"--l nan"),
        ("--d -1", r"--d -1"),
        ("--ss lms", r"--ss lms is not a sampler; there are euler_a"),
        ("--cn x.png", r"--cn is not a flag; there are --n, --w"),
    ],
)
def test_a_flag_that_is_wrong_is_named(flag: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(f"a cat {flag}")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [  # the examples in the WebUI's own code
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ],
        ),
        # and where people slip
        ("", [("", 1.0)]),
        ("a) b] c", [("a) b] c", 1.0)]),
        ("[a", [("a", 1 / 1.1)]),
        ("at 9:30", [("at 9:30", 1.0)]),
        ("(a:.)", [("a:.", 1.1)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("(a: 1.5 )", [("a", 1.5)]),
        ("(a:-.5)", [("a", -0.5)]),
        ("a\\", [("a\\", 1.0)]),
    ],
)
def test_emphasis(prompt: str, expected: list[tuple[str, float]]) -> None:
    found = samples.emphasis(prompt)
    assert [text for text, _ in found] == [text for text, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


def test_weights_lie_on_their_own_tokens(base: BaseModel) -> None:
    [chunk] = samples.weighted_chunks(base.tokenizer, "a (cat:1.5) sat")
    tokens = base.tokenizer.encode("a cat sat")
    assert [token for token, _ in chunk[:5]] == [base.tokenizer.begin, *tokens, base.tokenizer.end]
    assert [weight for _, weight in chunk] == [1.0, 1.0, 1.5, 1.0, *[1.0] * 73]
    assert [len(chunk) for chunk in samples.weighted_chunks(base.tokenizer, "cat " * 80)] == [77, 77]


def test_contexts_are_as_long_as_the_longer_and_keep_their_mean(base: BaseModel) -> None:
    plain = samples.contexts(base, parse("a cat --n " + "dog " * 80), 1, CPU)
    assert plain.shape[:2] == (2, 154)
    ids = base.family.tokenize(base.tokenizer, ["a cat"], 75)
    encoded = base.family.encode_text(base.text_encoder, ids)[0]
    torch.testing.assert_close(plain[1, :77], encoded)
    heavy = samples.contexts(base, parse("a (cat:1.5)"), 1, CPU)[1]
    torch.testing.assert_close(heavy.mean(), encoded.mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(heavy[2] / heavy[1], 1.5 * encoded[2] / encoded[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_the_same_again_and_leaves_the_stream_alone(base: BaseModel, sampler: str) -> None:
    sample = parse(f"a cat --w 72 --h 64 --s 3 --d 5 --ss {sampler}")
    contexts = samples.contexts(base, sample, 1, CPU)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    one = samples.draw(base, sample, contexts, CPU)
    assert torch.equal(torch.rand(2), expected)
    assert one.size == (72, 64) and not samples.is_flat(one)
    assert samples.draw(base, sample, contexts, CPU).tobytes() == one.tobytes()
    if sampler in ("ddim", "euler_a"):
        assert samples.draw(base, parse("a cat --w 72 --h 64 --s 3 --d 6"), contexts, CPU).tobytes() != one.tobytes()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpmpp_2m", "dpmpp_2m_karras", "heun", "euler_a"])
def test_a_perfect_model_is_sampled_to_its_picture(sampler: str, prediction: str) -> None:
    """A model that always knows the clean latent leads every sampler there: schedule and prediction type fit."""
    from lib_lora_train.train.base.schedule import alphas_cumprod

    alphas = alphas_cumprod(False)
    clean = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    steps = samples.scheduler(sampler, alphas, prediction)
    steps.set_timesteps(25)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4)) * steps.init_noise_sigma
    for timestep in steps.timesteps:
        inputs = steps.scale_model_input(latents, timestep)
        alpha = alphas[int(timestep)]
        noise = (inputs - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        answer = noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        latents = steps.step(answer, timestep, latents).prev_sample
    assert (latents - clean).abs().max() < 0.2


def test_flat_pictures_are_known() -> None:
    assert samples.is_flat(Image.new("RGB", (8, 8), (0, 0, 0)))
    picture = Image.new("RGB", (8, 8), (200, 10, 10))
    assert samples.is_flat(picture)
    picture.putpixel((3, 3), (210, 10, 10))
    assert not samples.is_flat(picture)
