"""Several jobs, as Blender shows them: asked for here, by other Blenders, and before Blender was closed."""

import shutil
from pathlib import Path

import bpy
import pytest

import cyclorama
from cyclorama.addon import link
from cyclorama.addon.link import session
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.messages import JobState
from cyclorama.bridge.settings import PanoramaTo4D

from .conftest import drain_until
from .packages import write_package
from .stand_in import StandIn, until_heard


@pytest.fixture
def backend(no_backend, addon):
    """One that runs; the add-on finds it by itself."""
    backend = StandIn(no_backend)
    link.start_backend()
    until_heard(backend, messages.Status)
    yield backend
    backend.close()


@pytest.fixture
def package(tmp_path, addon) -> Path:
    """A finished scene."""
    (tmp_path / "scenes").mkdir()
    return write_package(tmp_path / "scenes" / "harbour.cyclorama", video=False)


def ask(name: str, tmp_path: Path, output: str = "", **settings) -> link.Job:
    output = output or str(tmp_path / "scenes" / f"{name}.cyclorama")
    asked = messages.Generate(
        request=name, job=name, panorama=str(tmp_path / "p.exr"), output=output, settings=PanoramaTo4D(**settings)
    )
    return link.generate(asked, bpy.context.scene)


def told(job: link.Job) -> bool:
    return job.listed


def test_three_jobs_wait_in_the_order_they_were_asked_for(backend, tmp_path):
    for name in ("first", "second", "third"):
        ask(name, tmp_path)
    assert [asked.job for asked in until_heard(backend, messages.Generate, 3)] == ["first", "second", "third"]
    drain_until(lambda: all(map(told, link.jobs())))
    assert [job.name for job in link.jobs()] == ["third", "second", "first"]
    assert link.current_job().name == "third"
    assert link.working()


def test_jobs_are_kept_while_the_backend_starts(no_backend, addon, tmp_path):
    no_backend.mkdir()
    (no_backend / "address.json").write_text("{}")  # something is there, so none is started yet
    for name in ("first", "second"):
        ask(name, tmp_path)
    link.drain()
    assert [job.state for job in link.jobs()] == ["starting", "starting"]
    backend = StandIn(no_backend)
    assert [asked.job for asked in until_heard(backend, messages.Generate, 2)] == ["first", "second"]
    backend.close()


def test_one_of_several_is_cancelled(backend, tmp_path):
    jobs = {name: ask(name, tmp_path) for name in ("first", "second")}
    drain_until(lambda: all(map(told, jobs.values())))
    bpy.ops.cyclorama.cancel(job="first")
    assert [asked.job for asked in until_heard(backend, messages.Cancel)] == ["first"]
    assert jobs["first"].cancelling
    backend.tell(messages.Cancelled(job="first"))
    drain_until(lambda: jobs["first"].ended)
    assert [jobs["first"].state, jobs["second"].state] == ["cancelled", "waiting"]


def test_two_jobs_of_one_panorama_do_not_write_to_one_place(backend, tmp_path):
    (tmp_path / "scenes").mkdir()
    wish = str(tmp_path / "scenes" / "p.cyclorama")
    first, second, third = (ask(name, tmp_path, wish) for name in ("first", "second", "third"))
    assert [Path(job.output).name for job in (first, second, third)] == [
        "p.cyclorama",
        "p 2.cyclorama",
        "p 3.cyclorama",
    ]


def test_a_failed_job_is_tried_again(backend, tmp_path):
    job = ask("first", tmp_path)
    drain_until(lambda: told(job))
    backend.put("first", "failed", code="out-of-memory", sentence="The GPU is full.", hint="Lower the width.")
    drain_until(lambda: job.ended)
    assert (job.error.sentence, job.error.hint) == ("The GPU is full.", "Lower the width.")
    bpy.ops.cyclorama.retry_job(job="first")
    assert [asked.job for asked in until_heard(backend, messages.Retry)] == ["first"]
    backend.put("first", "running")
    drain_until(lambda: job.state == "running")
    assert job.error is None


