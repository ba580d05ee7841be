"""Names, folders, tables and text files of wildcards."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora_train.prompt import Context, Expander, Reading, Wildcards
from lib_lora_train.prompt.limits import Limits
from lib_lora_train.prompt.lines import IN_MEMORY_BYTES, read_values

from .conftest import Write


def values(root: Path, name: str, **reading: bool) -> list[str]:
    collection = Wildcards([root], reading=Reading(**reading)).find(name)  # type: ignore[arg-type]
    return [] if collection is None else [collection.values.text(index) for index in range(collection.values.size)]


def test_names_and_patterns(write: Write, tmp_path: Path) -> None:
    write("a.txt", ["1"])
    write("g/one.txt", ["2"])
    write("g/two words.txt", ["3"])
    write("g/h/hair (long).txt", ["4"])
    write("g/x-1.b.txt", ["5"])
    for name, expected in {
        "a": "1", "g/one": "2", "one": "2", r"g\one": "2", "/g//one/": "2", "G/ONE": "2", "g/two words": "3", "hair (long)": "4",
        "g/x-1.b": "5", "g/*": "4523", "*": "14523", "**": "14523", "g/o??": "2", "[ab]": "1", "g/[!o]*": "453", "no": "", "g/z*": "",
    }.items():  # fmt: skip
        assert sorted(values(tmp_path, name)) == sorted(expected), name


def test_a_large_file_reads_like_a_small_one(write: Write, tmp_path: Path) -> None:
    lines = [f"line {i} äöü" if i % 7 == 0 else f"line {i}" for i in range(70_000)]
    for i in range(0, 70_000, 5_000):
        lines[i] = ("# comment", "", "   ", "2::heavy", "\tindented", "0::never")[i // 5_000 % 6]
    small, large = lines[:100], lines
    assert len("\n".join(large)) > IN_MEMORY_BYTES / 2
    path = write("w.txt", large * 2)
    assert path.stat().st_size > IN_MEMORY_BYTES
    found = read_values(path, "", Limits())
    expected = [line.lstrip(" \t").split("::")[-1] for line in large * 2 if line.strip() and not line.startswith("#")]
    assert found.size == len(expected)
    for index in (*range(0, found.size, 997), found.size - 1):
        assert found.text(index) == expected[index]
    assert found.cumulative is not None
    assert found.cumulative[-1] == 1_000_000 * (len(expected) + expected.count("heavy") - expected.count("never"))
    write("s.txt", small)
    assert values(tmp_path, "s") == [line.lstrip() for line in small if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_line_ends_and_the_last_line(write: Write, end: str, last: str) -> None:
    text = end.join(f"value {i} " + "x" * 60 for i in range(20_000)) + (end if last else "")
    found = read_values(write("w.txt", text), "", Limits())
    assert found.size == 20_000
    assert [found.text(i).split()[1] for i in (0, 1, 12_345, 19_999)] == ["0", "1", "12345", "19999"]
    assert "\r" not in found.text(19_998)


def test_tables(write: Write, tmp_path: Path) -> None:
    write(
        "n.yaml",
        "sky:\n  - clear\n  - 3::cloudy\nsea:\n  calm: [mirror, glass]\n  rough: foam\n1: [x]\nempty:\nlater: &l [p]\nsame: *l\n",
    )
    write("g/m.yml", "- 2::a\n- {content: b, weight: 0.5}\n- 'c'\n")
    write("g/j.json", '{"k": ["1", 2, 0.50, {"text": "t", "weight": 2}], "deep": {"er": "v"}}')
    assert values(tmp_path, "sky") == ["clear", "cloudy"]
    assert values(tmp_path, "sea/*") == ["mirror", "glass", "foam"] or sorted(values(tmp_path, "sea/*")) == [
        "foam",
        "glass",
        "mirror",
    ]
    assert (values(tmp_path, "1"), values(tmp_path, "empty"), values(tmp_path, "same")) == (["x"], [], ["p"])
    assert values(tmp_path, "g/m") == ["a", "b", "c"]
    assert values(tmp_path, "g/k") == ["1", "2", "0.50", "t"]
    assert values(tmp_path, "g/deep/er") == ["v"]


def test_sorted_and_merged_on_request(write: Write, tmp_path: Path) -> None:
    write("w.txt", ["b", "c", "a", "b"])
    assert values(tmp_path, "w") == ["b", "c", "a", "b"]
    assert values(tmp_path, "w", sort=True, unique=True) == ["a", "b", "c"]


def test_the_starter_set_reads_and_draws() -> None:
    root = Path(__file__).parents[2] / "wildcards"
    wildcards = Wildcards([root])
    names = wildcards.names()
    assert {
        "scene",
        "light",
        "lens",
        "medium",
        "season",
        "colour",
        "clothing",
        "checkpoints/photo",
        "checkpoints/graphic",
    } <= set(names)
    expander = Expander(Context(wildcards, missing="error"))
    for name in set(names) - {"checkpoints/photo", "checkpoints/graphic"}:
        collection = wildcards.find(name)
        assert collection is not None
        assert collection.values.size >= 7
        assert expander.count(f"__{name}__") >= 7
        assert all(prompt.text.strip() and not prompt.notes for prompt in expander.batch(f"__{name}__", range(30)))
    assert not wildcards.notes
    assert wildcards.find("checkpoints/photo") is None, "the examples are comments, so that nothing unknown is loaded"
