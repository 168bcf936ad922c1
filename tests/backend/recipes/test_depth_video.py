"""``cyclorama depth``: distances of a picture or a video in a folder that is whole, or is not there at all."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from cyclorama.backend import cli
from cyclorama.backend.depth import estimators
from cyclorama.backend.depth.cameras import Cameras
from cyclorama.backend.recipes import depth_video as recipe
from cyclorama.backend.recipes import once
from cyclorama.backend.recipes.depth_video import coloured, depth_video, stages
from cyclorama.backend.recipes.geometry import Geometry
from cyclorama.backend.sphere import skyline
from cyclorama.backend.sphere.panorama import DepthVideo
from cyclorama.bridge.errors import Cancelled
from cyclorama.bridge.settings import PanoramaTo4D

from ...tiny_depth import make_estimator
from .truthful_network import Seer, brightness, hall

HEIGHT, WIDTH = 64, 128
FRAMES = 4


def meadow() -> np.ndarray:
    """Sky over a meadow, sRGB 0..1, with a grain that can be recognised."""
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[: HEIGHT // 2], image[HEIGHT // 2 :] = (0.6, 0.7, 0.95), (0.3, 0.4, 0.2)
    return image * np.random.default_rng(0).uniform(0.85, 1.05, (HEIGHT, WIDTH, 1)).astype(np.float32)


def frame(number: int) -> np.ndarray:
    """The meadow with somebody who walks."""
    image = meadow()
    image[30:44, 50 + 2 * number : 56 + 2 * number] = (0.8, 0.1, 0.1)
    return image


@pytest.fixture(scope="module")
def layouts() -> dict:
    return {}


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory, monkeypatch) -> Path:
    """Of the backend; nothing is found there that another test made."""
    folder = tmp_path_factory.mktemp("backend")
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(folder))
    return folder


@pytest.fixture(autouse=True)
def quick_parse(monkeypatch, layouts):
    """Looks at each picture once for all runs."""

    def remembered(image):
        if image.tobytes() not in layouts:
            layouts[image.tobytes()] = skyline.parse(image)
        return layouts[image.tobytes()]

    monkeypatch.setattr(recipe, "parse", remembered)


@pytest.fixture
def panorama(picture) -> Path:
    return picture("meadow.png", meadow())


@pytest.fixture
def frames(tmp_path, picture_at) -> Path:
    """A folder of numbered pictures."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for number in range(FRAMES):
        picture_at(folder / f"walk_{number:03d}.png", frame(number))
    return folder


def write_film(path: Path, pictures: list[np.ndarray], rate: float = 12.5) -> Path:
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (WIDTH, HEIGHT))
    for image in pictures:
        film.write((image[..., ::-1] * 255).round().clip(0, 255).astype(np.uint8))
    film.release()
    return path


@pytest.fixture
def film(tmp_path) -> Path:
    return write_film(tmp_path / "walk.avi", [frame(number) for number in range(FRAMES)])


