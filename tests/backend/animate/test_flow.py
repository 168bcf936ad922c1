"""The flow lies on the sphere, follows the strokes inside the mask, and knows no seam and no pole."""

import numpy as np
import pytest

from cyclorama.backend.animate.flow import check_inside, drift, soften, stroke_flow
from cyclorama.backend.sphere.equirectangular import direction, directions, latitudes, pixels, tangents
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import Stroke

HEIGHT, WIDTH = 64, 128
EVERYWHERE = np.ones((HEIGHT, WIDTH), np.float32)
STROKES = (Stroke(10, 5, 20, 0, 10), Stroke(-120, 40, 0, -10, 3), Stroke(170, -60, -30, 20, 5))


def sky_mask() -> np.ndarray:
    """White above a hilly horizon, soft below it for a few rows, black underneath."""
    row = np.arange(HEIGHT)[:, None]
    horizon = 30 + 4 * np.sin(np.arange(WIDTH) * (4 * np.pi / WIDTH))
    return np.clip((horizon - row) / 3, 0, 1).astype(np.float32)


def spot_mask() -> np.ndarray:
    """A disc about the direction of the stroke (10°, 5°)."""
    return (directions(HEIGHT) @ direction(np.deg2rad(10), np.deg2rad(5)) > 0.9).astype(np.float32)


def at(field: np.ndarray, longitude: float, latitude: float) -> np.ndarray:
    """Value at the nearest pixel, degrees."""
    column, row = pixels(direction(np.deg2rad(longitude), np.deg2rad(latitude)), len(field))
    return field[min(max(round(float(row)), 0), len(field) - 1), round(float(column)) % field.shape[1]]


FIELDS = {
    "strokes": lambda: stroke_flow(EVERYWHERE, STROKES),
    "strokes in the sky": lambda: stroke_flow(sky_mask(), STROKES[1:2]),
    "drift": lambda: drift(sky_mask(), np.flipud(sky_mask()).copy(), grey(), 1.6, 0),
}


def grey() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)


@pytest.mark.parametrize("field", FIELDS)
def test_the_flow_is_tangent_to_the_sphere(field):
    flow = FIELDS[field]()
    assert flow.shape == (HEIGHT, WIDTH, 3) and flow.dtype == np.float32
    assert np.abs(flow).max() > 1e-3
    assert np.abs((flow * directions(HEIGHT)).sum(axis=-1)).max() < 1e-6 * np.abs(flow).max() * 10


def test_outside_the_mask_there_is_exactly_no_flow():
    flow = stroke_flow(spot_mask(), STROKES[:1])
    assert (flow[spot_mask() == 0] == 0).all()
    assert (flow[spot_mask() > 0] != 0).any(axis=-1).mean() > 0.9


