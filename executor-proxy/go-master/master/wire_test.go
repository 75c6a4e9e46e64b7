package master

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	consensusv1 "metanode.dev/go-master/gen/metanode/consensus/v1"
	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
)

var testLimits = Limits{CommitTransactions: 10, CommitBytes: 1000, TransactionBytes: 100}

func message(lengths ...int) *consensusv1.Commit {
	ref := &consensusv1.BlockRef{Round: 1, Digest: make([]byte, 32)}
	block := &consensusv1.CommittedBlock{Block: ref}
	for _, length := range lengths {
		block.Transactions = append(block.Transactions, make([]byte, length))
	}
	return &consensusv1.Commit{
		Index: 1, PreviousDigest: make([]byte, 32), Digest: make([]byte, 32),
		Leaders: []*consensusv1.BlockRef{ref}, Blocks: []*consensusv1.CommittedBlock{block},
	}
}

func TestD10EveryFieldThatIsNeededIsChecked(t *testing.T) {
	ref := func(change func(*consensusv1.BlockRef)) *consensusv1.BlockRef {
		ref := &consensusv1.BlockRef{Digest: make([]byte, 32)}
		change(ref)
		return ref
	}
	for name, c := range map[string]struct {
		change func(*consensusv1.Commit)
		field  string
	}{
		"whole":              {func(*consensusv1.Commit) {}, ""},
		"index 0":            {func(c *consensusv1.Commit) { c.Index = 0 }, "commit.index"},
		"short digest":       {func(c *consensusv1.Commit) { c.Digest = make([]byte, 31) }, "commit.digest"},
		"long digest":        {func(c *consensusv1.Commit) { c.Digest = make([]byte, 33) }, "commit.digest"},
		"no previous digest": {func(c *consensusv1.Commit) { c.PreviousDigest = nil }, "commit.previous_digest"},
		"no leader":          {func(c *consensusv1.Commit) { c.Leaders = nil }, "commit.leaders"},
		"author 65536": {func(c *consensusv1.Commit) {
			c.Leaders = append(c.Leaders, ref(func(r *consensusv1.BlockRef) { r.Author = 65_536 }))
		}, "commit.leaders"},
		"author 65535": {func(c *consensusv1.Commit) {
			c.Leaders = append(c.Leaders, ref(func(r *consensusv1.BlockRef) { r.Author = 65_535 }))
		}, ""},
		"no block reference":    {func(c *consensusv1.Commit) { c.Blocks[0].Block = nil }, "commit.blocks.block"},
		"empty block reference": {func(c *consensusv1.Commit) { c.Blocks[0].Block = &consensusv1.BlockRef{} }, "commit.blocks.block"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(1)
			c.change(m)
			wantField(t, m, c.field)
		})
	}
}

func TestD15CountsAndSizesPassUpToTheLimit(t *testing.T) {
	for name, c := range map[string]struct {
		lengths []int
		field   string
		size    uint64
	}{
		"no transaction":          {nil, "", 128},
		"longest transaction":     {[]int{100}, "", 128 + 116},
		"one byte more":           {[]int{101}, "commit.blocks.transactions", 0},
		"most transactions":       {make([]int, 10), "", 128 + 160},
		"one transaction more":    {make([]int, 11), "commit.blocks", 0},
		"most bytes":              {[]int{100, 100, 100, 100, 100, 100, 100, 44}, "", 1000},
		"one byte more in commit": {[]int{100, 100, 100, 100, 100, 100, 100, 45}, "commit.blocks", 0},
	} {
		t.Run(name, func(t *testing.T) {
			commit := wantField(t, message(c.lengths...), c.field)
			if commit != nil && commit.SizeBytes != c.size {
				t.Errorf("the size is %d, want %d", commit.SizeBytes, c.size)
			}
		})
	}
}

func TestMarksAreReadFromTheLeastSignificantBitOn(t *testing.T) {
	m := message(make([]int, 9)...)
	m.DuplicateMarks = []byte{0b0000_0101, 0b1}
	commit := wantField(t, m, "")
	for place, transaction := range commit.Transactions {
		if want := place == 0 || place == 2 || place == 8; transaction.Duplicate != want {
			t.Errorf("transaction %d: duplicate is %v", place, transaction.Duplicate)
		}
	}
	for _, marks := range [][]byte{{0, 0b10}, {0, 0, 0}} {
		m.DuplicateMarks = marks
		wantField(t, m, "commit.duplicate_marks")
	}
	m.DuplicateMarks = []byte{1}
	wantField(t, m, "")
}