def test_a_job_that_is_forgotten_is_gone_for_every_blender(backend, tmp_path):
    backend.put("old", "failed", sentence="s")
    drain_until(lambda: link.jobs())
    bpy.ops.cyclorama.forget_job(job="old")
    assert [asked.job for asked in until_heard(backend, messages.Forget)] == ["old"]
    assert link.jobs() == []
    backend.put("another", "done")
    drain_until(lambda: link.jobs())
    backend.tell(messages.Forgotten(job="another"))  # another Blender did that
    drain_until(lambda: not link.jobs())


def test_jobs_of_other_blenders_are_shown_and_not_imported(backend, package):
    backend.put("theirs", "done", panorama="/pictures/alps.exr", output=str(package))
    drain_until(lambda: link.jobs())
    link.drain()
    (job,) = link.jobs()
    assert (job.title, job.state, job.imported) == ("harbour", "done", "")
    assert not bpy.data.collections
    assert bpy.ops.cyclorama.import_job(job="theirs") == {"FINISHED"}  # but the artist may
    assert job.imported in bpy.data.collections


def test_a_finished_scene_comes_to_the_scene_that_asked(backend, package, tmp_path):
    asking = bpy.context.scene
    job = ask("mine", tmp_path, str(package))
    drain_until(lambda: told(job))
    bpy.context.window.scene = bpy.data.scenes.new("Another")
    backend.put("mine", "done")
    drain_until(lambda: job.imported)
    assert job.imported in asking.collection.children
    assert not bpy.data.scenes["Another"].collection.children


def test_a_scene_that_cannot_be_imported_says_why_and_can_be_tried_again(backend, package, tmp_path):
    broken = tmp_path / "scenes" / "broken.cyclorama"
    shutil.copytree(package, broken)
    (broken / "static.safetensors").unlink()
    job = ask("mine", tmp_path, str(broken))
    drain_until(lambda: told(job))
    backend.put("mine", "done")
    drain_until(lambda: job.error)
    assert "static.safetensors" in job.error.sentence
    shutil.copy(package / "static.safetensors", broken)
    bpy.ops.cyclorama.import_job(job="mine")
    assert job.error is None
    assert job.imported in bpy.data.collections


def _saved_and_left(tmp_path: Path) -> str:
    """What closing Blender does; returns the file."""
    file = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=file)
    cyclorama.unregister()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return file


def _opened_again(file: str) -> None:
    cyclorama.register()
    bpy.ops.wm.open_mainfile(filepath=file)
    link.start_backend()


def test_what_finished_while_blender_was_closed_is_imported_when_the_file_is_opened(backend, package, tmp_path):
    job = ask("mine", tmp_path, str(package))
    drain_until(lambda: told(job))
    file = _saved_and_left(tmp_path)
    backend.put("mine", "done")
    _opened_again(file)
    drain_until(lambda: link.jobs() and link.jobs()[0].imported)
    assert len(bpy.context.scene.collection.children) == 1

    bpy.ops.wm.save_mainfile()
    _opened_again(_saved_and_left(tmp_path))
    drain_until(lambda: link.jobs() and link.jobs()[0].listed)
    link.drain()
    assert len(bpy.context.scene.collection.children) == 1, "imported twice"


def test_another_file_does_not_import_it(backend, package, tmp_path):
    job = ask("mine", tmp_path, str(package))
    drain_until(lambda: told(job))
    bpy.ops.wm.read_homefile(use_empty=True)
    backend.put("mine", "done")
    drain_until(lambda: job.state == "done")
    link.drain()
    assert not bpy.data.collections
    assert job.package == package


def test_without_a_backend_a_file_still_finds_its_finished_scene(no_backend, addon, package, tmp_path):
    backend = StandIn(no_backend)
    job = ask("mine", tmp_path, str(package))
    drain_until(lambda: told(job))
    file = _saved_and_left(tmp_path)
    backend.close()
    cyclorama.register()
    bpy.ops.wm.open_mainfile(filepath=file)
    link.drain()
    assert link.jobs()[0].imported in bpy.data.collections


