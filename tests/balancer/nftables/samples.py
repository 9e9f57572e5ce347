"""Forwards that several tests share."""

from labkit.balancer.policy import Forward, Target
from labkit.topology import Listener

VIPS = ("10.0.1.10", "fd00:10:0:1::10")
API1 = Target("api1", "10.0.2.11", "fd00:10:0:2::11")
API2 = Target("api2", "10.0.2.12", "fd00:10:0:2::12")
IMAGES1 = Target("images1", "10.0.2.21", "fd00:10:0:2::21")
IMAGES2 = Target("images2", "10.0.2.22", "fd00:10:0:2::22")
ALL = (API1, API2, IMAGES1, IMAGES2)
OLD = Target("old", "10.0.2.11")  # has no IPv6

HTTP = Forward(Listener(80, "http", "http"), ALL)
ECHO = Forward(Listener(7, "tcp", "tcp-echo"), (API1, API2))
DNS = Forward(Listener(53, "udp", "dns", 5353), (API1, API2))
