"""The balancer: policy (what to do, pure), engines (how), and the switch between L4 and L7."""
