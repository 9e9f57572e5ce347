"""What stands under docker/ agrees with the rest: its lock, what its build may see, the version it names."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text().replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))


def _copied() -> set[str]:
    """What the Dockerfile takes from the build's context."""
    taken: set[str] = set()
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        words = [word for word in line.split() if not word.startswith("--")]
        taken |= set() if "--from=" in line else set(words[:-1])
    return taken


def test_what_a_node_needs_is_part_of_what_labkit_needs():
    everything = {_name(requirement) for requirement in PROJECT["project"]["dependencies"]}
    assert {_name(requirement) for requirement in PROJECT["dependency-groups"]["node"]} - everything == set()


def test_a_node_runs_the_versions_that_labkit_is_locked_to():
    node, everything = _pins("docker/requirements-node.lock"), _pins("requirements.lock")
    assert len(node) > 40
    assert {name: version for name, version in node.items() if everything.get(name) != version} == {}


def test_a_build_sees_what_it_copies_and_nothing_else():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule[0] == "!"} == _copied()
    assert [rule for rule in rules[1:] if rule[0] != "!"] == ["**/__pycache__", "**/.ipynb_checkpoints"]


def test_what_the_wheel_carries_is_there_when_the_image_builds_it():
    carried = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {source for source in carried if source not in _copied()} == set()


def test_both_images_name_the_version_of_labkit():
    named = re.findall(r'image\.version="([^"]+)"', DOCKERFILE)
    assert named == [PROJECT["project"]["version"]] * 2


def test_all_that_is_installed_is_a_wheel_known_by_its_hash():
    installs = re.findall(r"pip install (.+?)&&", DOCKERFILE)
    locked = [install for install in installs if "--no-deps" not in install]
    assert len(locked) == 2
    assert [install for install in locked if "--only-binary :all: --require-hashes" not in install] == []
    assert [install for install in installs if "--no-cache-dir" not in install] == []
