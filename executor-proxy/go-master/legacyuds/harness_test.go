package legacyuds_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	legacyv1 "metanode.dev/go-master/gen/metanode/legacy/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/ledger"
	"metanode.dev/go-master/legacyuds"
	"metanode.dev/go-master/master"
	"metanode.dev/go-master/store"
)

// gated is the ledger with a gate before its sync.
type gated struct {
	*store.Store
	// entered gets a value when Sync begins, gate must give one before it goes on; nil: it goes on.
	entered, gate chan struct{}
}

func (g *gated) Sync(ctx context.Context) error {
	if g.gate != nil {
		g.entered <- struct{}{}
		<-g.gate
	}
	return g.Store.Sync(ctx)
}

// world is a master that runs, with its two sockets and the API.
type world struct {
	t                    *testing.T
	folder               string
	blocks, queries, api string
	executor             *gated
	stop                 func() error
}

// start starts it in a folder and waits until it is loaded. change may change settings and executor before.
func start(t *testing.T, folder string, change func(*legacyuds.Settings, *gated)) *world {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	m, err := master.New(master.Settings{
		Chain:  testkit.Chain,
		Limits: master.Limits{CommitTransactions: 100, CommitBytes: 64 << 10, TransactionBytes: 8 << 10},
		Window: master.Window{Commits: 4, Bytes: 1 << 20},
		Log:    log,
	})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := store.Open(filepath.Join(folder, "data"), store.Genesis{
		Chain:     testkit.Chain,
		Accounts:  []ledger.Balance{{Key: testkit.Account(1), Balance: testkit.Balance}},
		Committee: []master.Member{{Stake: 5, ProtocolKey: testkit.Authority, NetworkKey: testkit.Other, Address: "host:1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, folder: folder, executor: &gated{Store: opened}}
	settings := legacyuds.Settings{Master: m, GenesisTimestampMs: 77, Log: log}
	if change != nil {
		change(&settings, w.executor)
	}
	listen := func(name string) (net.Listener, string) {
		path := filepath.Join(folder, name)
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return listener, path
	}
	var blocks, queries, api net.Listener
	blocks, w.blocks = listen("blocks")
	queries, w.queries = listen("queries")
	api, w.api = listen("api")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- legacyuds.New(settings).Serve(ctx, blocks, queries) }()
	go func() { ended <- m.Serve(api) }()
	go func() {
		ended <- m.Run(ctx, func(context.Context) (master.Executor, error) { return w.executor, nil })
	}()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, <-ended, <-ended, opened.Close())
	})
	t.Cleanup(func() { _ = w.stop() })
	testkit.Dial(t, "unix:"+w.api).WaitUntilReady()
	return w
}

// end ends it in order.
func (w *world) end() {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Fatal(err)
	}
}

// conn is a connection to one of the sockets.
type conn struct {
	t *testing.T
	net.Conn
	bytes *bufio.Reader
}

func dial(t *testing.T, path string) *conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(testkit.Deadline)); err != nil {
		t.Fatal(err)
	}
	return &conn{t: t, Conn: c, bytes: bufio.NewReader(c)}
}

func (c *conn) write(bytes []byte) {
	c.t.Helper()
	if _, err := c.Write(bytes); err != nil {
		c.t.Fatal(err)
	}
}

// block sends a block in its frame.
func (c *conn) block(message proto.Message) {
	c.t.Helper()
	c.write(varintFrame(c.t, message))
}

func varintFrame(t testing.TB, message proto.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// waitClosed waits until the other side has closed the connection.
func (c *conn) waitClosed() {
	c.t.Helper()
	if _, err := c.bytes.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatalf("the connection is open: %v", err)
	} else if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("the connection is still open")
	}
}

// send sends a query.
func (c *conn) send(request *legacyv1.Request) {
	c.t.Helper()
	body, err := proto.Marshal(request)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
}

// receive waits for an answer.
func (c *conn) receive() *legacyv1.Response {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c.bytes, head[:]); err != nil {
		c.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c.bytes, body); err != nil {
		c.t.Fatal(err)
	}
	var response legacyv1.Response
	if err := proto.Unmarshal(body, &response); err != nil {
		c.t.Fatal(err)
	}
	return &response
}

func (c *conn) ask(request *legacyv1.Request) *legacyv1.Response {
	c.t.Helper()
	c.send(request)
	return c.receive()
}

var lastBlockNumber = &legacyv1.Request{Payload: &legacyv1.Request_GetLastBlockNumber{
	GetLastBlockNumber: &legacyv1.GetLastBlockNumberRequest{},
}}

// last asks for the last number.
func (c *conn) last() uint64 {
	c.t.Helper()
	return c.ask(lastBlockNumber).GetLastBlockNumber().GetLastGlobalExecIndex()
}

// until asks until the last number is index.
func (c *conn) until(index uint64) {
	c.t.Helper()
	for c.last() != index {
	}
}

func transfers(index uint64) []*legacyv1.TransactionExe {
	return []*legacyv1.TransactionExe{{Digest: testkit.Transfer(1, index-1)}}
}

// executable is a block of the honest chain, with the digest of its commit.
func executable(index uint64) *legacyv1.ExecutableBlock {
	digest := testkit.Digest(index)
	return &legacyv1.ExecutableBlock{
		Transactions: transfers(index), GlobalExecIndex: index, BlockNumber: index, CommitIndex: uint32(index),
		CommitTimestampMs: index, CommitHash: digest[:],
	}
}

// epochData is the same block in the other layout.
func epochData(index uint64) *legacyv1.CommittedEpochData {
	return &legacyv1.CommittedEpochData{
		Blocks:          []*legacyv1.CommittedBlock{{Height: 1}, {Height: 2, Transactions: transfers(index)}},
		GlobalExecIndex: index, CommitIndex: uint32(index), CommitTimestampMs: index,
	}
}

func inLayout(layout legacyuds.Layout, index uint64) proto.Message {
	if layout == legacyuds.CommittedEpochData {
		return epochData(index)
	}
	return executable(index)
}
