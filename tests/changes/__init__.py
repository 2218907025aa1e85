"""Changes to a ledger, hostile and honest: real commits in a real repository, and the three judges that look at each."""
