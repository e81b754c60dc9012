"""Which combination rule when: every rule on the same problems, from too few rows to more than enough."""
