"""Jobs run in the order they came, only so many are remembered, and none is lost when the server is."""

import msgspec
import pytest

from cyclorama.backend.server.jobs import MAX_REMEMBERED, MAX_STARTS, MAX_WAITING, MAX_WAITING_OF_A_GUEST, Jobs
from cyclorama.backend.server.journal import Journal
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D


def task(name, output="/o"):
    return messages.Generate(job=name, panorama="/p", output=output, settings=PanoramaTo4D())


def done(name, **more):
    return messages.Done(**{"job": name, "scene": "/o", "seconds": {}, "peak_bytes": 0} | more)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    yield journal
    journal.close()


@pytest.fixture
def jobs(journal):
    return Jobs(journal)


def reopened(tmp_path, is_made=lambda job: False):
    """As after the server was killed: nothing was closed."""
    return Jobs(Journal(tmp_path), is_made)


def start_all(jobs):
    """Names, in the order they run one after the other."""
    return [job.name for job in iter(jobs.start_next, None)]


def test_jobs_of_one_run_in_the_order_they_came(jobs):
    for name in "abc":
        jobs.add(task(name))
    assert [job.name for job in jobs.waiting] == ["a", "b", "c"]
    assert [line.place for line in jobs.lines()] == [1, 2, 3]
    jobs.start_next()
    assert [line.place for line in jobs.lines()] == [0, 1, 2]
    assert start_all(jobs) == ["b", "c"]


def test_who_has_one_job_does_not_wait_for_all_of_another(jobs):
    for number in range(5):
        jobs.add(task(f"anna{number}"), "anna")
    jobs.add(task("ours"))
    jobs.add(task("bert0"), "bert")
    jobs.add(task("bert1"), "bert")
    places = {line.job: line.place for line in jobs.lines()}
    order = start_all(jobs)
    assert order == ["anna0", "ours", "bert0", "anna1", "bert1", "anna2", "anna3", "anna4"]
    assert sorted(places, key=lambda name: places[name]) == order


def test_turns_go_on_where_they_were(jobs):
    for name in ("a0", "a1", "a2"):
        jobs.add(task(name), "anna")
    assert jobs.start_next().name == "a0"
    jobs.add(task("b0"), "bert")
    assert start_all(jobs) == ["b0", "a1", "a2"]


def test_greater_priorities_run_first(jobs):
    for name, priority in (("low", -1), ("first", 0), ("urgent", 5), ("second", 0)):
        jobs.add(msgspec.structs.replace(task(name), priority=priority))
    assert [job.name for job in jobs.waiting] == ["urgent", "first", "second", "low"]
    jobs.prioritize("second", 6)
    jobs.prioritize("urgent", -10)
    assert start_all(jobs) == ["second", "first", "low", "urgent"]


def test_a_priority_is_kept_by_retries_and_restarts(jobs, tmp_path):
    jobs.add(task("a"))
    jobs.add(task("b"))
    jobs.prioritize("b", 3)
    jobs.end(jobs.find("b"), messages.Cancelled(job="b"))
    jobs.retry("b")
    assert [job.name for job in reopened(tmp_path).waiting] == ["b", "a"]


def test_only_waiting_jobs_are_moved(jobs):
    jobs.add(task("runs"))
    jobs.start_next()
    with pytest.raises(CycloramaError) as caught:
        jobs.prioritize("runs", 1)
    assert caught.value.code == "job-not-waiting"


def test_a_job_that_may_not_run_yet_lets_the_next_pass_and_keeps_its_place(jobs):
    for name in ("held", "free"):
        jobs.add(task(name))
    assert jobs.start_next(may_run=lambda job: job.name != "held").name == "free"
    assert jobs.start_next().name == "held"


def test_a_guest_cannot_fill_the_queue(jobs):
    for number in range(MAX_WAITING_OF_A_GUEST):
        jobs.add(task(f"job{number}"), "anna")
    with pytest.raises(CycloramaError) as caught:
        jobs.add(task("one-more"), "anna")
    assert caught.value.code == "queue-full" and f"{MAX_WAITING_OF_A_GUEST} of your jobs" in caught.value.sentence
    jobs.add(task("ours"))
    jobs.add(task("berts"), "bert")
    jobs.start_next()
    jobs.add(task("one-more"), "anna")  # there is room again


