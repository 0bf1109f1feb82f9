// Package audit reads the API server's audit logs (audit.k8s.io/v1) and says what they tell about fights.
//
// Open finds the inputs: files, folders, globs, standard input; plain, gzip or zstd; as the API server writes them or in
// the wrappings in which managed clouds export them. Input.Scan hands every Event to as many goroutines as there are
// processors, in no order; Input.Ordered hands some of them to one, in the order of time. Neither keeps more than a few
// blocks of the input in memory, whatever its size. What is no event is counted and located, and never the end.
//
// Top, Relists, Timeline and Query are what can be asked of events. Fights takes the recorded writes through the very
// code of the webhook (admission.Guard), in the time of the log; Replay does so with a policy that acts, and says what
// would have been.
package audit
