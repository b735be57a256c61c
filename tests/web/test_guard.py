"""Who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import Browser, Got, basic, made
from jobsd.configuration.users import User, users_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Target

ANN = User("ann", "viewer", password="correct horse", token=None)
BOT = User("bot", "operator", password=None, token="t0ken")


def _guarded(target: Target, **settings: Any) -> Browser:
    return Browser(made(target, **{"open_role": None, "users": (ANN, BOT), **settings}))


def test_another_name_of_this_machine_is_refused(target: Target) -> None:
    browser = Browser(made(target), host="evil.example")

    got = browser.get("/")

    assert got.status == 421
    assert "web.hosts" in got.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9393", "127.0.0.1:9393", "[::1]:9393", "[::1]"]
)
def test_this_machine_may_be_asked_by_its_names(target: Target, host: str) -> None:
    assert Browser(made(target), host=host).get("/").status == 200


@pytest.mark.parametrize(
    "host", ["", "localhost.evil.example", "localhost:9393:1", "127.0.0.1@x"]
)
def test_no_other_host_is_taken_for_one_of_ours(target: Target, host: str) -> None:
    assert Browser(made(target), host=host).get("/").status == 421


def test_a_user_logs_in_with_a_password(target: Target) -> None:
    browser = _guarded(target)

    asked = browser.get("/")

    assert asked.status == 401
    assert asked.headers["WWW-Authenticate"].startswith("Basic")
    assert browser.get("/", **basic("ann", "correct horse")).status == 200


@pytest.mark.parametrize(
    "header",
    [
        basic("ann", "wrong"),
        basic("bot", "None"),
        basic("", ""),
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer None"},
        {"Authorization": "Bearer correct horse"},
        {"X-Remote-User": "ann"},
    ],
)
def test_any_other_authorization_header_is_refused(
    target: Target, header: dict[str, str]
) -> None:
    assert _guarded(target).ask("GET", "/", header).status == 401


def test_a_program_comes_in_with_a_token(target: Target) -> None:
    got = _guarded(target).get("/api/v1/queues", Authorization="Bearer t0ken")

    assert (got.status, got.json()) == (200, [])


def test_mounted_without_authorize_or_users_it_is_closed(target: Target) -> None:
    got = _guarded(target, users=())

    assert got.get("/").status == 403
    assert "authorize" in got.get("/").text
    assert "web.users" in got.get("/").text


def _always(role: str | None) -> Callable[[object], str | None]:
    def authorize(_environ: object) -> str | None:
        return role

    return authorize


def test_the_audit_names_the_user_of_the_program(target: Target) -> None:
    application = made(target, open_role=None, authorize=_always("operator"))

    def asked(environ: dict[str, Any], start_response: Any) -> Any:
        return application({**environ, "REMOTE_USER": "carol"}, start_response)

    Browser(asked).post("/queues/mail/pause")

    assert Browser(asked).get("/api/v1/audit").json()[0]["actor"] == "carol"


@pytest.mark.parametrize(("role", "status"), [(None, 403), ("viewer", 200), ("king", 500)])
def test_authorize_decides_when_mounted(target: Target, role: str | None, status: int) -> None:
    browser = _guarded(target, users=(), authorize=_always(role))

    assert browser.get("/").status == status


def test_a_header_counts_from_a_trusted_proxy_only(target: Target) -> None:
    def asked(proxy: str) -> Got:
        browser = _guarded(target, trusted_header="X-Remote-User", trusted_proxies=(proxy,))
        return browser.ask("GET", "/", {"X-Remote-User": "carol"})

    assert asked("127.0.0.0/8").status == 200
    assert "carol, viewer" in asked("127.0.0.0/8").text
    assert asked("10.0.0.0/8").status == 401


@pytest.mark.parametrize(("name", "role"), [("ann", "viewer"), ("bot", "operator")])
def test_a_user_named_by_a_proxy_has_the_role_of_the_configuration(
    target: Target, name: str, role: str
) -> None:
    given = {"trusted_header": "X-Remote-User", "trusted_proxies": ("127.0.0.1/8",)}

    got = _guarded(target, **given).get("/", **{"X-Remote-User": name})

    assert f"{name}, {role}" in got.text


@pytest.mark.parametrize("address", ["", "unix:", "10.0.0.1"])
def test_a_user_header_from_an_untrusted_address_is_ignored(
    target: Target, address: str
) -> None:
    application = made(
        target,
        open_role=None,
        users=(ANN,),
        trusted_header="X-Remote-User",
        trusted_proxies=("127.0.0.0/8",),
    )

    def asked(environ: dict[str, Any], start_response: Any) -> Any:
        return application({**environ, "REMOTE_ADDR": address}, start_response)

    assert Browser(asked).get("/", **{"X-Remote-User": "ann"}).status == 401


def test_a_password_may_have_colons(target: Target) -> None:
    colons = User("ann", "viewer", password="a:b:c", token=None)
    browser = _guarded(target, users=(colons,))

    assert browser.get("/", **basic("ann", "a:b:c")).status == 200


def test_the_variables_make_one_admin() -> None:
    made_of = {"JOBSD_WEB_PASSWORD": "p", "JOBSD_WEB_TOKEN": "t", "JOBSD_WEB_USER": "root"}

    assert users_of((), made_of) == (User("root", "admin", "p", "t"),)
    assert users_of((ANN,), {"JOBSD_WEB_USER": "root"}) == (ANN,)
    assert users_of((ANN,), made_of) == (ANN, User("root", "admin", "p", "t"))


def test_no_text_of_a_user_has_a_password() -> None:
    assert "correct" not in f"{ANN} {ANN!r} {[ANN]} {BOT!r}"
    assert "t0ken" not in f"{BOT} {BOT!r}"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_a_page_is_only_read(target: Target, method: str) -> None:
    browser = Browser(made(target))

    assert browser.ask(method, "/jobs", {"Sec-Fetch-Site": "same-origin"}).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../settings.py",
        "/assets/%2e%2e/x",
        "/assets//etc/passwd",
        "/jobs/../queues",
        "//evil.example/",
        "/\\evil",
        "/jobs/1\0",
        "/" + "a" * 5_000,
        "/jobs?" + "q" * 5_000,
        "/jobs?" + "&".join(f"a{n}=1" for n in range(60)),
        "/jobs?before=-1",
        "/jobs?before=" + "9" * 30,
        "/jobs?q=" + "%22" * 1_000,
        "/recurring/nothing",
        "/\xff\xfe",
    ],
)
def test_an_odd_address_is_answered_in_order(target: Target, path: str) -> None:
    got = Browser(made(target)).get(path)

    assert got.status in {200, 400, 404, 414}
    assert "Location" not in got.headers
    assert "Traceback" not in got.text


def test_an_unreachable_database_is_a_page_with_status_503(target: Target) -> None:
    from jobsd.database.connection import Target as Elsewhere

    del target
    got = Browser(made(Elsewhere("postgresql://127.0.0.1:1/nothing"))).get("/")

    assert got.status == 503
    assert "database can&#39;t be reached" in got.text
