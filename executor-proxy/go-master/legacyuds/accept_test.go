package legacyuds

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
)

// short is a listener whose first accepts fail.
type short struct {
	net.Listener
	failures atomic.Int32
	with     error
}

func (s *short) Accept() (net.Conn, error) {
	if s.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", s.with)}
	}
	return s.Listener.Accept()
}

func listenShort(t *testing.T, failures int32, with error) *short {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	s := &short{Listener: listener, with: with}
	s.failures.Store(failures)
	return s
}

func TestRunningOutOfFileDescriptorsDoesNotEndTheMaster(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, temporary := range []error{syscall.EMFILE, syscall.ENFILE} {
		listener := listenShort(t, 3, temporary)
		ctx, cancel := context.WithCancel(context.Background())
		served, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- accept(ctx, log, listener, func(context.Context, net.Conn) { close(served) })
		}()
		conn, err := net.Dial("unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-served:
		case err := <-ended:
			t.Fatalf("%v ended the server: %v", temporary, err)
		}
		cancel()
		if err := errors.Join(<-ended, conn.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPauseBetweenAcceptsEndsWithTheServer(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := accept(ctx, log, listenShort(t, 1<<30, syscall.EMFILE), nil); err != nil {
		t.Fatal(err)
	}
	if err := accept(context.Background(), log, listenShort(t, 1, syscall.EINVAL), nil); !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("a listener that is broken ended with %v", err)
	}
}