func TestAnOpeningNeedsALeaseAndWholeDigests(t *testing.T) {
	whole := func() *executorv1.StreamOpening {
		return &executorv1.StreamOpening{
			ChainId: make([]byte, 32), Lease: &executorv1.Lease{Authority: make([]byte, 32), Incarnation: 3},
			AfterIndex: 4, AfterDigest: make([]byte, 32),
		}
	}
	if o, err := decodeOpening(whole()); err != nil || o.incarnation != 3 || o.after.Index != 4 {
		t.Fatalf("%+v and %v", o, err)
	}
	for field, change := range map[string]func(*executorv1.StreamOpening){
		"opening.lease":           func(o *executorv1.StreamOpening) { o.Lease = nil },
		"opening.chain_id":        func(o *executorv1.StreamOpening) { o.ChainId = nil },
		"opening.lease.authority": func(o *executorv1.StreamOpening) { o.Lease.Authority = make([]byte, 33) },
		"opening.after_digest":    func(o *executorv1.StreamOpening) { o.AfterDigest = make([]byte, 31) },
	} {
		o := whole()
		change(o)
		_, err := decodeOpening(o)
		if got := (*FieldError)(nil); !errors.As(err, &got) || got.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAReasonIsCutAt256BytesOnACharacter(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{{"", 0}, {strings.Repeat("a", 256), 256}, {strings.Repeat("a", 257), 256}, {strings.Repeat("a", 255) + "\u00e9", 255}} {
		if got := cut(c.text); len(got) != c.want {
			t.Errorf("%d bytes are cut to %d, want %d", len(c.text), len(got), c.want)
		}
	}
	if got := cut("\xff" + strings.Repeat("\u00e9", 200)); !utf8.ValidString(got) || len(got) > 256 {
		t.Errorf("%q", got)
	}
}

func wantField(t *testing.T, m *consensusv1.Commit, field string) *Commit {
	t.Helper()
	commit, err := decodeCommit(m, testLimits)
	if field == "" {
		if err != nil {
			t.Fatal(err)
		}
		return commit
	}
	if got := (*FieldError)(nil); !errors.As(err, &got) || got.Field != field {
		t.Fatalf("the refusal is %v, want one of %s", err, field)
	}
	return nil
}

// FuzzExecuteCommitsRequest: whatever bytes come in, decoding ends with a commit within the limits or a typed refusal.
func FuzzExecuteCommitsRequest(f *testing.F) {
	for _, m := range []*executorv1.ExecuteCommitsRequest{
		{},
		{Message: &executorv1.ExecuteCommitsRequest_Opening{Opening: &executorv1.StreamOpening{Lease: &executorv1.Lease{}}}},
		{Message: &executorv1.ExecuteCommitsRequest_Commit{Commit: message(1, 2, 3)}},
		{Message: &executorv1.ExecuteCommitsRequest_Commit{Commit: &consensusv1.Commit{DuplicateMarks: []byte{1}}}},
	} {
		bytes, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes)
	}
	f.Add([]byte{0x12, 0xff})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		var m executorv1.ExecuteCommitsRequest
		if proto.Unmarshal(bytes, &m) != nil {
			return
		}
		if _, err := decodeOpening(m.GetOpening()); err != nil {
			if field := (*FieldError)(nil); !errors.As(err, &field) {
				t.Fatalf("%v is not typed", err)
			}
		}
		commit, err := decodeCommit(m.GetCommit(), testLimits)
		if err != nil {
			if field := (*FieldError)(nil); !errors.As(err, &field) {
				t.Fatalf("%v is not typed", err)
			}
			return
		}
		if commit.Index == 0 || commit.SizeBytes > testLimits.CommitBytes ||
			uint64(len(commit.Transactions)) > testLimits.CommitTransactions {
			t.Fatalf("%+v is over the limits", commit)
		}
	})
}
