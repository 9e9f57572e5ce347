"""The lab that Compose starts: JupyterLab answers, its hosts are a lab's, owners come and go, and nothing stays."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from labkit.runtime.attached.runtime import USUAL
from labkit.topology import default
from tests.compose.project import Project, started
from tests.jupyter import opened, picture

HERE = Path(__file__).parent
NOTEBOOK = "notebooks/00_start_here.ipynb"
NET_RAW, NET_ADMIN = 1 << 13, 1 << 12
ATTACH = "from labkit import Lab; lab = Lab.attach(); print(lab.alice.get('http://lb/').status); lab.stop()"
BACKENDS = """
from labkit import Lab
lab = Lab.attach()
print(*(lab.alice.get('http://lb/').backend for _ in range(4)))
lab.stop()
"""
REFUSED = """
from labkit import Lab
from labkit.errors import RuntimeUnavailable
try:
    Lab.attach()
except RuntimeUnavailable as error:
    print(error)
"""
KILL = """
import os, psutil
for process in psutil.process_iter(["cmdline"]):
    if process.info["cmdline"][1:] == ["-", "holds"] and process.pid != os.getpid():
        process.kill()
"""
SERVING = """
from pathlib import Path
for each in Path("/proc").glob("[0-9]*/cmdline"):
    if b"container.serve" in each.read_bytes():
        print(each.parent.name)
"""
LISTENING = "print(open('/proc/net/unix').read().count('/api1.sock'))"
RECEIVED = """
from pathlib import Path
print(sum(int((each / "statistics/rx_packets").read_text()) for each in Path("/sys/class/net").glob("[bf]*")))
"""

pytestmark = [pytest.mark.slow, pytest.mark.needs("docker", "compose")]


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with started() as up:
        yield up


def state(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("lb", HERE / "state.py", user="root"))
    return found


@pytest.fixture(scope="module")
def seen(project) -> dict[str, Any]:
    """What a script in the notebook's container saw of the lab."""
    found: dict[str, Any] = json.loads(project.run("notebook", HERE / "inside.py"))
    return found


def test_a_script_in_the_notebook_has_a_lab_at_l4_and_at_l7(project, seen):
    assert (seen["lab"], seen["vip"]) == ("<Lab default: l4 on docker>", f"{project.subnets['front']}.10")
    each = [[name, 1] for name in ("api1", "api2", "images1", "images2")]
    assert (seen["l4"], seen["l4 again"]) == (each, each)
    assert seen["l7"] == [["api1", 2], ["api2", 2]]
    assert {name for name, _ in seen["envoy"]} <= {"api1", "api2"}  # a round for each of its threads
    assert sum(times for _, times in seen["envoy"]) == 4
    four = {"alice": 4, "bob": 0, "lb:front": 4, "lb:back": 4, "api1": 1, "api2": 1, "images1": 1, "images2": 1}
    assert seen["l4 connections"] == four
    assert (seen["l7 connections"]["alice"], seen["l7 connections"]["lb:back"]) == (5, 5)
    assert (seen["https"], seen["ipv6"], seen["exchanges"]) == (200, 200, 5)
    assert seen["client seen"][0] == f"{project.subnets['front']}.11"


def test_hosts_may_little_and_reach_nothing_but_the_lab(seen):
    rights = {name: {int(mask, 16) for mask in masks} for name, masks in seen["rights"].items()}
    assert rights == {"alice": {NET_RAW}, "lb": {NET_RAW | NET_ADMIN}, "api1": {NET_RAW}}
    assert seen["user"] == "lab"
    assert seen["ways out"] == [1, 1, 1]
    assert re.search(r"Nobody may change the network of alice .*Lab\(runtime=\"docker\"\)", seen["refused"])
    assert re.search(r'time_wait = 3: it is fixed since .*Lab\(runtime="docker"\)', seen["fixed"])


def test_one_owner_at_a_time_and_a_killed_one_leaves_the_lab_as_new(project):
    assert project.run("notebook", ATTACH) == "200\n"
    before = state(project)
    assert (before["tables"], before["scratch"], before["connections"]) == ([], [], 0)
    owner = project.begin("notebook", HERE / "holds.py", "holds")
    assert owner.stdout is not None
    assert owner.stdout.readline() == "holds\n"
    meanwhile = state(project)
    assert {"labkit", "labkit_fault_full"} & set(meanwhile["tables"])
    assert "shop.test" in meanwhile["hosts"]
    assert "left" in meanwhile["scratch"]
    assert project.run("notebook", REFUSED).startswith("lb is in use: another notebook is attached")
    assert owner.poll() is None
    project.run("notebook", KILL)
    owner.wait(10)
    assert project.run("notebook", ATTACH) == "200\n"
    time.sleep(1)
    after = state(project)
    assert after == before


def test_it_is_up_already(project):
    before = sorted(project.compose("ps", "--all", "--quiet").split())
    project.compose("up", "--detach")
    assert sorted(project.compose("ps", "--all", "--quiet").split()) == before
    assert project.run("notebook", ATTACH) == "200\n"


def test_a_host_that_was_started_again_listens_once_it_is_wired(project):
    project.restart_alone("api1", 3)
    time.sleep(1)
    assert project.run("api1", LISTENING) == "0\n"
    project.compose("up", "--detach")
    project.await_health("api1")
    assert project.run("notebook", ATTACH) == "200\n"


