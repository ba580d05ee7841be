"""The command `expand`."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from lib_lora_train.prompt import LimitReached, TemplateError
from lib_lora_train.prompt.command import add_arguments, run


def expand(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(words))


def test_prompts_line_by_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("mine\n")
    assert expand("{a|b} __w__", "-n", "3", "--seed", "5", "--wildcards", str(tmp_path), "--negative", "no {c|d}") == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 6
    assert all(line in ("a mine", "b mine") for line in out[::2])
    assert all(line in ("  negative_prompt: no c", "  negative_prompt: no d") for line in out[1::2])


def test_json_is_one_object_a_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    expand("{a|b}", "-n", "4", "--seed", "9", "--negative", "{c|d}", "--json")
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [found["seed"] for found in objects] == [9, 10, 11, 12]
    assert set(objects[0]) >= {"prompt", "negative_prompt", "seed", "choices"}
    assert objects[0]["choices"]["prompt"][0]["texts"] == [objects[0]["prompt"]]


def test_modes_counts_and_statistics(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def out(*words: str) -> list[str]:
        assert expand(*words) == 0
        return capsys.readouterr().out.splitlines()

    assert out("{a|b}{c|d}", "--mode", "combinatorial") == ["ac", "ad", "bc", "bd"]
    assert out("{a|b}{c|d}", "--mode", "combinatorial", "-n", "2") == ["ac", "ad"]
    assert out("{a|b}", "--mode", "cyclical", "-n", "3") == ["a", "b", "a"]
    assert out("{a|b|c}" * 20, "--count") == ["3,486,784,401"]
    assert json.loads(out("{a|b}", "--count", "--json")[0]) == {"combinations": 2}
    assert out("{a|3::b}", "--statistics") == [
        "combinations: 2",
        "0  '{a|3::b}', one of 2, in 100% of the prompts",
        "   75.00%  b",
        "   25.00%  a",
    ]
    assert json.loads(out("{a|3::b}", "--statistics", "--json")[0])["odds"][0]["values"] == [["b", 0.75], ["a", 0.25]]
    assert out("{ a|2.50::b}", "--format") == ["{a|2.5::b}"]
    assert len(set(out("{a|b|c|d}", "-n", "4", "--unique"))) == 4
    monkeypatch.setattr("sys.stdin", io.StringIO("from a {pipe|pipe}"))
    assert out("-") == ["from a pipe"]


def test_notes_go_to_the_error_stream_once(capsys: pytest.CaptureFixture[str]) -> None:
    expand("__nowhere__ {a|b}", "-n", "5")
    captured = capsys.readouterr()
    assert captured.err.count("nowhere") == 1
    assert "note:" not in captured.out


def test_refusals() -> None:
    with pytest.raises(TemplateError, match="never closed"):
        expand("{a|b")
    assert expand("{a|b", "--lenient") == 0
    with pytest.raises(LimitReached, match="-n"):
        expand("{a|b|c|d|e|f|g|h|i|j}" * 6, "--mode", "combinatorial")


def test_the_home_folders_wildcards_come_before_the_shipped_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / "season.txt").write_text("carnival\n")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(["__season__"])
    options.home = tmp_path
    assert run(options) == 0
    assert capsys.readouterr().out == "carnival\n"


def test_the_shipped_wildcards_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    expand("__season__", "--missing", "error")
    assert capsys.readouterr().out.strip()
