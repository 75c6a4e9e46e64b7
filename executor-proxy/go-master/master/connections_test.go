package master

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
)

// serve serves a master that loads for as long as the test goes on, with other bounds.
func serve(t *testing.T, b bounds) (target string) {
	t.Helper()
	m, err := New(Settings{Chain: testkit.Chain, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	m.bounds = b
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(listener) }()
	go func() {
		_ = m.Run(ctx, func(ctx context.Context) (Executor, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// stay opens a connection that speaks HTTP/2, answers pings, calls nothing and takes no notice of being sent away. It returns when
// the server has taken it in.
func stay(t *testing.T, target string) {
	t.Helper()
	conn, err := net.Dial("tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const settings, ping, isAnswer = 4, 6, 1
	if _, err := conn.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0, 0, 0, settings, 0, 0, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			head := make([]byte, 9)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
			if _, err := io.ReadFull(conn, body); err != nil {
				return
			}
			if first {
				close(taken)
			}
			if head[3] == ping && head[4]&isAnswer == 0 {
				head[4] |= isAnswer
				_, _ = conn.Write(append(head, body...))
			}
		}
	}()
	<-taken
}

func TestT06ConnectionsThatOnlyAnswerPingsMakeRoom(t *testing.T) {
	target := serve(t, bounds{idle: 200 * time.Millisecond, receive: time.Minute})
	for range maxConnections {
		stay(t, target)
	}
	testkit.Dial(t, target).Position()
}

func TestT06ConnectionsThatOnlyWaitForNewsMakeRoom(t *testing.T) {
	target := serve(t, bounds{idle: 200 * time.Millisecond, receive: time.Minute})
	for range maxConnections {
		client := testkit.Dial(t, target)
		watch, err := client.Health.Watch(client.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		// What is over the share is refused, which is an answer as well.
		_, _ = watch.Recv()
	}
	testkit.Dial(t, target).Position()
}

func TestT06CallsWhoseMessageDoesNotComeMakeRoom(t *testing.T) {
	target := serve(t, bounds{idle: time.Minute, receive: 200 * time.Millisecond})
	client := testkit.Dial(t, target)
	for range maxCalls {
		client.Hold(client.Context())
	}
	for {
		_, err := client.Master.GetLastBlockNumber(client.Context(), &executorv1.GetLastBlockNumberRequest{})
		if err == nil {
			return
		}
		if client.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}
