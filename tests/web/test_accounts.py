"""Users and tokens, made by the commands and shown to a running gateway: who gets in, how far, and until when."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from running import House, Reply

from cfcore.cli import main
from cfcore.errors import UsageError
from gateway import accounts_command, passwords
from gateway.accounts import PREFIX, Accounts, User
from gateway.logins import Logins

QUESTION = "/get_flow_by_position?lon=10&lat=20&cz=3000"
LIST = {"kind": "velocity", "lon": [10, 20], "lat": [1, 2], "distance": [30, 40]}
PASSWORD = "a long way home"
SETTING = "the token of the settings"


class Desk(NamedTuple):
    """A running house and what is needed to administer it."""

    house: House
    data: Path
    accounts: Accounts

    def run(self, *words: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """Run `cosmicflows WORDS` on the data of the house; to the gateway this process is another one."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO(input))
            return subprocess.CompletedProcess(words, main([*words, "--data", str(self.data)]), out.getvalue(), err.getvalue())

    def token(self, *words: str) -> str:
        """Make a token."""
        done = self.run("tokens", "new", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def user(self, name: str, *words: str, password: str = PASSWORD) -> User:
        """Add a user."""
        done = self.run("users", "add", name, "--password-file", "-", *words, input=password + "\n")
        assert done.returncode == 0, done.stderr
        return self.accounts.named(name)

    def ask(self, authorization: str, path: str = QUESTION, **how: Any) -> Reply:
        """Ask with credentials."""
        return self.house.ask(path, headers={"Authorization": authorization, **how.pop("headers", {})}, **how)

    def submit(self, authorization: str) -> Reply:
        """Submit a small job."""
        return self.ask(authorization, "/v1/jobs", method="POST", body=json.dumps(LIST).encode(),
                        headers={"Content-Type": "application/json"})


@pytest.fixture(scope="module")
def desk(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Return a house with accounts of its own, and the fields and the catalogue of the others."""
    data = tmp_path_factory.mktemp("accounts")
    for name in ("fields", "catalog"):
        (data / name).symlink_to(house.data / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CF_ADMIN_TOKEN_SHA256", sha256(SETTING.encode()).hexdigest())
        patch.setenv("CF_TRUSTED_PROXIES", "127.0.0.0/8")
        running = House(data, "--workers", "1")
    with Accounts(data) as accounts:
        yield Desk(running, data, accounts)
    running.stop()


def alone_in(data: Path) -> House:
    """Return a gateway without workers and catalogue."""
    return House(data, "--data", str(data), "--bus", f"ipc://{data}/bus", "--catalog", f"unix:{data}/none", command="gateway",
                 wait=False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a gateway without workers, catalogue or administrator."""
    running = alone_in(tmp_path_factory.mktemp("alone"))
    yield running
    running.stop()


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    """Return accounts that no gateway has, in the folder of the test."""
    with Accounts(tmp_path) as own:
        yield own


def basic(name: str, password: str) -> str:
    """Return the header of a name and a password."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def stored(desk: Desk) -> bytes:
    """Return all that is on disk of the accounts; another process reads it: to close the file here would free SQLite's locks."""
    return subprocess.run(["sh", "-c", "cat accounts.db*"], cwd=desk.data, check=True, capture_output=True, timeout=20).stdout


def refused(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """Return a refusal that is what it should be."""
    assert (reply.status, reply.media, reply.json["code"]) == (status, "application/problem+json", code), reply.body[:300]
    if status == 401:
        assert reply.headers["www-authenticate"].startswith("Bearer" if code.startswith("token") else "Basic")
    return dict(reply.json)


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait for something to become true."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < timeout_s
        time.sleep(0.02)


# ---- tokens ------------------------------------------------------------------------------------------------------

def test_a_token_is_accepted_in_every_spelling_of_its_scheme_and_kept_as_a_digest(desk: Desk) -> None:
    token = desk.token("--label", "a notebook")
    assert token.startswith(PREFIX) and len(token) == len(PREFIX) + 43
    for scheme in ("Token", "token", "Bearer", "bearer", "TOKEN"):
        assert desk.ask(f"{scheme} {token}").status == 200
    raw = stored(desk)
    assert token.encode() not in raw and sha256(token.encode()).digest() in raw
    assert (desk.data / "accounts.db").stat().st_mode & 0o077 == 0
    assert token not in desk.house.log.read_text()


@pytest.mark.parametrize("path", [QUESTION, "/hint_byname?name=M", "/v1/jobs", "/v1/catalogs", "/flow_query/get_coords?name=M31",
                                  "/vo/conesearch?RA=1&DEC=1&SR=1", "/sesame/A?M31", "/v1/admin/workers"])
@pytest.mark.parametrize(("header", "code"), [
    ("Token cf_" + "A" * 43, "token_wrong"), ("Bearer ", "token_missing"), ("", "token_missing"), ("cf_abc", "token_missing"),
    ("Digest username=x", "token_missing"), ("Basic %%%", "token_missing"), ("Basic eA==", "token_missing"),
    ("Token \xff\xfe", "token_wrong")])
def test_wrong_credentials_are_refused_wherever_they_are_sent(desk: Desk, path: str, header: str, code: str) -> None:
    refused(desk.ask(header, path), 401, code)


def test_two_headers_of_credentials_are_refused_though_one_is_right(desk: Desk) -> None:
    token = desk.token()
    connection = http.client.HTTPConnection("127.0.0.1", desk.house.port, timeout=20)
    connection.putrequest("GET", QUESTION)
    for value in (token, "x"):
        connection.putheader("Authorization", f"Bearer {value}")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 401 and json.loads(answer.read())["code"] == "token_missing"
    connection.close()


def test_who_asks_is_nobody_s_business_where_it_makes_no_difference(desk: Desk) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/v1/stats", "/"):
        assert desk.ask("Bearer nonsense", path).status == 200


def test_a_token_can_do_what_its_scopes_say_and_nothing_else(desk: Desk) -> None:
    reader, submitter, admin = (f"Token {desk.token('--scope', scope)}" for scope in ("read", "submit", "admin"))
    job = desk.submit(submitter)
    assert desk.ask(reader).status == 200 and job.status == 202
    for header, answer in ((reader, desk.submit(reader)), (submitter, desk.ask(submitter)), (admin, desk.ask(admin)),
                           (submitter, desk.ask(submitter, "/v1/jobs")), (admin, desk.submit(admin)),
                           (reader, desk.ask(reader, "/v1/admin/workers")),
                           (submitter, desk.ask(submitter, "/v1/admin/quarantine")),
                           (reader, desk.ask(reader, "/v1/catalogs/x", method="DELETE"))):
        assert "scope" in refused(answer, 403, "scope_missing")["detail"], header
    for path in ("/v1/admin/workers", "/v1/admin/quarantine"):
        assert desk.ask(admin, path).status == 200 == desk.ask(f"Bearer {SETTING}", path).status
    assert desk.ask(f"Bearer {SETTING}").status == 200 and desk.submit(f"Bearer {SETTING}").status == 202


def test_without_any_administrator_the_doors_say_how_they_are_opened_and_a_token_opens_them(alone: House) -> None:
    file = alone.data / "accounts.db"
    assert "cosmicflows tokens new --scope admin" in refused(alone.ask("/v1/admin/workers"), 403, "admin_closed")["detail"]
    refused(alone.ask("/v1/catalogs", method="POST"), 403, "imports_closed")
    assert not file.exists()
    _, token = Accounts(alone.data).add_token(None, frozenset({"admin"}))
    header = {"Authorization": f"Bearer {token}"}
    refused(alone.ask("/v1/admin/workers"), 401, "token_missing")
    assert alone.ask("/v1/admin/workers", headers=header).status == 200
    file.unlink()
    refused(alone.ask("/v1/admin/workers", headers=header), 403, "admin_closed")
    refused(alone.ask("/v1/jobs", headers=header), 401, "token_wrong")


def test_a_damaged_file_lets_nobody_in_and_keeps_nobody_out_who_needs_no_account(alone: House) -> None:
    file = alone.data / "accounts.db"
    file.write_bytes(b"not a database, certainly not" * 300)
    refused(alone.ask("/v1/jobs", headers={"Authorization": "Bearer x"}), 503, "accounts_unavailable")
    refused(alone.ask("/v1/jobs", headers={"Authorization": basic("a", "b")}), 503, "accounts_unavailable")
    assert alone.ask("/v1/jobs").status == 200
    file.unlink()
    refused(alone.ask("/v1/jobs", headers={"Authorization": "Bearer x"}), 401, "token_wrong")


def test_a_revoked_token_is_refused_from_the_next_request_on(desk: Desk) -> None:
    token = desk.token("--label", "short")
    number = next(t["token"] for t in json.loads(desk.run("tokens", "list", "--json").stdout) if t["label"] == "short")
    connection = http.client.HTTPConnection("127.0.0.1", desk.house.port, timeout=20)
    statuses = []
    for turn in range(4):
        if turn == 2:
            assert desk.run("tokens", "revoke", number).returncode == 0
        connection.request("GET", QUESTION, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 200, 401, 401]
    assert desk.run("tokens", "revoke", number).returncode == 2


def test_a_token_ends_when_it_was_said_to_end(desk: Desk) -> None:
    _, token = desk.accounts.add_token(None, frozenset({"read"}), expires=time.time() + 1.0)
    assert desk.ask(f"Token {token}").status == 200
    until(lambda: desk.ask(f"Token {token}").status == 401)
    refused(desk.ask(f"Token {token}"), 401, "token_expired")
    listed = json.loads(desk.run("tokens", "list", "--json").stdout)
    assert any(t["is_expired"] for t in listed)


def test_when_accounts_were_used_last_is_noted_soon_and_at_the_end_of_the_house(accounts: Accounts, tmp_path: Path) -> None:
    house = alone_in(tmp_path)
    try:
        _, token = accounts.add_token(None, frozenset({"read"}))
        accounts.add_user("jo", passwords.hashed(PASSWORD), frozenset({"read"}))
        begin = time.time()
        assert house.ask("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status == 200
        until(lambda: accounts.tokens()[0].last_used)
        assert begin <= accounts.tokens()[0].last_used <= time.time() and accounts.named("jo").last_used is None
        # the next minute has not come yet
        assert house.ask("/v1/jobs", headers={"Authorization": basic("jo", PASSWORD)}).status == 200
    finally:
        house.stop()
    assert accounts.named("jo").last_used > accounts.tokens()[0].last_used


# ---- users -------------------------------------------------------------------------------------------------------

def test_a_user_logs_in_with_basic_in_whatever_case_and_script(desk: Desk) -> None:
    desk.user("mile", password="pässwörter: ∂x")
    assert desk.ask(basic("mile", "pässwörter: ∂x")).status == 200 == desk.ask(basic("MILE", "pässwörter: ∂x")).status
    for name, password in (("mile", "pässwörter: ∂y"), ("mile", ""), ("nobody", "pässwörter: ∂x"), ("", ""),
                           ("mile", "x" * 2000)):
        refused(desk.ask(basic(name, password)), 401, "password_wrong")
    raw = stored(desk)
    assert "pässwörter".encode() not in raw and b"scrypt$32768$8$1$" in raw


def test_jobs_belong_to_the_user_whichever_credentials_show_who_it_is(desk: Desk) -> None:
    desk.user("bea")
    desk.user("cid")
    tokens = [f"Token {desk.token('--user', 'bea')}" for _ in range(2)]
    other, nobody = f"Token {desk.token('--user', 'cid')}", f"Token {desk.token()}"
    job = desk.submit(tokens[0]).json
    for header in (*tokens, basic("bea", PASSWORD)):
        assert desk.ask(header, job["url"]).status == 200
        assert [j["id"] for j in desk.ask(header, "/v1/jobs").json["jobs"]] == [job["id"]]
    for header in (other, nobody, f"Bearer {SETTING}"):
        refused(desk.ask(header, job["url"]), 404, "unknown_job")
        refused(desk.ask(header, job["url"], method="DELETE"), 404, "unknown_job")
    refused(desk.house.ask(job["url"]), 404, "unknown_job")
    own = desk.submit(nobody).json
    assert desk.ask(nobody, own["url"]).status == 200
    refused(desk.ask(other, own["url"]), 404, "unknown_job")


def test_removing_a_user_ends_all_tokens_at_once_and_a_namesake_sees_nothing(desk: Desk) -> None:
    user = desk.user("dora")
    headers = [f"Token {desk.token('--user', 'dora')}", f"Token {desk.token('--user', 'dora', '--scope', 'read')}",
               f"Token {desk.accounts.queue_token(user)}", basic("dora", PASSWORD)]
    job = desk.submit(headers[0]).json
    assert [desk.ask(header).status for header in headers] == [200] * 4
    said = desk.run("users", "remove", "DORA").stdout
    assert "2 tokens" in said and "nobody sees" in said
    assert [desk.ask(header).status for header in headers] == [401] * 4
    again = desk.user("dora")
    assert again.id > user.id
    refused(desk.ask(basic("dora", PASSWORD), job["url"]), 404, "unknown_job")


def test_a_new_password_ends_the_old_one_and_the_queue_token_but_no_other(desk: Desk) -> None:
    user = desk.user("eli")
    token, queue = desk.token("--user", "eli"), desk.accounts.queue_token(user)
    assert len(queue) == 40 and int(queue, 16) and queue == desk.accounts.queue_token(user)
    assert [desk.ask(h).status for h in (basic("eli", PASSWORD), f"token {queue}")] == [200, 200]
    assert desk.run("users", "password", "eli", "--password-file", "-", input="another long one\n").returncode == 0
    assert [desk.ask(h).status for h in (basic("eli", PASSWORD), f"token {queue}", f"token {token}",
                                         basic("eli", "another long one"))] == [401, 401, 200, 200]
    second = desk.accounts.queue_token(desk.accounts.named("eli"))
    assert second != queue and desk.ask(f"token {second}").status == 200
    assert desk.run("tokens", "revoke", "queue:eli").returncode == 0
    assert desk.ask(f"token {second}").status == 401


def test_what_a_user_may_no_longer_the_tokens_may_no_longer_either(desk: Desk) -> None:
    desk.user("fay", "--scope", "read,submit,admin")
    token = f"Token {desk.token('--user', 'fay', '--scope', 'read,admin')}"
    assert desk.ask(token, "/v1/admin/workers").status == 200 == desk.ask(basic("fay", PASSWORD), "/v1/admin/workers").status
    refused(desk.ask(f"Token {desk.accounts.queue_token(desk.accounts.named('fay'))}", "/v1/admin/workers"), 403,
            "scope_missing")
    assert desk.run("users", "change", "fay", "--scope", "read").returncode == 0
    refused(desk.ask(token, "/v1/admin/workers"), 403, "scope_missing")
    refused(desk.submit(basic("fay", PASSWORD)), 403, "scope_missing")
    assert desk.ask(token).status == 200
    done = desk.run("tokens", "new", "--user", "fay", "--scope", "admin")
    assert done.returncode == 2 and "users change fay --scope read,admin" in done.stderr


def test_guessing_is_slowed_down_and_tokens_go_on(desk: Desk) -> None:
    desk.user("gus")
    token = f"Token {desk.token('--user', 'gus')}"
    statuses = []
    # an address of its own: wrong passwords of other tests are not to be counted with these
    there = {"X-Forwarded-For": "192.0.2.77"}
    for turn in range(30):
        reply = desk.ask(basic("gus", f"guess {turn}"), headers=there)
        statuses.append(reply.status)
        if reply.status == 429:
            break
    body = refused(reply, 429, "too_many_attempts")
    assert statuses[:-1] == [401] * (len(statuses) - 1) and len(statuses) <= 14
    seconds = int(reply.headers["retry-after"])
    assert f"available in {seconds} seconds" in body["detail"] and 1 <= seconds <= 10
    refused(desk.ask(basic("gus", PASSWORD), headers=there), 429, "too_many_attempts")
    assert desk.ask(token, headers=there).status == 200 == desk.ask(basic("gus", PASSWORD)).status


# ---- how secrets are compared ------------------------------------------------------------------------------------

def test_tokens_are_looked_up_by_digest_and_digests_of_one_length_are_compared(accounts: Accounts,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = accounts.add_token(None, frozenset({"read"}))
    compared: list[tuple[int, int]] = []
    asked: list[object] = []
    monkeypatch.setattr("gateway.accounts.hmac.compare_digest", lambda a, b: compared.append((len(a), len(b))) or a == b)
    found = accounts._rows
    monkeypatch.setattr(accounts, "_rows", lambda sql, *values: asked.extend(values) or found(sql, *values))
    assert accounts.token(secret) is not None
    for guess in ("", "x", secret[:-1], secret + "x", secret.swapcase(), "'" * 100, "\udcff"):
        assert accounts.token(guess) is None
    assert compared == [(32, 32)] and asked and all(isinstance(v, bytes) and len(v) == 32 for v in asked)


def test_an_unknown_name_costs_as_much_work_as_a_wrong_password(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.add_user("ida", passwords.hashed(PASSWORD), frozenset({"read"}))
    costs: list[tuple[object, ...]] = []
    scrypt = passwords.hashlib.scrypt

    def counted(raw: bytes, **how: Any) -> bytes:
        costs.append((how["n"], how["r"], how["p"], len(how["salt"]), how["dklen"]))
        return bytes(scrypt(raw, **how))
    monkeypatch.setattr(passwords.hashlib, "scrypt", counted)

    async def tries() -> None:
        logins = Logins(accounts)
        for name in ("ida", "nobody"):
            with pytest.raises(UsageError, match="user name or password is wrong"):
                await logins.check(name, "wrong password", "192.0.2.1")
        assert (await logins.check("ida", PASSWORD, "192.0.2.1")).name == "ida"
        n = len(costs)
        assert (await logins.check("IDA", PASSWORD, "192.0.2.1")).name == "ida" and len(costs) == n
        accounts.set_password(accounts.named("ida"), passwords.hashed("quite another"))
        with pytest.raises(UsageError):
            await logins.check("ida", PASSWORD, "192.0.2.1")
    asyncio.run(tries())
    assert costs[0] == costs[1] == (2**15, 8, 1, 16, 32)


# ---- on the terminal ---------------------------------------------------------------------------------------------

def test_a_terminal_is_asked_for_the_password_twice_and_shows_nothing_of_it(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "cfcore.cli", "users", "add", "hal", "--data", str(tmp_path)])
    shown = b""
    for prompt in (b"password of hal: ", b"once more: "):
        while prompt not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, f"{PASSWORD}\n".encode())
    while True:
        try:
            piece = os.read(terminal, 1024)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    with Accounts(tmp_path) as accounts:
        assert PASSWORD.encode() not in shown and passwords.is_right(PASSWORD, accounts.named("hal").password)


@pytest.mark.parametrize(("words", "said"), [
    (["users", "add", "ann", "--password", "short"], "at least 8"), (["users", "add", "a b", "--password", PASSWORD], "a b"),
    (["users", "add", "ann", "--password", PASSWORD, "--scope", "write"], "write"), (["users", "add", "ann"], "--password-file"),
    (["users", "remove", "nobody"], "users list"), (["users", "change", "nobody", "--scope", "read"], "users list"),
    (["tokens", "new", "--user", "nobody"], "users list"), (["tokens", "new", "--expires", "soon"], "90d"),
    (["tokens", "new", "--expires", "2020-01-01"], "over already"), (["tokens", "new", "--scope", ""], "admin"),
    (["tokens", "new", "--rows-per-hour", "-3"], "-3"), (["tokens", "new", "--rows-per-hour", "nan"], "nan"),
    (["tokens", "new", "--label", "a\nb"], "label"), (["tokens", "revoke", "77"], "tokens list"),
    (["tokens", "revoke", "cf_secret"], "number"), (["tokens", "revoke", "queue:nobody"], "users list")])
def test_a_command_that_cannot_be_done_says_why_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                                    monkeypatch: pytest.MonkeyPatch, words: list[str],
                                                                    said: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main([*words, "--data", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    with Accounts(tmp_path) as accounts:
        assert accounts.users() == [] == accounts.tokens()


def test_a_password_on_the_command_line_works_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["users", "add", "ann", "--password", PASSWORD, "--data", str(tmp_path)]) == 0
    assert "list of processes" in capsys.readouterr().err
    assert main(["users", "add", "Ann", "--password", PASSWORD, "--data", str(tmp_path)]) == 2
    assert "users password" in capsys.readouterr().err
    assert main(["users", "list", "--json", "--data", str(tmp_path)]) == 0
    assert [u["name"] for u in json.loads(capsys.readouterr().out)] == ["ann"]


@pytest.mark.parametrize(("text", "seconds"), [("12h", 43_200), ("90d", 7_776_000), ("2w", 1_209_600)])
def test_spans_and_dates_say_when_a_token_ends(text: str, seconds: float) -> None:
    assert accounts_command.moment(text) == pytest.approx(time.time() + seconds, abs=5)
    assert accounts_command.moment("2120-01-01") == accounts_command.moment("2120-01-01T01:00:00+01:00") == 4733510400.0
    assert accounts_command.moment("never") is None


def test_accounts_of_a_newer_format_are_not_touched(accounts: Accounts) -> None:
    accounts.add_token(None, frozenset({"read"}))
    with accounts._change() as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="newer version"):
        accounts.add_token(None, frozenset({"read"}))
    assert len(accounts.tokens()) == 1
