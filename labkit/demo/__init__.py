"""The demo: the same requests at L4 and at L7, and what the captures of them prove.

`run` boots a lab and collects; `figures` counts and `claims` judges (both pure); `show` and `files` tell.
"""
