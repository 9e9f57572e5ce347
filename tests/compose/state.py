"""Run in the balancer's container: what there is that an owner may have changed, as JSON."""

import json
import os
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.nftables.main import NFTables

with NFTables(nfgen_family=0) as tables:
    names = [table.get_attr("NFTA_TABLE_NAME") for table in tables.get_tables()]
with IPRoute() as netlink:
    addresses = sorted((each["index"], each["family"], each.get("address")) for each in netlink.get_addr())
    routes = sorted(
        (each["family"], str(each.get("dst")), each["dst_len"], str(each.get("gateway")), each.get("oif") or 0)
        for each in netlink.get_routes()
        if each["type"] == 1
    )
    rules = len(list(netlink.get_rules()))
print(json.dumps({
    "tables": names,
    "addresses": addresses,
    "routes": routes,
    "rules": rules,
    "connections": int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text()),
    "hosts": Path("/etc/hosts").read_text(),
    "scratch": os.listdir("/tmp"),
}))  # fmt: skip
