"""The options of the command line become settings, and what cannot be one is named."""

from dataclasses import fields

import pytest
import tyro

from cyclorama.backend.options import DepthOptions, Options, chosen
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import DEPTH_SETTINGS, Box, PanoramaTo4D, Region, Stroke


def understood(*words: str) -> PanoramaTo4D:
    return chosen(tyro.cli(Options, args=words))


def understood_for_depth(*words: str) -> PanoramaTo4D:
    return chosen(tyro.cli(DepthOptions, args=words))


def test_without_options_the_settings_are_the_recipe_s():
    assert understood() == PanoramaTo4D()


def test_choices_texts_and_numbers_are_taken():
    words = ("--animator", "panoramic", "--model", "animate-anything", "--agreement", "views", "--prompt", "a gale")
    assert understood(*words, "--memory", "23.5", "--steps", "8", "--spherical-steps", "0") == PanoramaTo4D(
        animator="panoramic",
        model="animate-anything",
        agreement="views",
        prompt="a gale",
        memory=23.5,
        steps=8,
        spherical_steps=0,
    )


def test_the_four_local_prompts_are_given_together():
    told = ("a lake", "", "birds; many", "")
    assert understood("--local-prompts", *told) == PanoramaTo4D(local_prompts=told)
    with pytest.raises(SystemExit):
        understood("--local-prompts", "a lake")


def test_a_lift_is_chosen_with_what_it_reads():
    words = ("--lift", "tip4gen", "--gaussians", "500000", "--inpainter", "someone/painter", "--iterations", "3000")
    networks = ("--densify", "mcmc", "--semantic-checkpoint", "none", "--perceptual-checkpoint", "someone/eye")
    assert understood(*words, *networks, "--compression", "small") == PanoramaTo4D(
        lift="tip4gen",
        gaussians=500_000,
        inpainter="someone/painter",
        iterations=3000,
        densify="mcmc",
        semantic_checkpoint="none",
        perceptual_checkpoint="someone/eye",
        compression="small",
    )


def test_what_the_chosen_lift_does_not_read_is_refused():
    with pytest.raises(CycloramaError, match="'iterations' is given, but the lift 'fast' does not read it"):
        understood("--iterations", "3000")


DEPTH_WORDS = (
    *("--estimator", "depth-anything-metric", "--estimator-checkpoint", "someone/weights", "--align", "tip4gen"),
    *("--metric-reference", "someone/metres", "--eye-height", "3", "--far-distance", "500", "--memory", "8"),
    *("--width", "1024"),
)


def test_depth_alone_is_told_as_a_whole_scene_s_is():
    settings = PanoramaTo4D(
        estimator="depth-anything-metric",
        estimator_checkpoint="someone/weights",
        align="tip4gen",
        metric_reference="someone/metres",
        eye_height=3.0,
        far_distance=500.0,
        memory=8.0,
        width=1024,
    )
    assert understood(*DEPTH_WORDS) == understood_for_depth(*DEPTH_WORDS) == settings


def test_depth_alone_takes_nothing_that_moves():
    assert {field.name for field in fields(DepthOptions)} == set(DEPTH_SETTINGS)
    with pytest.raises(SystemExit):
        understood_for_depth("--frames", "3")


def test_a_depth_file_without_its_estimator_is_refused_on_both_commands():
    for understand in (understood, understood_for_depth):
        with pytest.raises(CycloramaError, match="the estimator is 'skyline', which reads none"):
            understand("--depth-file", "d.exr")


def test_regions_and_strokes_are_taken_in_their_order():
    settings = understood(
        *("--region", "box=170,-30.5,40,20; strength=1.5; prompt=boats rock, x = 3"),
        *("--region", "mask=my clouds.png; stroke=-10,20,30,-1.5,5;prompt=clouds", "--stroke", "-10,20,30,0,5"),
    )
    assert settings == PanoramaTo4D(
        regions=(
            Region(box=Box(170, -30.5, 40, 20), strength=1.5, prompt="boats rock, x = 3"),
            Region(mask="my clouds.png", prompt="clouds", stroke=Stroke(-10, 20, 30, -1.5, 5)),
        ),
        strokes=(Stroke(-10, 20, 30, 0, 5),),
    )


def test_a_region_s_prompt_is_all_that_follows():
    settings = understood("--region", "strength=2; mask=sea.png; prompt = waves; foam, mask=none; prompt=x")
    assert settings.regions == (Region(mask="sea.png", strength=2, prompt="waves; foam, mask=none; prompt=x"),)


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("box=1,2,3", "four numbers, 3 given"),
        ("box=1,2,3,wide", "'wide' is none"),
        ("mask=a.png; strength=much", "'much' is none"),
        ("mask=a.png; stroke=1,2,3,4", "stroke= needs five numbers, 4 given"),
        ("mask=a.png; stroke=1,2,3,4,fast", "'fast' is none"),
        ("mask=a.png; colour=green", "'colour=green' is none of"),
        ("clouds.png", "'clouds.png' is none of"),
        ("", "'' is none of"),
        ("mask=a.png; mask=b.png", "mask= is given twice"),
        ("mask=a.png; box=1,2,3,4", "not both"),
        ("prompt=clouds", "has neither"),
        ("mask=", "has neither"),
    ],
)
def test_what_is_no_region_is_said(capsys, region, said):
    with pytest.raises(SystemExit) as ended:
        understood("--region", region)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert said in " ".join((printed.out + printed.err).replace("│", "").split())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--region", "box=0,0,nan,10"), "'regions[0].box.width'"),
        (("--region", "mask=a.png", "--region", "mask=a.png; strength=11"), "'regions[1].strength'"),
        (("--prompt", "w" * 1001), "'prompt'"),
        (("--memory", "inf"), "'memory'"),
        (("--steps", "0"), "'steps'"),
        (("--gaussians", "-1"), "'gaussians'"),
        (("--region", "mask=a.png") * 33, "'regions'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_out_of_its_range_is_named(words, named):
    with pytest.raises(CycloramaError) as caught:
        understood(*words)
    assert named in caught.value.sentence
