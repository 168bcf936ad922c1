"""The log: one entry a line whatever is logged, no secrets, read as text, and never in the backend's way."""

import json
import logging
import random
import resource
import time

import pytest
import zmq

from cyclorama.backend.models.registry import LICENCES
from cyclorama.backend.server.log_file import LOG_FILE, last_lines, log_in
from cyclorama.backend.server.secrets_mask import masked
from cyclorama.bridge.address import Address, Keys
from cyclorama.bridge.log_lines import LONGEST_TEXT, readable_lines

log = logging.getLogger("cyclorama.backend.toy")


def entries(folder):
    return [json.loads(line) for line in (folder / LOG_FILE).read_bytes().split(b"\n") if line]


def test_an_entry_is_a_json_object_a_line_and_reads_as_text(tmp_path):
    with log_in(tmp_path):
        log.info("A job of %d frames", 24, extra={"job": "job-1"})
        log.warning("Wölkchen")
    first, second = entries(tmp_path)
    assert first["time"].endswith("+00:00") and len(first["time"]) == len("2026-11-21T23:08:52.123+00:00")
    assert {key: first[key] for key in ("level", "logger", "text", "job")} == {
        "level": "info",
        "logger": "backend.toy",
        "text": "A job of 24 frames",
        "job": "job-1",
    }
    assert "job" not in second
    lines = last_lines(tmp_path, 10).splitlines()
    assert lines[0].endswith(" toy [job-1]: A job of 24 frames")
    assert lines[1].endswith(" WARNING toy: Wölkchen")
    assert last_lines(tmp_path, 1).splitlines() == lines[1:]


def test_where_there_is_no_log_nothing_is_read(tmp_path):
    assert last_lines(tmp_path / "nowhere", 5) == ""


def test_guests_read_only_entries_of_their_jobs(tmp_path):
    (tmp_path / LOG_FILE).write_text("a line of an older log about theirs\n")
    with log_in(tmp_path):
        log.info("about theirs", extra={"job": "theirs"})
        log.info("about nobody's job, with job theirs in the text")
        log.info("about another's", extra={"job": "another"})
    assert [line.rpartition(": ")[2] for line in last_lines(tmp_path, 9, {"theirs": 0.0}).splitlines()] == [
        "about theirs"
    ]
    assert last_lines(tmp_path, 9, {}) == ""


def test_a_guest_that_takes_the_name_of_a_job_reads_nothing_of_whoever_had_it_before(tmp_path):
    with log_in(tmp_path):
        log.info("the owner's path", extra={"job": "a"})
        asked_at = time.time() + 0.01
        while time.time() <= asked_at:
            pass
        log.info("the guest's own", extra={"job": "a"})
    assert [line.rpartition(": ")[2] for line in last_lines(tmp_path, 9, {"a": asked_at}).splitlines()] == [
        "the guest's own"
    ]


def test_lines_of_an_older_log_are_shown_as_they_are(tmp_path):
    older = "2026-11-01 10:00:00,123 INFO cyclorama.backend.server.front: Hello from 'Blender'"
    (tmp_path / LOG_FILE).write_text(older + "\n")
    with log_in(tmp_path):
        log.info("newer")
    lines = last_lines(tmp_path, 9).splitlines()
    assert lines[0] == older and lines[1].endswith(": newer")
    assert readable_lines((tmp_path / LOG_FILE).read_text()).splitlines() == lines


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_text_forges_an_entry(tmp_path, end):
    forged = "2026-11-21 10:00:00 backend.server.front: Job j ends: Done"
    with log_in(tmp_path):
        log.info("Refused: %s", f"no panorama{end}{forged}")
    assert len(entries(tmp_path)) == 1
    assert not any(line.startswith("2026-11-21 10:00:00") for line in last_lines(tmp_path, 9).splitlines())


def test_signs_that_a_terminal_obeys_are_written_out(tmp_path):
    with log_in(tmp_path):
        log.info("clear \x1b[2J title \x9d0;x\x07 turned \u202e round, file \udcff")
    shown = last_lines(tmp_path, 9)
    assert r"clear \x1b[2J title \x9d0;x\x07 turned \u202e round, file \udcff" in shown
    assert b"\x1b" not in (tmp_path / LOG_FILE).read_bytes()


def test_a_long_message_keeps_its_beginning_and_its_end(tmp_path):
    with log_in(tmp_path):
        log.info("start %s end", "x" * 10_000_000)
    (found,) = entries(tmp_path)
    assert found["text"].startswith("start x") and found["text"].endswith("x end")
    assert len(found["text"]) < LONGEST_TEXT + 100


def test_an_error_is_logged_with_where_it_happened(tmp_path):
    with pytest.raises(ZeroDivisionError), log_in(tmp_path):
        raise ZeroDivisionError
    (found,) = entries(tmp_path)
    assert found["level"] == "error" and found["text"].startswith("The backend ends\nTraceback")
    assert all(line.startswith("    ") for line in last_lines(tmp_path, 99).splitlines()[1:])


