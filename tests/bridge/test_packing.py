"""Rounded numbers are off by no more than is stated; packed ones come back exactly, and damaged ones are refused."""

import sys

import numpy as np
import pytest
import zstandard
from scipy.spatial.transform import Rotation

from cyclorama.bridge import packing, rounding
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.gaussians import radiance_from_colour
from cyclorama.bridge.packing import Column, PackedArray, pack_columns, unpack_columns
from cyclorama.bridge.rounding import ERROR, restored, rounded

COUNT = 20_000


def back(name: str, array: np.ndarray) -> np.ndarray:
    """Rounded and restored, in double precision to judge it."""
    got = restored(name, rounded(name, array))
    assert got.dtype == np.float32 and got.shape == array.shape and got.flags["C_CONTIGUOUS"]
    return got.astype(np.float64)


def units(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Unit vectors in all directions, float32."""
    vectors = np.random.default_rng(seed).standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, on beyond white, and odd."""
    size = np.abs(linear)
    return np.copysign(np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055), linear)


AXES = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)


# What is lost


@pytest.mark.parametrize("metres", [0.05, 1.0, 120.0, 50_000.0])
def test_places_are_off_by_a_stated_angle_and_share_of_their_distance(metres):
    position = metres * np.concatenate([units(COUNT, 3), AXES])
    got = back("position", position)
    distance, wanted = np.linalg.norm(got, axis=1), np.linalg.norm(position.astype(np.float64), axis=1)
    assert np.abs(distance / wanted - 1).max() < ERROR.distance_share
    sine = np.linalg.norm(np.cross(got, position), axis=1) / (distance * wanted)
    assert ERROR.direction_degrees / 3 < np.degrees(sine.max()) < ERROR.direction_degrees


def test_the_origin_stays_the_origin():
    assert np.abs(back("position", np.zeros((1, 3), np.float32))).max() < 1e-9


def test_rotations_are_off_by_a_stated_angle():
    rotation = np.concatenate([units(COUNT, 4), np.eye(4), -np.eye(4), np.full((1, 4), 0.5)]).astype(np.float32)
    got = back("rotation", rotation)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)
    apart = np.minimum(np.linalg.norm(got - rotation, axis=1), np.linalg.norm(got + rotation, axis=1))
    angle = np.degrees(4 * np.arcsin(apart / 2))  # of the rotation between two unit quaternions so far apart
    assert ERROR.rotation_degrees / 3 < angle.max() < ERROR.rotation_degrees


