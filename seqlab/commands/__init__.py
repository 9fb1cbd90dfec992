"""What each subcommand of ``seqlab`` does. Nobody but the command line and the front door in Python looks in here."""
