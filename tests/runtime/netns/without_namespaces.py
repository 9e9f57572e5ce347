"""Run a program where user namespaces are switched off: ``python without_namespaces.py PROGRAM ...``.

In a user namespace of its own, whose limit of further ones is 0, and without the right to do without.
"""

import ctypes
import os
import sys

from labkit.runtime.netns.process import enter_user_namespace

PR_CAPBSET_DROP, CAP_SYS_ADMIN = 24, 21

enter_user_namespace()
with open("/proc/sys/user/max_user_namespaces", "w") as limit:
    limit.write("0")
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
