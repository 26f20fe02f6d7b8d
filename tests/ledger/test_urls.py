"""Where a ledger is: paths, URLs and libpq's texts; no password is shown anywhere."""

import traceback
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from hog_dagster.ledger import Ledger, LedgerUnavailable, State, default_url
from hog_dagster.ledger._urls import read_url
from tests.ledger.kit import in_state, replay, sent

SECRET = "s3cr3t"


def test_a_path_is_a_sqlite_file_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "ledger.sqlite"
    for given in (path, str(path), f"sqlite:///{path}", f"sqlite+pysqlite:///{path}"):
        with Ledger(given) as ledger:
            assert ledger.location == f"sqlite:///{path}"
            ledger.claim(replay(), "a")
    assert path.exists()


@pytest.mark.parametrize("given", ["ledger.sqlite", "sqlite:///ledger.sqlite", "./ledger.sqlite"])
def test_a_relative_path_is_in_dagster_home_or_else_in_the_working_directory(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert Ledger(given).location == f"sqlite:///{home}/ledger.sqlite"
    monkeypatch.delenv("DAGSTER_HOME")
    ledger = Ledger(given)
    monkeypatch.chdir(tmp_path)
    assert ledger.location == f"sqlite:///{here}/ledger.sqlite"
    ledger.claim(replay(), "a")
    assert (here / "ledger.sqlite").exists()


@pytest.mark.parametrize("name", ["what?", "a?b=c", "50%", "a b", "ä#@"])
def test_a_home_with_odd_characters_holds_its_ledger(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / name))
    monkeypatch.delenv("HOG_DAGSTER_LEDGER", raising=False)
    with Ledger(default_url()) as ledger:
        ledger.claim(replay(), "a")
    assert (tmp_path / name / "hog_dagster_ledger.sqlite").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_default_ledger_is_named_by_the_environment(tmp_path: Path) -> None:
    assert default_url({"HOG_DAGSTER_LEDGER": "postgresql://h/db"}) == "postgresql://h/db"
    assert (
        default_url({"DAGSTER_HOME": str(tmp_path)})
        == f"sqlite:///{tmp_path}/hog_dagster_ledger.sqlite"
    )
    assert default_url({}) == f"sqlite:///{Path.cwd()}/.hog/hog_dagster_ledger.sqlite"


@pytest.mark.parametrize(
    ("given", "location"),
    [
        (f"postgresql://u:{SECRET}@h:5433/db", "postgresql://u@h:5433/db"),
        (f"postgres://u:{SECRET}@h/db", "postgresql://u@h/db"),
        (f"postgresql+psycopg://u:{SECRET}@h/db", "postgresql://u@h/db"),
        (f"postgresql://h/db?user=u&password={SECRET}", "postgresql://u@h/db"),
        (f"postgresql:///db?host=/run/pg&password={SECRET}", "postgresql:///run/pg/db"),
        (f"host=h port=5433 dbname=db user=u password={SECRET}", "postgresql://u@h:5433/db"),
        (f"  host = h dbname='db' password = '{SECRET}://'", "postgresql://h/db"),
        (rf"password='it\'s {SECRET}' host=h dbname=d\ b", "postgresql://h/d b"),
        (f"service=prod password={SECRET}", "postgresql:///?service=prod"),
        (f"postgresql://u:{SECRET}%40%2F@h/db", "postgresql://u@h/db"),
    ],
)
def test_a_password_is_in_no_location_and_reaches_the_server(given: str, location: str) -> None:
    assert Ledger(given).location == location
    password = read_url(given).password
    assert password is not None
    assert SECRET in password


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        (":memory:", "names no file"),
        ("file:x?mode=memory", "names no file"),
        ("", "names no file"),
        ("sqlite:///x.sqlite?mode=memory&uri=true", "takes no parameters"),
        ("sqlite://host/x.sqlite", "three slashes"),
        ("mysql://h/db", "cannot be kept in 'mysql'"),
        (f"mssql+pyodbc://u:{SECRET}@h/db", "cannot be kept in 'mssql'"),
        ("://", "cannot be read"),
        (f"postgresql://u:{SECRET}@{SECRET}@h/db", "write @ as %40"),
        (f"postgresql://u:p@{SECRET}:x@h/db", "cannot be read"),
        (f"postgresql://u:{SECRET}@h:port/db", "cannot be read"),
        (f"postgresql://u:{SECRET}@h:99999/db", "cannot be read"),
        (f"host=h password='{SECRET}", "cannot be read. Write it as libpq does"),
        (f"host=h {SECRET}", "cannot be read. Write it as libpq does"),
        (f"host=h passwort={SECRET}", "unknown parameter 'passwort'"),
        (f"host=h port={SECRET}", "connection string has a port"),
    ],
)
def test_a_url_no_ledger_can_be_kept_at_is_refused_without_what_may_be_secret(
    wrong: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        Ledger(wrong)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


def test_a_ledger_in_postgresql_is_opened_by_every_form_and_either_driver(
    postgres_url: str,
) -> None:
    info = conninfo_to_dict(postgres_url)
    dsn = " ".join(f"{name}='{value}'" for name, value in info.items())
    forms = (
        postgres_url,
        postgres_url.replace("postgresql://", "postgres://"),
        postgres_url.replace("postgresql://", "postgresql+psycopg2://"),
        postgres_url.replace("postgresql://", "postgresql+psycopg://"),
        dsn,
    )
    for number, url in enumerate(forms):
        with Ledger(url) as ledger:
            in_state(ledger, State.CONFIRMED, replay(f"run-{number}"))
            assert len(list(ledger.entries())) == number + 1


def test_a_ledger_that_cannot_be_reached_says_what_to_check_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "text").write_text("no database at all, but longer than the head of one would be")
    for url in (
        f"postgresql://hog:{SECRET}@127.0.0.1:1/x",
        f"host=127.0.0.1 port=1 dbname=x user=hog password={SECRET}",
        f"postgresql://127.0.0.1:1/x?password={SECRET}",
        f"sqlite:///{tmp_path}/file/ledger.sqlite",
        f"sqlite:///{tmp_path}",
        f"sqlite:///{tmp_path}/text",
    ):
        for use in (lambda book: book.claim(replay("r"), "a"), lambda book: book.id):
            with Ledger(url) as ledger, pytest.raises(LedgerUnavailable) as caught:
                use(ledger)
            assert "Check HOG_DAGSTER_LEDGER" in str(caught.value)
            whole = "".join(traceback.format_exception(caught.value))
            assert SECRET not in whole
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None


def test_an_error_of_the_database_tells_no_values_of_rows(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hog_dagster.ledger import LedgerError, _claiming

    with Ledger(url) as ledger:
        sent(ledger, replay(f"run-{SECRET}"))
        monkeypatch.setattr(_claiming, "read_all", lambda *_: [])  # so that it is inserted twice
        with pytest.raises(LedgerError, match="did not take a statement") as caught:
            ledger.claim(replay(f"run-{SECRET}", password=SECRET), "b")
        assert caught.value.__context__ is None
        assert SECRET not in str(caught.value)
