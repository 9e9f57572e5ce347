"""A capture in other programs' terms: mitmproxy's flow objects, its flow files, and HAR. See docs/flows.md.

`connections` and `messages` make mitmproxy's values of what packets say, `flows` puts them together one a request,
`har` and `files` write them. What a request is, and what a capture lacks of it, is said by
`labkit.analysis.evidence.dialogues`. mitmproxy is imported here and by its engine, nowhere else.
"""
