"""The command ``cyclorama``: make, depth, inspect, serve, status, doctor, cache, keys, demo."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..bridge.errors import CycloramaError
from ..bridge.memory import peak_bytes
from ..bridge.settings import Rig
from . import __version__
from .invitations import invite, list_guests, revoke
from .options import DepthOptions, Options, chosen

if TYPE_CHECKING:
    from .terminal import ProgressDisplay

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; ends the process with 0, 1 (said why in a sentence), 2 (wrong usage) or 130 (stopped)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that a terminal cannot show must not end a command
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["--version"], ["version"]):
        print(f"cyclorama {__version__}")
        return
    try:
        if arguments[:1] == ["keys"]:
            tyro.extras.subcommand_cli_from_dict(
                {"invite": invite, "list": list_guests, "revoke": revoke},
                prog="cyclorama keys",
                description="Who may use the backend of this computer from another one.",
                args=arguments[1:],
            )
            return
        tyro.extras.subcommand_cli_from_dict(
            {
                "make": make,
                "depth": depth,
                "inspect": inspect,
                "serve": serve,
                "status": status,
                "doctor": doctor,
                "cache": cache,
                "keys": keys,
                "demo": demo,
            },
            prog="cyclorama",
            description="Moving 3D backdrops for Blender: panoramas animated and lifted to Gaussians.",
            args=arguments,
        )
    except CycloramaError as error:
        print(f"cyclorama: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # whoever read our output had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"cyclorama: {error}.", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("cyclorama: stopped.", file=sys.stderr)
        sys.exit(STOPPED)


def make(
    panorama: tyro.conf.Positional[Path],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    settings: tyro.conf.OmitArgPrefixes[Options],  # pyright: ignore[reportInvalidTypeForm]
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False,
    preview: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    no_cache: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Make a moving 3D scene of a 360° panorama (JPEG, PNG, WebP, HDR or EXR, twice as wide as high).

    Args:
        panorama: the panorama.
        output: the scene to make, a folder that ends in .cyclorama.
        overwrite: replace a scene that is there.
        preview: a picture file (WebP, JPEG, PNG) that always shows what is being made.
        no_cache: neither use nor keep results of single stages; the scene is the same.
    """
    from .cache_command import in_words, own_cache
    from .recipes.panorama_to_4d import panorama_to_4d, stages  # only here: other commands start faster
    from .recipes.preview import PreviewFile
    from .recipes.progress import unseen
    from .terminal import ProgressDisplay

    asked = chosen(settings)
    show = PreviewFile(preview.absolute()) if preview else unseen
    with own_cache(not no_cache) or nullcontext() as kept, ProgressDisplay(stages(asked)) as progress:
        info = panorama_to_4d(panorama, output.absolute(), asked, progress, overwrite=overwrite, show=show, cache=kept)
    _tell_notes(info.notes)
    if kept and kept.reused:
        print(in_words(kept.reused))
    frames = "one frame" if info.frame_count == 1 else f"{info.frame_count} frames"
    print(
        f"{output}: {frames} of {info.static_count:,} static and {info.moving_count:,} moving "
        f"Gaussians, {_cost(progress)}"
    )


