"""The engine is found where the user's Docker finds it, and what it refuses is said in our words."""

import hashlib
import json
import secrets
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import RuntimeUnavailable
from labkit.runtime.docker import image
from labkit.runtime.docker.engine import Engine
from labkit.topology import sized

from .forwarder import elsewhere


def test_where_no_engine_answers_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(RuntimeUnavailable, match=r"No Docker engine answers.*No such file.*Start Docker"):
        Engine()
    with pytest.raises(RuntimeUnavailable, match="group docker"):
        Lab(runtime="docker").start()


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:1", "nonsense://x", "tcp://127.0.0.1:notaport"])
def test_an_engine_that_cannot_be_there_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(RuntimeUnavailable):
        Engine()


def test_an_engine_over_ssh_is_refused_with_the_way_that_works(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "ssh://student@farm.example")
    with pytest.raises(RuntimeUnavailable, match=r"ssh -NL \S+ student@farm\.example, and set DOCKER_HOST=unix://"):
        Engine()


def test_the_current_context_says_where_the_engine_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "desktop"}))
    with pytest.raises(RuntimeUnavailable, match="context 'desktop' does not exist"):
        Engine()
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"desktop").hexdigest()
    folder.mkdir(parents=True)
    endpoint = {"docker": {"Host": "unix:///nonexistent/desktop.sock", "SkipTLSVerify": False}}
    (folder / "meta.json").write_text(json.dumps({"Name": "desktop", "Metadata": {}, "Endpoints": endpoint}))
    with pytest.raises(RuntimeUnavailable, match="No Docker engine answers"):
        Engine()
    endpoint["docker"]["Host"] = "ssh://farm.example"
    (folder / "meta.json").write_text(json.dumps({"Name": "desktop", "Metadata": {}, "Endpoints": endpoint}))
    with pytest.raises(RuntimeUnavailable, match="over ssh://"):
        Engine()
    monkeypatch.setenv("DOCKER_CONTEXT", "laptop")
    with pytest.raises(RuntimeUnavailable, match=r"context 'laptop' does not exist.*unset"):
        Engine()
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONTEXT", "desktop")
    with pytest.raises(RuntimeUnavailable, match="over ssh://"):
        Engine()


@pytest.mark.needs("docker")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_lab_runs_on_an_engine_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tls: bool):
    with elsewhere(tmp_path, tls=tls) as said:
        for name, value in said.items():
            monkeypatch.setenv(name, value)
        with Lab(sized(backends=2, clients=1), runtime="docker") as lab:
            with lab.capture() as cap:
                body = lab.client1.post("http://lb/", body=b"x" * 300_000)
            assert body.status == 200
            assert cap.loss()["dropped"].sum() == 0
            assert int(cap.connections()["bytes_out"].sum()) > 300_000


@pytest.mark.needs("docker")
def test_a_network_that_overlaps_is_taken(docker_networks):
    engine, spec = docker_networks
    engine.create_network(spec)
    from labkit.runtime.docker.engine import Taken

    with pytest.raises(Taken, match="another network"):
        engine.create_network(spec | {"name": spec["name"] + "-again"})
    assert spec["subnet"] in engine.subnets()


@pytest.fixture
def docker_networks():
    from labkit.runtime.docker import plan
    from labkit.runtime.docker.labels import this_process
    from labkit.runtime.docker.subnets import networks, placed
    from labkit.topology import default

    engine = Engine()
    there = placed(default(), networks([*engine.subnets(), "10.0.0.0/9"]))
    spec = plan.networks(there, "test0001", this_process())["front"]
    yield engine, spec
    assert engine.remove_network(spec["name"])
    assert engine.remove_network(spec["name"]), "it is gone already"
    engine.close()


@pytest.mark.needs("docker")
def test_what_does_not_end_in_time_is_no_missing_engine():
    engine = Engine()
    spec = {
        "name": f"labkit-test-{secrets.token_hex(4)}",
        "command": ["sleep", "60"],
        **{name: {} for name in ("environment", "labels", "host", "more")},
    }
    container = engine.create(image.ensure(engine, print), spec, {})
    with pytest.raises(RuntimeUnavailable, match=r"gave no answer in time, asked to run the container sleeper\."):
        engine.finish(container, "sleeper", 0.5)
    engine.close()
