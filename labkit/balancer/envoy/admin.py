"""What Envoy says of itself, over its admin interface on a Unix socket."""

import http.client
import json
import re
import socket

_VERSION = re.compile(r'(.+\.version_text): "(.*)"')


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("envoy", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Unix:
    """Asks over the Unix socket at *path*; a connection is kept. OSError where nobody answers."""

    def __init__(self, path: str, timeout: float = 3.0) -> None:
        self._connection = _Connection(path, timeout)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            self._connection.close()
            raise OSError(str(error)) from error
        except OSError:
            self._connection.close()
            raise


def versions(admin: Unix) -> dict[str, str]:
    """The version of everything that Envoy reads while it runs, by the name of its statistic."""
    _, text = admin.get("/stats?type=TextReadouts&filter=version_text")
    return dict(found.groups() for line in text.splitlines() if (found := _VERSION.fullmatch(line)))  # type: ignore[misc]


def listening(admin: Unix) -> list[list[object]]:
    """The [address, port] of every listener of clients; TCP and UDP share them."""
    _, text = admin.get("/listeners?format=json")
    found = [one["local_address"].get("socket_address") for one in json.loads(text)["listener_statuses"]]
    return [list(where) for where in dict.fromkeys((one["address"], one["port_value"]) for one in found if one)]
