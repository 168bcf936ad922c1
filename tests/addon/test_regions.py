"""Regions: drawn in the Image Editor, kept in the .blend, sent to the recipe and loaded back."""

import struct
import zlib
from pathlib import Path

import bpy
import numpy as np
import pytest

from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import Box, Region, Stroke

from .conftest import PANORAMA
from .drawn_regions import BOX, STROKE, add_box, draw_stroke, editor, paint, painted_region, panorama, prepared


@pytest.fixture
def scene(addon) -> bpy.types.Scene:
    """With the panorama chosen, and one Image Editor on the screen."""
    return prepared()


def sent(scene) -> tuple[Region, ...]:
    from cyclorama.addon.regions.settings import regions_of

    return regions_of(scene)


def read_png(path: Path) -> np.ndarray:
    """(height, width) uint8 of an 8-bit grey PNG without filters, read by hand."""
    stored, chunks = path.read_bytes(), {}
    assert stored[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(stored):
        (length,) = struct.unpack_from(">I", stored, at)
        name, content = stored[at + 4 : at + 8], stored[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", stored, at + 8 + length)[0] == zlib.crc32(name + content)
        chunks[name] = content
        at += 12 + length
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert (depth, colour) == (8, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (rows[:, 0] == 0).all()
    return rows[:, 1:]


def resaved(tmp_path: Path) -> bpy.types.Scene:
    """After the file was saved and opened again."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "regions.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "regions.blend"))
    return bpy.context.scene


# Looking and painting


def test_one_click_shows_the_panorama(scene):
    assert bpy.ops.cyclorama.open_panorama() == {"FINISHED"}
    assert editor().image == panorama() and editor().ui_mode == "VIEW"


def test_the_panorama_may_be_an_image_of_the_file_or_a_rendered_scene(scene, tmp_path):
    settings = scene.cyclorama
    settings.panorama, settings.panorama_of_scene = "/no/where.exr", str(PANORAMA)
    settings.panorama_source = "SCENE"
    assert bpy.ops.cyclorama.open_panorama() == {"FINISHED"} and editor().image == panorama()
    settings.panorama_source = "IMAGE"
    assert not bpy.ops.cyclorama.open_panorama.poll()
    settings.panorama_image = bpy.data.images.new("painted", 256, 128)
    assert bpy.ops.cyclorama.paint_region() == {"FINISHED"} and tuple(editor().image.size) == (256, 128)
    assert bpy.ops.cyclorama.open_panorama() == {"FINISHED"} and editor().image == settings.panorama_image


def test_one_click_makes_a_black_mask_of_the_panorama_s_size_and_paints_it_white(scene):
    assert bpy.ops.cyclorama.paint_region() == {"FINISHED"}
    (region,) = scene.cyclorama_regions.items
    mask = region.mask
    assert (editor().image, editor().ui_mode) == (mask, "PAINT")
    assert tuple(mask.size) == tuple(panorama().size)
    assert mask.colorspace_settings.name == "Non-Color" and mask.packed_file
    assert not np.array(mask.pixels[:]).reshape(-1, 4)[:, :3].any()
    settings = scene.tool_settings
    unified = getattr(settings.image_paint, "unified_paint_settings", None) or settings.unified_paint_settings
    assert unified.use_unified_color and unified.color[:] == (1, 1, 1) and unified.secondary_color[:] == (0, 0, 0)


def test_a_button_flips_between_looking_and_painting(scene):
    bpy.ops.cyclorama.paint_region()
    mask = editor().image
    bpy.ops.cyclorama.open_panorama()
    assert (editor().image, editor().ui_mode) == (panorama(), "VIEW")
    bpy.ops.cyclorama.paint_region()
    assert (editor().image, editor().ui_mode) == (mask, "PAINT")
    assert len(scene.cyclorama_regions.items) == 1


@pytest.mark.parametrize(("size", "expected"), [((8192, 4096), (1024, 2048)), ((1000, 500), (500, 1000))])
def test_masks_are_as_large_as_their_panorama_up_to_2048_pixels(addon, size, expected):
    from cyclorama.addon.regions.masks import black

    assert black(*size).shape == expected


def test_painting_follows_the_region_that_is_chosen(scene):
    first, second = painted_region(scene).mask, painted_region(scene).mask
    assert first != second and editor().image == second
    scene.cyclorama_regions.active = 0
    assert (editor().image, editor().ui_mode) == (first, "PAINT")
    add_box()
    assert (editor().image, editor().ui_mode) == (panorama(), "VIEW")


def test_what_is_painted_outlives_saving_with_white_still_white(scene, tmp_path):
    shades = np.zeros((panorama_height(), 2 * panorama_height()), np.float32)
    shades[:100, :300], shades[200:210] = 1, 128 / 255
    painted_region(scene, shades)
    add_box()
    draw_stroke()
    before = sent(scene)
    after = sent(resaved(tmp_path))
    assert after == before and after[1] == Region(box=BOX, stroke=STROKE)
    np.testing.assert_array_equal(read_png(Path(after[0].mask)), np.rint(shades * 255))


def panorama_height() -> int:
    bpy.ops.cyclorama.open_panorama()
    return panorama().size[1]


# The list


def test_regions_can_be_moved_duplicated_and_removed(scene):
    regions = scene.cyclorama_regions
    region = painted_region(scene)
    region.name, region.prompt, region.strength = "Clouds", "clouds drift", 1.5
    add_box()
    assert [r.name for r in regions.items] == ["Clouds", "Region 2"] and regions.active == 1
    bpy.ops.cyclorama.move_region(direction="UP")
    assert [r.name for r in regions.items] == ["Region 2", "Clouds"] and regions.active == 0
    regions.active = 1
    bpy.ops.cyclorama.duplicate_region()
    copy = regions.items[2]
    assert regions.active == 2 and copy.name not in ("Clouds", "Region 2")
    assert (copy.prompt, copy.strength) == ("clouds drift", 1.5)
    assert copy.mask != regions.items[1].mask and sent(scene)[1] == sent(scene)[2]
    paint(copy.mask, np.ones((copy.mask.size[1], copy.mask.size[0]), np.float32))
    assert sent(scene)[1] != sent(scene)[2]
    for left in (2, 1, 0):
        assert bpy.ops.cyclorama.remove_region() == {"FINISHED"}
        assert len(regions.items) == left
    assert not bpy.ops.cyclorama.remove_region.poll()


def test_removing_the_region_that_is_painted_turns_to_the_panorama(scene):
    painted_region(scene)
    bpy.ops.cyclorama.remove_region()
    assert (editor().image, editor().ui_mode) == (panorama(), "VIEW")


def test_new_regions_differ_in_name_and_colour(scene):
    for _ in range(6):
        bpy.ops.cyclorama.add_region()
    regions = scene.cyclorama_regions.items
    assert len({region.name for region in regions}) == len({tuple(region.colour) for region in regions}) == 6


def test_no_more_regions_than_the_recipe_takes(scene):
    from cyclorama.addon.regions.listing import MOST_REGIONS

    for _ in range(MOST_REGIONS):
        bpy.ops.cyclorama.add_region(kind="BOX")
    for operator in ("add_region", "add_box", "duplicate_region"):
        assert not getattr(bpy.ops.cyclorama, operator).poll()
    assert len(sent(scene)) == MOST_REGIONS


def test_nothing_of_a_region_can_be_animated(scene):
    bpy.ops.cyclorama.add_region()
    region = scene.cyclorama_regions.items[0]
    for holder in (region, scene.cyclorama_regions):
        stored = [p for p in holder.bl_rna.properties if p.identifier != "rna_type"]
        assert [p.identifier for p in stored if p.is_animatable and p.type in ("FLOAT", "INT", "BOOLEAN", "ENUM")] == []


# Boxes and arrows


def test_a_box_replaces_the_chosen_region_when_asked_to(scene):
    painted_region(scene)
    add_box(replace=True)
    assert sent(scene) == (Region(box=BOX),)


def test_an_arrow_belongs_to_its_region_and_can_be_removed(scene):
    add_box()
    add_box(Box(0, 0, 10, 10))
    draw_stroke()
    assert [region.stroke for region in sent(scene)] == [None, STROKE]
    draw_stroke(Stroke(1, 2, 3, 4, 0))  # the speed stays
    assert sent(scene)[1].stroke == Stroke(1, 2, 3, 4, 7)
    assert bpy.ops.cyclorama.remove_stroke() == {"FINISHED"}
    assert sent(scene)[1].stroke is None
    assert not bpy.ops.cyclorama.remove_stroke.poll()


@pytest.mark.parametrize(
    ("operator", "places"),
    [("add_box", {"width": 0.0}), ("add_box", {"height": 0.0}), ("draw_stroke", {"d_longitude": 0, "d_latitude": 0})],
)
def test_what_has_no_extent_is_not_drawn(scene, operator, places):
    add_box()
    assert getattr(bpy.ops.cyclorama, operator)(**places) == {"CANCELLED"}
    assert sent(scene) == (Region(box=BOX),)


# To the recipe and back


def test_the_same_mask_is_the_same_file(scene, no_backend):
    painted_region(scene)
    painted_region(scene)
    first, second = sent(scene)
    assert first == second == sent(scene)[0]
    assert [path.parent for path in no_backend.rglob("*.png")] == [no_backend / "masks"]
    assert not list(no_backend.rglob("*.partial"))


def test_masks_are_written_with_what_is_above_on_top(scene):
    region = painted_region(scene)
    picture = read_png(Path(sent(scene)[0].mask))
    assert picture.shape == (region.mask.size[1], region.mask.size[0])
    assert picture[:10, :30].min() == 255 and picture[10:].max() == 0 and picture[:, 30:].max() == 0


def test_regions_come_back_as_they_were_sent(scene):
    from cyclorama.addon.regions.settings import load_regions

    painted_region(scene).prompt = "waves"
    add_box()
    draw_stroke()
    scene.cyclorama_regions.items[1].strength = 2.5
    before = sent(scene)
    assert before[1] == Region(box=BOX, strength=2.5, stroke=STROKE)
    assert load_regions(scene, ()) == () and sent(scene) == ()
    assert load_regions(scene, before) == () and sent(scene) == before
    mask = scene.cyclorama_regions.items[0].mask
    assert mask.packed_file and not mask.filepath.endswith(".png")  # painting it leaves the file alone


def test_a_mask_whose_file_is_gone_is_said_and_all_else_comes_back(scene, tmp_path):
    from cyclorama.addon.regions.settings import load_regions

    (said,) = load_regions(scene, (Region(mask=str(tmp_path / "gone.png"), prompt="waves"), Region(box=BOX)))
    assert "gone.png" in said and "paint it again" in said
    assert [region.kind for region in scene.cyclorama_regions.items] == ["PAINTED", "BOX"]
    assert scene.cyclorama_regions.items[0].prompt == "waves"


def said(scene) -> tuple[str, str]:
    with pytest.raises(CycloramaError) as caught:
        sent(scene)
    return caught.value.code, caught.value.sentence


def test_what_cannot_be_sent_names_its_region(scene):
    bpy.ops.cyclorama.add_region(kind="PAINTED")
    region = scene.cyclorama_regions.items[0]
    region.name = "Sea"
    assert said(scene) == ("region-not-painted", "The region 'Sea' has no mask.")
    bpy.ops.cyclorama.paint_region()
    code, sentence = said(scene)
    assert code == "region-empty" and "'Sea' is black" in sentence
    region.mask = bpy.data.images.new("square", 64, 64)
    code, sentence = said(scene)
    assert code == "mask-size" and "'Sea' has 64 x 64" in sentence
    region.mask = bpy.data.images.new("lost", 64, 32)
    region.mask.source, region.mask.filepath = "FILE", "/no/where.png"
    assert said(scene)[0] == "region-not-painted"
    region.kind, region.box_width = "BOX", 0
    code, sentence = said(scene)
    assert code == "region-empty" and "'Sea' is 0° wide" in sentence
    region.box_width, region.has_stroke, region.stroke_d_longitude = 10, True, 0
    code, sentence = said(scene)
    assert code == "stroke-no-length" and "'Sea'" in sentence


def test_a_folder_that_cannot_be_written_is_said(scene, no_backend):
    painted_region(scene)
    no_backend.parent.mkdir(exist_ok=True)
    no_backend.write_text("a file, where the folder should be")
    code, sentence = said(scene)
    assert code == "mask-not-written" and str(no_backend) in sentence


def test_a_picture_that_is_no_panorama_is_refused(scene, tmp_path):
    square = bpy.data.images.new("square", 64, 64)
    square.filepath_raw, square.file_format = str(tmp_path / "square.png"), "PNG"
    square.save()
    for name, complaint in (("square.png", "64 x 64"), ("gone.png", "cannot be opened")):
        scene.cyclorama.panorama = str(tmp_path / name)
        for operator in ("open_panorama", "paint_region", "preview_regions"):
            with pytest.raises(RuntimeError, match=complaint):
                getattr(bpy.ops.cyclorama, operator)()
    assert not scene.cyclorama_regions.items


# With nothing there


OPERATORS = (
    *("open_panorama", "paint_region", "add_box", "draw_stroke", "remove_stroke"),
    *("remove_region", "move_region", "duplicate_region", "preview_regions"),
)


@pytest.mark.parametrize("name", (*OPERATORS, "add_region"))
def test_operators_are_known_and_explained(addon, name):
    operator = getattr(bpy.ops.cyclorama, name).get_rna_type()
    assert operator.name and operator.description
    assert not operator.description.endswith(".") and "\n" not in operator.description


def test_polls_with_nothing_chosen_yet(addon):
    possible = [name for name in (*OPERATORS, "add_region") if getattr(bpy.ops.cyclorama, name).poll()]
    assert possible == ["add_region"]


@pytest.mark.parametrize("name", ["regions", "region", "region_overlay"])
def test_panels_are_in_the_image_editor_s_sidebar(addon, name):
    panel = getattr(bpy.types, f"CYCLORAMA_PT_{name}")
    assert (panel.bl_space_type, panel.bl_region_type, panel.bl_category) == ("IMAGE_EDITOR", "UI", "Cyclorama")


def test_nothing_stays_when_the_addon_is_switched_off_again_and_again(no_backend):
    import cyclorama

    for _ in range(20):
        cyclorama.register()
        from cyclorama.addon.regions import drawing

        assert len(drawing._handlers) == 2
        cyclorama.unregister()
        assert drawing._handlers == []
    assert not hasattr(bpy.types.Scene, "cyclorama_regions")
    assert not [handler for handler in bpy.app.handlers.save_pre if "regions" in handler.__module__]