def test_without_a_backend_an_unfinished_job_is_offered_to_go_on(no_backend, addon, tmp_path):
    backend = StandIn(no_backend)
    job = ask("mine", tmp_path)
    drain_until(lambda: told(job))
    file = _saved_and_left(tmp_path)
    backend.close()
    cyclorama.register()
    bpy.ops.wm.open_mainfile(filepath=file)
    link.drain()
    (job,) = link.jobs()
    assert (job.state, link.working()) == ("asleep", False)

    backend = StandIn(no_backend, JobState(job="mine", state="running", output=job.output))
    bpy.ops.cyclorama.retry_job(job="mine")  # "Continue"
    drain_until(lambda: job.state == "running")
    assert not backend.asked_for(messages.Retry), "it went on by itself"
    backend.close()


def test_a_job_that_the_backend_lost_says_so_in_the_file_that_asked(no_backend, addon, tmp_path):
    backend = StandIn(no_backend)
    job = ask("mine", tmp_path)
    drain_until(lambda: told(job))
    file = _saved_and_left(tmp_path)
    backend.jobs.clear()
    _opened_again(file)
    drain_until(lambda: link.jobs() and link.jobs()[0].ended)
    assert link.jobs()[0].error.code == "job-unknown"
    backend.close()


def test_undo_while_a_job_runs_loses_neither_the_job_nor_its_scene(backend, package, tmp_path):
    bpy.ops.ed.undo_push(message="Before")
    job = ask("mine", tmp_path, str(package))
    drain_until(lambda: told(job))
    bpy.ops.ed.undo_push(message="After")
    bpy.ops.ed.undo()
    link.drain()
    assert "mine" in bpy.context.scene.cyclorama_wishes
    backend.put("mine", "done")
    drain_until(lambda: job.imported)
    assert job.imported in bpy.context.scene.collection.children


def test_an_import_that_was_undone_does_not_come_back(backend, package, tmp_path):
    job = ask("mine", tmp_path, str(package))
    drain_until(lambda: told(job))
    bpy.ops.ed.undo_push(message="Before")
    backend.put("mine", "done")
    drain_until(lambda: job.imported)
    bpy.ops.ed.undo_push(message="Import")
    bpy.ops.ed.undo()
    for _ in range(3):
        link.drain()
    assert not bpy.data.collections
    assert bpy.context.scene.cyclorama_wishes["mine"].settled


def test_a_copy_of_a_scene_gets_no_scene_of_its_own(backend, package, tmp_path):
    job = ask("mine", tmp_path, str(package))
    drain_until(lambda: told(job))
    bpy.ops.scene.new(type="FULL_COPY")
    copy = bpy.context.scene
    backend.put("mine", "done")
    drain_until(lambda: job.imported)
    link.drain()
    assert not copy.collection.children


def test_settings_of_an_earlier_job_come_back(backend, tmp_path):
    settings = bpy.context.scene.cyclorama
    job = ask("mine", tmp_path, frames=7, strength=0.5)
    drain_until(lambda: told(job))
    cyclorama.unregister()  # so that only the backend knows
    cyclorama.register()
    link.start_backend()
    settings = bpy.context.scene.cyclorama
    assert (settings.frames, settings.strength) != (7, 0.5)
    drain_until(lambda: link.jobs())
    bpy.ops.cyclorama.load_settings(job="mine")
    drain_until(lambda: settings.frames == 7)
    assert settings.strength == 0.5
    assert settings.panorama == str(tmp_path / "p.exr")


def test_after_a_lost_connection_the_list_is_asked_for_again(backend, no_backend, tmp_path):
    job = ask("mine", tmp_path)
    drain_until(lambda: told(job))
    backend.close(leave_address=True)
    again = StandIn(no_backend)
    again.asked, again.jobs = backend.asked, backend.jobs
    again.jobs["mine"] = JobState(job="mine", state="running", stage="animate", fraction=0.5, output=job.output)
    again.jobs["other"] = JobState(job="other", state="waiting")
    drain_until(lambda: job.state == "running")
    assert {job.name for job in link.jobs()} == {"mine", "other"}
    again.close()


