"""What a host is given back when its owner has gone, and what is left alone."""

from labkit.runtime.container.orders import orders
from labkit.runtime.container.renewal import Renewal
from labkit.topology import default

LB, ALICE = (orders(default())[name] for name in ("lb", "alice"))


def test_names_and_scratch_are_as_at_the_beginning(tmp_path):
    hosts, scratch = tmp_path / "hosts", tmp_path / "scratch"
    (scratch / "folder" / "deep").mkdir(parents=True)
    (scratch / "file").write_text("x")
    (scratch / "up").symlink_to(tmp_path)
    hosts.write_text("10.0.1.10 shop.test\n")
    Renewal(ALICE, hosts, scratch, network=False).carry_out()
    assert list(scratch.iterdir()) == []
    assert "10.0.1.11 alice\n" in hosts.read_text()
    assert "shop.test" not in hosts.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hosts", "scratch"]


def test_what_it_is_not_told_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("x")
    Renewal(LB, None, None, network=False).carry_out()
    assert (tmp_path / "file").exists()


def test_what_cannot_be_given_back_is_told_and_the_rest_is(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    Renewal(ALICE, tmp_path / "no" / "hosts", tmp_path, network=True).carry_out()  # alice may not change her network
    assert capsys.readouterr().err.startswith("labkit: the file of names could not be made as new: [Errno 2] No such")
    assert list(tmp_path.iterdir()) == []