@pytest.fixture
def output(tmp_path) -> Path:
    (tmp_path / "made").mkdir()
    return tmp_path / "made" / "depth"


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """One command in this process: its exit code, and what it printed."""
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process ends as it did before

    def command(*words: object) -> tuple[int, str, str]:
        code = 0
        try:
            cli.main(["depth", *map(str, words)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.fixture
def make(run, output) -> Callable[..., Path]:
    """``cyclorama depth`` that works."""

    def command(*words: object) -> Path:
        code, _, errors = run(*words, "-o", output)
        assert code == 0, errors
        return output

    return command


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def described(folder: Path) -> dict:
    return json.loads((folder / "depth.json").read_text("utf-8"))


@pytest.fixture
def distances(stored) -> Callable[[Path], np.ndarray]:
    """(file, height, width) metres."""
    return lambda folder: np.stack([stored(path)[..., 0] for path in sorted((folder / "depth").iterdir())])


# What is written


def test_a_picture_gets_distances_edges_a_preview_and_a_description(panorama, make, distances, stored):
    folder = make(panorama, "--eye-height", 2.5, "--far-distance", 60)
    assert files_in(folder) == {"depth/000000.exr", "edges/000000.png", "preview.webp", "depth.json"}
    (distance,) = distances(folder)
    assert distance.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(distance[-1], 2.5, rtol=2e-3)
    np.testing.assert_allclose(distance[:20], 60, rtol=2e-3)
    edges = stored(folder / "edges" / "000000.png")
    assert edges.shape == (HEIGHT, WIDTH, 1) and set(np.unique(edges)) <= {0, 1}


def test_distances_are_stored_as_32_bit_floats_in_one_channel(panorama, make):
    spec = oiio.ImageInput.open(str(make(panorama) / "depth" / "000000.exr")).spec()
    assert (spec.format.basetype, spec.nchannels) == (oiio.FLOAT, 1)


def test_the_description_says_what_made_it(panorama, make):
    said = described(make(panorama, "--eye-height", 2.5))
    assert (said["format"], said["version"], said["source"]) == ("cyclorama-depth", 1, "meadow.png")
    assert (said["width"], said["height"], said["frame_count"], said["frame_rate"]) == (WIDTH, HEIGHT, 1, None)
    used = said["generator"]["settings"]
    assert (used["estimator"], used["eye_height"], used["rig"]) == ("skyline", 2.5, "auto")
    assert not {"frames", "strokes", "prompt"} & set(used)
    assert said["models"] == []
    nearest, farthest = said["range"]
    assert nearest == pytest.approx(2.5, rel=2e-3) and farthest == pytest.approx(120)


def test_the_last_line_says_where_how_many_and_how_far(panorama, film, run, output):
    code, said, errors = run(panorama, "-o", output)
    assert code == 0 and [line.partition(":")[0] for line in errors.splitlines()] == [
        "read",
        "layout",
        "depth",
        "write",
    ]
    assert f"{output}: one frame of 128 x 64 distances from 1.6 m to 120 m, in" in said.splitlines()[-1]
    assert "4 frames of 128 x 64" in run(film, "-o", output, "--overwrite")[1]


def test_the_preview_goes_from_red_nearby_to_blue_far_away_in_equal_ratios():
    distance = np.full((1, HEIGHT, WIDTH), 10.0, np.float32)
    distance[0, :8], distance[0, -8:] = 100.0, 1.0
    shown = coloured(distance).astype(int)
    far, middle, near = shown[0, 0], shown[HEIGHT // 2, 0], shown[-1, 0]
    assert far[2] > 1.2 * far[0] and near[0] > 20 * near[2]
    assert middle[1] > 200  # Turbo is green in its middle


def test_the_preview_of_one_distance_everywhere_is_a_picture_too():
    assert np.ptp(coloured(np.full((1, HEIGHT, WIDTH), 3.0, np.float32)), axis=(0, 1)).max() == 0


@pytest.mark.parametrize(("frames", "shown"), [(1, 1), (2, 2), (3, 3), (24, 4)])
def test_the_preview_shows_some_frames_below_each_other_in_one_scale(frames, shown):
    distance = np.broadcast_to(2.0 ** np.arange(frames, dtype=np.float32)[:, None, None], (frames, HEIGHT, WIDTH))
    pictures = coloured(distance).reshape(-1, HEIGHT, WIDTH, 3)
    assert len(pictures) == shown
    assert len(np.unique(pictures[:, 0, 0], axis=0)) == shown


# What is read


def test_a_video_says_its_frames_and_their_rate(film, make):
    said = described(make(film))
    assert (said["frame_count"], said["frame_rate"], said["source"]) == (FRAMES, 12.5, "walk.avi")


def test_a_folder_of_pictures_is_a_video(frames, make):
    said = described(make(frames))
    assert (said["frame_count"], said["frame_rate"], said["source"]) == (FRAMES, 24.0, "walk")


def test_a_stage_set_is_the_same_in_every_frame(frames, make):
    folder = make(frames)
    assert described(folder)["distance_count"] == 1
    assert files_in(folder) == {"depth/000000.exr", "edges/000000.png", "preview.webp", "depth.json"}


def test_a_narrower_width_is_taken(frames, make, distances):
    assert distances(make(frames, "--width", 64)).shape == (1, 32, 64)


def test_a_video_with_a_cut_is_refused_with_its_frame(tmp_path, run, output):
    rng = np.random.default_rng(1)
    scenes = [cv2.resize(rng.uniform(0, 1, (16, 32, 3)).astype(np.float32), (WIDTH, HEIGHT)).clip(0, 1) for _ in "ab"]
    film = write_film(tmp_path / "cut.avi", [scenes[0]] * 4 + [scenes[1]] * 4)
    code, said, errors = run(film, "-o", output)
    assert (code, said) == (1, "")
    assert "is not one shot: another begins at frame 5" in errors
    assert list(output.parent.iterdir()) == []


# Networks


@pytest.fixture
def seer(monkeypatch) -> tuple[str, ...]:
    """Words with which it is asked for."""
    monkeypatch.setattr(estimators, "load", lambda *_args: Seer())
    return ("--estimator", "depth-anything", "--eye-height", "2")


def test_a_network_that_sees_truly_gives_true_metres(picture, seer, run, output, distances):
    code, said, errors = run(picture("hall.png", brightness(hall(HEIGHT)), "uint16"), "-o", output, *seer)
    assert code == 0, errors
    error = np.abs(distances(output)[0] / hall(HEIGHT) - 1)
    assert np.median(error) < 0.02 and error.mean() < 0.03
    assert [line.partition(":")[0] for line in errors.splitlines()] == ["read", "layout", "estimator", "depth", "write"]
    assert described(output)["models"] == [{"id": "seer", "licence": "cc-by-nc-4.0"}]
    assert "note: The licence of seer is cc-by-nc-4.0: read it before" in said


@pytest.fixture(scope="module")
def walked(tmp_path_factory, picture_at) -> Path:
    """What is made of the hall in two pictures, with a column in it at 3 m that goes on by six pixels."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "hall").mkdir()
    for number in range(2):
        distance = hall(HEIGHT)
        distance[28:36, 40 + 6 * number : 48 + 6 * number] = 3
        picture_at(folder / "hall" / f"{number}.png", brightness(distance), "uint16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "load", lambda *_args: Seer())
        depth_video(folder / "hall", folder / "depth", PanoramaTo4D(estimator="depth-anything", eye_height=2.0))
    return folder / "depth"


def test_a_network_sees_every_frame_and_what_stands_still_stays(walked, distances):
    distance = distances(walked)
    assert len(distance) == described(walked)["distance_count"] == 2
    assert (distance[0, :, 90:] == distance[1, :, 90:]).all()
    assert not (walked / "cameras.json").exists()


def test_what_walks_keeps_its_own_distance(walked, distances):
    distance = distances(walked)
    assert [distance[number, 31, 44 + 6 * number] for number in range(2)] == pytest.approx([3, 3], rel=0.05)


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> Path:
    """A real network with random weights."""
    return make_estimator(tmp_path_factory.mktemp("models") / "noise", "depth-anything")


def test_a_real_network_is_loaded_and_asked(panorama, noise, make, distances):
    folder = make(panorama, "--estimator", "tiny", "--estimator-checkpoint", noise, "--align", "none")
    assert described(folder)["models"] == [{"id": "noise", "licence": "cc0-1.0"}]
    distance = distances(folder)
    assert np.isfinite(distance).all() and distance.min() > 0 and distance.max() <= 120 * 1.0001


def turning(distance: np.ndarray, *, moves: bool = False) -> Geometry:
    """What is found of a camera that turns to the left by 90° from its first frame to its second."""
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # its +Y goes to the scene's -X
    position = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]) * moves
    cameras = Cameras(np.stack([np.eye(3), quarter]), position, False, True, moves, moves)
    return Geometry(DepthVideo(distance, distance > 4), cameras=cameras)


def test_a_turning_camera_s_distances_lie_over_its_pictures(frames, make, monkeypatch, distances, stored):
    scene = hall(HEIGHT) * np.linspace(1, 2, WIDTH, dtype=np.float32)  # nothing in it is there twice
    monkeypatch.setattr(once, "geometry", lambda *_args, **_more: turning(scene[None]))
    folder = make(frames)
    first, second = distances(folder)
    np.testing.assert_array_equal(first, scene)
    np.testing.assert_array_equal(second, np.roll(scene, WIDTH // 4, axis=1))
    edges = stored(folder / "edges" / "000001.png")[..., 0]
    np.testing.assert_array_equal(edges > 0, np.roll(scene, WIDTH // 4, axis=1) > 4)


def test_a_camera_that_moves_is_written_in_scene_space(frames, make, monkeypatch):
    monkeypatch.setattr(once, "geometry", lambda *_args, **_more: turning(hall(HEIGHT)[None], moves=True))
    said = json.loads((make(frames) / "cameras.json").read_text("utf-8"))
    assert said["metric"] is True and "+Y" in said["axes"]
    first, second = said["frames"]
    assert first == {"R_scene_from_camera": np.eye(3).tolist(), "position": [0, 0, 0]}
    assert second["position"] == [0, 0.5, 0]
    assert (np.array(second["R_scene_from_camera"]) @ [0, 1, 0]).tolist() == [-1, 0, 0]


@pytest.mark.parametrize(
    ("words", "rig"), [((), "auto"), (("--rig", "still"), "still"), (("--rig", "moving"), "moving")]
)
def test_the_rig_is_passed_on(words, rig, frames, make, monkeypatch):
    asked = []

    def geometry(*_args, **more):
        asked.append(more["rig"])
        return turning(hall(HEIGHT)[None])

    monkeypatch.setattr(once, "geometry", geometry)
    make(frames, *words, "--estimator", "dpt")
    assert asked == [rig]


@pytest.mark.parametrize("estimator", ["skyline", "file", "dpt"])
def test_the_stages_shares_are_all_of_the_time(estimator):
    assert sum(stages(PanoramaTo4D(estimator=estimator)).values()) == pytest.approx(1)


# A depth panorama of one's own


def test_an_own_depth_image_is_taken_as_it_is(panorama, picture, make, distances):
    own = picture("hall.exr", hall(HEIGHT)[..., None], "float")
    folder = make(panorama, "--estimator", "file", "--depth-file", own)
    np.testing.assert_array_equal(distances(folder)[0], hall(HEIGHT))


def test_what_was_written_can_be_read_again(panorama, make, run, distances, tmp_path):
    first = make(panorama)
    again = tmp_path / "again"
    own = first / "depth" / "000000.exr"
    assert run(panorama, "-o", again, "--estimator", "file", "--depth-file", own)[0] == 0
    np.testing.assert_array_equal(distances(again), distances(first))


@pytest.mark.parametrize("height", [32, 128])
def test_an_own_depth_image_of_another_size_is_brought_to_the_panorama_s(height, panorama, picture, make, distances):
    own = picture("hall.exr", hall(height)[..., None], "float")
    (distance,) = distances(make(panorama, "--estimator", "file", "--depth-file", own))
    assert distance.shape == (HEIGHT, WIDTH)
    error = np.abs(distance / hall(HEIGHT) - 1)
    assert np.median(error) < 0.02


def test_own_disparities_become_distances_up_to_a_factor(panorama, picture, make, distances):
    own = picture("hall.exr", 7 / hall(HEIGHT)[..., None], "float")
    words = ("--estimator", "file", "--depth-file", own, "--depth-file-kind", "disparity", "--eye-height", 2)
    (distance,) = distances(make(panorama, *words))
    ratio = distance / hall(HEIGHT)
    assert np.ptp(ratio) < 1e-3 * ratio.mean()
    assert ratio.mean() == pytest.approx(1, rel=0.05)  # the ground lies at eye height below the viewer


def test_what_is_infinitely_far_lies_at_the_sky_s_distance(panorama, picture, make, distances):
    own = hall(HEIGHT)[..., None]
    own[:20] = np.inf
    words = ("--estimator", "file", "--depth-file", picture("hall.exr", own, "float"), "--far-distance", 300)
    (distance,) = distances(make(panorama, *words))
    assert (distance[:20] == 300).all()
    np.testing.assert_array_equal(distance[20:], hall(HEIGHT)[20:])


# Wrong input


def spoiled(name: str, panorama: Path, picture) -> tuple[list[object], str]:
    """Arguments with one thing wrong, and what the complaint must name."""
    folder = panorama.parent
    own = hall(HEIGHT)[..., None]
    words = ["--estimator", "file", "--depth-file"]
    if name == "depth of half the sphere":
        return [panorama, *words, picture("half.exr", own[:, :HEIGHT], "float")], "half.exr has 64 x 64 pixels"
    if name in ("NaN", "negative"):
        own[12, 34] = {"NaN": np.nan, "negative": -1}[name]
        return [panorama, *words, picture("bad.exr", own, "float")], "bad.exr"
    if name == "one depth everywhere":
        return [panorama, *words, picture("flat.exr", own * 0 + 3, "float")], "flat.exr has the same value everywhere"
    if name == "depth that is text":
        (folder / "diary.exr").write_text("Dear diary")
        return [panorama, *words, folder / "diary.exr"], "diary.exr"
    if name == "picture cut short":
        panorama.write_bytes(panorama.read_bytes()[:900])
        return [panorama], "meadow.png is damaged"
    if name == "square picture":
        return [picture("square.png", meadow()[:, :HEIGHT])], "square.png has 64 x 64 pixels"
    if name == "empty folder":
        (folder / "empty").mkdir()
        return [folder / "empty"], "no pictures in"
    return {
        "depth missing": ([panorama, *words, folder / "none.exr"], "none.exr"),
        "nothing there": ([folder / "none.mp4"], "none.mp4"),
        "file without a file": ([panorama, "--estimator", "file"], "no depth file is given"),
        "a file nobody reads": ([panorama, "--depth-file", "d.exr"], "the estimator is 'skyline', which reads none"),
        "weights nobody reads": (
            [panorama, "--estimator-checkpoint", "w"],
            "the estimator 'skyline', which reads none",
        ),
        "a reference nobody reads": ([panorama, "--metric-reference", "w"], "'skyline' has metres of its own"),
        "a rig that cannot be followed": ([panorama, "--rig", "moving"], "cannot follow a moving camera"),
        "no such weights": (
            [panorama, "--estimator", "dpt", "--estimator-checkpoint", folder / "none"],
            "There is neither a folder",
        ),
        "tiny without weights": ([panorama, "--estimator", "tiny"], "needs the folder of its checkpoint"),
        "eye below the ground": ([panorama, "--eye-height", -1], "'eye_height'"),
        "a sky below the ground": ([panorama, "--eye-height", 100, "--far-distance", 150], "all would lie on the sky"),
        "millimetres": (
            [panorama, *words, picture("mm.exr", own * 1000, "float")],
            "everything is 120 m away",
        ),
        "a colour picture for depth": ([panorama, *words, panorama], "its numbers are colours"),
    }[name]


BAD = [
    *("depth of half the sphere", "NaN", "negative", "one depth everywhere", "depth that is text", "depth missing"),
    *("picture cut short", "square picture", "empty folder", "nothing there"),
    *("file without a file", "a file nobody reads", "weights nobody reads", "no such weights", "tiny without weights"),
    *("a reference nobody reads", "a rig that cannot be followed"),
    *("eye below the ground", "a sky below the ground", "millimetres", "a colour picture for depth"),
]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line_that_names_it_and_leaves_nothing(name, panorama, picture, run, output):
    words, named = spoiled(name, panorama, picture)
    code, said, errors = run(*words, "-o", output)
    assert (code, said) == (1, "")
    (line,) = [line for line in errors.splitlines() if line.startswith("cyclorama: ")]
    assert named in line
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize("words", [("--estimator", "midas"), ("--align", "best"), ("--rig", "car"), ("--frames", "3")])
def test_wrong_usage_ends_with_2(words, panorama, run, output):
    code, said, errors = run(panorama, "-o", output, *words)
    assert code == 2 and words[0].strip("-") in said + errors


def test_views_that_contradict_each_other_are_no_scene(panorama, noise, run, output):
    code, said, errors = run(panorama, "-o", output, "--estimator", "tiny", "--estimator-checkpoint", noise)
    assert (code, said) == (1, "") and "they show no common scene" in errors
    assert list(output.parent.iterdir()) == []


# Where it is written


def test_a_folder_that_is_there_is_kept_unless_told_otherwise(panorama, make, run, distances):
    folder = make(panorama)
    code, _, errors = run(panorama, "-o", folder, "--eye-height", 3)
    assert code == 1 and f"{folder} exists already" in errors
    assert distances(folder)[0, -1, 0] == pytest.approx(1.6, rel=2e-3)
    assert run(panorama, "-o", folder, "--eye-height", 3, "--overwrite")[0] == 0
    assert distances(folder)[0, -1, 0] == pytest.approx(3, rel=2e-3)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("own", ["notes.txt", "depth/mine.exr", "edges/sub/000000.png"])
def test_a_folder_with_something_of_the_artist_s_is_never_overwritten(own, panorama, make, run):
    folder = make(panorama)
    (folder / own).parent.mkdir(exist_ok=True)
    (folder / own).write_text("mine")
    code, _, errors = run(panorama, "-o", folder, "--overwrite")
    assert code == 1 and f"{folder} exists and is no folder of nothing but Cyclorama's depth" in errors
    assert (folder / own).read_text() == "mine"


@pytest.mark.parametrize("text", ["{}", "[1]", "not JSON", '{"format": "another"}'])
def test_another_program_s_depth_json_is_not_ours(text, panorama, run, output):
    output.mkdir()
    (output / "depth.json").write_text(text)
    assert run(panorama, "-o", output, "--overwrite")[0] == 1
    assert (output / "depth.json").read_text() == text


# Stopping


def test_stopping_at_any_step_leaves_nothing(frames, output):
    heard = []

    def report(*step):
        heard.append(step)
        if len(heard) == stop:
            raise Cancelled

    stop = 0
    depth_video(frames, output, PanoramaTo4D(), report)
    steps, elsewhere = list(heard), output.with_name("elsewhere")
    for stop in range(1, len(steps) + 1):
        heard.clear()
        with pytest.raises(Cancelled):
            depth_video(frames, elsewhere, PanoramaTo4D(), report)
        assert heard == steps[:stop]
        assert [path.name for path in output.parent.iterdir()] == [output.name], heard[-1]


def test_stopping_while_overwriting_keeps_the_old_folder(panorama, make, distances):
    folder = make(panorama)

    def report(stage, step, total):
        if (stage, step) == ("write", total):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        depth_video(panorama, folder, PanoramaTo4D(eye_height=3.0), report, overwrite=True)
    assert distances(folder)[0, -1, 0] == pytest.approx(1.6, rel=2e-3)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_depth_file_in_another_unit_is_named_where_it_is_no_error(panorama, picture, make):
    own = picture("feet.exr", hall(HEIGHT)[..., None] / 30, "float")
    folder = make(panorama, "--estimator", "file", "--depth-file", own)
    assert any("the ground lies" in note and "not 1.6 m" in note for note in described(folder)["notes"])


def test_distances_that_were_found_are_no_source_and_stay_as_they_are(panorama, make, run):
    folder = make(panorama)
    before = described(folder)
    code, _, said = run(folder, "-o", folder, "--overwrite")
    assert code == 1 and "holds distances that were found already" in said
    assert described(folder) == before