def test_after_a_short_cut_what_was_missed_is_told_and_the_list_not_asked_for_again(backend, no_backend, tmp_path):
    job = ask("mine", tmp_path)
    drain_until(lambda: told(job))
    backend.close(leave_address=True)
    backend.told.append(  # while nobody listened
        messages.Changed(
            sequence=len(backend.told) + 1, state=JobState(job="mine", state="running", output=job.output, fraction=0.5)
        )
    )
    again = StandIn(no_backend, after=backend)
    drain_until(lambda: job.state == "running")
    assert job.fraction == 0.5
    ask("another", tmp_path)  # and what is wished is told
    until_heard(again, messages.Generate)
    assert not again.asked_for(messages.Status)
    again.close()


def refuse(backend: StandIn, kind: type, code: str = "job-not-yours") -> None:
    backend.refuses[kind] = CycloramaError(code, "It is somebody else's.", "Ask them.")


def test_a_cancel_that_is_refused_says_why_and_the_job_goes_on(backend, tmp_path):
    refuse(backend, messages.Cancel)
    job = ask("mine", tmp_path)
    drain_until(lambda: told(job))
    backend.put("mine", "running")
    drain_until(lambda: job.state == "running")
    bpy.ops.cyclorama.cancel(job="mine")
    drain_until(lambda: job.refusal)
    assert (str(job.refusal), job.cancelling, job.state) == ("It is somebody else's. Ask them.", False, "running")
    backend.refuses.clear()
    bpy.ops.cyclorama.cancel(job="mine")
    assert job.refusal is None, "asked again, so the old answer is past"


def test_a_job_that_may_not_be_forgotten_comes_back_and_says_why(backend):
    refuse(backend, messages.Forget)
    backend.put("old", "failed", sentence="s")
    drain_until(lambda: link.jobs())
    bpy.ops.cyclorama.forget_job(job="old")
    assert link.jobs() == []
    drain_until(lambda: link.jobs())
    assert link.jobs()[0].refusal.hint == "Ask them."


def test_a_job_that_the_backend_had_forgotten_already_stays_away(backend):
    refuse(backend, messages.Forget, "job-unknown")
    backend.put("old", "failed", sentence="s")
    drain_until(lambda: link.jobs())
    bpy.ops.cyclorama.forget_job(job="old")
    until_heard(backend, messages.Forget)
    backend.put("other", "done")
    drain_until(lambda: link.jobs())
    assert [job.name for job in link.jobs()] == ["other"]


def test_a_retry_that_is_refused_is_why_the_job_failed(backend):
    refuse(backend, messages.Retry)
    backend.put("old", "failed", sentence="s")
    drain_until(lambda: link.jobs())
    bpy.ops.cyclorama.retry_job(job="old")
    drain_until(lambda: link.jobs()[0].error and link.jobs()[0].error.hint)
    assert (link.jobs()[0].state, link.jobs()[0].error.sentence) == ("failed", "It is somebody else's.")


def test_settings_that_are_refused_and_a_list_that_is_are_said_above_the_jobs(backend):
    refuse(backend, messages.Recall)
    backend.put("old", "done")
    drain_until(lambda: link.jobs())
    bpy.ops.cyclorama.load_settings(job="old")
    drain_until(link.notice)
    assert str(link.notice()) == "It is somebody else's. Ask them."


def test_a_list_that_is_refused_says_why(no_backend, addon):
    backend = StandIn(no_backend)
    refuse(backend, messages.Status, "too-busy")
    link.start_backend()
    drain_until(link.notice)
    assert link.notice().code == "too-busy"
    backend.close()


