package master_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

func TestAClientThatSendsNoMoreGetsAllAcknowledgementsAndAnOrderlyEnd(t *testing.T) {
	l, client := start(t, newFake())
	stream, _ := client.Open(0)
	for index := uint64(1); index <= 3; index++ {
		stream.Commit(testkit.Commit(index))
	}
	stream.CloseSend()
	for index := uint64(1); index <= 3; index++ {
		if a := stream.Acknowledgement(); a.GetIndex() != index {
			t.Fatalf("%v, want commit %d", a, index)
		}
	}
	if a, err := stream.TryAcknowledgement(); a != nil || err != nil {
		t.Fatalf("the end is %v and %v", a, err)
	}
	l.stop()
}

func TestShutdownTellsTheStreamThatTheMasterDrains(t *testing.T) {
	l, client := start(t, newFake())
	stream, _ := client.Open(0)
	stream.Execute(testkit.Commit(1))
	l.cancel()
	err := stream.Error()
	testkit.WantError(t, err, codes.Unavailable, master.ReasonDraining)
	if !testkit.HasRetry(err) {
		t.Errorf("%v does not say when to try again", err)
	}
	if err := l.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsAreCheckedAllAtOnce(t *testing.T) {
	_, err := master.New(master.Settings{
		Limits:         master.Limits{CommitTransactions: 1_000_001, CommitBytes: 1},
		Window:         master.Window{Commits: 5000, Bytes: 1 << 20},
		ExecuteTimeout: time.Millisecond,
	})
	for _, problem := range []string{"transactions a commit", "window: 5000", "execute timeout: 1ms"} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q is not in %v", problem, err)
		}
	}
}
