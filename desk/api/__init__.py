"""The desk over HTTP: the lender's own systems and staff call it; what is published, everybody.

- ``app``           all of it: limits, journal, problem details, health
- ``shared``        who calls, commands that act once, pages, preconditions
- ``applications``  applications, decisions, offers; ``reviews`` the queue
- ``loans``         what was lent; ``amendments`` what is changed of it, ``settling`` repaid early
- ``customers``     what a customer does and sees for themselves; ``explained`` what they are told
                    of an application, ``owing`` of a loan; ``offered`` what is lent here
- ``portraits``     which portraits somebody is in, for themselves and for the staff
- ``principles``    what is published of how people are scored
- ``views``         how things are shown
"""
