"""Verification by short strings (SAS): how people's apps come to show the desk as verified, and how the desk learns
whose keys it has (Matrix spec v1.16, client-server API, "Key verification framework" and "Short Authentication String
(SAS) verification").

What it proves, and to whom. Both sides compute seven emoji from a secret that they have just agreed upon. A homeserver
that stands between them with keys of its own makes two secrets, so the emoji differ; somebody must look.

* The person's app believes the desk's keys when ITS person says that the emoji match. The desk therefore sends the
  proof of its keys (device and master key) at once: it claims nothing about the other side.
* The desk has no eyes. It shows its emoji in the chat, where everybody can compare them, and on the command line
  (`stellwerk trust list`). A homeserver that has stood in the middle since the first message could change what is shown
  in the chat: against that one, compare with the command line or with the fingerprint.
* For the same reason a finished verification alone changes nothing in what the desk believes of the person: whoever
  stands in the middle could say "they match" in the person's name. It becomes trust by the word of somebody else whom
  the desk knows already: a lead (`!trust @person`) or an operator (`stellwerk trust accept`). Only then does the desk
  sign the person's master key with its user-signing key, and the policy `verified` gives them keys.

`sas` calculates, `dialog` is one verification without any I/O, `verifier` leads many of them."""
