"""Who: accounts, and in time users, keys and policies. Every record belongs to an account from the
first day on."""
