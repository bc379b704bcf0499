"""Who: accounts, users and what they prove themselves with; in time policies. Every record belongs to
an account."""
