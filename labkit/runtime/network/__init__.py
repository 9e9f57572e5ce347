"""The hosts' network, whatever the runtime: what each host has (`plan`), and giving it that (`configure`)."""
