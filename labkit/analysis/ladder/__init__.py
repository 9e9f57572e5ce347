"""The ladder: what a sequence diagram across vantage points shows, as values. Drawing is the views' business.

`choice` says which connections and packets it is about, `rails` which vertical lines it has, `marks` what is
remarkable about a packet; `rows` puts all together, as the values of `model`.
"""
