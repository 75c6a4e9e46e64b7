package legacyuds_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	legacyv1 "metanode.dev/go-master/gen/metanode/legacy/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/legacyuds"
	"metanode.dev/go-master/master"
)

func TestBlocksOfBothLayoutsAreExecutedInOrder(t *testing.T) {
	for _, layout := range []legacyuds.Layout{legacyuds.ExecutableBlock, legacyuds.CommittedEpochData} {
		t.Run(layout.String(), func(t *testing.T) {
			w := start(t, t.TempDir(), func(s *legacyuds.Settings, _ *gated) { s.Layout = layout })
			blocks, queries := dial(t, w.blocks), dial(t, w.queries)
			for index := uint64(1); index <= 50; index++ {
				blocks.block(inLayout(layout, index))
			}
			queries.until(50)
			result, err := w.executor.Executed(t.Context(), 50)
			if err != nil || len(result.Rejected) > 0 {
				t.Fatalf("%+v and %v", result, err)
			}
			w.end()
		})
	}
}

// TestStateRootsEqualThoseOfAMasterThatIsFedOverGRPC compares the two ways to the same ledger.
func TestStateRootsEqualThoseOfAMasterThatIsFedOverGRPC(t *testing.T) {
	framed, direct := start(t, t.TempDir(), nil), start(t, t.TempDir(), nil)
	blocks, queries := dial(t, framed.blocks), dial(t, framed.queries)
	stream, _ := testkit.Dial(t, "unix:"+direct.api).Open(0)
	for index := uint64(1); index <= 5; index++ {
		blocks.block(executable(index))
		want := stream.Execute(testkit.Commit(index)).GetStateRoot()
		queries.until(index)
		got := queries.ask(&legacyv1.Request{Payload: &legacyv1.Request_GetLastHandledCommitIndex{
			GetLastHandledCommitIndex: &legacyv1.GetLastHandledCommitIndexRequest{},
		}}).GetLastHandledCommitIndex()
		if !bytes.Equal(got.GetStateRoot(), want) || got.GetLastGei() != index || got.GetLastCommitIndex() != uint32(index) ||
			!got.GetIsAuthoritative() || got.GetLastBlockTimestampMs() != index {
			t.Fatalf("block %d: %v, want root %x", index, got, want)
		}
	}
	framed.end()
	direct.end()
}

func TestD09ABlockAtOrBelowTheLastIsDroppedInSilence(t *testing.T) {
	for _, layout := range []legacyuds.Layout{legacyuds.ExecutableBlock, legacyuds.CommittedEpochData} {
		t.Run(layout.String(), func(t *testing.T) {
			w := start(t, t.TempDir(), func(s *legacyuds.Settings, _ *gated) { s.Layout = layout })
			blocks, queries := dial(t, w.blocks), dial(t, w.queries)
			for _, index := range []uint64{1, 2, 1, 2, 2, 3} {
				blocks.block(inLayout(layout, index))
			}
			queries.until(3)
			result, err := w.executor.Executed(t.Context(), 3)
			if err != nil || len(result.Rejected) > 0 {
				t.Fatalf("%+v and %v", result, err)
			}
			w.end()
		})
	}
}

func TestD08ABlockAboveTheNextIsNeitherHeldNorAdopted(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	blocks, queries := dial(t, w.blocks), dial(t, w.queries)
	for _, index := range []uint64{1, 3, 4, 2} {
		blocks.block(executable(index))
	}
	queries.until(2)
	// 3 comes again: had the first one been held, its turn would have come by now.
	blocks.block(executable(5))
	blocks.block(executable(3))
	queries.until(3)
	w.end()
}

func TestD10WhatCannotBeDecodedClosesTheConnectionAndNothingBehindItIsExecuted(t *testing.T) {
	behind := executable(2)
	oversized := executable(2)
	oversized.Transactions = []*legacyv1.TransactionExe{{Digest: make([]byte, 8193)}}
	twoNumbers := executable(2)
	twoNumbers.BlockNumber = 3
	noNumber := executable(2)
	noNumber.GlobalExecIndex, noNumber.BlockNumber = 0, 0
	otherEpoch := executable(2)
	otherEpoch.Epoch = 1
	for name, frame := range map[string][]byte{
		"no message":     {3, 0xff, 0xff, 0xff},
		"an empty frame": {0},
		"too long":       binary.AppendUvarint(nil, 64<<10+1<<20+1),
		"no varint":      bytes.Repeat([]byte{0xff}, 11),
		"oversized":      varintFrame(t, oversized),
		"two numbers":    varintFrame(t, twoNumbers),
		"no number":      varintFrame(t, noNumber),
		"another epoch":  varintFrame(t, otherEpoch),
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, t.TempDir(), nil)
			blocks, queries := dial(t, w.blocks), dial(t, w.queries)
			blocks.block(executable(1))
			queries.until(1)
			blocks.write(frame)
			blocks.waitClosed()
			if got := queries.last(); got != 1 {
				t.Fatalf("the last number is %d", got)
			}
			again := dial(t, w.blocks)
			again.block(behind)
			queries.until(2)
			w.end()
		})
	}
}

