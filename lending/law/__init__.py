"""The law of lending as dated, sourced data: ``cn.toml``, ``eu.toml``, ``us.toml``.

It is engineering, not legal advice. Each row says its article, where that was read, and whether it
was: ``verified = false`` is from memory, and counsel checks it before anybody relies on it.

- ``rows``     the rows, what is in force on a day, the hash over all of them
- ``caps``     what a loan made on a day may cost a year
- ``features`` what may not enter a score or a policy
"""