def test_a_splat_a_thousand_times_as_long_as_thick_still_fills_the_same_space():
    rotation = units(COUNT, 4)
    scale = np.array([1.0, 0.02, 0.001])

    def spread(quaternions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turn = Rotation.from_quat(quaternions[:, [1, 2, 3, 0]]).as_matrix()
        return turn * scale, turn / scale

    axes, _ = spread(back("rotation", rotation))
    _, unscaled = spread(rotation)
    seen = np.swapaxes(unscaled, 1, 2) @ axes  # in units of the splat as it was: the identity, were nothing lost
    assert np.abs(seen @ np.swapaxes(seen, 1, 2) - np.eye(3)).max() < 0.06


def test_sizes_are_off_by_a_stated_share():
    scale = np.exp(np.random.default_rng(0).uniform(-9, 4, (COUNT, 3))).astype(np.float32)
    share = np.abs(back("scale", scale) / scale - 1).max()
    assert ERROR.scale_share / 3 < share < ERROR.scale_share


def test_a_size_of_nothing_stays_next_to_nothing_beside_others_that_are_not():
    got = back("scale", np.array([[0.5, 0.0, 0.25]], np.float32))
    np.testing.assert_allclose(got, [[0.5, 0, 0.25]], atol=1e-9)


def test_colours_are_off_by_a_stated_part_of_srgb_in_the_dark_as_in_the_light():
    random = np.random.default_rng(0)
    colour = np.concatenate([random.random((COUNT, 3)), random.random((COUNT, 3)) ** 6, 50 * random.random((COUNT, 3))])
    colour = np.concatenate([colour, -0.05 * random.random((COUNT, 3))])
    got = 0.5 + rounding.SH_C0 * back("radiance:base", radiance_from_colour(colour, 1.0))[:, :3]
    error = np.abs(srgb(got) - srgb(colour)).max()
    assert ERROR.colour_srgb / 3 < error < ERROR.colour_srgb


def test_opacities_are_off_by_a_stated_step_and_none_and_whole_stay_so():
    opacity = np.linspace(0, 1, COUNT)
    got = back("radiance:base", radiance_from_colour(np.zeros((COUNT, 3)), opacity))[:, 3]
    assert np.abs(got - opacity).max() < ERROR.opacity
    assert (got[0], got[-1]) == (0, 1)


@pytest.mark.parametrize("name", ["position", "rotation", "scale", "radiance:base"])
def test_what_was_rounded_once_is_not_changed_by_rounding_again(name):
    width = packing.COLUMNS[name]
    array = units(COUNT, width) if name == "rotation" else np.random.default_rng(1).random((COUNT, width), np.float32)
    once = restored(name, rounded(name, array))
    twice = restored(name, rounded(name, once))
    same = np.isclose(once, twice, rtol=1e-5, atol=1e-6) | (np.isclose(once, -twice, atol=1e-6) & (name == "rotation"))
    assert same.mean() > 0.999  # of numbers on the edge between two steps, one may tip over


# What is not lost


COLUMNS = {
    "whole numbers of all sizes": np.random.default_rng(0).integers(-(2**31), 2**31, (3, 500)).astype(np.int32),
    "the greatest leaps": np.array([[-(2**31), 2**31 - 1] * 50], np.int32),
    "small ones": np.random.default_rng(1).integers(-3, 4, (4, 500)).astype(np.int32),
    "nothing but zeros": np.zeros((2, 500), np.int32),
    "a ramp": np.arange(500, dtype=np.int32)[None] * 77,
    "one Gaussian": np.array([[5], [-6]], np.int32),
    "none": np.zeros((3, 0), np.int32),
}


@pytest.mark.parametrize("numbers", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("first", ["none", "like it", "unlike it"])
def test_packed_numbers_come_back_exactly(numbers, first):
    random = np.random.default_rng(2)
    chance = random.integers(
        -(2**31) if first == "unlike it" else -1, 2**31 if first == "unlike it" else 2, numbers.shape
    )
    base = None if first == "none" else chance.astype(np.int32) + (numbers if first == "like it" else np.int32(0))
    squeezed, described = pack_columns(numbers, base)
    np.testing.assert_array_equal(unpack_columns(squeezed, described, base), numbers)


def test_each_column_is_held_against_what_predicts_it_best():
    random = np.random.default_rng(0)
    noise = random.integers(-500, 500, (4, 4000)).astype(np.int32)
    first = random.integers(-(2**24), 2**24, (4, 4000)).astype(np.int32)
    ramp = np.cumsum(noise[1], dtype=np.int32) * 16
    numbers = np.stack([noise[0], ramp, first[2] + noise[2], first[3] + ramp])
    _, described = pack_columns(numbers, first)
    assert [column.after for column in described.columns] == ["nothing", "neighbour", "first", "both"]


def test_gaussians_without_order_are_put_in_one_and_a_lattice_is_left_in_its_own():
    longitude, latitude = np.meshgrid(np.linspace(-3, 3, 200), np.linspace(-1, 1, 60))
    lattice = np.stack([np.cos(latitude) * np.sin(longitude), np.cos(latitude) * np.cos(longitude), np.sin(latitude)])
    rows = lattice.reshape(3, -1).T.astype(np.float32)
    assert (packing.order(rows) == np.arange(len(rows))).all()
    mixed = rows[np.random.default_rng(0).permutation(len(rows))]
    found = packing.order(mixed)
    assert sorted(found) == list(range(len(mixed)))
    step, before = (np.linalg.norm(np.diff(each, axis=0), axis=1).mean() for each in (mixed[found], mixed))
    assert step < before / 10


# What is refused


def packed() -> tuple[np.ndarray, PackedArray]:
    return pack_columns(COLUMNS["small ones"], None)


def test_more_bytes_than_were_declared_are_never_made_room_for():
    bomb = np.frombuffer(zstandard.ZstdCompressor().compress(bytes(1 << 27)), np.uint8)
    assert len(bomb) < 10_000
    with pytest.raises(ValueError, match="unpacks to 134217728 bytes, not 10"):
        unpack_columns(bomb, PackedArray(10, (Column("nothing", 1),)), None)


def test_bytes_that_do_not_say_how_many_they_will_be_are_refused():
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10))
    with pytest.raises(ValueError, match="unpacks to"):
        unpack_columns(np.frombuffer(silent, np.uint8), PackedArray(10, (Column("nothing", 1),)), None)


def test_damaged_bytes_are_refused_or_give_as_many_numbers_as_declared():
    squeezed, described = packed()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = squeezed.copy()
        damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
        try:
            assert unpack_columns(damaged, described, None).shape == (4, 500)
        except ValueError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_bytes_cut_short_are_refused(share):
    squeezed, described = packed()
    with pytest.raises(ValueError, match="unpack"):
        unpack_columns(squeezed[: int(share * len(squeezed))], described, None)


def test_bytes_after_the_last_are_refused():
    squeezed, described = packed()
    with pytest.raises(ValueError, match="unpack"):
        unpack_columns(np.concatenate([squeezed, squeezed]), described, None)


def test_numbers_that_build_on_a_first_frame_are_refused_without_one():
    numbers = COLUMNS["whole numbers of all sizes"]
    squeezed, described = pack_columns(numbers, numbers - 1)
    with pytest.raises(ValueError, match="first frame that is not there"):
        unpack_columns(squeezed, described, None)


def test_a_python_without_zstandard_is_told_in_a_sentence(monkeypatch):
    squeezed, described = packed()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(CycloramaError) as caught:
        unpack_columns(squeezed, described, None)
    assert caught.value.code == "zstandard-missing" and "'zstandard'" in caught.value.sentence and caught.value.hint