def test_guests_see_of_others_jobs_only_the_state(jobs):
    jobs.add(task("ours", "/secret"))
    jobs.add(task("berts", "/secret"), "bert")
    jobs.add(task("annas", "/mine"), "anna")
    jobs.start_next()
    lines = {line.job: line for line in jobs.lines("anna")}
    assert (lines["ours"].state, lines["berts"].state, lines["berts"].place) == ("running", "waiting", 1)
    assert "secret" not in repr(lines) and "bert'" not in repr(lines)
    assert (lines["annas"].output, lines["annas"].guest) == ("/mine", "anna")
    assert [line.job for line in jobs.lines("anna", "berts")] == ["berts"]
    assert jobs.lines("anna", "none") == ()


def test_a_job_whose_start_cannot_be_written_down_waits_and_says_so(jobs, journal):
    jobs.add(task("job"))
    journal._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(CycloramaError) as caught:
        jobs.start_next()
    assert caught.value.code == "journal-not-writable"
    (line,) = jobs.lines()
    assert (line.state, line.place) == ("waiting", 1) and "disk is full" in line.remark
    journal._connection.execute("PRAGMA query_only = OFF")
    job = jobs.start_next()
    assert (job.name, job.remark, job.starts) == ("job", "", 1)


def test_a_job_whose_worker_died_waits_in_its_old_place_and_says_why(jobs, tmp_path):
    for name in ("first", "second"):
        jobs.add(task(name))
    jobs.try_again(jobs.start_next("GPU 0"), "The worker process ended.")
    for known in (jobs, reopened(tmp_path)):
        assert [job.name for job in known.waiting] == ["first", "second"]
        line = known.lines()[0]
        assert (line.remark, line.device, known.find("first").deaths) == ("The worker process ended.", "", 1)
    again = jobs.start_next("GPU 1", scene_before=lambda job: "d" * 64)
    jobs.hear(messages.Progress(job="first", stage="lift", step=1, total=2, fraction=0.5))
    assert jobs.lines()[0].remark and jobs.lines()[0].device == "GPU 1" and jobs.lines()[0].fraction == 0.5
    assert reopened(tmp_path, lambda job: job.scene_before == "d" * 64).find("first").state == "done"
    jobs.end(again, done("first", reused=("depth",)))
    assert jobs.find("first").ending.reused == jobs.lines()[0].reused == ("depth",)


def test_a_thousand_jobs_are_listed_without_describing_each_anew(jobs):
    for number in range(MAX_WAITING):
        jobs.add(task(f"job{number}"))
    before = jobs.lines()
    assert all(one is other for one, other in zip(jobs.lines(), before, strict=True))
    assert [line.place for line in before] == list(range(1, MAX_WAITING + 1))


def test_a_repeated_job_is_the_same(jobs):
    first, was_new = jobs.add(task("job"))
    assert was_new
    assert jobs.add(task("job")) == (first, False)


def test_another_guest_cannot_take_a_job_over(jobs):
    jobs.add(task("job"), "anna")
    with pytest.raises(CycloramaError) as caught:
        jobs.add(task("job"), "bert")
    assert caught.value.code == "job-differs"


def test_a_job_describes_how_it_ended(jobs):
    (made, _), (failed, _) = jobs.add(task("done")), jobs.add(task("failed"))
    jobs.end(made, done("done", seconds={"lift": 2.5}, peak_bytes=7))
    jobs.end(failed, messages.Failed(job="failed", code="c", sentence="Why.", hint="What."))
    line = made.described()
    assert (line.state, line.fraction, line.output, line.seconds, line.peak_bytes) == (
        "done",
        1,
        "/o",
        {"lift": 2.5},
        7,
    )
    line = failed.described()
    assert (line.state, line.code, line.sentence, line.hint) == ("failed", "c", "Why.", "What.")
    assert line.asked_at > 0 and line.ended_at >= line.asked_at and line.started_at == 0


