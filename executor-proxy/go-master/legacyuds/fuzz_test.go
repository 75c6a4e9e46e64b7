package legacyuds

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	legacyv1 "metanode.dev/go-master/gen/metanode/legacy/v1"
	"metanode.dev/go-master/master"
)

var testLimits = master.Limits{CommitTransactions: 4, CommitBytes: 1000, TransactionBytes: 100}

// writtenConn is a connection on which these bytes come in, then the end.
type writtenConn struct {
	net.Conn
	in []byte
}

func (c *writtenConn) Read(target []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, net.ErrClosed
	}
	count := copy(target, c.in)
	c.in = c.in[count:]
	return count, nil
}

func (c *writtenConn) SetReadDeadline(time.Time) error { return nil }

// FuzzFrames: whatever comes in, frames are within their limit, and no more than what came.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{1, 5, 2, 6, 7}, true)
	f.Add([]byte{0, 0, 0, 1, 5}, false)
	f.Add(bytes.Repeat([]byte{0xff}, 12), true)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, false)
	f.Add([]byte{0}, true)
	f.Fuzz(func(t *testing.T, in []byte, varint bool) {
		const limit = 64
		frames := newFrameReader(&writtenConn{in: in}, time.Second, time.Second)
		var total int
		for {
			read := frames.fixed
			if varint {
				read = frames.varint
			}
			body, err := read(limit)
			if err != nil {
				return
			}
			if total += len(body); len(body) == 0 || len(body) > limit || total > len(in) {
				t.Fatalf("a frame of %x has %d bytes", in, len(body))
			}
		}
	})
}

// FuzzBlock: whatever a block holds, it is read within the limits, or refused.
func FuzzBlock(f *testing.F) {
	for _, message := range []proto.Message{
		&legacyv1.ExecutableBlock{
			Transactions: []*legacyv1.TransactionExe{{Digest: []byte("tx"), WorkerId: 1}}, GlobalExecIndex: 5, BlockNumber: 5,
			CommitHash: make([]byte, 32),
		},
		&legacyv1.CommittedEpochData{
			Blocks:          []*legacyv1.CommittedBlock{{Transactions: []*legacyv1.TransactionExe{{Digest: []byte("tx")}}}},
			GlobalExecIndex: 5,
		},
	} {
		bytes, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes)
	}
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, layout := range []Layout{ExecutableBlock, CommittedEpochData} {
			b, err := layout.decode(body, testLimits)
			if err != nil {
				continue
			}
			if b.index == 0 || b.sizeBytes > testLimits.CommitBytes || len(b.transactions) > 4 {
				t.Fatalf("%+v is over the limits", b)
			}
			one, same := b.commit(master.Digest{1}), b.commit(master.Digest{1})
			if one.Digest != same.Digest {
				t.Fatal("the digest is not one")
			}
			if b.hash == nil && b.commit(master.Digest{2}).Digest == one.Digest {
				t.Fatal("the digest does not depend on the block before")
			}
		}
	})
}

// FuzzRequest: whatever a query holds, it is answered.
func FuzzRequest(f *testing.F) {
	m, err := master.New(master.Settings{})
	if err != nil {
		f.Fatal(err)
	}
	s := New(Settings{Master: m})
	for _, field := range []byte{3, 4, 5, 6, 7, 8, 9} {
		f.Add([]byte{field<<3 | 2, 0})
	}
	f.Add([]byte{31<<3&0x7f | 0x80 | 2, 1, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		var request legacyv1.Request
		if proto.Unmarshal(body, &request) != nil {
			return
		}
		if s.answer(t.Context(), &request).GetPayload() == nil {
			t.Fatalf("%v has no answer", &request)
		}
	})
}

// TestDigestsThatAreNotGivenDependOnEverythingExecuted changes one thing at a time.
func TestDigestsThatAreNotGivenDependOnEverythingExecuted(t *testing.T) {
	whole := func() *block {
		return &block{index: 1, epoch: 2, timestampMs: 3, transactions: []master.Transaction{{Bytes: []byte("ab")}, {Bytes: []byte("c")}}}
	}
	digests := map[master.Digest]bool{whole().digest(master.Digest{}): true}
	for count, change := range []func(*block){
		func(b *block) { b.index++ },
		func(b *block) { b.epoch++ },
		func(b *block) { b.timestampMs++ },
		func(b *block) { b.transactions[0].Bytes, b.transactions[1].Bytes = []byte("a"), []byte("bc") },
		func(b *block) { b.transactions = b.transactions[:1] },
	} {
		b := whole()
		change(b)
		digests[b.digest(master.Digest{})] = true
		if len(digests) != count+2 {
			t.Fatalf("change %d makes no difference", count)
		}
	}
	b := whole()
	b.hash = make([]byte, 32)
	b.hash[0] = 7
	if got := b.digest(master.Digest{1}); got != (master.Digest{7}) {
		t.Fatalf("the digest given is not taken: %s", got)
	}
}

func TestALayoutIsReadByName(t *testing.T) {
	for _, layout := range []Layout{ExecutableBlock, CommittedEpochData} {
		text, err := layout.MarshalText()
		var back Layout
		if err := errors.Join(err, back.UnmarshalText(text)); err != nil || back != layout {
			t.Fatalf("%s is read as %s (%v)", text, back, err)
		}
	}
	if err := new(Layout).UnmarshalText([]byte("auto")); err == nil {
		t.Fatal("auto is no layout")
	}
}
