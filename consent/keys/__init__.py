"""Keys of the registry: the root key, the data keys below it, their backup.

- ``keystore``  the root key, in files; ``vault`` in HashiCorp Vault
- ``datakeys``  one key per borrower, wrapped in groups
- ``enclosures`` bodies that the registry opens, and destroys for good
- ``backup``    taken, restored, and forgotten with the borrower
"""
