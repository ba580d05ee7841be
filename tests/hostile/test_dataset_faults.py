"""One test for each row D of the project's table of faults: bad folders, files, captions and archives."""

from __future__ import annotations

import errno
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from lib_lora_train.files import reading
from lib_lora_train.files.archive import ArchiveError, extract
from lib_lora_train.files.errors import DiskError
from lib_lora_train.train.config import from_values
from lib_lora_train.train.dataset import captions, report
from lib_lora_train.train.dataset.buckets import is_enlarged, place
from lib_lora_train.train.dataset.captions import caption_for, tag_frequency
from lib_lora_train.train.dataset.length import length, make_plan
from lib_lora_train.train.dataset.photos import Dataset, Photo, Problem
from lib_lora_train.train.dataset.pixels import View, content_key, load
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.dataset.verify import verify
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.sections import DatasetConfig
from tests.pictures import encoded, picture, save


def scanned(path: Path, **settings: Any) -> Dataset:
    return scan(DatasetConfig(path=str(path), **settings), "ohwx man")


def problem(dataset: Dataset, kind: str) -> Problem:
    found = [each for each in dataset.problems if each.kind == kind]
    assert found, f"no problem {kind!r} among {[each.kind for each in dataset.problems]}"
    return found[0]


def test_d1_any_layout_is_understood_and_an_empty_one_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no photo to train on"):
        scanned(tmp_path).require_trainable()
    root = tmp_path / "set"
    for folder, count in (("10_ohwx man", 3), ("beach", 2), ("5 at home", 1)):
        for number in range(count):
            save(root / folder / f"{number}.png", seed=number + count * 10)
    assert scanned(root).understood[0] == "6 photos in 3 folders, repeats 10/1/1."
    assert scanned(root / "10_ohwx man").understood[0] == "3 photos in 1 folder, repeats 10."
    assert scanned(root / "beach").understood[0] == "2 photos in 1 folder."
    assert scanned(tmp_path).understood[0] == "6 photos in 3 folders, repeats 10/1/1."