def test_what_fits_into_a_message_is_read_and_no_more(tmp_path):
    with log_in(tmp_path):
        for number in range(2000):
            log.info("%d %s", number, "ö" * 2000)
    text = last_lines(tmp_path, 2000)
    assert len(text.encode()) <= 1 << 19
    assert ": 1999 ö" in text.splitlines()[-1]
    assert len(list(tmp_path.glob("backend.log*"))) == 4  # it is rotated
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 4_200_000


def test_the_end_is_read_across_two_files(tmp_path):
    with log_in(tmp_path):
        log.info("the last one of the older file")
    (tmp_path / LOG_FILE).rename(tmp_path / f"{LOG_FILE}.1")
    with log_in(tmp_path):
        log.info("the first one of the newer file")
    assert [line.rpartition("of the ")[2] for line in last_lines(tmp_path, 9).splitlines()] == [
        "older file",
        "newer file",
    ]


def test_an_entry_after_one_that_was_cut_short_stands_on_a_line_of_its_own(tmp_path):
    (tmp_path / LOG_FILE).write_text('{"time":"2026-11-21T10:00:00+00:00","level":"in')
    with log_in(tmp_path):
        log.info("after the power cut")
    assert last_lines(tmp_path, 9).splitlines()[1].endswith("after the power cut")


def test_only_this_user_may_read_it(tmp_path):
    with log_in(tmp_path):
        log.info("private")
    assert (tmp_path / LOG_FILE).stat().st_mode & 0o777 == 0o600


def test_where_it_cannot_be_written_the_backend_goes_on_and_says_so_once(tmp_path, capsys):
    (tmp_path / LOG_FILE).mkdir()
    with log_in(tmp_path) as file:
        for _ in range(3):
            log.info("lost")
        said = capsys.readouterr().err
        assert said == f"{file.trouble}\n" and str(tmp_path / LOG_FILE) in said and "goes on without" in said
        (tmp_path / LOG_FILE).rmdir()
        log.info("written again")
        assert file.trouble == ""
    assert [found["text"] for found in entries(tmp_path)] == ["written again"]


def test_a_full_disk_loses_entries_but_garbles_none(tmp_path, capsys):
    with log_in(tmp_path):
        log.info("before")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / LOG_FILE).stat().st_size + 10, limits[1]))
        try:
            log.info("lost")
            log.info("lost too")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        log.info("after")
    lines = last_lines(tmp_path, 99).splitlines()
    assert lines[0].endswith(": before") and lines[-1].endswith(": after")
    assert capsys.readouterr().err.count("cannot be written") == 1


# Secrets


def fresh_key() -> str:
    return zmq.curve_keypair()[1].decode()


@pytest.mark.parametrize(
    "around", ["{}", "key {}.", "'{}'", '"{}",', "b'{}'", "secret={}", "({})", "key: {}\n", "[{}]"]
)
def test_keys_are_masked_wherever_they_stand(around):
    for _ in range(300):
        key = fresh_key()
        assert key not in masked(f"before {around.format(key)} after"), key


def test_what_an_invitation_or_the_keys_hold_is_never_logged(tmp_path):
    keys = Keys.load_or_make(tmp_path)
    address = Address.of("tcp://127.0.0.1:4000", keys)
    with log_in(tmp_path):
        log.error("%r, %s, %s", keys, address, (tmp_path / "keys.json").read_text())
    written = (tmp_path / LOG_FILE).read_text()
    assert not any(key in written for key in (keys.server_secret, keys.client_secret, keys.client_public))
    assert "tcp://127.0.0.1:4000" in written


@pytest.mark.parametrize(
    "text, secret",
    [
        ("HF_TOKEN=hf_" + "a" * 34, "a" * 34),
        ("the token hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345 is used", "hf_AbC"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("https://me:open-sesame@hub.example/models", "open-sesame"),
        ('{"password": "open sesame"}', "sesame"),
        ("client_secret='short'", "short"),
    ],
)
def test_tokens_and_passwords_are_masked(text, secret):
    assert secret not in masked(text)


def test_a_key_without_any_rare_sign_is_masked_too():
    for key in ("Yne0tQ9/aLx.Vb3-Kd8mWz6RhGs2JpUc7fXoE5vT", "".join(random.choices("aB3", k=37)) + "aB3"):
        assert masked(f"key {key}") == "key [secret]"


def test_what_is_no_secret_stays():
    random.seed(0)
    sums = ("".join(random.choices("0123456789abcdef", k=length)) for length in (32, 40, 64) for _ in range(200))
    for text in (
        *(f"/home/Artist/.cache/hub/snapshots/{name}/model.safetensors" for name in sums),
        *(f"'/{'Panorama-2048/' * 9}"[: length + 1] + "'" for length in range(30, 50)),
        *LICENCES,
        "Job 7c9e: '/pictures/a very long name of a panorama, with 40 and more.exr' -> '/scenes/out.cyclorama'",
        "Listening on tcp://127.0.0.1:47860, folder /home/artist/.local/share/cyclorama/backend",
        "The tokenizer: 512 tokens are read",
    ):
        assert masked(text) == text
