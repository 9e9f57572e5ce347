"""Evidence: what a capture proves. What stood where, what the balancer did with it, and which claims hold.

Here belongs what judges: `visibility` (each field, by the `handling` it had) and `headerdiff` (a request's headers on
their way); `verdicts` and `field_verdicts` on claims about a `case`; `contrast`, one mode's half of a comparison.
What is only counted or shown is for `summary`, `graph` and `ladder`.
"""
