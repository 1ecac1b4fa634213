"""What shall happen outside: the rows of the outbox. An effect names WHAT to do by ids; texts are rendered and bodies
opened only when it is sent, so that the newest state is shown and an erased body stays erased.

`lane` is the unit of order: rows of one lane leave one after the other. `is_latest_wins` effects show a state; while
one is waiting, another adds nothing.

Two kinds stay inside: `SetTimer` and `RouteGroup` become rows of our own queues instead of the outbox.
"""