def test_a_host_that_compose_started_again_is_wired_by_up(project):
    project.compose("restart", "--timeout", "3", "api1")
    project.compose("up", "--detach")
    project.await_health("api1")
    assert project.run("notebook", ATTACH) == "200\n"


def test_what_is_left_of_a_host_that_was_started_again_does_not_answer_for_it(project):
    """Its old network lives as long as somebody is in it, as its wiring may be."""
    network, image = f"container:{project.container('api1')}", project.inspect("api1", "{{.Config.Image}}").strip()
    left = project.engine("run", "--detach", "--rm", "--network", network, image, "sleep", "100").strip()
    try:
        project.restart_alone("api1", 3)
        project.compose("up", "--detach")
        project.await_health("api1")
        assert project.run("notebook", BACKENDS) == "api1 api2 images1 images2\n"
    finally:
        project.engine("kill", left)


def test_a_wiring_that_came_into_the_network_that_its_host_was_leaving_comes_into_the_new_one(project):
    """As it may where all are started again, each when it is its turn: nobody else would run it again."""
    pid = project.run("api1", SERVING).strip()
    project.run("api1", f"import os, signal; os.kill({pid}, signal.SIGSTOP)", user="lab")
    project.engine("start", project.container("wire-api1"))
    time.sleep(2)
    assert project.inspect("wire-api1", "{{.State.Running}}") == "true\n"  # its host takes no socket
    project.restart_alone("api1", 1)
    project.await_health("api1")
    assert "Its host took no socket to listen on within 5 s" in project.compose("logs", "wire-api1")
    assert project.run("notebook", ATTACH) == "200\n"


def test_started_again_as_a_whole_it_is_a_lab_again(project):
    project.compose("restart", "--timeout", "3")
    project.compose("up", "--detach")
    project.await_health("notebook")
    assert project.run("notebook", ATTACH) == "200\n"


def test_where_the_sockets_were_started_again_the_notebook_is_too(project):
    project.compose("restart", "--timeout", "3", "sockets")
    project.compose("up", "--detach")
    project.compose("restart", "--timeout", "3", "notebook")
    project.await_health("notebook")
    assert project.run("notebook", ATTACH) == "200\n"


def test_a_host_sees_no_socket_of_another(project):
    assert project.run("alice", "import os; print(os.listdir('/dev/shm'))") == "[]\n"
    names = sorted(f"{node.name}.sock" for node in default().nodes)
    assert project.run("notebook", f"import os; print(sorted(os.listdir('{USUAL}')))") == f"{names}\n"


def test_the_notebook_wants_its_token(project):
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{project.address}/api/contents", timeout=10)
    assert any(each["name"] == "notebooks" for each in contents(project, "")["content"])


@pytest.mark.needs("chromium")
def test_notebook_00_runs_unchanged_in_a_browser(project):
    pytest.importorskip("playwright", reason="needs playwright")
    before = counted(project)
    with opened(project.address, f"{NOTEBOOK}?token={project.token}", height=1600) as page:
        page.get_by_role("menuitem", name="Edit").click()
        page.get_by_role("menuitem", name="Clear Outputs of All Cells").click()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.get_by_text("Python 3 (ipykernel) | Busy").first.wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()
        picture(page, "compose.png")
        got = texts(saved(project, page))
    wanted = texts(json.loads((HERE.parents[1] / NOTEBOOK).read_text()))
    assert len(wanted) > 10
    assert f"VIP {project.subnets['front']}.10," in got[0]  # this lab, and no other
    counts = [number for number, text in enumerate(wanted) if len(text.splitlines()) <= 2 and "10.0." not in text]
    assert len(counts) >= 6  # of backends, of what was read, of connections
    assert [got[number] for number in counts] == [wanted[number] for number in counts]
    after = counted(project)
    assert {name for name in before if after[name] - before[name] < 20} == {"bob"}


def contents(project: Project, path: str) -> dict[str, Any]:
    request = Request(f"{project.address}/api/contents/{path}", headers={"Authorization": f"token {project.token}"})
    with urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def saved(project: Project, page: Any) -> dict[str, Any]:
    """The notebook with its outputs, saved since all its cells have run."""
    deadline = time.monotonic() + 60
    while True:
        page.get_by_role("menuitem", name="File", exact=True).click()
        page.locator('[role="menuitem"][data-command="docmanager:save"]').click()
        page.wait_for_timeout(1000)
        notebook: dict[str, Any] = contents(project, NOTEBOOK)["content"]
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        if all(cell["execution_count"] for cell in code) and f"{project.subnets['front']}." in str(code):
            outputs = [output for cell in code for output in cell["outputs"]]
            assert [each for each in outputs if each["output_type"] == "error" or each.get("name") == "stderr"] == []
            return notebook
        assert time.monotonic() < deadline


def texts(notebook: dict[str, Any]) -> list[str]:
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            text = output.get("text") or output["data"]["text/plain"]
            found.append("".join(text).strip())
    return found


def counted(project: Project) -> dict[str, int]:
    """Packets that each host has received."""
    return {name: int(project.run(name, RECEIVED)) for name in ("alice", "bob", "lb", "api1", "images2")}