def depth(
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PANORAMA-OR-VIDEO")],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    settings: tyro.conf.OmitArgPrefixes[DepthOptions],  # pyright: ignore[reportInvalidTypeForm]
    rig: Rig = "auto",
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False,
    no_cache: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Tell how far everything is in a 360° panorama or video: distances in metres as EXR, and a preview.

    Args:
        source: a panorama, a 360° video, or a folder of its numbered frames.
        output: the folder to make.
        rig: whether the video's camera moves; auto: it is looked at.
        overwrite: replace such a folder that is there.
        no_cache: neither use nor keep distances of earlier runs; the result is the same.
    """
    from .cache_command import in_words, own_cache
    from .recipes.depth_video import depth_video, stages
    from .terminal import ProgressDisplay

    asked = chosen(settings)
    if source == Path():  # a shell's empty variable
        raise CycloramaError("video-missing", "No panorama or video is given.", "Name one.")
    with own_cache(not no_cache) or nullcontext() as kept, ProgressDisplay(stages(asked)) as progress:
        info = depth_video(source, output.absolute(), asked, progress, rig=rig, overwrite=overwrite, cache=kept)
    _tell_notes(info.notes)
    if kept and kept.reused:
        print(in_words(kept.reused))
    frames = "one frame" if info.frame_count == 1 else f"{info.frame_count} frames"
    which = "" if info.distance_count == info.frame_count else ", the same in all"
    nearest, farthest = info.range
    print(
        f"{output}: {frames} of {info.width} x {info.height} distances from {nearest:.3g} m to {farthest:.3g} m"
        f"{which}, {_cost(progress)}"
    )


def _tell_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"note: {note}")


def _cost(progress: ProgressDisplay) -> str:
    seconds = sum(progress.clock.seconds.values())
    return f"in {seconds:.1f} s with at most {peak_bytes() / 1e9:.2f} GB of memory"


def inspect(
    scene: tyro.conf.Positional[Path],
    as_json: Annotated[tyro.conf.FlagCreatePairsOff[bool], tyro.conf.arg(name="json")] = False,
) -> None:
    """Say what is in a scene, after checking every byte of it.

    Args:
        scene: a folder that ends in .cyclorama.
        as_json: print JSON for programs.
    """
    from ..bridge.scene import Scene
    from .inspection import facts, in_words

    opened = Scene(scene)
    opened.validate()
    found = facts(opened)
    print(json.dumps(found, indent=2) if as_json else in_words(found))


def serve(
    folder: Path | None = None,
    port: int = 0,
    listen: str = "",
    watch_stdin: tyro.conf.FlagCreatePairsOff[bool] = False,
    cache_gb: float | None = None,
) -> None:
    """Run the backend that Blender talks to, until stopped. Jobs that are stopped with it go on at its next start.

    Args:
        folder: where it keeps its address, keys, jobs and log; the user's data folder when left out.
        port: TCP port by which guests come, without listen through a tunnel's end on this computer; left out: 47860
            with listen, else none.
        listen: also let in other computers that were invited (cyclorama keys invite): this computer's address in the
            network, or 0.0.0.0 for all it has.
        watch_stdin: end after standard input closes, as soon as no job is left and no Blender uses it.
        cache_gb: gigabytes that results of stages may take, which are kept for later jobs; 0: none are kept. Left out:
            20, or a tenth of the disk if that is less.
    """
    from .server.serve import serve as run

    run(folder, port, watch_stdin, listen, cache_gb=cache_gb)


def status(
    folder: Path | None = None,
    invitation: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    once: tyro.conf.FlagCreatePairsOff[bool] = False,
    as_json: Annotated[tyro.conf.FlagCreatePairsOff[bool], tyro.conf.arg(name="json")] = False,
    log: int = 0,
) -> None:
    """Watch a backend: what it runs on, its workers, its clients, its jobs. Leave with q.

    Args:
        folder: the backend's; the user's data folder when left out.
        invitation: a file with which to reach a backend on another computer.
        once: print how it is now, as text, and end.
        as_json: print JSON for programs, and end.
        log: also show so many lines of the end of its log.
    """
    from .status.watch import show_status

    show_status(folder, invitation, once=once, as_json=as_json, log_lines=min(max(log, 0), 2000))


def doctor(
    folder: Path | None = None,
    blender: str = "",
    as_json: Annotated[tyro.conf.FlagCreatePairsOff[bool], tyro.conf.arg(name="json")] = False,
) -> None:
    """Check all that Cyclorama needs here, and say how to fix what is wrong. Changes nothing; ends with 1 for faults.

    Args:
        folder: the backend's; the user's data folder when left out.
        blender: an installed Blender; when left out it is looked for.
        as_json: print JSON for programs.
    """
    from .doctor.report import examine

    sys.exit(examine(folder, blender, as_json=as_json))


def cache(
    folder: Path | None = None,
    clear: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Say what is kept of earlier jobs, so that their stages need not be done again.

    Args:
        folder: the backend's; the user's data folder when left out.
        clear: remove all of it that no running job uses.
    """
    from .cache_command import show_cache

    show_cache(folder, clear)


def keys() -> None:
    """Say which other computers may use the backend of this one: keys invite, keys list, keys revoke."""
    main(["keys", "--help"])


def demo(
    blender: tyro.conf.Positional[str],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("build/demo"),
    panorama: Path | None = None,
) -> None:
    """Generate a scene from a photograph, fly a camera through it in Blender, and render the shot.

    Args:
        blender: an installed Blender, or the Python of an environment with Blender as a module (bpy).
        output: folder for the scene, the .blend, the pictures, the film and report.json.
        panorama: another panorama than the one that comes with Cyclorama.
    """
    from .demo import run

    run(blender, output.absolute(), panorama)


if __name__ == "__main__":
    main()
