"""A client finds its backend, loses it, and finds it again, and nothing that was asked or told is lost."""

import subprocess
import sys
from dataclasses import replace

import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address, Keys, backend_folder, open_folder
from cyclorama.bridge.client import Client
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.inbox import Inbox

from .wire_host import Host, drain_until, guest_address, until


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backend"


@pytest.fixture
def host(folder):
    host = Host(folder)
    yield host
    host.close()


@pytest.fixture
def client(folder, host):
    with Client(folder, silence=2) as client:
        yield client


def test_a_client_is_welcomed_and_answered(client):
    assert isinstance(client.request(messages.Status()), messages.Jobs)
    assert client.state == "connected"
    assert client.welcome.device == "D"
    assert client.trouble is None


def test_what_is_sent_before_there_is_a_backend_arrives_when_there_is_one(folder):
    with Client(folder) as client:
        client.send(messages.Cancel(job="j", request="r"))
        until(lambda: client.trouble and client.trouble.code == "backend-not-running")
        assert client.state == "connecting"
        host = Host(folder)
        assert messages.Accepted(request="r") in drain_until(client, messages.Accepted)
        assert [getattr(request, "job", "") for request in host.asked(messages.Cancel)] == ["j"]
        host.close()


def test_a_client_keeps_pinging(client, host):
    until(lambda: sum(isinstance(request, messages.Ping) for request in host.heard) >= 2)
    assert client.state == "connected"
    assert [type(message) for message in client.drain()] == [messages.Welcome]


def test_a_silent_backend_is_noticed_and_found_again(client, host):
    client.request(messages.Status())
    host.mute = True
    until(lambda: client.state == "lost")
    assert client.trouble.code == "backend-silent"
    host.mute = False
    until(lambda: client.state == "connected")


def test_a_backend_started_anew_at_another_port_is_found(folder):
    first = Host(folder)
    with Client(folder) as client:
        client.request(messages.Status())
        first.close()
        second = Host(folder)
        until(lambda: any(isinstance(request, messages.Hello) for request in second.heard))
        assert client.request(messages.Status(), timeout=20)
        second.close()


def test_asking_where_no_backend_runs_says_so_and_is_not_asked_later(folder):
    with Client(folder) as client:
        with pytest.raises(CycloramaError) as caught:
            client.request(messages.Shutdown(), timeout=0.5)
        assert caught.value.code == "backend-not-running"
        host = Host(folder)
        client.request(messages.Status(), timeout=20)
        assert not any(isinstance(request, messages.Shutdown) for request in host.heard)
        host.close()


def test_a_refusal_is_raised_with_its_code(client):
    absurd = messages.Generate(job="no such name", panorama="/p", output="/o", settings=None)  # pyright: ignore
    with pytest.raises(CycloramaError) as caught:
        client.request(absurd)
    assert caught.value.code == "message-not-understood"


def test_text_that_is_not_unicode_is_refused_before_it_is_sent(client):
    with pytest.raises(CycloramaError) as caught:
        client.send(messages.Hello(client="\udc80"))
    assert caught.value.code == "text-not-unicode"


def changed(job, state, **more):
    return messages.Changed(state=messages.JobState(job=job, state=state), **more)


def progress(step, job="j"):
    return messages.Progress(job=job, stage="lift", step=step, total=100, fraction=0)


def test_of_what_nobody_has_read_only_the_newest_of_each_job_is_kept(client, host):
    client.request(messages.Status())
    client.drain()
    (peer,) = set(host.peers)
    events: list[messages.AnyEvent] = []
    for step in range(100):
        preview = messages.Preview(job="j", step=step, total=100, picture=b"w" * 10_000)
        events += [progress(step), preview, changed("j", "running")]
    host.tell(peer, *events, messages.Preview(job="other", step=7, total=100, picture=b"w"))
    host.tell(peer, changed("j", "done"), messages.Done(job="j", scene="/s", seconds={}, peak_bytes=0))
    host.tell(peer, messages.Forgotten(job="last"))
    until(lambda: any(isinstance(message, messages.Forgotten) for message in list(client._inbox._kept.values())))
    kinds = [type(message).__name__ for message in client.drain()]
    assert kinds == ["Progress", "Preview", "Preview", "Changed", "Done", "Forgotten"]


