"""The database that holds everything the cloud knows: SQLite on one host, PostgreSQL for several.

Both give the same guarantees: a transaction is all or nothing, durable when it returns, and no
update is lost however many
processes write. Stores own their tables and lock what they decide on (`SELECT … FOR UPDATE`; SQLite
has one writer anyway).
This room knows no host.
"""
