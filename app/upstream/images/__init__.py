"""Images that clients name by URL, fetched and turned into data URLs without opening a door to the inside (SSRF).

Whoever may send a chat request decides where the bridge connects to, so every step is decided here and none is left to
a library's convenience:

* The URL is taken apart strictly; spellings that programs read differently (user names, backslashes, ``0x7f.1``) are
  refused rather than guessed at.
* The name is resolved once per hop. *All* its addresses must be allowed, and the connection goes to one of exactly
  these addresses, so a name that changes its answer (DNS rebinding) gains nothing. TLS still verifies the name.
* Redirects are followed by hand, each target judged like the first URL. ``https`` never falls back to ``http``.
* One deadline covers everything from the first connection to the last byte of the body.
* What comes back counts by its bytes: PNG, JPEG, GIF or WebP, whatever the headers say.

Any port is fine: at a public address it only reaches what anybody can reach anyway, and image hosts on odd ports exist.

Two limits. Looking a name up is bounded by the resolver's own timeout (``resolv.conf``), not by the deadline. And a
network that translates IPv6 to IPv4 under a prefix of its own (RFC 6052) cannot be recognised: there, let a firewall
keep the bridge away from private addresses.
"""