func TestD11AConnectionThatSendsABlockEndsTheOneBefore(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	queries := dial(t, w.queries)
	first, silent := dial(t, w.blocks), dial(t, w.blocks)
	first.block(executable(1))
	queries.until(1)
	second := dial(t, w.blocks)
	second.block(executable(2))
	first.waitClosed()
	queries.until(2)
	// One that said nothing has ended nobody, and may take over.
	silent.block(executable(3))
	second.waitClosed()
	queries.until(3)
	w.end()
}

func TestD12ASenderOverGRPCIsFencedByBlocksAndTheReverse(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	client, queries := testkit.Dial(t, "unix:"+w.api), dial(t, w.queries)
	stream, incarnation := client.Open(0)
	stream.Execute(testkit.Commit(1))
	blocks := dial(t, w.blocks)
	blocks.block(executable(2))
	queries.until(2)
	testkit.WantError(t, stream.Error(), codes.Aborted, master.ReasonFenced)
	_, _, err := client.TryOpen(testkit.Opening(incarnation, 2))
	testkit.WantError(t, err, codes.Aborted, master.ReasonFenced)
	stream, _ = client.Open(0)
	blocks.waitClosed()
	stream.Execute(testkit.Commit(3))
	w.end()
}

func TestD13AnswersComeInTheOrderOfTheQueries(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	queries := dial(t, w.queries)
	epoch := &legacyv1.Request{Payload: &legacyv1.Request_GetCurrentEpoch{GetCurrentEpoch: &legacyv1.GetCurrentEpochRequest{}}}
	for range 20 {
		queries.send(lastBlockNumber)
		queries.send(epoch)
	}
	for range 20 {
		if got := queries.receive(); got.GetLastBlockNumber() == nil {
			t.Fatalf("%v", got)
		}
		if got := queries.receive(); got.GetCurrentEpoch() == nil {
			t.Fatalf("%v", got)
		}
	}
	w.end()
}

func TestD14ASilentConnectionIsClosedWithoutAWord(t *testing.T) {
	w := start(t, t.TempDir(), func(s *legacyuds.Settings, _ *gated) { s.Idle = 50 * time.Millisecond })
	for _, path := range []string{w.queries, w.blocks} {
		dial(t, path).waitClosed()
	}
	// One that goes on is served.
	queries := dial(t, w.queries)
	for range 10 {
		queries.last()
	}
	w.end()
}

func TestAFrameThatStopsHalfWayIsGivenUp(t *testing.T) {
	w := start(t, t.TempDir(), func(s *legacyuds.Settings, _ *gated) { s.Read = 50 * time.Millisecond })
	half := dial(t, w.queries)
	half.write([]byte{0, 0, 0, 9, 1})
	half.waitClosed()
	half = dial(t, w.blocks)
	half.write([]byte{200})
	half.waitClosed()
	w.end()
}

func TestX02ALedgerThatIsNotLoadedSaysSo(t *testing.T) {
	m, err := master.New(master.Settings{Chain: testkit.Chain})
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, t.TempDir(), func(s *legacyuds.Settings, _ *gated) { s.Master = m })
	queries, blocks := dial(t, w.queries), dial(t, w.blocks)
	if got := queries.ask(lastBlockNumber).GetLastBlockNumber(); got == nil || got.GetIsReady() {
		t.Fatalf("%v", got)
	}
	got := queries.ask(&legacyv1.Request{Payload: &legacyv1.Request_GetCurrentEpoch{GetCurrentEpoch: &legacyv1.GetCurrentEpochRequest{}}})
	if !strings.Contains(got.GetError(), "loading") {
		t.Fatalf("%v", got)
	}
	blocks.block(executable(1))
	blocks.waitClosed()
}

func TestX05ANumberIsReportedWhenItIsDurableAndNotBefore(t *testing.T) {
	w := start(t, t.TempDir(), func(_ *legacyuds.Settings, executor *gated) {
		executor.entered, executor.gate = make(chan struct{}), make(chan struct{})
	})
	blocks, queries := dial(t, w.blocks), dial(t, w.queries)
	for index := uint64(1); index <= 3; index++ {
		blocks.block(executable(index))
		<-w.executor.entered
		if got := queries.last(); got != index-1 {
			t.Fatalf("%d is reported while block %d is synced", got, index)
		}
		w.executor.gate <- struct{}{}
		queries.until(index)
	}
	w.end()
}