def test_a_thousand_events_of_two_hundred_jobs_are_few_and_taken_little_by_little():
    inbox = Inbox()
    for step in range(1000):
        inbox.put(progress(step, f"job-{step % 200}"))
        inbox.put(changed(f"job-{step % 200}", "running"))
    first = inbox.take(16)
    assert len(first) == 16 and len(inbox) == 400 - 16
    steps = [message.step for message in first + inbox.take() if isinstance(message, messages.Progress)]
    assert steps == list(range(800, 1000))
    assert inbox.take(16) == []


def test_what_becomes_of_a_job_is_told_in_its_order():
    done = messages.Done(job="j", scene="/s", seconds={}, peak_bytes=0)
    story = [changed("j", "done"), done, messages.Forgotten(job="j"), changed("k", "waiting"), messages.Pong()]
    inbox = Inbox()
    for message in (changed("j", "waiting"), changed("j", "running"), *story):
        inbox.put(message)
    assert inbox.take() == story


def test_a_damaged_address_is_told(folder):
    open_folder(folder)
    (folder / "address.json").write_text('{"endpoint": 3}')
    with Client(folder) as client:
        until(lambda: client.trouble and client.trouble.code == "address-unreadable")


def test_an_address_that_leads_nowhere_is_told(folder):
    open_folder(folder)
    keys = Keys.load_or_make(folder)
    Address.of("nowhere", keys).save(folder)
    with Client(folder) as client:
        until(lambda: client.trouble and client.trouble.code == "backend-unreachable")
        Address.of("tcp://127.0.0.1:1", replace(keys, server_public="short")).save(folder)
        until(lambda: client.trouble.sentence.startswith("tcp://127.0.0.1:1"))


