"""Run processes that are forked from a warm server, which has imported PyTorch and Lightning already.

Importing takes seconds, a fork takes milliseconds. ``server`` is the server, ``child`` what happens in a process right
after the fork, ``request`` the message between client and server. On the supervisor's side ``warm_server`` starts the
server, ``client`` asks it for a process, and ``run_process`` starts a new process where there is no server.
"""
