// Package report is what the files of cluster/ show: typed rows, and for each kind of row
// the text that it is written as and read from.
//
// # Model
//
// A front end makes rows of what it knows and writes them; a command reads the text of any
// front end, of its own version or not, back into the same rows, and works with these. The
// text is public (docs/namespace.md): people and scripts read it as well. So a format is
// written in one place, writer beside reader:
//
//	cluster/ps, cluster/ps-of   [Process]
//	cluster/cgroups             [Job]
//	cluster/load and its like   [Load] and its like, see sampled.go
//	cluster/nodes               [Node]
//	cluster/where               [Where]
//	cluster/whoami              [Whoami]
//	cluster/status              [Part]
//	cluster/hints               [Hints]
//
// What has rates comes as a [Table], in text and in JSON out of the same rows.
//
// A table of processes that is not whole ends with lines that say so: see [Remark].
//
// Text in a row is as it is, whatever it holds; where it is written it is escaped as package
// plaintext has it. An [Answer] is what commands print of rows in JSON.
//
// # A new column
//
// A field of the row with its tag `column` is written and read. For one of cluster/ps, whose
// lines are put together by hand, its place in AppendProcessHeader and AppendText comes beside
// that, and for "aggrfs ps" an entry in [ProcessColumns].
//
// # Versions
//
// Columns are found by their names, so that there may be more of them, or fewer: what an
// older front end does not tell is not known, but for what a row makes no sense without.
// Remarks, facts and hints of an unknown kind are passed over. What a known column holds must
// be of its kind: anything else is an error. Readers take any text, and never panic.
package report