def test_d2_broken_files_are_listed_with_reasons_and_left_out(tmp_path: Path) -> None:
    save(tmp_path / "good.png", (200, 200))
    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
        data = encoded(picture((200, 200), seed=len(kind)), kind)
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) - (20 if kind == "JPEG" else len(data) // 3)])
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("shopping list")
    (tmp_path / "really-a-jpeg.png").write_bytes(encoded(picture((200, 200), seed=77), "JPEG"))
    checked = verify(scanned(tmp_path), DatasetConfig(path=str(tmp_path)), workers=1)
    assert [photo.name for photo in checked.photos] == ["good.png", "really-a-jpeg.png"]
    broken = {each.names[0]: each.message for each in checked.problems if each.kind == "broken"}
    assert set(broken) == {"cut.jpg", "cut.png", "cut.webp", "zero.jpg", "text.jpg"}
    assert (
        "empty" in broken["zero.jpg"]
        and "not a picture" in broken["text.jpg"]
        and "damaged or cut off" in broken["cut.jpg"]
    )
    assert problem(checked, "renamed").names == ("really-a-jpeg.png",)
    checked.require_trainable()
    strict = DatasetConfig(path=str(tmp_path), skip_broken=False)
    with pytest.raises(DatasetError) as raised:
        verify(scan(strict, "x"), strict, workers=1).require_trainable()
    assert all(name in str(raised.value) for name in broken)


def test_d3_litter_is_ignored_quietly(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (600, 600))
    for name in (
        "__MACOSX/._x.jpg",
        "Thumbs.db",
        ".DS_Store",
        "a_0512x0512_sd.npz",
        "._a.png",
        ".hidden/b.png",
        "@eaDir/a.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"litter")
    found = scanned(tmp_path)
    assert [photo.name for photo in found.photos] == ["a.png"]
    assert {each.kind for each in found.problems} == {"caption-missing"}
    (tmp_path / "film.mp4").write_bytes(b"1")
    assert "film.mp4" in problem(scanned(tmp_path), "unused").message


@pytest.mark.parametrize("limit", [None, 10_000, Image.MAX_IMAGE_PIXELS])
def test_d4_bombs_are_refused_from_their_header_in_any_process_state(
    tmp_path: Path, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for name, size in (("bomb", (50_000, 50_000)), ("panorama", (30_000, 8_000))):
        header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(name.encode())) + chunk(b"IEND", b"")
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    save(tmp_path / "good.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    found = scanned(tmp_path)
    assert [photo.name for photo in found.photos] == ["good.png"]
    assert all("pixels" in each.message for each in found.problems if each.kind == "broken")


def test_d5_photos_turned_by_exif_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture((320, 256), seed=3)
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    config = DatasetConfig(path=str(tmp_path), resolution=256)
    found = scan(config, "x")
    photo = found.photos[0]
    assert photo.size == (256, 320) and photo.notes == ("turned upright",)
    pixels = load(photo, View(place(photo.size, config)), config)
    expected = stored.transpose(Image.Transpose.ROTATE_270)
    placement = place(photo.size, config)
    left, top = placement.crop
    expected = expected.resize(placement.resized).crop(
        (left, top, left + placement.bucket[0], top + placement.bucket[1])
    )
    assert numpy.abs(pixels.astype(int) - numpy.asarray(expected).astype(int)).mean() < 12


def test_d6_every_kind_of_picture_is_converted_or_named(tmp_path: Path) -> None:
    picture((96, 96)).convert("RGBA").save(tmp_path / "rgba.png")
    Image.new("LA", (96, 96), (0, 0)).save(tmp_path / "la.png")
    picture((96, 96)).quantize(8).save(tmp_path / "p.png", transparency=0)
    picture((96, 96), mode="CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(numpy.full((96, 96), 40_000, dtype=numpy.uint16)).save(tmp_path / "sixteen.png")
    picture((96, 96), mode="L").save(tmp_path / "grey.jpg")
    frames = [Image.new("RGB", (96, 96), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "film.webp", save_all=True, append_images=frames[1:], lossless=True)
    (tmp_path / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64))
    config = DatasetConfig(path=str(tmp_path), background="#ff0000", resolution=64, bucket_min=64)
    found = verify(scan(config, "x"), config, workers=1)
    assert len(found.photos) == 8
    centre = {
        photo.name: load(photo, View(place(photo.size, config)), config)[20, 20].tolist() for photo in found.photos
    }
    assert centre["la.png"] == [255, 0, 0] and centre["film.gif"][0] > 200 and centre["film.webp"][0] > 200
    assert all(abs(value - 40_000 / 257) <= 1 for value in centre["sixteen.png"])
    assert "HEIC" in problem(found, "broken").message and "save it as JPEG" in problem(found, "broken").message
    assert "transparent: put on #ff0000" in next(photo for photo in found.photos if photo.name == "la.png").notes


def test_d7_thumbnails_and_slivers_are_listed_and_never_enlarged_silently(tmp_path: Path) -> None:
    save(tmp_path / "thumb.png", (64, 64))
    save(tmp_path / "speck.png", (30, 30))
    save(tmp_path / "sliver.png", (2400, 300))
    save(tmp_path / "good.png", (640, 640))
    found = scanned(tmp_path)
    assert problem(found, "small").names == ("thumb.png",)
    assert problem(found, "enlarged").names == ("speck.png",) and "30 x 30" in problem(found, "enlarged").message
    assert problem(found, "cropped").names == ("sliver.png",)
    placed = {photo.name: place(photo.size, DatasetConfig()) for photo in found.photos}
    assert [
        name for name, at in placed.items() if is_enlarged(next(p.size for p in found.photos if p.name == name), at)
    ] == ["speck.png"]
    assert placed["sliver.png"].bucket == (1024, 256)
    asked = scanned(tmp_path, upscale=True)
    assert set(problem(asked, "enlarged").names) == {"thumb.png", "speck.png"}


def test_d8_odd_captions_are_named_and_missing_ones_fall_back(tmp_path: Path) -> None:
    save(tmp_path / "missing_one.png")
    save(tmp_path / "empty.png", caption="")
    save(tmp_path / "bom.png")
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfohwx bom")
    save(tmp_path / "word.png")
    (tmp_path / "word.txt").write_bytes("ohwx it’s".encode("cp1252"))
    save(tmp_path / "wide.png")
    (tmp_path / "wide.txt").write_bytes("ohwx ширина".encode("utf-16"))
    save(tmp_path / "long.png", caption="ohwx " * 8000)
    found = scanned(tmp_path)
    told = {photo.name: photo.caption for photo in found.photos}
    assert told["bom.png"] == "ohwx bom" and told["word.png"] == "ohwx it’s" and told["wide.png"] == "ohwx ширина"
    assert told["missing_one.png"] is None and told["empty.png"] is None
    assert problem(found, "caption-empty").names == ("empty.txt",)
    assert "'ohwx man'" in problem(found, "caption-missing").message
    encodings = {each.names: each.message for each in found.problems if each.kind == "caption-encoding"}
    assert "cp1252" in encodings[("word.txt",)] and "utf-16" in encodings[("wide.txt",)]
    assert "39 kB" in problem(found, "caption-long").message
    built = report.build(found, from_values({"dataset": {"fallback": "filename"}}), lambda text: len(text.split()))
    tokens = next(each for each in built.problems if each.kind == "caption-tokens")
    assert "the longest has 8000" in tokens.message and "dataset.max_tokens = 225" in tokens.message
    assert next(entry.caption for entry in built.photos if entry.photo.name == "missing_one.png") == "missing one"


def test_d9_templates_in_captions_are_drawn_or_named_by_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png", caption="ohwx man in a {red|blue} hat")
    with pytest.raises(DatasetError, match=r"a\.txt, line 1.*\{red\|blue\}.*dataset\.templates"):
        scanned(tmp_path).require_trainable()

    def expand(template: str, seed: int) -> str:
        if template.count("{") != template.count("}"):
            raise DatasetError("a brace is not closed.")
        return template.replace("{red|blue}", ("red", "blue")[seed % 2])

    monkeypatch.setattr(captions, "expand", expand)
    monkeypatch.setattr("lib_lora_train.train.dataset.caption_files.expand", expand)
    found = scanned(tmp_path, templates=True)
    found.require_trainable()
    config = DatasetConfig(templates=True)
    drawn = [caption_for(found.photos[0], 0, epoch, 5, config, "") for epoch in range(1, 40)]
    assert set(drawn) == {"ohwx man in a red hat", "ohwx man in a blue hat"}
    assert drawn == [caption_for(found.photos[0], 0, epoch, 5, config, "") for epoch in range(1, 40)]
    (tmp_path / "a.txt").write_text("fine\n{red|blue", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"a\.txt, line 2: a brace"):
        scanned(tmp_path, templates=True).require_trainable()


def test_d10_shared_captions_are_warned_of_and_case_does_not_matter(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", caption="ohwx shared")
    save(tmp_path / "a.png")
    save(tmp_path / "B.JPG")
    (tmp_path / "b.TXT").write_text("ohwx b")
    found = scanned(tmp_path)
    assert {photo.name: photo.caption for photo in found.photos} == {
        "a.jpg": "ohwx shared",
        "a.png": "ohwx shared",
        "B.JPG": "ohwx b",
    }
    assert set(problem(found, "caption-shared").names) == {"a.jpg", "a.png"}


def test_d11_exact_and_near_duplicates_are_counted(tmp_path: Path) -> None:
    original = picture((400, 300), seed=1)
    original.save(tmp_path / "a.png")
    original.save(tmp_path / "copy of a.png")
    original.resize((200, 150)).save(tmp_path / "small a.jpg", quality=70)
    picture((400, 300), seed=2).save(tmp_path / "other.png")
    found = verify(scanned(tmp_path), DatasetConfig(path=str(tmp_path)), workers=1)
    assert (
        problem(found, "duplicate").names == ("copy of a.png",)
        and "1 photo is an exact copy" in problem(found, "duplicate").message
    )
    assert problem(found, "near-duplicate").names == ("small a.jpg",)


def test_d12_all_names_work(tmp_path: Path) -> None:
    names = [
        "with blank",
        "it's",
        "a&b",
        "100%",
        "猫の写真",
        "фото",
        "grün",
        "e\u0301t\u00e9",
        "trailing.",
        "a" * 150,
        "{b}",
        "#1",
        "[x]",
        "-dash",
    ]
    names += [] if sys.platform == "win32" else ['quote"', "new\nline", "semi;colon", "star*"]
    deep = reading.extended(tmp_path / "ü ordner") / ("n" * 120)
    for number, name in enumerate(names):
        save(deep / f"{name}.png", seed=number)
        (deep / f"{name}.txt").write_text(f"ohwx {number}", encoding="utf-8")
    if sys.platform == "linux":
        with open(os.fsencode(deep) + b"/caf\xe9.png", "wb") as stream:  # noqa: PTH123 - bytes that are no UTF-8
            stream.write(encoded(picture(seed=99), "PNG"))
    config = DatasetConfig(path=str(tmp_path))
    found = verify(scan(config, "x"), config, workers=1)
    assert len(found.photos) == len(names) + (sys.platform == "linux")
    assert sum(photo.caption is not None for photo in found.photos) == len(names)
    for photo in found.photos:
        photo.name.encode("utf-8")
        assert load(photo, View(place(photo.size, config)), config).shape[2] == 3
    "\n".join(report.lines(report.build(found, from_values({})))).encode("utf-8")


def test_d13_share_that_vanishes_is_waited_for_then_named_resumable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(reading, "sleep", waited.append)
    save(tmp_path / "a.png")
    config = DatasetConfig(path=str(tmp_path))
    photo = scan(config, "x").photos[0]
    view, read, fails = View(place(photo.size, config)), reading.content, [3]

    def flaky(path: Path, most: int) -> bytes:
        if fails[0]:
            fails[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return read(path, most)

    monkeypatch.setattr(reading, "content", flaky)
    assert load(photo, view, config).any() and waited == [0.1, 0.3, 1.0]
    fails[0] = 10**6
    with pytest.raises(DiskError, match=r"a\.png is gone.*resume"):
        load(photo, view, config)


def test_d14_edited_photo_gets_another_cache_key(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", seed=1)
    stat = path.stat()
    config = DatasetConfig(path=str(tmp_path))
    before = scan(config, "x").photos[0]
    view = View(place(before.size, config))
    pixels = bytearray(path.read_bytes())
    with Image.open(path) as image:
        edited = image.copy()
    edited.putpixel((30, 30), (1, 2, 3))
    edited.save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert pixels != path.read_bytes()
    after = scan(config, "x").photos[0]
    assert content_key(after, view, config) != content_key(before, view, config)
    with pytest.raises(DatasetError, match="was changed"):
        load(before, view, config)
    path.rename(tmp_path / "renamed.png")
    assert content_key(scan(config, "x").photos[0], view, config) == content_key(after, view, config)


def test_d15_hostile_archives_write_nothing(tmp_path: Path) -> None:
    def pack(**files: bytes) -> Path:
        with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as opened:
            for name, data in files.items():
                opened.writestr(name, data)
        return tmp_path / "x.zip"

    inner = pack(**{"a.jpg": b"1"}).read_bytes()
    hostile = [
        {"../a.jpg": b"1"},
        {"/a.jpg": b"1"},
        {"C:\\a.jpg": b"1"},
        {"big.jpg": bytes(5_000_000)},
        {f"{n}.jpg": b"" for n in range(20_001)},
    ]
    for files in hostile:
        with pytest.raises(ArchiveError):
            extract(pack(**files), tmp_path / "out", {".jpg"})
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]
    nested = pack(**{"42.zip": inner, "a.jpg": b"1"})
    assert [path.name for path in extract(nested, tmp_path / "out", {".jpg"})] == ["a.jpg"]


def test_d16_one_photo_and_very_many(tmp_path: Path) -> None:
    save(tmp_path / "one" / "a.png", (600, 600))
    one = scanned(tmp_path / "one")
    one.require_trainable()
    assert length(one, from_values({})).steps == 3000
    data = encoded(picture((16, 16)), "PNG")
    (tmp_path / "many").mkdir()
    for number in range(500):
        (tmp_path / "many" / f"{number}.png").write_bytes(data + number.to_bytes(4, "little"))
    many = scan(DatasetConfig(path=str(tmp_path / "many")), "x")
    assert len(many.photos) == 500 and max(len(each.message) for each in many.problems) < 2000
    photos = tuple(
        replace(one.photos[0], identity=str(n), caption=f"tag{n}, shared, another tag {n % 977}")
        for n in range(100_000)
    )
    counts = tag_frequency(photos, DatasetConfig(), "")
    assert sum(len(str(each)) for each in counts.values()) < 1_000_000
    assert next(iter(counts["one"].items())) == ("shared", 100_000)
    plan = make_plan(Dataset(photos), from_values({"dataset": {"repeats": 1}, "loop": {"batch_size": 4}}))
    assert plan.total_steps(10) == 250_000


def test_t12_steps_shown_are_steps_done_with_short_batches_and_left_over_accumulation() -> None:
    sizes = [(512, 512)] * 5 + [(600, 900)] * 2
    photos = tuple(Photo(Path(str(n)), str(n), *size, str(n), "f", repeats=3) for n, size in enumerate(sizes))
    for batch, accumulation in ((1, 1), (2, 3), (4, 2), (16, 5)):
        config = from_values({"loop": {"epochs": 4, "batch_size": batch, "accumulation": accumulation}})
        plan = make_plan(Dataset(photos), config)
        done = sum(len(plan.epoch(number).steps) for number in range(1, 5))
        assert length(Dataset(photos), config).steps == done
    config = from_values({"loop": {"steps": 7, "batch_size": 16, "accumulation": 5}})
    assert length(Dataset(photos), config).steps == 7
