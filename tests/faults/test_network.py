"""The network between a guest and the backend dies and comes back: nothing is lost, nothing is told twice."""

import threading
from contextlib import contextmanager
from random import Random

import pytest

from cyclorama.backend.server.guests import Guests
from cyclorama.backend.server.jobs import MAX_REMEMBERED
from cyclorama.bridge import messages, transfer
from cyclorama.bridge.scene import Scene

from .backends import TOY_WORKER, Artist, assert_nothing_is_left, assert_same_scene, files_in, until
from .cut_network import Network

TOYS = (str(TOY_WORKER),)


@pytest.fixture
def backend(start):
    from .test_crowds import free_port

    return start(TOYS, listen="127.0.0.1", port=free_port())


@pytest.fixture
def network(backend):
    network = Network(backend.port)
    yield network
    network.close()


@pytest.fixture
def guest(folder, tmp_path, network):
    place = tmp_path / "guest"
    place.mkdir()
    invitation = Guests(folder).invite("anna", "127.0.0.1", network.port)
    with Artist(tmp_path / "no backend", place, invitation, silence=1.0) as guest:
        yield guest


@contextmanager
def trouble(network: Network, seed: int, cuts: int, between: tuple[float, float]):
    """So many cuts while the body runs, and the network is whole when it has ended or all have been made.

    Args:
        between: least and greatest seconds from one to the next.
    """
    random, over, made = Random(seed), threading.Event(), []

    def cut() -> None:
        for _ in range(cuts):
            if over.wait(random.uniform(*between)):
                break
            if random.random() < 0.3:
                network.silence()
                over.wait(random.uniform(0.5, 3))
            else:
                network.cut()
                over.wait(random.uniform(0, 0.5))
            made.append(network.carried)
            network.mend()
        network.mend()

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield made
    finally:
        over.set()
        thread.join()


def asked(guest: Artist, job: str, toy: str) -> messages.Generate:
    """As the add-on asks: first the files."""
    panorama = guest.place / f"{job}.exr"
    panorama.write_text(toy)
    return transfer.upload(guest.client, guest.task(job, panorama))


def assert_told_rightly(guest: Artist) -> None:
    """The events of a run come in their order, each at most once; what they told last is how it is."""
    heard = guest.listen()
    numbers = [message.sequence for message in heard if isinstance(message, messages.Event) and message.sequence]
    assert numbers == sorted(set(numbers))
    states = {}
    for message in heard:
        if isinstance(message, messages.Changed):
            states[message.state.job] = message.state.state
    known = {line.job: line.state for line in guest.jobs().values()}
    assert {job: state for job, state in states.items() if job in known} == known
    assert set(states) == set(known) or len(known) == MAX_REMEMBERED


@pytest.mark.timeout(600)
def test_events_are_complete_and_none_is_told_twice(backend, network, guest, times, figures):
    cuts = times(50)
    jobs = []
    with trouble(network, 8, cuts, (0.05, 1.0)) as made:
        while len(made) < cuts:
            job = f"job{len(jobs)}"
            guest.request(asked(guest, job, "quick"))
            jobs.append(job)
            guest.ending(job)
    for job in jobs:
        endings = guest.endings(job)
        assert {type(ending) for ending in endings} == {messages.Done}
        assert sum(ending.sequence > 0 for ending in endings) <= 1  # others answer a request that was made again
    assert_told_rightly(guest)
    welcomes = [message for message in guest.listen() if isinstance(message, messages.Welcome)]
    figures(f"{len(made)} cuts, {len(jobs)} jobs, {len(guest.listen())} events and replies, {len(welcomes)} welcomes")


@pytest.mark.timeout(600)
def test_transfers_go_on_where_they_were_cut(backend, network, guest, folder, times, figures):
    guest.request(asked(guest, "job", "scene"))
    assert isinstance(guest.ending("job"), messages.Done)
    big = guest.place / "big.exr"
    big.write_bytes(Random(9).randbytes(8 << 20))
    many, before = times(50), network.carried
    told: list[int] = []
    with trouble(network, 10, many, (0.1, 0.6)) as made:
        for number in range(max(1, many // 10)):
            with big.open("ab") as file:
                file.write(bytes(number))
            told.clear()
            task = guest.task(f"other{number}", big)
            up = transfer.upload(guest.client, task, lambda done, total: told.append(done))
            assert told == sorted(told)
            told.clear()
            output = guest.place / f"fetched{number}.cyclorama"
            transfer.download(guest.client, "job", output, told=lambda done, total: told.append(done))
            assert told == sorted(told)
            Scene(output).validate()
            made_here = folder / "outputs/anna/job/scene.cyclorama"
            assert_same_scene(output, made_here)
            assert (folder / "inputs/anna" / next(iter(up.files.values()))).read_bytes() == big.read_bytes()
    size = max(1, many // 10) * ((8 << 20) + sum(map(len, files_in(output).values())))
    assert not [path for path in guest.place.iterdir() if path.name.startswith(".")]
    figures(f"{len(made)} cuts; {size / 1e6:.0f} MB took {(network.carried - before) / size:.2f} times as much")


def test_a_job_that_is_asked_for_while_the_network_is_dead_runs_once(backend, network, guest, folder, place):
    task = asked(guest, "job", "quick")
    network.silence()
    answer = guest.client.ask(task)
    until(lambda: guest.client.state == "lost")
    network.mend()
    assert answer.wait(60) == messages.Accepted(job="job", request=answer._name)
    guest.ending("job")
    backend.stop()
    assert (folder / "runs").read_text().split() == ["quick"]
    assert_nothing_is_left(folder, guest.place, ["job"])
