// Package certs keeps the certificates with which the programs of a cluster know
// each other: it reads them, notices when they are renewed, and makes them for
// sites that have no certificate authority (CA) of their own.
//
// # Model
//
// A side of a connection has three PEM files ([Files]): its certificate with what
// is needed to trace it to a CA, the certificate's private key, and the CAs by
// which it judges the other side. A name, not an address, says whom a certificate
// is for ([Name]): a node by the name that it has in the configuration, a user or
// a front end by any name. A [Store] holds the files' content ([Set]) and reads
// them again when they have changed. A file that cannot be used changes nothing:
// what was read before it stays in force, and that is logged once.
//
// # Keys
//
// A private key that others than its owner can read is refused. Keys that are made
// here are never readable by others, not for a moment: a key is written to a new
// file of mode 0600, which then gets its name.
//
// # A CA
//
// A [CA] is a directory: ca.crt, which every machine has, ca.key, which none but
// this has, and NAME.crt and NAME.key for each name. A certificate names its holder
// as DNS name, is good for either side of a connection, and ends no later than its
// CA. Keys are ECDSA, P-256.
package certs
