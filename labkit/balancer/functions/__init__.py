"""Functions of the user's, run for the proxy in processes of their own, so that none of them can stall or harm it.

`packed` brings a function out of the notebook, `child` is the process that runs it, `worker` and `pool` are the proxy's
side of it, `failure` is what went wrong and `report` what the notebook shows of that.
"""
