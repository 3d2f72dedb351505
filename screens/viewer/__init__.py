"""The auditor's viewer: served on the auditor's own machine, because a page that is served by whom
it verifies proves nothing.

- ``app``: the application, and what is open while it runs.
- ``home``: whom it believes, where the log is, where it listens.
- ``index``: the log's public entries on this machine, as far as they were found under a head.
- ``verification``: the log verified, behind the pages; what came of it.
- ``opened``: what is sealed to the auditor, opened for a page and soon forgotten.
- ``heads``: a head and its witnesses, for people.
- ``drawing``: the proof of one entry as a tree.
- ``forms``: what pages send and ask.
- ``words_of``: what entries and checks are called.
- ``head_pages``, ``entry_pages``, ``campaign_pages``, ``export_pages``: the pages.
"""
