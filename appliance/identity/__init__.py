"""Who may do what: roles, tokens, sessions, pairing, the audit log."""
