"""End-to-end encryption on matrix-nio's Olm machine: our own store, our own rules about who gets a key and whom we
believe.

`machine` makes the Olm machine survive hostile input; `store` remembers what changed; `cache` loads what is needed;
`devices` decides which device belongs to whom; `inbound` decrypts and binds; `sharing` and `outbound` send; `history`
hands a room's past to a colleague; `engine` puts them together behind `messenger.matrix.engine.CryptoEngine`."""
