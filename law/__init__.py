"""Law as data: what a jurisdiction says, with article and source. Pure; may import nothing of ours.

It is engineering, not legal advice: every table names where it was read, so that counsel can check
it.

- ``categories``  kinds of data about a person, and which of them need a consent of their own
- ``bases``       legal bases of processing, by jurisdiction
- ``incidents``   grades of incidents, and by when whom to tell
"""
