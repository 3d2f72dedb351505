"""The registry's tables and what reads and writes them. Transactions are the log's: they commit together."""