def test_a_waiting_job_is_put_first_and_last(backend, tmp_path):
    for number, name in enumerate("abc"):
        backend.put(name, "waiting", asked_at=number + 1.0)
    drain_until(lambda: len(link.jobs()) == 3)
    assert [link.place(link.job_called(name)) for name in "abc"] == [1, 2, 3]
    assert bpy.ops.cyclorama.prioritize_job(job="c", where="FIRST") == {"FINISHED"}
    (asked,) = until_heard(backend, messages.Prioritize)
    assert (asked.job, asked.priority) == ("c", 1)
    backend.put("c", "waiting", asked_at=3.0, priority=1, place=1)
    drain_until(lambda: link.place(link.job_called("c")) == 1)
    assert bpy.ops.cyclorama.prioritize_job(job="c", where="FIRST") == {"CANCELLED"}, "it is already"
    bpy.ops.cyclorama.prioritize_job(job="c", where="LAST")
    assert until_heard(backend, messages.Prioritize, 2)[1].priority == -1


def test_an_order_that_is_refused_says_why(backend):
    refuse(backend, messages.Prioritize)
    for number, name in enumerate("ab"):
        backend.put(name, "waiting", asked_at=number + 1.0)
    drain_until(lambda: len(link.jobs()) == 2)
    bpy.ops.cyclorama.prioritize_job(job="b", where="FIRST")
    drain_until(lambda: link.job_called("b").refusal)
    assert link.job_called("b").state == "waiting"


def test_with_one_job_there_is_no_order_to_change(backend):
    backend.put("a", "waiting")
    drain_until(lambda: link.jobs())
    assert not bpy.ops.cyclorama.prioritize_job.poll()


def test_what_a_lost_connection_took_with_it_is_asked_again(backend, no_backend, tmp_path, monkeypatch):
    job = ask("mine", tmp_path)
    drain_until(lambda: told(job))
    backend.close(leave_address=True)
    bpy.ops.cyclorama.cancel(job="mine")
    again = StandIn(no_backend)
    again.asked, again.jobs = backend.asked, backend.jobs
    assert [asked.job for asked in until_heard(again, messages.Cancel)] == ["mine"]
    again.close()


def test_a_thousand_jobs_are_taken_in_little_by_little_and_completely(no_backend, addon):
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(session, "_HEARING_SECONDS", 0)
    names = [f"j{number}" for number in range(1000)]
    backend = StandIn(no_backend, *(JobState(job=name, state="waiting", asked_at=1.0) for name in names))
    link.start_backend()
    seen = {0}
    while len(link.jobs()) < 1000:
        assert len(link.jobs()) <= max(seen) + 16
        seen.add(len(link.jobs()))
        link.drain()
    monkeypatch.undo()
    for name in names:
        backend.put(name, "running", asked_at=1.0)
        backend.put(name, "done", asked_at=1.0)
    drain_until(lambda: all(job.state == "done" for job in link.jobs()))
    backend.close()


def test_a_backend_of_another_version_is_named_and_the_job_can_be_tried_again(no_backend, addon, tmp_path):
    backend = StandIn(no_backend, protocol=messages.PROTOCOL + 1)
    job = ask("mine", tmp_path)
    drain_until(lambda: job.ended)
    assert job.error.code == "protocol-mismatch"
    assert link.backend_state() == "off"
    backend.close()
    backend = StandIn(no_backend)
    bpy.ops.cyclorama.retry_job(job="mine")
    until_heard(backend, messages.Generate)
    drain_until(lambda: job.state == "waiting")
    backend.close()


def test_why_the_backend_did_not_start_is_no_trouble_once_it_runs(no_backend, addon, monkeypatch):
    monkeypatch.setattr("cyclorama.addon.preferences.python_by_hand", lambda: "/nowhere/python")
    link.start_backend()
    drain_until(link.trouble)
    late = StandIn(no_backend)
    drain_until(lambda: link.backend_state() == "running")
    assert link.trouble() is None
    late.close()


def test_scenes_that_wait_are_numbered_on(backend, tmp_path):
    taken = str(tmp_path / "scenes" / "sea 3.cyclorama")
    assert [Path(ask(name, tmp_path, taken).output).stem for name in "abc"] == ["sea 3", "sea 4", "sea 5"]
