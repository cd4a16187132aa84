import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lanewise.errors import StoreError, UnavailableError, UsageError
from lanewise.runs import store as store_module
from lanewise.runs.store import RunStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore(tmp_path / ".lanewise") as opened:
        yield opened


def test_life_of_a_run(store: RunStore) -> None:
    run = store.create(command="lanewise fit houses.csv", config={"target": "price", "folds": 5})
    assert re.fullmatch(r"[0-9]{8}-[0-9]{4}-[a-z2-9]{4}", run.id)
    assert (run.status, run.command, run.error, run.seconds, run.document) == (
        "running", "lanewise fit houses.csv", None, None, None,
    )  # fmt: skip
    assert run.config == {"target": "price", "folds": 5}
    assert run.folder.is_dir()
    assert run.folder == store.folder / "runs" / run.id
    assert [path.name for path in (run.model, run.checkpoints, run.report, run.plan)] == [
        "model", "checkpoints", "report.html", "plan.json",
    ]  # fmt: skip
    store.finish(run.id, {"score": 0.5})
    done = store.get(run.id)
    assert (done.status, done.document, done.error) == ("done", {"score": 0.5}, None)
    assert done.seconds is not None
    assert done.seconds >= 0


def test_failed_and_interrupted_runs(store: RunStore) -> None:
    failed = store.create(command="fit", config={})
    store.fail(failed.id, "column 'price' is missing")
    assert (store.get(failed.id).status, store.get(failed.id).error) == ("failed", "column 'price' is missing")
    stopped = store.create(command="fit", config={})
    store.interrupt(stopped.id, {"best": 1})
    assert (store.get(stopped.id).status, store.get(stopped.id).document) == ("interrupted", {"best": 1})
    store.resume(stopped.id)
    assert store.get(stopped.id).status == "running"
    store.interrupt(stopped.id)
    assert store.get(stopped.id).document == {"best": 1}
    store.resume(failed.id)
    store.finish(failed.id, {})
    assert (store.get(failed.id).status, store.get(failed.id).error) == ("done", None)


def test_get_by_id_prefix_suffix_and_last(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"no run 'last' in .*; it has none yet: start one with `lanewise fit`"):
        store.get("last")
    endings = iter(("aaaa", "bbbb", "bbbc"))
    monkeypatch.setattr(store_module, "_suffix", lambda: next(endings))
    first, second, third = (store.create(command="fit", config={}) for _ in range(3))
    assert store.get("last") == third
    assert store.get(first.id) == first
    assert store.get("aaaa") == first
    assert store.get(f"{first.id[:-4]}a") == first
    assert store.get("bbbc") == third
    with pytest.raises(UsageError, match=f"is the beginning of several runs: {third.id}, {second.id}; give more of it"):
        store.get(f"{first.id[:-4]}b")
    for reference in ("", "x", "%", "_aaa", "aaa", "' OR 1 --"):
        with pytest.raises(UsageError, match=r"no run .*; `lanewise runs` lists them"):
            store.get(reference)