def test_the_flow_rises_smoothly_from_the_edge_of_the_mask():
    height = 360  # a pixel is half a degree
    disc = directions(height) @ direction(0.0, 0.0) > np.cos(np.deg2rad(20))
    speed = np.linalg.norm(stroke_flow(disc.astype(np.float32), [Stroke(0, 0, 10, 0, 8)]), axis=-1)
    across = speed[height // 2, : height + 1]
    inside = across[across > 0]
    assert inside[0] < 0.25 * inside[-1]
    assert np.abs(np.diff(across)).max() < 0.6 * inside[-1]
    assert (np.diff(inside[:4]) > 0).all()


@pytest.mark.parametrize("stroke", STROKES)
def test_at_the_start_of_a_stroke_the_flow_has_its_direction_and_speed(stroke):
    height = 256
    flow = stroke_flow(np.ones((height, 2 * height), np.float32), [stroke])
    east, north = tangents(height)
    velocity = at(flow, stroke.longitude, stroke.latitude)
    assert np.rad2deg(np.linalg.norm(velocity)) == pytest.approx(stroke.speed, rel=1e-3)
    wanted = np.array([stroke.d_longitude * np.cos(np.deg2rad(stroke.latitude)), stroke.d_latitude])
    components = np.stack([(flow * east).sum(-1), (flow * north).sum(-1)], axis=-1)
    found = at(components, stroke.longitude, stroke.latitude)
    np.testing.assert_allclose(found / np.linalg.norm(found), wanted / np.linalg.norm(wanted), atol=0.02)


def test_a_stroke_to_the_right_moves_to_the_right_and_one_upwards_up():
    right = stroke_flow(EVERYWHERE, [Stroke(0, 0, 10, 0, 5)])
    up = stroke_flow(EVERYWHERE, [Stroke(0, 0, 0, 10, 5)])
    np.testing.assert_allclose(at(right, 1, 1), [np.deg2rad(5), 0, 0], atol=3e-3)
    np.testing.assert_allclose(at(up, 1, 1), [0, 0, np.deg2rad(5)], atol=3e-3)


def test_one_stroke_turns_the_whole_sphere_rigidly():
    flow = stroke_flow(EVERYWHERE, [Stroke(0, 0, 10, 0, 90)])
    expected = np.cross([0, 0, -np.pi / 2], directions(HEIGHT))
    np.testing.assert_allclose(flow, expected, atol=5e-3)


def test_a_long_arrow_is_no_faster_than_a_short_one():
    np.testing.assert_allclose(
        stroke_flow(EVERYWHERE, [Stroke(0, 0, 90, 0, 5)]), stroke_flow(EVERYWHERE, [Stroke(0, 0, 1, 0, 5)]), atol=1e-6
    )


def test_far_from_each_other_two_strokes_keep_their_own_ways():
    height = 256
    flow = stroke_flow(np.ones((height, 2 * height), np.float32), [Stroke(-90, 0, 10, 0, 5), Stroke(90, 0, 0, 10, 3)])
    speed = np.deg2rad(5)
    np.testing.assert_allclose(at(flow, -90, 0), [0, speed, 0], atol=0.02 * speed)
    np.testing.assert_allclose(at(flow, 90, 0), [0, 0, np.deg2rad(3)], atol=0.02 * speed)


def turned(strokes, columns: int) -> list[Stroke]:
    longitudes = [(stroke.longitude + columns * 360 / WIDTH + 180) % 360 - 180 for stroke in strokes]
    return [
        Stroke(longitude, s.latitude, s.d_longitude, s.d_latitude, s.speed)
        for longitude, s in zip(longitudes, strokes, strict=True)
    ]


def turned_field(field: np.ndarray, columns: int) -> np.ndarray:
    angle = 2 * np.pi * columns / WIDTH
    x, y, z = np.moveaxis(np.roll(field, columns, axis=1), -1, 0)
    return np.stack([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle), z], axis=-1)


