"""`gateway keys` and `gateway audit`, as a person and as a script use them, on a store that no gateway serves yet."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway_async.keys.key import is_ours
from gateway_server.cli.main import app
from tests.support.configs import ADMIN, offline
from tests.support.server import write_config


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store's file, named by the environment."""
    for name in ("GATEWAY_ADMIN_KEY", "MLFLOW_GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAY_STORE", f"sqlite:///{tmp_path / 'gateway.db'}")
    return tmp_path / "gateway.db"


def run(*arguments: str) -> Result:
    """Run the command line within this process; what is no orderly exit is raised."""
    result = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"}).invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_key_stands_alone_on_standard_output(store: Path) -> None:
    """So that `KEY=$(gateway keys create …)` works; it is nowhere in the store's files."""
    made = run("keys", "create", "--name", "app", "--route", "chat", "--route", "other", "--expires", "90d")

    assert made.exit_code == 0
    key = made.stdout.removesuffix("\n")
    assert is_ours(key.encode())
    assert "'app', good until 2" in made.stderr
    assert key not in made.stderr
    for file in store.parent.iterdir():
        assert key.encode() not in file.read_bytes(), file


def test_the_first_key_for_callers_closes_the_gateway_and_that_is_said() -> None:
    """Once: whoever makes it may not expect it."""
    said = [
        run("keys", "create", "--name", name, "--role", role).stderr
        for name, role in (("boss", "admin"), ("app", "caller"), ("other", "caller"))
    ]

    assert ["from now on calls need a key" in each for each in said] == [False, True, False]


def test_keys_are_listed_without_themselves() -> None:
    """For a person in columns, for a script in JSON."""
    created = json.loads(run("keys", "create", "--name", "app", "--route", "chat", "--json").stdout)
    run("keys", "create", "--name", "boss", "--role", "admin")

    listed = json.loads(run("keys", "list", "--json").stdout)
    assert [(key["name"], key["role"], key["routes"]) for key in listed] == [
        ("app", "caller", ["chat"]),
        ("boss", "admin", None),
    ]
    assert all("api_key" not in key for key in listed)
    shown = run("keys", "list").stdout
    assert created["hint"] in shown
    assert created["api_key"] not in shown
    assert [line.split()[:3] for line in shown.splitlines()[1:]] == [
        ["app", "caller", "chat"],
        ["boss", "admin", "all"],
    ]


def test_a_key_is_replaced_and_revoked() -> None:
    """The new one stands alone on standard output too."""
    first = run("keys", "create", "--name", "app").stdout
    second = run("keys", "rotate", "app", "--grace", "12h").stdout
    assert is_ours(second.strip().encode())
    assert second != first

    revoked = run("keys", "revoke", "app")
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert json.loads(run("keys", "revoke", "app", "--json").stdout)["revoked"]
    assert "revoked" in run("keys", "list").stdout
    assert run("keys", "rotate", "app").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--name", "a b"], "letters"),
        (["create", "--name", "x", "--role", "boss"], "'caller' or 'admin'"),
        (["create", "--name", "x", "--expires", "soon"], "90d, 12h, 30m, 45s or 2w"),
        (["create", "--name", "x", "--role", "admin", "--route", "chat"], "leave it out"),
        (["create", "--name", "taken"], "'taken'"),
        (["rotate", "taken", "--grace", "-1d"], "grace"),
        (["revoke", "nobody-s"], "no key"),
        (["list", "--store", "mysql://x"], "sqlite:///"),
        (["list", "--config-path", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments: list[str], said: str) -> None:
    """Exit 1, nothing on standard output, no traceback."""
    run("keys", "create", "--name", "taken")
    done = run("keys", *arguments)

    assert done.exit_code == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_last_admin_stays_unless_the_environment_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or nobody could change anything."""
    run("keys", "create", "--name", "boss", "--role", "admin")
    assert "last key of an admin" in run("keys", "revoke", "boss").stderr

    monkeypatch.setenv("GATEWAY_ADMIN_KEY", ADMIN)
    assert run("keys", "revoke", "boss").exit_code == 0
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert (listed[0]["name"], listed[0]["source"]) == ("GATEWAY_ADMIN_KEY", "environment")


def test_the_configuration_names_the_store_and_its_keys_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of `gateway start`; a name that is in the file is taken."""
    monkeypatch.delenv("GATEWAY_STORE")
    config = write_config(
        tmp_path / "gateway.yaml",
        {
            "endpoints": [offline("chat", "chat")],
            "store": f"sqlite:///{tmp_path / 'configured.db'}",
            "keys": [{"name": "ci", "key": "configured-canary-01234"}],
        },
    )
    where = ("--config-path", str(config))

    assert run("keys", "create", "--name", "app", *where).exit_code == 0
    assert (tmp_path / "configured.db").exists()
    assert "choose another name" in run("keys", "create", "--name", "ci", *where).stderr
    assert "configuration file" in run("keys", "revoke", "ci", *where).stderr
    listed = json.loads(run("keys", "list", "--json", *where).stdout)
    assert [(key["name"], key["source"]) for key in listed] == [("ci", "file"), ("app", "store")]


def test_changes_are_in_the_audit_log() -> None:
    """The newest first, with who made them; no key among them."""
    key = run("keys", "create", "--name", "app", "--route", "chat").stdout.strip()
    run("keys", "rotate", "app")
    run("keys", "revoke", "app")

    lines = json.loads(run("audit", "--json").stdout)
    assert [(line["action"], line["target"], line["actor"], line["outcome"]) for line in lines] == [
        ("key.revoke", "app", "command line", "done"),
        ("key.rotate", "app", "command line", "done"),
        ("key.create", "app", "command line", "done"),
    ]
    shown = run("audit", "--limit", "1").stdout
    assert shown.count("\n") == 1
    assert "done key.revoke app by command line" in shown
    assert key[4:] not in json.dumps(lines)


def test_a_key_of_the_store_can_be_ended_though_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that leaked would stay good."""
    run("keys", "create", "--name", "ci")
    key = {"name": "ci", "key": "the-key-of-the-file-0123"}
    config = {"endpoints": [offline("chat", "chat")], "keys": [key]}
    monkeypatch.setenv("MLFLOW_GATEWAY_CONFIG", str(write_config(tmp_path / "gateway.yaml", config)))

    assert run("keys", "revoke", "ci").exit_code == 0
    assert "there already" in run("keys", "create", "--name", "ci").stderr
