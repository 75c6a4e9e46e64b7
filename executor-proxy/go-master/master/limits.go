package master

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
)

const (
	// maxConnections and maxCalls bound what all clients can hold open together.
	maxConnections = 64
	maxCalls       = 64
	// maxNews is how many calls may wait for news: those that go on for as long as their client likes, and are not of the
	// contract. They have a share of their own, so that they take nothing from it.
	maxNews = 16
)

// bounds in time of what a client may hold.
type bounds struct {
	// idle is after how long a connection without a call is closed, also one that answers pings: it makes room.
	idle time.Duration
	// receive is the time for the message of a call.
	receive time.Duration
}

var defaultBounds = bounds{idle: time.Minute, receive: 10 * time.Second}

// callLimits bounds the calls under way over all connections, and with them the memory of half-read messages.
type callLimits struct {
	receive     time.Duration
	calls, news atomic.Int64
}

// received is the key of what stops the clock of a call whose message has come.
type received struct{}

// admit is called before a call is read. gRPC carries no details here, so its reason is not ReasonTooManyCalls.
func (c *callLimits) admit(ctx context.Context, call *tap.Info) (context.Context, error) {
	if waitsForNews(call.FullMethodName) {
		// Clients of the health protocol take UNIMPLEMENTED for a server that does not tell its health, and go on; any other
		// error for one that is not healthy.
		return take(ctx, &c.news, maxNews, codes.Unimplemented, "as many calls wait for news as may")
	}
	ctx, err := take(ctx, &c.calls, maxCalls, codes.ResourceExhausted, "as many calls are under way as may be")
	if err != nil || call.FullMethodName == executorv1.ExecutorService_ExecuteCommits_FullMethodName {
		// A stream of commits has a deadline of its own for its opening.
		return ctx, err
	}
	ctx, cancel := context.WithCancel(ctx)
	clock := time.AfterFunc(c.receive, cancel)
	context.AfterFunc(ctx, func() { clock.Stop() })
	return context.WithValue(ctx, received{}, clock), nil
}

// started is called when the message of a call has come.
func (c *callLimits) started(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if clock, ok := ctx.Value(received{}).(*time.Timer); ok {
		clock.Stop()
	}
	return handle(ctx, request)
}

// take takes a place that comes free when ctx ends.
func take(ctx context.Context, taken *atomic.Int64, limit int64, code codes.Code, full string) (context.Context, error) {
	if taken.Add(1) > limit {
		taken.Add(-1)
		return nil, status.Error(code, full)
	}
	context.AfterFunc(ctx, func() { taken.Add(-1) })
	return ctx, nil
}

func waitsForNews(method string) bool {
	return method == healthv1.Health_Watch_FullMethodName || strings.HasPrefix(method, "/grpc.reflection.")
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
