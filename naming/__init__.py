"""The naming service: evaluates blinded identity numbers for lenders, and never learns whose they
are.

- ``errors``   what it refuses
- ``keylist``  the signed list of its public keys, and what a new list may change
- ``keys``     its home folder: one seed per version; create, rotate, retire
- ``quota``    how many people a lender may name in a day, on the disk before the answer
- ``messages`` what travels
- ``service``  the HTTP face
- ``client``   how lenders call it, verifying every proof; ``batches`` is what each of its processes
               does
- ``doctor``   what must be in order in its home
- ``evidence`` its part of an evidence pack
"""