func TestQueriesAreAnswered(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	blocks, queries := dial(t, w.blocks), dial(t, w.queries)
	blocks.block(executable(1))
	blocks.block(executable(2))
	queries.until(2)
	last := queries.ask(lastBlockNumber).GetLastBlockNumber()
	digest := testkit.Digest(2)
	if !last.GetIsReady() || last.GetLastBlockNumber() != 2 || last.GetLastEpoch() != 0 ||
		bytes.Equal(last.GetLastExecutedCommitHash(), digest[:]) || len(last.GetLastExecutedCommitHash()) != 32 {
		t.Fatalf("%v", last)
	}
	list := queries.ask(&legacyv1.Request{Payload: &legacyv1.Request_GetActiveValidators{
		GetActiveValidators: &legacyv1.GetActiveValidatorsRequest{},
	}}).GetValidatorInfoList()
	if len(list.GetValidators()) != 1 || list.GetValidators()[0].GetStake() != "5" || list.GetEpochTimestampMs() != 77 ||
		list.GetValidators()[0].GetP2PAddress() != "host:1" || list.GetLastGlobalExecIndex() != 2 {
		t.Fatalf("%v", list)
	}
	atBlock := func(number uint64) *legacyv1.Response {
		return queries.ask(&legacyv1.Request{Payload: &legacyv1.Request_GetValidatorsAtBlock{
			GetValidatorsAtBlock: &legacyv1.GetValidatorsAtBlockRequest{BlockNumber: number},
		}})
	}
	for _, number := range []uint64{0, 1, 2} {
		if got := atBlock(number); len(got.GetValidatorInfoList().GetValidators()) != 1 {
			t.Fatalf("block %d: %v", number, got)
		}
	}
	if got := atBlock(3); !strings.Contains(got.GetError(), "above the last block 2") {
		t.Fatalf("%v", got)
	}
	boundary := queries.ask(&legacyv1.Request{Payload: &legacyv1.Request_GetEpochBoundaryData{
		GetEpochBoundaryData: &legacyv1.GetEpochBoundaryDataRequest{},
	}}).GetEpochBoundaryData()
	if boundary.GetEpochStartTimestampMs() != 77 || len(boundary.GetValidators()) != 1 {
		t.Fatalf("%v", boundary)
	}
	for _, request := range []*legacyv1.Request{
		{},
		{Payload: &legacyv1.Request_GetEpochBoundaryData{GetEpochBoundaryData: &legacyv1.GetEpochBoundaryDataRequest{Epoch: 3}}},
		{Payload: &legacyv1.Request_GetEpochStartTimestamp{GetEpochStartTimestamp: &legacyv1.GetEpochStartTimestampRequest{Epoch: 3}}},
	} {
		if len(request.String()) == 0 {
			// An empty message has an empty frame; a field that nobody knows is asked instead.
			request.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1})
		}
		if got := queries.ask(request); got.GetError() == "" {
			t.Fatalf("%v: %v", request, got)
		}
	}
	queries.write([]byte{0, 0, 0, 2, 0xff, 0xff})
	if got := queries.receive(); got.GetError() == "" {
		t.Fatalf("%v", got)
	}
	queries.write([]byte{0xff, 0xff, 0xff, 0xff})
	queries.waitClosed()
	w.end()
}

func TestAnEpochAdvancesForwardAndNeverBack(t *testing.T) {
	folder := t.TempDir()
	w := start(t, folder, nil)
	blocks, queries := dial(t, w.blocks), dial(t, w.queries)
	blocks.block(executable(1))
	blocks.block(executable(2))
	queries.until(2)
	advance := func(epoch, boundary uint64) *legacyv1.Response {
		return queries.ask(&legacyv1.Request{Payload: &legacyv1.Request_AdvanceEpoch{AdvanceEpoch: &legacyv1.AdvanceEpochRequest{
			NewEpoch: epoch, EpochStartTimestampMs: 99, BoundaryBlock: boundary, BoundaryGei: boundary,
		}}})
	}
	for _, refused := range []struct{ epoch, boundary uint64 }{{1, 1}, {1, 3}, {2, 2}} {
		if got := advance(refused.epoch, refused.boundary); got.GetError() == "" {
			t.Fatalf("%+v: %v", refused, got)
		}
	}
	if got := advance(0, 0).GetEpochAdvanced(); got == nil || got.GetEpochStartTimestampMs() != 77 {
		t.Fatalf("equal: %v", got)
	}
	for _, boundary := range []uint64{2, 2, 1} {
		if got := advance(1, boundary).GetEpochAdvanced(); got.GetNewEpoch() != 1 || got.GetEpochStartTimestampMs() != 99 {
			t.Fatalf("%v", got)
		}
	}
	if got := advance(0, 2); !strings.Contains(got.GetError(), "epoch 0 came in epoch 1") {
		t.Fatalf("backwards: %v", got)
	}
	next := executable(3)
	next.Epoch = 1
	blocks.block(next)
	queries.until(3)
	got := queries.ask(&legacyv1.Request{Payload: &legacyv1.Request_GetEpochStartTimestamp{
		GetEpochStartTimestamp: &legacyv1.GetEpochStartTimestampRequest{Epoch: 1},
	}})
	if got.GetEpochStartTimestamp().GetTimestampMs() != 99 {
		t.Fatalf("%v", got)
	}
	w.end()
	w = start(t, folder, nil)
	if got := dial(t, w.queries).ask(lastBlockNumber).GetLastBlockNumber(); got.GetLastEpoch() != 1 || got.GetLastBlockNumber() != 3 {
		t.Fatalf("%v", got)
	}
	w.end()
}
