package master_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

func TestT06OneStreamMoreThanThereMayBeIsRefused(t *testing.T) {
	l, client := start(t, newFake())
	refused := make(chan error, 17)
	var streams []*testkit.Stream
	for range 17 {
		stream := client.Raw()
		streams = append(streams, stream)
		go func() { refused <- stream.Error() }()
	}
	// Sixteen wait for their opening; which one is the seventeenth is not ordered.
	testkit.WantError(t, <-refused, codes.ResourceExhausted, master.ReasonTooManyCalls, "limit", "16")
	for _, stream := range streams {
		stream.Cancel()
	}
	for range 16 {
		<-refused
	}
	l.stop()
}

func TestT06CallsOverAllConnectionsAreBounded(t *testing.T) {
	l, client := start(t, newFake())
	ctx, cancel := context.WithCancel(client.Context())
	defer cancel()
	for range 64 {
		client.Hold(ctx)
	}
	_, err := client.Master.GetLastBlockNumber(client.Context(), &executorv1.GetLastBlockNumberRequest{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("65 calls went through: %v", err)
	}
	cancel()
	// What was cancelled makes room again.
	for client.Context().Err() == nil {
		if _, err := client.Master.GetLastBlockNumber(client.Context(), &executorv1.GetLastBlockNumberRequest{}); err == nil {
			break
		}
	}
	l.stop()
}

func TestT06CallsThatWaitForNewsTakeNothingFromTheContract(t *testing.T) {
	l, client := start(t, newFake())
	ctx, cancel := context.WithCancel(client.Context())
	var watching int
	for range 100 {
		watch, err := client.Health.Watch(ctx, &healthv1.HealthCheckRequest{})
		if err == nil {
			_, err = watch.Recv()
		}
		switch status.Code(err) {
		case codes.OK:
			watching++
		case codes.Unimplemented:
		default:
			t.Fatal(err)
		}
	}
	// That with which the client waited until the master was ready may be one of them still.
	if watching != 16 && watching != 15 {
		t.Errorf("%d calls wait for news", watching)
	}
	stream, _ := client.Open(0)
	stream.Execute(testkit.Commit(1))
	cancel()
	l.stop()
}
