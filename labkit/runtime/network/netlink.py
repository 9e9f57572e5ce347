"""pyroute2's netlink client, without the rest of pyroute2: the one room of it in this runtime.

Its package imports everything it has (a database of the network, conntrack, DHCP …), which takes as long as building
a lab does. Nobody else in the process that imports this module uses pyroute2, so its package is entered here
without being run.
"""

import sys
from importlib.util import find_spec, module_from_spec

if "pyroute2" not in sys.modules:
    _spec = find_spec("pyroute2")
    if _spec is not None:  # else the import below says that it is missing
        sys.modules["pyroute2"] = module_from_spec(_spec)

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

__all__ = ["IPRoute", "NetlinkError"]
