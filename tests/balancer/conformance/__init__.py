"""Every feature of an L7 policy, against every engine that claims it: the same tables, the same real labs."""