@pytest.mark.parametrize("columns", [WIDTH // 2, 17])
@pytest.mark.parametrize("mask", [EVERYWHERE, sky_mask()], ids=["everywhere", "sky"])
def test_there_is_no_seam(mask, columns):
    """Turning the panorama with its mask and strokes turns the flow, vectors and all."""
    strokes = STROKES[1:2] if mask[-1].max() == 0 else STROKES
    expected = turned_field(stroke_flow(mask, strokes), columns)
    found = stroke_flow(np.roll(mask, columns, axis=1), turned(strokes, columns))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_there_is_no_seam_in_the_drift():
    sky, image = sky_mask(), grey()
    water = np.flipud(sky_mask()) * (np.abs(np.arange(WIDTH) - 40) < 20)
    still = drift(sky, water, image, 1.6, 3)
    sky, water, image = (np.roll(it, 50, axis=1) for it in (sky, water, image))
    rolled = drift(sky, water, image, 1.6, 3)
    np.testing.assert_allclose(rolled, turned_field(still, 50), atol=2e-6)


@pytest.mark.parametrize("pole", ["zenith", "nadir"])
def test_there_is_no_pinch_at_the_poles(pole):
    """All around a pole the vectors in space are nearly the same, though the image's rows are torn apart there."""
    flow = stroke_flow(EVERYWHERE, [Stroke(0, 80, 0, 10, 10), Stroke(0, -80, 0, 10, 10), STROKES[0]])
    ring = flow[0 if pole == "zenith" else -1]
    speed = np.linalg.norm(ring, axis=-1)
    assert speed.min() > np.deg2rad(5)
    assert np.linalg.norm(ring - ring.mean(axis=0), axis=-1).max() < 0.1 * speed.mean()
    assert np.linalg.norm(np.diff(flow, axis=1), axis=-1).max() < 0.2 * np.abs(flow).max()
    near = flow[:4] if pole == "zenith" else flow[-4:]
    assert np.linalg.norm(np.diff(near, axis=0), axis=-1).max() < 0.1 * speed.mean()
    opposite = np.roll(ring, WIDTH // 2, axis=0)  # two pixels further, over the pole
    assert np.linalg.norm(ring - opposite, axis=-1).max() < 0.1 * speed.mean()


def test_a_stroke_outside_the_mask_is_named():
    with pytest.raises(CycloramaError) as caught:
        check_inside(sky_mask(), [STROKES[1], Stroke(33, -45, 10, 0, 5)])
    assert caught.value.code == "stroke-outside-mask"
    assert "Stroke 2" in caught.value.sentence
    assert "33°" in caught.value.sentence and "-45°" in caught.value.sentence
    check_inside(sky_mask(), STROKES[1:2])


def test_a_stroke_without_length_is_named():
    with pytest.raises(CycloramaError) as caught:
        stroke_flow(EVERYWHERE, [Stroke(-20, 30, 0, 0, 5)])
    assert caught.value.code == "stroke-no-length"
    assert "Stroke 1" in caught.value.sentence and "-20°" in caught.value.sentence


@pytest.mark.parametrize("longitude", [-180, 180])
@pytest.mark.parametrize("latitude", [-90, 0, 90])
def test_strokes_may_start_at_the_very_edge_of_the_panorama(longitude, latitude):
    flow = stroke_flow(EVERYWHERE, [Stroke(longitude, latitude, 10, 10, 5)])
    assert np.isfinite(flow).all()
    assert np.rad2deg(np.linalg.norm(at(flow, longitude, latitude))) == pytest.approx(5, rel=0.01)


def test_softening_touches_neither_the_black_nor_the_heart_of_a_mask():
    mask = spot_mask()
    soft = soften(mask)
    assert (soft[mask == 0] == 0).all()
    assert at(soft, 10, 5) == 1
    assert (soft <= mask).all()
    np.testing.assert_array_equal(soften(EVERYWHERE), EVERYWHERE)


# Drift


def test_the_sky_drifts_about_the_zenith_and_all_at_one_rate():
    flow = drift(EVERYWHERE, 0 * EVERYWHERE, grey(), 1.6, 0)
    speed = np.linalg.norm(flow, axis=-1)
    np.testing.assert_allclose(flow[..., 2], 0, atol=1e-7)
    rate = speed / np.cos(latitudes(HEIGHT))[:, None]
    np.testing.assert_allclose(rate, rate.mean(), rtol=1e-4)


def test_water_slides_along_its_plane():
    """Projected onto the plane below the eye, all of it has one velocity."""
    lake = np.zeros((HEIGHT, WIDTH), np.float32)
    lake[40:, 30:80] = 1
    flow = drift(0 * lake, lake, grey(), 2.0, 1)
    inner = (slice(46, 60), slice(36, 74))
    towards = directions(HEIGHT)[inner].astype(np.float64)
    distance = 2.0 / -towards[..., 2]
    rate = flow[inner]  # d(direction)/dt; the point distance · direction keeps its height
    recedes = -distance * rate[..., 2] / towards[..., 2]
    velocity = distance[..., None] * rate + recedes[..., None] * towards
    np.testing.assert_allclose(velocity[..., 2], 0, atol=1e-6)
    np.testing.assert_allclose(velocity, np.broadcast_to(velocity.mean(axis=(0, 1)), velocity.shape), atol=1e-3)
    assert np.linalg.norm(velocity.mean(axis=(0, 1))) == pytest.approx(0.22, rel=0.01)  # metres per second


def test_the_sun_stands_still():
    image = grey()
    image[10:12, 60:63] = 1000
    flow = drift(EVERYWHERE, 0 * EVERYWHERE, image, 1.6, 0)
    assert (flow[10:12, 60:63] == 0).all()
    assert np.linalg.norm(flow[10:12, 20], axis=-1).min() > 0


def test_the_seed_chooses_the_way():
    lake = np.flipud(sky_mask()).copy()
    ways = [drift(sky_mask(), lake, grey(), 1.6, seed) for seed in (0, 0, 1, 2, 3, 4, 5)]
    np.testing.assert_array_equal(ways[0], ways[1])
    assert len({way.tobytes() for way in ways}) == 6
    assert len({float(np.sign(at(way, 0, 45)[0])) for way in ways}) == 2  # to the left, to the right


def test_without_regions_nothing_drifts():
    nothing = np.zeros((HEIGHT, WIDTH), np.float32)
    assert not drift(nothing, nothing, grey(), 1.6, 0).any()
