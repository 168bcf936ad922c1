"""The list of jobs follows the backend's, whatever is selected in it; the panel and the status bar draw every state."""

import typing
from types import SimpleNamespace

import bpy
import pytest

import cyclorama
from cyclorama.addon import link
from cyclorama.addon.link import session
from cyclorama.addon.link.job import State
from cyclorama.addon.ui import jobs, status_bar
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError

from .conftest import drain_until
from .stand_in import StandIn, until_heard
from .test_jobs import ask


class Layout:
    """Takes what a panel draws, as Blender's would, and notes the texts and the operators."""

    def __init__(self, drawn=None):
        self.drawn = [] if drawn is None else drawn

    def __getattr__(self, name):
        if name in ("row", "column", "box", "split", "column_flow", "grid_flow"):
            return lambda **_: Layout(self.drawn)
        return lambda *given, **named: self._note(name, given, named)

    def _note(self, kind, given, named):
        self.drawn.append((kind, *given[:1], named.get("text")))
        return SimpleNamespace()

    def buttons(self) -> list[str]:
        return [call[1].removeprefix("cyclorama.") for call in self.drawn if call[0] == "operator"]

    def texts(self) -> str:
        return " ".join(str(call[-1]) for call in self.drawn if call[-1])


@pytest.fixture
def backend(no_backend, addon):
    backend = StandIn(no_backend)
    link.start_backend()
    until_heard(backend, messages.Status)
    yield backend
    backend.close()


@pytest.fixture
def context():
    """A sidebar's."""
    return SimpleNamespace(
        region=SimpleNamespace(width=280),
        preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0), addons={}),
        window_manager=bpy.context.window_manager,
    )


def drawn(context) -> Layout:
    panel = SimpleNamespace(layout=Layout())
    jobs.CYCLORAMA_PT_jobs.draw(panel, context)
    return panel.layout


def names() -> list[str]:
    return [jobs._job_in(row).name for row in range(len(bpy.context.window_manager.cyclorama_jobs.items))]


def line(name: str) -> str:
    """What the list says of a job."""
    layout = Layout()
    jobs.CYCLORAMA_UL_jobs.draw_item(None, None, layout, None, None, 0, None, "", names().index(name))
    return layout.texts()


def select(name: str) -> None:
    bpy.context.window_manager.cyclorama_jobs.active = names().index(name)


def test_nothing_generated_yet_is_one_line(addon, context):
    layout = drawn(context)
    assert (layout.texts(), layout.buttons()) == ("Nothing generated yet", [])
    assert not jobs.CYCLORAMA_PT_job_figures.poll(context)


def test_the_rows_are_the_jobs_newest_first(backend, tmp_path):
    backend.put("old", "done", asked_at=1.0)
    backend.put("older", "failed", asked_at=0.5)
    drain_until(lambda: names() == ["old", "older"])
    ask("new", tmp_path)
    drain_until(lambda: names() == ["new", "old", "older"])
    assert jobs.selected(bpy.context).name == "new", "what was just asked for is selected"


def test_the_selected_job_stays_selected_when_others_come_and_go(backend):
    for at, name in enumerate(("a", "b", "c")):
        backend.put(name, "done", asked_at=at + 1.0)
    drain_until(lambda: names() == ["c", "b", "a"])
    select("b")
    backend.put("d", "waiting", asked_at=9.0)
    drain_until(lambda: len(names()) == 4)
    assert jobs.selected(bpy.context).name == "b"
    backend.tell(messages.Forgotten(job="b"))
    drain_until(lambda: len(names()) == 3)
    assert jobs.selected(bpy.context).name in names()


def test_the_list_survives_another_file(backend):
    backend.put("a", "done")
    drain_until(lambda: names() == ["a"])
    bpy.ops.wm.read_homefile(use_empty=True)
    backend.put("b", "done", asked_at=1.0)
    drain_until(lambda: sorted(names()) == ["a", "b"])


def test_buttons_fit_the_state_of_the_job(backend, context, tmp_path):
    expected = {
        "waiting": ["cancel", "load_settings"],
        "running": ["cancel", "load_settings"],
        "failed": ["retry_job", "load_settings", "forget_job"],
        "cancelled": ["retry_job", "load_settings", "forget_job"],
        "done": ["import_job", "load_settings", "forget_job"],
    }
    for state, buttons in expected.items():
        backend.put("a", state, sentence="It is too dark.", hint="Add a lamp.")
        drain_until(lambda state=state: link.jobs() and link.jobs()[0].state == state)
        layout = drawn(context)
        assert layout.buttons() == buttons, state
        assert ("It is too dark. Add a lamp." in layout.texts()) == (state == "failed")


