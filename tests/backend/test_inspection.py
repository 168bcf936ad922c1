"""What is said of a package: how big, how small beside every frame whole, how exact, and how far one may walk in it."""

import json

import numpy as np
import pytest

from cyclorama.backend.inspection import facts, in_words
from cyclorama.bridge.gaussians import Gaussians
from cyclorama.bridge.rounding import ERROR
from cyclorama.bridge.scene import Generator, Scene
from cyclorama.bridge.scene_writer import SceneWriter

STATIC, MOVING, FRAMES = 700, 300, 24
WHOLE = 56 * FRAMES * (STATIC + MOVING)
"""Bytes, were every frame's Gaussians stored as they are."""


def some(count: int, seed: int) -> Gaussians:
    random = np.random.default_rng(seed)
    rotation = random.standard_normal((count, 4))
    return Gaussians(
        random.standard_normal((count, 3)).astype(np.float32),
        (rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).astype(np.float32),
        random.uniform(0.1, 1, (count, 3)).astype(np.float32),
        random.random((count, 4), np.float32),
    )


@pytest.fixture
def write(tmp_path):
    """Writes a scene of which only the light moves, and opens it."""

    def written(compression="none", frames=FRAMES, moving=MOVING, **described) -> Scene:
        with SceneWriter(tmp_path / "a.cyclorama", compression=compression) as writer:
            writer.static(some(STATIC, 0))
            if moving:
                shared = some(moving, 1).arrays()
                radiance = shared.pop("radiance:base")
                writer.moving(shared)
                for index in range(frames):
                    writer.frame(index, {"radiance:base": radiance * np.float32(1 - 0.01 * index)})
            writer.file("preview.webp", lambda path: path.write_bytes(bytes(1000)))
            writer.finish(
                generator=Generator("test", "0", "none", {}),
                seed=0,
                frame_rate=24.0,
                frame_count=frames,
                loops=True,
                **described,
            )
        return Scene(tmp_path / "a.cyclorama")

    return written


def test_the_share_of_every_frame_whole_is_that_of_the_gaussians_bytes(write):
    found = facts(write())
    wanted = 56 * STATIC + 40 * MOVING + 16 * MOVING * FRAMES
    assert found["share_of_every_frame_whole"] == pytest.approx(wanted / WHOLE, rel=0.08)  # and the files' headers


def test_bytes_are_those_on_disk_in_all_and_a_frame(write):
    scene = write()
    found = facts(scene)
    on_disk = {path.relative_to(scene.folder): path.stat().st_size for path in scene.folder.rglob("*.*")}
    frames = [size for path, size in on_disk.items() if path.parts[0] == "frames"]
    description = (scene.folder / "scene.json").stat().st_size
    assert found["bytes_in_all"] == sum(on_disk.values()) - description
    assert found["bytes_per_frame"] == pytest.approx(sum(frames) / FRAMES)


def test_a_scene_in_which_nothing_moves_has_no_bytes_a_frame(write):
    found = facts(write(frames=1, moving=0))
    assert found["bytes_per_frame"] == 0
    assert found["share_of_every_frame_whole"] == pytest.approx(1, abs=0.02)
    assert "0.00 MB of moving Gaussians a frame" in in_words(found)


def test_an_uncompressed_scene_is_said_to_be_exact(write):
    found = facts(write())
    assert (found["encodings"], found["error"]) == ([], None)
    assert "compression  none: all numbers as they were made" in in_words(found)


def test_a_compressed_scene_is_smaller_and_says_how_far_its_numbers_are_off(write):
    found = facts(write("small"))
    assert found["share_of_every_frame_whole"] < 0.12
    assert found["encodings"] == ["small"]
    assert found["error"]["direction_degrees"] == ERROR.direction_degrees
    words = in_words(found)
    for said in ("small: directions within 0.0005°", "distances 0.0012 %", "rotations 0.0016°", "sizes 0.14 %"):
        assert said in words, said


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({}, "safe radius: not measured"),
        ({"safe_radius": 0.25}, "safe radius: 0.25 m\n"),
        (
            {"safe_radius": 0.25, "safe_radii": ((0.0, 0.0, 1.0, 0.25), (1.0, 0.0, 0.0, 0.75))},
            "safe radius: 0.25 m, up to 0.75 m by direction",
        ),
    ],
    ids=["not measured", "measured", "by direction"],
)
def test_the_safe_radius_is_said_as_far_as_it_is_known(write, described, said):
    found = facts(write(**described))
    assert said in in_words(found)
    radii = described.get("safe_radii", ())
    assert found["safe_radii"] == [{"direction": list(each[:3]), "metres": each[3]} for each in radii]


def test_a_scene_of_a_picture_has_one_frame(write):
    assert "one frame at 24 a second" in in_words(facts(write(frames=1, moving=0)))


def test_the_facts_are_json(write):
    found = facts(write("small", safe_radius=0.5, safe_radii=((0.0, 0.0, 1.0, 0.5),)))
    assert json.loads(json.dumps(found))["safe_radii"] == [{"direction": [0, 0, 1], "metres": 0.5}]
