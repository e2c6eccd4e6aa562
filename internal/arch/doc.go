// Package arch holds the rules that the layout of this repository promises, as tests: which folder may import what, what
// the pure packages may not do, and which names may exist. The tables in its test files are the rules; each row gives its
// reason. Every rule is proved by a tree in testdata that breaks it.
package arch
