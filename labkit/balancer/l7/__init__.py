"""What an L7 balancer does with a request, as values and pure functions: no socket, no clock, no engine.

`route` says what may be asked for; `matching` finds the route a request takes, by the `conditions` of each;
`request` is what they look at. The engines carry it out, each in its own way and to the same result.
"""
