"""Run in a container: boots a lab there, asks it what a lab is asked, prints what came as JSON."""

import json
import os
import time

from labkit import Lab

began = time.monotonic()
with Lab(runtime="netns") as lab:
    seconds = time.monotonic() - began
    at_l4 = lab.alice.get("http://lb/api/users")
    lab.balancer.l7(tls=True)
    with lab.capture() as capture:
        at_l7 = lab.alice.get("https://lb/images/1.png", http2=True)
    lab.balancer.l7(engine="envoy")
    by_envoy = lab.alice.get("http://lb/api/users")
    found = {
        "uid": os.getuid(),
        "host": lab.alice.run("hostname").stdout.strip(),
        "l4": [at_l4.status, at_l4.json()["peer"][0]],
        "l7": [at_l7.status, at_l7.backend],
        "envoy": [by_envoy.status, by_envoy.backend],
        "connections": len(capture.connections()),
        "seconds": seconds,
    }
print(json.dumps(found))
