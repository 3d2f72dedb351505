"""Law as data: what a jurisdiction says, with article and source. Pure; may import nothing of ours.

It is engineering, not legal advice: every table names where it was read, so that counsel can check
it.

- ``categories``  kinds of data about a person, and which of them need a consent of their own
- ``bases``       legal bases of processing, by jurisdiction
- ``processing``  what is done beside a consented use, and the bases that it can have
- ``vocabulary``  what categories and bases are called: by the W3C, and in English and Chinese
- ``deadlines``   by when a person must be answered
- ``packs``       what each jurisdiction forbids, asks and lets be kept for how long
- ``incidents``   grades of incidents, and by when whom to tell
"""