@pytest.mark.parametrize("state", typing.get_args(State))
def test_every_state_has_its_line(addon, context, state):
    job = link.Job("a", "/p/harbour.exr", "/scenes/harbour.cyclorama", state=state)
    assert jobs.progress_text(job)
    assert jobs._ICONS[state] in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
    layout = Layout()
    jobs._draw_job(layout, context, job)
    assert layout.buttons()


def test_progress_is_in_the_list_the_generate_panel_and_the_status_bar(backend, context):
    backend.put("a", "running", output="/scenes/harbour.cyclorama")
    backend.put("b", "waiting")
    backend.tell(messages.Progress(job="a", stage="animate", step=1, total=4, fraction=0.25, seconds_left=42.0))
    drain_until(lambda: link.job_called("a") and link.job_called("a").fraction == 0.25)
    active, bar = Layout(), SimpleNamespace(layout=Layout())
    jobs.draw_active(active, context)
    status_bar._draw(bar, None)
    assert line("a") == "harbour Animate  42 s"
    assert active.texts() == "Animate  42 s left"
    assert bar.layout.texts() == "harbour: Animate  42 s left  (+1)"


def test_the_status_bar_is_empty_when_nothing_is_generated(addon):
    bar = SimpleNamespace(layout=Layout())
    status_bar._draw(bar, None)
    assert bar.layout.drawn == []


def test_what_a_finished_job_took_is_shown(backend, context):
    backend.put("a", "done", seconds={"animate": 30.0, "lift": 90.5}, peak_bytes=2_100_000_000)
    drain_until(lambda: names())
    panel = SimpleNamespace(layout=Layout())
    assert jobs.CYCLORAMA_PT_job_figures.poll(context)
    jobs.CYCLORAMA_PT_job_figures.draw(panel, context)
    assert panel.layout.texts() == "Animate 30.0 s Gaussians 90.5 s Together 2.0 min Memory at most 2.1 GB"


def test_switched_off_nothing_is_left_in_blender(no_backend):
    cyclorama.register()
    cyclorama.unregister()
    draws = bpy.types.STATUSBAR_HT_header._dyn_ui_initialize()
    assert not [draw for draw in draws if "cyclorama" in draw.__module__]
    assert not hasattr(bpy.types.WindowManager, "cyclorama_jobs")
    assert not hasattr(bpy.types.Scene, "cyclorama_wishes")
    assert session._listeners == []
    assert link.jobs() == []


def test_waiting_jobs_say_their_place_and_can_be_put_first_or_last(backend, context):
    for number, name in enumerate("abc"):
        backend.put(name, "waiting", asked_at=number + 1.0)
    drain_until(lambda: len(names()) == 3)
    lines = [line(name) for name in "abc"]
    assert lines == ["harbour Next in the queue", "harbour 2nd in the queue", "harbour 3rd in the queue"]
    select("b")
    assert drawn(context).buttons() == ["cancel", "load_settings", "prioritize_job", "prioritize_job"]


def test_places_are_numbered_as_people_do():
    assert [jobs.queue_text(place).split()[0] for place in (2, 3, 4, 11, 12, 13, 21, 22, 101, 111)] == (
        ["2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th"]
    )


def test_what_happened_to_a_job_and_what_was_there_already_is_said(backend, context):
    remark = "The worker process ended (signal 9); it goes on from where it was."
    backend.put("a", "running", remark=remark, reused=("animate", "lift"), device="GPU 1")
    drain_until(names)
    layout = drawn(context)
    assert remark in layout.texts()
    assert "Animate and Gaussians were there already. On GPU 1." in layout.texts()


def test_what_was_refused_is_said_below_the_job_that_goes_on(backend, context):
    backend.refuses[messages.Cancel] = CycloramaError("busy", "It cannot be stopped now.", "Try again.")
    backend.put("a", "running")
    drain_until(names)
    bpy.ops.cyclorama.cancel(job="a")
    drain_until(lambda: link.job_called("a").refusal)
    layout = drawn(context)
    assert "It cannot be stopped now. Try again." in layout.texts()
    assert layout.buttons() == ["cancel", "load_settings"]


def test_a_guest_sees_of_other_people_s_jobs_no_more_than_how_far_they_are(no_backend, addon, context):
    backend = StandIn(no_backend, messages.JobState(job="b", state="running"), guest="anna")
    link.start_backend()
    drain_until(names)
    layout = drawn(context)
    assert layout.buttons() == []
    assert "Somebody else's" in layout.texts()
    assert line("b").startswith("Someone's scene")
    backend.close()


def test_jobs_are_found_by_their_title(backend):
    for number, name in enumerate(("harbour", "alps")):
        backend.put(name, "done", asked_at=number + 1.0, output=f"/scenes/{name}.cyclorama")
    drain_until(lambda: len(names()) == 2)
    found = jobs.CYCLORAMA_UL_jobs.filter_items(
        SimpleNamespace(filter_name="HARB", bitflag_filter_item=1), None, None, ""
    )
    assert found == ([0, 1], [])
