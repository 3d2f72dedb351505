"""What the registry does, one file per action. Each runs one transaction: the change, and its log entry."""
