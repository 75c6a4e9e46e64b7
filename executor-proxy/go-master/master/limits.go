package master

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// callLimit bounds the calls under way over all connections, and with them the memory of half-read messages.
type callLimit struct {
	limit   int64
	current atomic.Int64
}

// admit is called before a call is read. gRPC carries no details here, so its reason is not ReasonTooManyCalls.
func (c *callLimit) admit(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if c.current.Add(1) > c.limit {
		c.current.Add(-1)
		return nil, status.Error(codes.ResourceExhausted, "as many calls are under way as may be")
	}
	context.AfterFunc(ctx, func() { c.current.Add(-1) })
	return ctx, nil
}

// limitConnections bounds the connections at a time; more wait to be accepted.
func limitConnections(listener net.Listener, limit int) net.Listener {
	return &limitedListener{Listener: listener, open: make(chan struct{}, limit), closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	open      chan struct{}
	closed    chan struct{}
	closeOnce sync.Once
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.open })}, nil
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
