"""What the desk does, a command a file. Each is one transaction, and acts once.

- ``apply``     an application decided: consent, log, sources, score, policy, log, then shown
- ``accept``    an offer taken, or not wanted; consent is checked again
- ``disburse``  paid out, exactly once
- ``repay``     what happens to a loan is booked; ``extend`` its end put off; ``restructure``
  another plan for it; ``settle`` repaid whole before its end; ``correct`` what was booked wrongly
  is taken back
- ``review``    a person decides, with reasons of their own; ``show_case`` what they see,
  ``show_answers`` what they see once they have decided
- ``verify``    a third party is asked about something that was stated
- ``letters``   what a person is handed: letter, table of costs, receipt
- ``replay``    every decision of a machine made again
- ``export_book``  the loan book that accounts give, for training; ``export_applicants`` everybody
                  who applied, for watching
- ``status``    how the desk stands; ``book`` how what was lent does, ``close`` a month of it
                closed
- ``challenge``  what a challenger said beside them: compared, and made again
- ``portfolio``  how its loans do
- ``monitor``   how a model and its decisions do at work; ``watch`` all of it at once
- ``portray``   customers are placed in portraits; ``placed`` who is in which, and who objects
- ``publish``   the principles of its scoring, for everybody; ``offer`` what is lent, and
  at what cost at most
- ``person``    all that is kept of one person; ``retain`` what is forgotten in time, ``erase``
                whom the registry orders to erase
"""