def test_name_that_is_taken_is_drawn_again(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    endings = iter(("aaaa", "aaaa", "bbbb"))
    monkeypatch.setattr(store_module, "_suffix", lambda: next(endings))
    assert [store.create(command="fit", config={}).id[-4:] for _ in range(2)] == ["aaaa", "bbbb"]


def test_list_is_newest_first(store: RunStore) -> None:
    runs = [store.create(command=f"fit {number}", config={}) for number in range(5)]
    assert [run.id for run in store.list()] == [run.id for run in reversed(runs)]
    assert [run.id for run in store.list(limit=2)] == [runs[4].id, runs[3].id]
    store.finish(runs[4].id, {"rmse": 0.5})
    assert [run.document for run in store.list(limit=1)] == [{"rmse": 0.5}]
    assert [run.document for run in store.list(limit=1, documents=False)] == [None]


def test_events_are_numbered_per_run(store: RunStore) -> None:
    first, second = (store.create(command="fit", config={}) for _ in range(2))
    assert [store.record_event(first.id, "rung", {"lane": lane}) for lane in range(3)] == [1, 2, 3]
    assert store.record_event(second.id, "diverged", {"lane": 9}) == 1
    assert [(event.sequence, event.kind, event.payload) for event in store.events(first.id)] == [
        (1, "rung", {"lane": 0}),
        (2, "rung", {"lane": 1}),
        (3, "rung", {"lane": 2}),
    ]
    assert store.events("unknown") == ()


def test_unknown_runs_are_refused(store: RunStore) -> None:
    for call in (
        lambda: store.finish("unknown", {}),
        lambda: store.fail("unknown", "x"),
        lambda: store.interrupt("unknown"),
        lambda: store.record_event("unknown", "x", {}),
        lambda: store.resume("unknown"),
    ):
        with pytest.raises(UsageError, match="no run 'unknown' in "):
            call()


def test_document_that_is_not_json_is_named(store: RunStore) -> None:
    run = store.create(command="fit", config={})
    with pytest.raises(StoreError, match=r"cannot write scores\[0\]\.rmse as JSON: it is nan"):
        store.finish(run.id, {"scores": [{"rmse": float("nan")}]})
    assert store.get(run.id).status == "running"
    with pytest.raises(StoreError, match="cannot write target as JSON"):
        store.create(command="fit", config={"target": object()})
    assert len(store.list()) == 1
    assert len(list((store.folder / "runs").iterdir())) == 1


class JumpingClock(datetime):
    jump = timedelta()

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime(2026, 11, 21, 21, 45, tzinfo=store_module.UTC) + cls.jump


def test_clock_that_jumps_alters_neither_order_nor_duration(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "datetime", JumpingClock)
    ids = []
    for days in (0, 1, -1, 365, -365, 0):
        monkeypatch.setattr(JumpingClock, "jump", timedelta(days=days))
        run = store.create(command="fit", config={})
        monkeypatch.setattr(JumpingClock, "jump", timedelta(days=-days))
        store.finish(run.id, {})
        ids.append(run.id)
    runs = store.list()
    assert [run.id for run in runs] == ids[::-1]
    assert store.get("last").id == ids[-1]
    assert ids[0].startswith("20261121-2145-")
    assert runs[-1].created == "2026-11-21T21:45:00.000+00:00"
    assert all(run.seconds is not None and 0 <= run.seconds < 60 for run in runs)


def test_seconds_add_up_over_resumes(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(store_module.time, "monotonic", lambda: now)
    run = store.create(command="fit", config={})
    now = 107.0
    store.interrupt(run.id)
    now = 1000.0
    store.resume(run.id)
    now = 1003.5
    store.finish(run.id, {})
    assert store.get(run.id).seconds == 10.5
    with RunStore(store.folder) as other:  # a process that did not start it has no clock for it
        other.fail(run.id, "late")
        assert other.get(run.id).seconds == 10.5


def test_seconds_count_from_a_given_start_and_may_be_those_of_the_document(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(store_module.time, "monotonic", lambda: now)
    run = store.create(command="fit", config={}, started=96.0)
    store.interrupt(run.id)
    now = 110.0
    store.resume(run.id, started=108.5)
    store.interrupt(run.id)
    assert store.get(run.id).seconds == 5.5
    store.resume(run.id, started=108.5)
    store.finish(run.id, {"seconds": 3.25}, seconds=3.25)
    assert store.get(run.id).seconds == 8.75


def test_status_of_a_run_without_living_owner(store: RunStore) -> None:
    run = store.create(command="fit", config={})
    assert store.get(run.id).status == "running"
    with run.acquire():
        assert store.list()[0].status == "running"
    assert store.list()[0].status == "interrupted"
    store.finish(run.id, {})
    assert store.get(run.id).status == "done"


def test_open_walks_up_and_creates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANEWISE_HOME", raising=False)
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"no runs in .*b; start one with `lanewise fit`, or set LANEWISE_HOME"):
        RunStore.open(deep, create=False)
    assert list(deep.iterdir()) == []
    with RunStore.open(tmp_path / "project") as store:
        assert store.folder == (tmp_path / "project" / ".lanewise").resolve()
        run = store.create(command="fit", config={})
    with RunStore.open(deep, create=False) as store:
        assert store.get("last").id == run.id
    monkeypatch.chdir(deep)
    with RunStore.open() as store:
        assert store.get("last").id == run.id
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "elsewhere"))
    with RunStore.open() as store:
        assert store.folder == tmp_path / "elsewhere"
        assert store.list() == ()


