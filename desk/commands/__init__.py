"""What the desk does, a command a file. Each is one transaction, and acts once.

- ``apply``     an application decided: consent, log, sources, score, policy, log, then shown
- ``accept``    an offer taken, or not wanted; consent is checked again
- ``disburse``  paid out, exactly once
- ``repay``     what happens to a loan is booked
- ``review``    a person decides, with reasons of their own
- ``verify``    a third party is asked about something that was stated
"""
