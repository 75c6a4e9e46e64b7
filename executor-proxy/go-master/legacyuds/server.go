// Package legacyuds serves the framed protocol of existing masters on top of a master.Master: one socket that blocks come in on, and
// one for queries, both listened on by the master.
//
//	blocks    unsigned varint length, then the block in one of two layouts; no answer
//	queries   u32 big-endian length, then a Request; Response in the same frame, in order
//
// There is no acknowledgement: the sender asks for the last number, which is answered only from what is durable. A block at or
// below the last is dropped in silence. One that is above the next is dropped too, and told in the log: it is neither held
// nor adopted. Whatever cannot be decoded, or breaks the limits, closes its connection, and nothing behind it is executed. A
// connection that sends a block ends the one that sent before it.
//
// The protocol does not carry the digest of the block before. What it can check is less than the contract has: use gRPC where
// there is a choice.
package legacyuds

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"metanode.dev/go-master/master"
)

const (
	// DefaultIdle is after how long a silent connection is closed without a word.
	DefaultIdle = 2 * time.Minute
	// DefaultRead is the time that a frame may take from its first byte on.
	DefaultRead = 5 * time.Second
	// maxConnections of each socket; more wait to be accepted.
	maxConnections = 16
	// firstPause and longestPause are how long nothing is accepted after an error that passes; each pause is twice the one before.
	firstPause   = 5 * time.Millisecond
	longestPause = time.Second
)

// Settings of the two sockets.
type Settings struct {
	// Master that executes. Required.
	Master *master.Master
	// Layout of the blocks.
	Layout Layout
	// GenesisTimestampMs is the start of epoch 0, in milliseconds since the Unix epoch.
	GenesisTimestampMs uint64
	// Idle is after how long a silent connection is closed. Default: DefaultIdle.
	Idle time.Duration
	// Read is the time that a frame may take from its first byte on. Default: DefaultRead.
	Read time.Duration
	// Log takes the events. Default: slog.Default.
	Log *slog.Logger
}

// Server serves the two sockets.
type Server struct {
	settings Settings
	log      *slog.Logger
}

// New makes a server.
func New(settings Settings) *Server {
	if settings.Idle == 0 {
		settings.Idle = DefaultIdle
	}
	if settings.Read == 0 {
		settings.Read = DefaultRead
	}
	if settings.Log == nil {
		settings.Log = slog.Default()
	}
	return &Server{settings: settings, log: settings.Log}
}

// Serve serves both listeners until ctx ends, and closes them. What came in is executed by the master; see its Run.
func (s *Server) Serve(ctx context.Context, blocks, queries net.Listener) error {
	var serving sync.WaitGroup
	outcomes := make([]error, 2)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serving.Go(func() {
		defer cancel()
		outcomes[0] = accept(ctx, s.log, blocks, s.serveBlocks)
	})
	serving.Go(func() {
		defer cancel()
		outcomes[1] = accept(ctx, s.log, queries, s.serveQueries)
	})
	serving.Wait()
	return errors.Join(outcomes...)
}

// accept serves each connection in a goroutine of its own until ctx ends, and waits for them. An error that passes, such as of a
// process that has no file descriptors left, only makes it pause, as net/http and gRPC do.
func accept(ctx context.Context, log *slog.Logger, listener net.Listener, serve func(context.Context, net.Conn)) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var serving sync.WaitGroup
	defer serving.Wait()
	open := make(chan struct{}, maxConnections)
	pause := firstPause
	for {
		select {
		case open <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			if !isTemporary(err) {
				return errors.Join(err, listener.Close())
			}
			log.Warn("no connection can be accepted, will try again", "address", listener.Addr().String(), "problem", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
			pause = min(2*pause, longestPause)
			<-open
			continue
		}
		pause = firstPause
		serving.Go(func() {
			defer func() { <-open }()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			// A read or write that waits ends with its connection.
			closing := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer func() {
				if closing() {
					_ = conn.Close()
				}
			}()
			serve(ctx, conn)
		})
	}
}

// isTemporary is true of an error of the process or the machine, not of the listener.
func isTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}
