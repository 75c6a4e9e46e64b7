// Package master serves metanode.executor.v1.ExecutorService in front of an Executor: the side of the contract that executes.
//
// A team implements Executor: its state machine, its database. This package does the rest: leases and fencing, compare-and-set on
// index and digest, answers to commits that come again, typed refusals of gaps, forks and malformed commits, bounds in commits
// and bytes, acknowledgements after the sync and never before, epochs, health and reflection.
//
//	client ---> server.go ----> driver.go -------> worker.go: Execute n, n+1, ... then one Sync
//	  (stream)   decode, form    sequencer.go          |
//	         <-- acknowledgement ---- + <-- durable ---+
//
// One goroutine, the driver, owns the sequencer, which decides; another, the worker, calls Execute and Sync. A commit is read from
// its stream only when there is room for its acknowledgement, so a client that does not read stops itself and nobody else.
//
//	m, err := master.New(master.Settings{Chain: chain})
//	...
//	go m.Serve(listener)
//	err = m.Run(ctx, func(ctx context.Context) (master.Executor, error) { return openMyState(ctx) })
package master
