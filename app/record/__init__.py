"""The record: every table, the states of jobs and steps, claims and leases. The database is the only truth."""
