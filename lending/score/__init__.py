"""A score of whole points from a released model, why it is not higher, and for engineers as SQL.

- ``compiled``    a released model as look-up tables, equal to it
- ``protected``   what can never enter a score
- ``scorer``      a score in whole points that add up to it
- ``reasons``     at most four reasons, and what would have to be different
- ``glossary``    which features are one reason, what they are called, what a person can change
- ``sentences``   those in words, in Chinese and English (``sentences.toml``)
- ``sql``         the scorecard as CSV and as one SQL expression
"""
