"""A package's files have names that every system can store, and none of them lies elsewhere."""

from pathlib import Path

import pytest

from cyclorama.bridge.package_files import frame_name, leads_out, name_fault, unknown_file


@pytest.mark.parametrize(
    "name", ["scene.json", "static.safetensors", frame_name(7), "depth/000000.exr", "a-b_c.webp", "x"]
)
def test_the_names_that_we_write_are_allowed(name):
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    "name", ["../x", "a/../b", "..", "/x", "//x", "C:/x", "c:x", "a\\b", "\\\\host\\x", "/", "video/../../x"]
)
def test_a_name_that_leads_out_is_told_as_such(name):
    assert "outside the package" in name_fault(name) and "\n" not in name_fault(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "a/b/c", "a//b", "a/", "./a", ".hidden", "a.", "a ", " a", "Static.safetensors", "é", "a\0b", "a\n"),
        *(
            "con",
            "nul.exr",
            "video/aux.exr",
            "com1",
            "lpt9.webp",
            "x" * 65,
            "~",
            "$x",
            "*",
            "a?b",
            "a|b",
            '"',
            "\u202ea",
        ),
    ],
)
def test_a_name_that_not_every_system_can_store_is_refused(name):
    assert "not every system" in name_fault(name) and name_fault(name).isprintable()


def test_a_link_counts_by_where_it_leads(tmp_path):
    package, outside = tmp_path / "package", tmp_path / "outside"
    for folder in (package / "video", outside):
        folder.mkdir(parents=True)
        (folder / "a.exr").touch()
    assert not leads_out(package, "video/a.exr") and not leads_out(package, "missing")
    (package / "within.exr").symlink_to("video/a.exr")
    (package / "out.exr").symlink_to("../outside/a.exr")
    (package / "depth").symlink_to(outside)
    assert not leads_out(package, "within.exr")
    assert leads_out(package, "out.exr") and leads_out(package, "depth/a.exr")
    (tmp_path / "linked").symlink_to(package)  # where the package itself lies is the artist's choice
    assert not leads_out(tmp_path / "linked", "video/a.exr")


def test_files_that_nobody_told_of_are_found_however_deep_and_links_to_folders_too(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/known").touch()
    (tmp_path / ".DS_Store").touch()
    assert unknown_file(tmp_path, ["a/b/known"]) is None
    assert unknown_file(tmp_path, []) == tmp_path / "a/b/known"
    (tmp_path / "everything").symlink_to("/")
    assert unknown_file(tmp_path, ["a/b/known"]) == tmp_path / "everything"


def test_a_link_that_leads_to_itself_does_not_hang(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    try:
        assert leads_out(tmp_path, "loop") in (True, False)
    except (OSError, RuntimeError):  # Python 3.11 says RuntimeError
        return
