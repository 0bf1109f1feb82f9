// Package report tells people what Truce sees: which fights go on, who changed which field when, how many writes were
// prevented. It is the one place that records: metrics, logs, Events, the register of fights, the journal of changes.
//
// A Recorder is told of every review. On the request's way it only counts and puts what is worth telling into a bounded
// queue; what finds no room there is dropped and counted, so that no review ever waits for a reader. One goroutine takes
// it from there.
//
// Register keeps the fights, Journal the changes; both are bounded. API serves them over HTTP. Fight and Change are the
// JSON that it answers with, and that pages, notifications and audit reports share.
package report