def test_the_folder_is_that_of_the_argument_or_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(tmp_path))
    assert backend_folder() == tmp_path
    assert backend_folder(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("CYCLORAMA_FOLDER")
    assert backend_folder().name == "backend"


def test_a_program_that_forgets_to_close_its_client_still_ends(host, folder):
    program = (
        "import sys; from pathlib import Path; from cyclorama.bridge import client, messages\n"
        "c = client.Client(Path(sys.argv[1])); c.request(messages.Status())"
    )
    subprocess.run([sys.executable, "-c", program, folder], check=True, timeout=60)


def test_a_client_that_closes_says_goodbye(host, folder):
    with Client(folder) as client:
        client.request(messages.Status())
    until(lambda: any(isinstance(request, messages.Goodbye) for request in host.heard))


def test_a_question_that_went_down_with_a_backend_is_asked_again_but_no_shutdown(folder):
    first = Host(folder)
    with Client(folder, silence=2) as client:
        client.request(messages.Status())
        first.mute = True
        answer, shutdown = client.ask(messages.Status()), client.ask(messages.Shutdown())
        until(lambda: not client._outbox)
        first.close()
        second = Host(folder)
        assert isinstance(answer.wait(20), messages.Jobs)
        shutdown.drop()
        assert not any(isinstance(request, messages.Shutdown) for request in second.heard)
        second.close()


@pytest.fixture
def guests():
    """Names by public key."""
    return {}


@pytest.fixture
def open_host(folder, guests):
    host = Host(folder, host="127.0.0.1", guest_of=guests.get)
    yield host
    host.close()


@pytest.fixture
def guest(open_host, guests, tmp_path):
    address = guest_address(open_host)
    guests[address.client_public] = "anna"
    with Client(tmp_path / "no backend", address=address, silence=2) as client:
        client.request(messages.Status(), 20)
        client.drain()
        yield client


def cut(host):
    """The connections of all guests end."""
    host.do(host.server.drop_guests)


def test_a_question_that_a_connection_took_with_it_is_asked_again_under_its_name_and_answered_once(open_host, guest):
    open_host.mute = True
    guest.send(messages.Retry(job="j", request="mine"))
    asked = guest.ask(messages.Status())
    until(lambda: not guest._outbox)
    cut(open_host)
    open_host.mute = False
    assert isinstance(asked.wait(20), messages.Jobs)
    open_host.mute = True  # both are asked and answered by now
    assert [message.request for message in guest.drain() if isinstance(message, messages.Accepted)] == ["mine"]
    assert len({request.request for request in open_host.asked(messages.Retry)}) == 1


def test_after_a_cut_what_was_missed_is_told_in_its_order_and_nothing_twice(open_host, guest):
    def happen(first, last):
        for number in range(first, last):
            event = messages.Cancelled(job=f"job-{number}", sequence=number)
            open_host.events.append(event)
            if number < 4:
                open_host.tell(open_host.peers[-1], event)

    happen(1, 4)
    heard = [message.sequence for message in drain_until(guest, messages.Cancelled)]
    until(lambda: heard.extend(message.sequence for message in guest.drain()) or heard == [1, 2, 3])
    happen(4, 9)
    cut(open_host)
    welcome, *missed = drain_until(guest, messages.Cancelled)
    until(lambda: missed.extend(guest.drain()) or len(missed) >= 5)
    assert isinstance(welcome, messages.Welcome) and welcome.request and welcome.resumed
    assert [message.sequence for message in missed] == [4, 5, 6, 7, 8]


def test_only_another_run_of_the_backend_means_that_events_were_missed(open_host, guest):
    cut(open_host)
    assert [message.resumed for message in drain_until(guest, messages.Welcome)] == [True]
    open_host.run = "another"
    cut(open_host)
    assert [message.resumed for message in drain_until(guest, messages.Welcome)] == [False]
    assert open_host.asked(messages.Hello)[-1].run != "another"
    cut(open_host)
    assert [message.resumed for message in drain_until(guest, messages.Welcome)] == [True]


def test_a_shutdown_is_repeated_to_the_same_run_of_the_backend_only(open_host, guest):
    def ask_into_the_void():
        open_host.mute = True
        guest.send(messages.Shutdown(request="end"))
        until(lambda: not guest._outbox)
        cut(open_host)

    ask_into_the_void()
    open_host.mute = False
    until(lambda: open_host.asked(messages.Shutdown))
    open_host.heard.clear()
    until(lambda: any(message.request == "end" for message in guest.drain()))
    ask_into_the_void()
    open_host.run, open_host.mute = "another", False
    assert guest.request(messages.Status(), 20)
    assert not open_host.asked(messages.Shutdown)


def test_a_backend_that_forgot_us_hears_hello_once_and_then_all_questions(folder):
    host = Host(folder)
    with Client(folder) as client:
        client.request(messages.Status())
        answer, known = host._answer, []

        def forgetful(peer, request):
            if isinstance(request, messages.Hello):
                known.append(request)
            if known:
                answer(peer, request)
            else:
                host.tell(peer, messages.Refused(request=request.request, code=messages.HELLO_FIRST, sentence="s"))

        host._answer = forgetful
        questions = [client.ask(messages.Status()) for _ in range(20)]
        assert all(isinstance(question.wait(20), messages.Jobs) for question in questions)
        assert len(known) == 1
        assert not [message for message in client.drain() if isinstance(message, messages.Refused)]
    host.close()


def test_a_guest_whose_key_is_not_known_any_more_is_told_so(open_host, guest, guests):
    guests.clear()
    until(lambda: guest.trouble and guest.trouble.code == "key-not-known")
    assert "invitation" in guest.trouble.hint
    assert guest.state == "lost"


def test_a_message_that_no_backend_takes_is_refused_before_it_is_sent(client):
    long = messages.Cancel(job="j" * (messages.MAX_HEADER_BYTES + 1))
    with pytest.raises(CycloramaError) as caught:
        client.send(long)
    assert caught.value.code == "message-too-long"


def test_a_list_of_more_jobs_than_fit_in_a_request_is_understood(client, host):
    client.request(messages.Status())
    long = "/" + "p" * 4000
    lines = [messages.JobState(job=str(n), state="waiting", panorama=long, output=long) for n in range(1200)]
    host.tell(host.peers[-1], messages.Jobs(jobs=tuple(lines)))
    (jobs,) = [message for message in drain_until(client, messages.Jobs) if isinstance(message, messages.Jobs)]
    assert len(jobs.jobs) == 1200
