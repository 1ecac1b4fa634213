"""Who gets a conversation, and why. Pure: a snapshot in, a decision with its reason out."""