def test_a_folder_that_may_not_be_searched_for_runs_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LANEWISE_HOME", raising=False)
    looked = Path.is_dir

    def closed(path: Path) -> bool:  # root may search all there is
        if path.name == ".lanewise":
            raise PermissionError(13, "Permission denied", str(path))
        return looked(path)

    monkeypatch.setattr(Path, "is_dir", closed)
    with pytest.raises(UnavailableError, match="may not be searched for runs; set LANEWISE_HOME to a folder") as found:
        RunStore.open(tmp_path)
    assert found.value.exit_code == 2
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "elsewhere"))
    with RunStore.open(tmp_path) as store:
        assert store.folder == tmp_path / "elsewhere"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as two users")
def test_store_of_another_user_must_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANEWISE_HOME", raising=False)
    with RunStore.open(tmp_path):
        pass
    os.chown(tmp_path / ".lanewise", 1234, 1234)
    with RunStore.open(tmp_path):  # root may: it owns nothing in a container, and everything
        pass
    monkeypatch.setattr(store_module.os, "geteuid", lambda: 4321)
    with pytest.raises(StoreError, match=r"belongs to another user \(uid 1234\); set LANEWISE_HOME="):
        RunStore.open(tmp_path)


def test_threads_share_a_store(store: RunStore) -> None:
    run = store.create(command="fit", config={})
    threads = [threading.Thread(target=store.record_event, args=(run.id, "x", {})) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.sequence for event in store.events(run.id)] == list(range(1, 21))


def test_light_imports() -> None:
    script = (
        "import sys, lanewise.runs.store, lanewise.storage.modelfile, lanewise.storage.checkpoints\n"
        "heavy = {'torch', 'sklearn', 'polars', 'lightgbm', 'numpy', 'safetensors', 'pydantic'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")


def test_deleted_working_directory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANEWISE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "cwd", lambda: Path(os.readlink(tmp_path / "gone")))
    with pytest.raises(StoreError, match=r"cannot use \.: no such file or folder"):
        RunStore.open()


@pytest.mark.parametrize("leads", ["nowhere", "runs"])
def test_a_link_that_leads_nowhere_is_named(leads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "runs"
    link.symlink_to(tmp_path / leads)  # to itself, too
    monkeypatch.setenv("LANEWISE_HOME", str(link))
    for to_read in (False, True):
        with pytest.raises(UnavailableError, match="it is a symbolic link that leads nowhere; make its folder, or set"):
            RunStore.open(to_read=to_read)


def test_runs_beyond_those_that_are_listed_are_counted(store: RunStore) -> None:
    for _ in range(3):
        store.create(command="fit", config={})
    assert (len(store.list(limit=2)), store.count()) == (2, 3)


def test_an_outline_has_only_what_runs_are_listed_by(store: RunStore) -> None:
    document = {"target": "price", "test": {"rmse": {"value": 0.5}}, "race": {"curves": [1.0] * 99}, "winner": None}
    sound, odd = (store.create(command="fit", config={}) for _ in range(2))
    store.finish(sound.id, document)
    store.finish(odd.id, document)
    with store._database.transaction() as database:
        database.execute("UPDATE runs SET document = '{\"target\": NaN}' WHERE id = ?", (odd.id,))
    running = store.create(command="fit", config={})
    third, second, first = store.outlines(limit=3)
    assert (third.id, third.document) == (running.id, None)
    nothing = dict.fromkeys(("metric", "positive", "task", "validation"))
    assert first.document == {"target": "price", "test": {"rmse": {"value": 0.5}}, "winner": None, **nothing}
    with pytest.raises(StoreError, match=f"the document of run {odd.id} is not valid: NaN is not a JSON number"):
        _ = second.document
    assert [run.id for run in store.outlines(limit=1)] == [running.id]


@pytest.mark.parametrize(
    ("config", "kind", "data"),
    [
        ({"source": "/data/a b/houses.csv", "settings": {"target": "price"}}, "fit", "houses.csv"),
        ({"source": "example:iris"}, "fit", "example:iris"),
        ({"source": "-"}, "fit", "-"),
        ({"source": None}, "fit", None),
        ({"kind": "tune", "source": "/m.py:make", "settings": {"data": "/x/m.py:data"}}, "tune", "m.py:data"),
        ({"kind": "tune", "source": None, "settings": {"model": "make"}}, "tune", None),
    ],
)
def test_a_run_knows_what_made_it_and_from_which_data(
    store: RunStore, config: dict[str, object], kind: str, data: str | None
) -> None:
    run = store.create(command="", config=config)
    assert (run.kind, run.data) == (kind, data)
