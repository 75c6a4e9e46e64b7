package master_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

func TestX02NothingIsAnsweredBeforeTheStateIsLoaded(t *testing.T) {
	loaded := make(chan struct{})
	f := newFake()
	f.durable.Position = master.Position{Index: 5, Digest: testkit.Digest(5)}
	l := startWith(t, settings(), func(ctx context.Context) (master.Executor, error) {
		select {
		case <-loaded:
			return f, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	client := l.client()
	if p := client.Position(); p.GetReady() || p.GetBlockNumber() != 0 {
		t.Fatalf("%v", p)
	}
	ctx := client.Context()
	check, err := client.Health.Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil || check.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("%v and %v", check, err)
	}
	_, _, err = client.TryOpen(testkit.Opening(0, 0))
	testkit.WantError(t, err, codes.Unavailable, master.ReasonNotReady)
	if !testkit.HasRetry(err) {
		t.Errorf("%v does not say when to try again", err)
	}
	_, err = client.Master.GetCommittee(ctx, &executorv1.GetCommitteeRequest{})
	testkit.WantError(t, err, codes.Unavailable, master.ReasonNotReady)
	_, err = client.Master.AdvanceEpoch(ctx, &executorv1.AdvanceEpochRequest{})
	testkit.WantError(t, err, codes.Unavailable, master.ReasonNotReady)
	close(loaded)
	client.WaitUntilReady()
	if p := client.Position(); !p.GetReady() || p.GetBlockNumber() != 5 {
		t.Fatalf("%v", p)
	}
	l.stop()
}

func TestX08AnExecutorThatHangsEndsTheService(t *testing.T) {
	f := newFake()
	f.entered, f.gate = make(chan struct{}, 1), make(chan struct{})
	defer close(f.gate)
	s := settings()
	s.ExecuteTimeout = time.Second
	l := startWith(t, s, func(context.Context) (master.Executor, error) { return f, nil })
	client := l.client()
	client.WaitUntilReady()
	stream, _ := client.Open(0)
	stream.Commit(testkit.Commit(1))
	testkit.WantError(t, stream.Error(), codes.Internal, master.ReasonStorageFailed)
	if err := l.wait(); !errors.Is(err, master.ErrLate) {
		t.Fatalf("the master ended with %v", err)
	}
}

func TestX10ACommitThatTheExecutorRefusesIsToldToItsSenderAndNeverPassed(t *testing.T) {
	f := newFake()
	f.refuse = map[uint64]error{3: fmt.Errorf("block 3: %w", &master.RefusedError{Reason: "no parent"})}
	l, client := start(t, f)
	stream, incarnation := client.Open(0)
	for range 2 {
		// All before it are acknowledged, all behind it are dropped; the same once more, when they come again.
		for index := client.Position().GetBlockNumber() + 1; index <= 6; index++ {
			stream.Commit(testkit.Commit(index))
		}
		var err error
		for err == nil {
			var a *executorv1.Acknowledgement
			if a, err = stream.TryAcknowledgement(); a != nil && !f.isDurable(a.GetIndex()) {
				t.Fatalf("%v is not durable", a)
			}
		}
		testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonRefused, "index", "3", "problem", "no parent")
		if p := client.Position(); p.GetBlockNumber() != 2 || !p.GetReady() {
			t.Fatalf("it stands at %v", p)
		}
		_, _, err = client.TryOpen(testkit.Opening(incarnation, 3))
		testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonGap, "expected_index", "3")
		stream, _ = client.Open(incarnation)
	}
	stream.Commit(testkit.Commit(4))
	testkit.WantError(t, stream.Error(), codes.FailedPrecondition, master.ReasonGap, "expected_index", "3", "index", "4")
	// An executor that was mended goes on with the commit that it had refused.
	f.accept()
	stream, _ = client.Open(incarnation)
	for index := uint64(3); index <= 6; index++ {
		stream.Execute(testkit.Commit(index))
	}
	l.stop()
}

func TestX10AnyOtherErrorOfTheExecutorEndsTheService(t *testing.T) {
	f := newFake()
	broken := errors.New("broken")
	f.refuse = map[uint64]error{3: broken}
	l, client := start(t, f)
	stream, _ := client.Open(0)
	for index := uint64(1); index <= 2; index++ {
		stream.Execute(testkit.Commit(index))
	}
	stream.Commit(testkit.Commit(3))
	stream.Commit(testkit.Commit(4))
	testkit.WantError(t, stream.Error(), codes.Internal, master.ReasonStorageFailed)
	if err := l.wait(); !errors.Is(err, broken) {
		t.Fatalf("the master ended with %v", err)
	}
	if f.isDurable(3) || !f.isDurable(2) {
		t.Fatalf("it stands at %v", f.durable.Position)
	}
}
