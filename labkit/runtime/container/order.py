"""What a container is told to be: a host's name, its network, its /etc/hosts, its rights; as plain data.

The runtime passes it on in the variable ``LABKIT_ORDER``. A container that is only told its name (``LABKIT_NODE``)
finds the rest in the topology: the default one, or the file that ``LABKIT_TOPOLOGY`` names; on other subnets where
``LABKIT_SUBNETS`` says so (``front=10.9.1.0/24 back=10.9.2.0/24``).
"""

import json
import os
from collections.abc import Mapping
from typing import Any

ORDER = "LABKIT_ORDER"


def find(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The order of this container. TopologyError if it was told nothing, or a name that its topology does not have."""
    if given := environment.get(ORDER):
        order: dict[str, Any] = json.loads(given)
        return order
    from .orders import look_up  # here: three processes of every container start with this, and most are told all

    return look_up(environment)
