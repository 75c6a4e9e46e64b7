package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	legacyv1 "metanode.dev/go-master/gen/metanode/legacy/v1"
	"metanode.dev/go-master/internal/testkit"
)

// framed is a sender of the framed protocol.
type framed struct {
	t               *testing.T
	blocks, queries net.Conn
	answers         *bufio.Reader
}

func dialFramed(t *testing.T, folder string) *framed {
	t.Helper()
	dial := func(name string) net.Conn {
		conn, err := net.Dial("unix", filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(testkit.Deadline)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	queries := dial("queries")
	return &framed{t: t, blocks: dial("blocks"), queries: queries, answers: bufio.NewReader(queries)}
}

// block sends a block; false if the other side is gone.
func (f *framed) block(index uint64) bool {
	digest := testkit.Digest(index)
	body, err := proto.Marshal(&legacyv1.ExecutableBlock{
		Transactions:    []*legacyv1.TransactionExe{{Digest: testkit.Transfer(1, index-1)}},
		GlobalExecIndex: index, BlockNumber: index, CommitHash: digest[:],
	})
	if err != nil {
		panic(err)
	}
	_, err = f.blocks.Write(append(binary.AppendUvarint(nil, uint64(len(body))), body...))
	return err == nil
}

// last asks for the last number, until it is ready.
func (f *framed) last() *legacyv1.LastBlockNumber {
	f.t.Helper()
	for {
		// GetLastBlockNumber, field 5, empty.
		if _, err := f.queries.Write([]byte{0, 0, 0, 2, 5<<3 | 2, 0}); err != nil {
			f.t.Fatal(err)
		}
		var length uint32
		if err := binary.Read(f.answers, binary.BigEndian, &length); err != nil {
			f.t.Fatal(err)
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(f.answers, body); err != nil {
			f.t.Fatal(err)
		}
		var response legacyv1.Response
		if err := proto.Unmarshal(body, &response); err != nil {
			f.t.Fatal(err)
		}
		if last := response.GetLastBlockNumber(); last.GetIsReady() {
			return last
		}
	}
}

// TestX05EverythingReportedOverTheFramedProtocolIsThereAfterAKill is the same as for gRPC, where reports are all there is.
func TestX05EverythingReportedOverTheFramedProtocolIsThereAfterAKill(t *testing.T) {
	const lives = 8
	folder := t.TempDir()
	args := []string{"--uds-legacy", "--uds-blocks", filepath.Join(folder, "blocks"), "--uds-queries", filepath.Join(folder, "queries")}
	var reported uint64
	for life := range lives {
		p := startProcess(t, folder, args...)
		f := dialFramed(t, folder)
		stands := f.last().GetLastGlobalExecIndex()
		if stands < reported {
			t.Fatalf("life %d stands at %d, %d was reported", life, stands, reported)
		}
		writer := make(chan struct{})
		go func() {
			defer close(writer)
			for index := stands + 1; f.block(index); index++ {
			}
		}()
		for until := stands + rand.Uint64N(60); reported < until || reported < stands; {
			reported = f.last().GetLastGlobalExecIndex()
		}
		p.kill()
		<-writer
	}
	all := lines(t, folder)
	if uint64(len(all)) < reported {
		t.Fatalf("%d blocks are there, %d were reported", len(all), reported)
	}
	for place, l := range all {
		if l.Index != uint64(place)+1 || len(l.Transactions) != 1 || len(l.Rejected) > 0 {
			t.Fatalf("at place %d: %+v", place, l)
		}
	}
	t.Logf("%d blocks over %d kills, the last reported is %d", len(all), lives, reported)
}

func TestSignalsEndTheFramedSocketsToo(t *testing.T) {
	folder := t.TempDir()
	p := startProcess(t, folder, "--uds-legacy", "--uds-layout", "executable-block", "--uds-idle", "1m",
		"--uds-blocks", filepath.Join(folder, "blocks"), "--uds-queries", filepath.Join(folder, "queries"))
	f := dialFramed(t, folder)
	f.last()
	f.block(1)
	for f.last().GetLastBlockNumber() == 0 {
	}
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Fatalf("the exit code is %d", code)
	}
	if _, err := f.answers.ReadByte(); err == nil {
		t.Fatal("the connection is open")
	}
	if count := len(lines(t, folder)); count != 1 {
		t.Fatalf("%d blocks are there", count)
	}
}
