"""What runs inside a container that is a host of a lab, whoever started it: the runtime, or Compose."""
