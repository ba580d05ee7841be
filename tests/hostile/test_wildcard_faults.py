"""Rows W of the fault table: one test for each, named after it. (W13 is the page's; the confinement is tested here.)"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import pytest

from lib_lora_train.prompt import (
    Context,
    Expander,
    LimitReached,
    Limits,
    Reading,
    WildcardError,
    WildcardFileError,
    Wildcards,
    wildcards,
)
from lib_lora_train.prompt.template import Missing


def make(*roots: Path, missing: Missing = "literal", encoding: str = "", limits: Limits | None = None) -> Expander:
    limits = limits or Limits()
    return Expander(Context(Wildcards(roots, limits=limits, reading=Reading(encoding)), missing=missing, limits=limits))


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / f"{name}.txt").write_text(text, encoding="utf-8")


def draws(expander: Expander, template: str, number: int = 60) -> set[str]:
    return {prompt.text for prompt in expander.batch(template, range(number))}


def test_w1_a_missing_name(tmp_path: Path) -> None:
    write(tmp_path, landscape="x", portrait="y")
    with pytest.raises(WildcardError, match="did you mean 'landscape'") as caught:
        make(tmp_path, missing="error").draw("a __landscpae__", 1)
    assert "column 3" in str(caught.value)
    prompt = make(tmp_path).draw("a __landscpae__", 1)
    assert prompt.text == "a __landscpae__"
    assert "landscape" in prompt.notes[0]
    assert make(tmp_path, missing="empty").draw("a __nothing__", 1).text == "a "


def test_w2_circles_are_named(tmp_path: Path) -> None:
    write(tmp_path, self="__self__", a="__b__", b="x __a__", half="__half__\nok")
    with pytest.raises(WildcardError, match="self → self"):
        make(tmp_path).draw("__self__", 1)
    with pytest.raises(WildcardError, match=r"a → b → a|b → a → b"):
        make(tmp_path).draw("__a__", 1)
    assert draws(make(tmp_path), "__half__") == {"ok"}
    found = list(make(tmp_path).combinations("__half__"))
    assert {prompt.text for prompt in found} == {"ok"}
    assert any("Left out" in note for note in found[-1].notes)


def test_w3_a_bomb_ends_in_the_budget(tmp_path: Path) -> None:
    for level in range(9):
        write(tmp_path, **{f"l{level}": f"__l{level + 1}__ " * 10})
    write(tmp_path, l9="{x|y}")
    begin = time.process_time()
    with pytest.raises(LimitReached, match="budget"):
        make(tmp_path).draw("__l0__", 1)
    assert time.process_time() - begin < 3
    assert make(tmp_path).count("__l7__") == 2**100


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:/x", "//host/s", "CON", "a\0b", "..\\x", "a/../../b", "~/../x"]
)
def test_w4_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "in"
    root.mkdir()
    write(tmp_path, x="secret", b="secret")
    with pytest.raises(WildcardError) as caught:
        make(root, missing="error").draw(f"__{name}__", 1)
    assert "inside the wildcard folders" in caught.value.reason
    assert name not in caught.value.reason
    assert make(root).draw(f"__{name}__", 1).text == f"__{name}__"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_w5_links_lead_only_into_listed_roots(tmp_path: Path) -> None:
    inside, other, outside = (tmp_path / name for name in ("inside", "other", "outside"))
    for folder in (inside, other, outside):
        folder.mkdir()
    write(outside, secret="secret")
    write(other, shared="shared")
    (inside / "out.txt").symlink_to(outside / "secret.txt")
    (inside / "away").symlink_to(outside)
    (inside / "more").symlink_to(other)
    expander = make(inside, other)
    assert draws(expander, "__out__ __away/secret__", 2) == {"__out__ __away/secret__"}
    assert draws(expander, "__more/shared__", 2) == {"shared"}
    assert any("leads out" in note for note in expander.context.wildcards.notes)


def test_w6_loops_many_files_and_deep_folders(tmp_path: Path) -> None:
    deep = tmp_path
    for level in range(40):
        deep = deep / f"d{level}"
    deep.mkdir(parents=True)
    write(deep, leaf="x")
    (tmp_path / "d0" / "loop").symlink_to(tmp_path)
    for number in range(2000):
        (tmp_path / f"f{number}.txt").write_text("v\n")
    begin = time.process_time()
    assert make(tmp_path).draw("__f7__", 1).text == "v"
    bounded = make(tmp_path, limits=Limits(files=500))
    bounded.draw("__f7__", 1)
    assert any("stopped after" in note for note in bounded.context.wildcards.notes)
    assert make(tmp_path).draw("__leaf__", 1).text == "__leaf__"
    assert time.process_time() - begin < 3
    assert make(tmp_path, limits=Limits(folder_depth=60)).draw("__leaf__", 1).text == "x"


def test_w7_a_large_file_is_indexed_not_held(tmp_path: Path) -> None:
    line = "x" * 4000
    with (tmp_path / "big.txt").open("w") as stream:
        for number in range(10_000):
            stream.write(f"{number} {line}\n")
        stream.write("# end\n2::last\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    expander = make(tmp_path)
    collection = expander.context.wildcards.find("big")
    assert collection is not None
    assert (collection.values.size, collection.values.cumulative[-1]) == (10_001, 10_002_000_000)  # type: ignore[index]
    assert [collection.values.text(index)[:5].split()[0] for index in (0, 9_999, 10_000, 5_000)] == [
        "0",
        "9999",
        "last",
        "5000",
    ]
    expander.draw("{3$$__big__}", 1)
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12 * 1024
    with pytest.raises(WildcardFileError, match="more than the limit"):
        make(tmp_path, limits=Limits(file_bytes=1024)).draw("__big__", 1)


def test_w8_encodings(tmp_path: Path) -> None:
    (tmp_path / "mark.txt").write_bytes(b"\xef\xbb\xbffirst\n")
    (tmp_path / "old.txt").write_bytes("ok\ncafé\n".encode("cp1252"))
    (tmp_path / "quotes.txt").write_bytes("“x”\n".encode("cp1252"))
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbf" + "café\n".encode("cp1252"))
    (tmp_path / "wide.txt").write_bytes("größe\n".encode("utf-16"))
    (tmp_path / "large.txt").write_bytes(b"plain line\n" * 200_000 + "café\n".encode("latin-1"))
    assert make(tmp_path).draw("__mark__", 1).text == "first"
    for name, words in (
        ("old", "old.txt is not UTF-8: byte 0xe9 at offset 6"),
        ("wide", "wide.txt is UTF-16"),
        ("large", "offset 2,200,003"),
        ("quotes", "offset 0"),
        ("marked", "byte 0xe9 at offset 6"),
    ):
        with pytest.raises(WildcardFileError, match=words):
            make(tmp_path).draw(f"__{name}__", 1)
    assert draws(make(tmp_path, encoding="cp1252"), "__old__ __quotes__ __wide__") == {"ok “x” größe", "café “x” größe"}


def test_w9_blank_lines_comments_blanks_and_doubles(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_bytes(b"\n# note\n  a \n\t\n   # more\nb\nb\nb\n\r\n")
    collection = make(tmp_path).context.wildcards.find("w")
    assert collection is not None
    assert [collection.values.text(index) for index in range(collection.values.size)] == ["a ", "b", "b", "b"]
    share = sum(prompt.text == "b" for prompt in make(tmp_path).batch("__w__", range(4000))) / 4000
    assert 0.71 < share < 0.79


def test_w10_edited_added_and_deleted_while_running(tmp_path: Path) -> None:
    write(tmp_path, w="old")
    expander = make(tmp_path)
    assert expander.draw("__w__", 1).text == "old"
    write(tmp_path, w="new one")
    assert expander.draw("__w__", 1).text == "new one"
    (tmp_path / "w.txt").unlink()
    prompt = expander.draw("__w__", 1)
    assert prompt.text == "__w__"
    assert prompt.notes
    write(tmp_path, w="back", later="here")
    os.utime(tmp_path, (1, 1))
    assert expander.draw("__w__ __later__", 1).text == "back here"
    (tmp_path / "t.yaml").write_text("a: [x]\n")
    os.utime(tmp_path, (2, 2))
    assert expander.draw("__a__", 1).text == "x"
    (tmp_path / "t.yaml").write_text("a: [yy]\n")
    assert expander.draw("__a__", 1).text == "yy"


def test_w10_a_batch_looks_once_and_sees_edits_when_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, w="old")
    expander = make(tmp_path)
    slow = expander.batch("__w__", range(3))
    assert next(slow).text == "old"
    write(tmp_path, w="edited")
    assert next(expander.batch("__w__", [1])).text == "edited"
    time.sleep(wildcards.BATCH_LOOK_SECONDS * 1.5)
    write(tmp_path, w="edited again")
    assert [prompt.text for prompt in slow] == ["edited again"] * 2

    looks: list[str | Path] = []
    stamp = wildcards._stamp
    monkeypatch.setattr(wildcards, "_stamp", lambda path: looks.append(path) or stamp(path))  # pyright: ignore
    monkeypatch.setattr(wildcards, "BATCH_LOOK_SECONDS", 1e9)
    assert sum(1 for _ in expander.batch("__w__", range(500))) == 500
    assert 1 <= len(looks) <= 3


def test_w11_hostile_tables(tmp_path: Path) -> None:
    nine = "\n".join(
        f"k{level}: &k{level} {{{', '.join(f'x{i}: *k{level - 1}' for i in range(9))}}}" for level in range(1, 9)
    )
    files = {
        "object.yaml": "evil: !!python/object/apply:os.system ['touch pwned']\n",
        "bomb.yaml": f"k0: &k0 [lol]\n{nine}\n",
        "deep.yaml": "a: " + "[" * 5000 + "]" * 5000,
        "deep.json": "[" * 100_000 + "]" * 100_000,
        "broken.json": '{"a": [1,}',
        "broken.yaml": "a: [b\n",
        "double.yaml": "twice: [a]\ntwice: [b]\n",
        "double.json": '{"again": ["a"], "again": ["b"]}',
        "good.yaml": "fine: [yes, 010, 1.50, 3::x, {text: y, weight: 0}, [z]]\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    begin = time.process_time()
    expander = make(tmp_path)
    assert draws(expander, "__fine__") == {"yes", "010", "1.50", "x"}
    assert draws(expander, "__twice__ __again__", 3) == {"b b"}
    assert draws(expander, "__evil__ __lol__ __a__", 2) == {"__evil__ __lol__ __a__"}
    assert time.process_time() - begin < 3
    notes = " ".join(expander.context.wildcards.notes)
    for words in (
        "object.yaml, line 1: the tag",
        "bomb.yaml is too large",
        "deep.yaml, line 1: nested",
        "deep.json is nested",
        "broken.json is not valid",
        "broken.yaml is not valid",
        "'twice' stands twice",
        "'again' stands twice",
        "neither a text",
    ):
        assert words in notes
    assert not Path("pwned").exists()


def test_w12_the_first_root_wins_and_both_are_listed(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    write(one, w="first")
    write(two, w="second", only="two")
    expander = make(one, two)
    assert expander.draw("__w__ __only__", 1).text == "first two"
    listed = expander.context.wildcards.names()["w"]
    assert [Path(path).parent.name for path in listed] == ["one", "two"]


def test_w13_nothing_of_the_language_writes_to_wildcard_folders(tmp_path: Path) -> None:
    """Editing belongs to the page, through `Root.resolve` and atomic writes; the language only reads."""
    write(tmp_path, w="a\n{b|c}")
    (tmp_path / "t.yaml").write_text("x: [1]\n")
    stamps = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    expander = make(tmp_path)
    draws(expander, "__w__ __x__ __*__ __nothing__")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == stamps