def test_ended_jobs_are_forgotten_oldest_first(jobs, tmp_path):
    forgotten = []
    for number in range(MAX_REMEMBERED + 1):
        forgotten += jobs.end(jobs.add(task(f"job{number}"))[0], messages.Cancelled(job=f"job{number}"))
    assert [job.name for job in forgotten] == ["job0"]
    for known in (jobs, reopened(tmp_path)):
        with pytest.raises(CycloramaError, match="job0"):
            known.find("job0")
        assert known.find("job1")


def test_a_queue_that_is_full_says_so(jobs):
    ended, _ = jobs.add(task("ended"))
    jobs.end(ended, messages.Cancelled(job="ended"))
    for number in range(MAX_WAITING):
        jobs.add(task(f"job{number}"))
    for refused in (lambda: jobs.add(task("one-more")), lambda: jobs.retry("ended")):
        with pytest.raises(CycloramaError) as caught:
            refused()
        assert caught.value.code == "queue-full"
    assert jobs.add(task("job3"))[0].name == "job3"


def test_what_ended_is_remembered_by_the_next_server(jobs, tmp_path):
    jobs.add(task("failed"))
    jobs.end(jobs.find("failed"), messages.Failed(job="failed", code="c", sentence="Why.", hint="What."))
    jobs.add(task("done"), "anna")
    jobs.start_next()
    jobs.end(jobs.find("done"), done("done", seconds={"lift": 2.5}, peak_bytes=1 << 40))
    jobs.add(task("cancelled"))
    jobs.end(jobs.find("cancelled"), messages.Cancelled(job="cancelled"))
    assert [job.described() for job in reopened(tmp_path)] == [job.described() for job in jobs]


def test_what_waited_or_ran_waits_again_in_its_order(jobs, tmp_path):
    for name in ("first", "second", "third"):
        jobs.add(task(name))
    jobs.end(jobs.find("second"), messages.Cancelled(job="second"))
    jobs.start_next()
    jobs.retry("second")
    after = reopened(tmp_path)
    assert [(job.name, job.state) for job in after] == [(name, "waiting") for name in ("first", "third", "second")]
    assert after.start_next().name == "first"


def test_a_job_under_which_the_server_ended_too_often_fails_until_it_is_retried(jobs, tmp_path):
    jobs.add(task("lethal"))
    for _ in range(MAX_STARTS):
        assert jobs.find("lethal").state == "waiting"
        jobs.start_next()
        jobs = reopened(tmp_path)
    job = jobs.find("lethal")
    assert (job.state, job.code) == ("failed", "backend-ended-repeatedly")
    assert "3 times" in job.sentence and "Resolution" in job.hint
    jobs.retry("lethal")
    jobs.start_next()
    assert reopened(tmp_path).find("lethal").state == "waiting"


def test_a_job_that_was_stopped_in_good_order_is_never_blamed(jobs, tmp_path):
    jobs.add(task("long"))
    for _ in range(2 * MAX_STARTS):
        jobs.suspend(jobs.start_next())
        jobs = reopened(tmp_path)
    assert jobs.find("long").state == "waiting"


def test_a_job_whose_scene_is_there_was_done_though_nobody_wrote_it_down(jobs, tmp_path):
    jobs.add(task("made"))
    jobs.add(task("waits"))
    jobs.start_next()
    assert {job.name: job.state for job in reopened(tmp_path, lambda job: True)} == {"made": "done", "waits": "waiting"}


def test_a_job_that_is_done_is_not_done_again(jobs):
    jobs.end(jobs.add(task("job"))[0], done("job"))
    with pytest.raises(CycloramaError) as caught:
        jobs.retry("job")
    assert caught.value.code == "job-done"


def test_a_retry_that_is_repeated_counts_once(jobs):
    jobs.end(jobs.add(task("job"))[0], messages.Cancelled(job="job"))
    again, was_new = jobs.retry("job")
    assert was_new and jobs.retry("job") == (again, False)


def test_only_what_has_ended_is_forgotten(jobs, tmp_path):
    jobs.add(task("waits"))
    with pytest.raises(CycloramaError) as caught:
        jobs.forget("waits")
    assert caught.value.code == "job-not-ended"
    jobs.end(jobs.find("waits"), messages.Cancelled(job="waits"))
    jobs.forget("waits")
    assert list(jobs) == list(reopened(tmp_path)) == []
