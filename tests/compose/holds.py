"""Run in the notebook's container: an owner who does much to the lab, says so, and stays."""

import time

from labkit import Lab, Tls

lab = Lab().start()
lab.balancer.l7(tls=Tls(names=["shop.test"]), engine="envoy")
lab.alice.get("https://shop.test/api/users")
lab.balancer.l4(style="full")
lab.alice.run("sleep 600", background=True)
lab.lb.run("touch /tmp/left")
lab.faults.conntrack_full(room=1000).__enter__()
print("holds", flush=True)
time.sleep(600)
