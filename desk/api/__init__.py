"""The desk over HTTP: the lender's own systems and staff call it, nobody else.

- ``app``           all of it: limits, journal, problem details, health
- ``shared``        who calls, commands that act once, pages, preconditions
- ``applications``  applications, decisions, offers; ``reviews`` the queue
- ``loans``         what was lent; ``amendments`` what is changed of it
- ``views``         how things are shown
"""
