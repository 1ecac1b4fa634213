"""`stellwerk doctor`: what is wrong, and what to do about it. It works when things are broken: checks stand alone."""
