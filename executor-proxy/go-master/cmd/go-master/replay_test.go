package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	consensusv1 "metanode.dev/go-master/gen/metanode/consensus/v1"
	"metanode.dev/go-master/internal/testkit"
)

// BenchmarkReplay streams commits of one transfer each to an empty master, as a replay does, and tells what the process came to:
//
//	go test -bench Replay -benchtime 100000x ./cmd/go-master
func BenchmarkReplay(b *testing.B) {
	commits := make([]*consensusv1.Commit, b.N)
	for place := range commits {
		commits[place] = testkit.Commit(uint64(place) + 1)
	}
	p := startProcess(b, b.TempDir(), "--log-level", "info")
	stream, _ := p.client().Open(0)
	b.ResetTimer()
	go func() {
		for _, commit := range commits {
			stream.Commit(commit)
		}
	}()
	for index := uint64(1); index <= uint64(b.N); index++ {
		if a := stream.Acknowledgement(); a.GetIndex() != index || len(a.GetRejected()) > 0 {
			b.Fatalf("%v, want commit %d", a, index)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		// Not on this system.
		return
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
			b.ReportMetric(kib/1024, "peak-MiB")
		}
	}
}
