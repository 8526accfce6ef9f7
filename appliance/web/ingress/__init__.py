"""Who may connect, how long each may take, and how much memory unfinished messages may hold."""
