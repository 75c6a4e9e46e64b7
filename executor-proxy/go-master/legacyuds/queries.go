package legacyuds

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	legacyv1 "metanode.dev/go-master/gen/metanode/legacy/v1"
	"metanode.dev/go-master/master"
)

// serveQueries answers the queries of one connection, in order.
func (s *Server) serveQueries(ctx context.Context, conn net.Conn) {
	frames := newFrameReader(conn, s.settings.Idle, s.settings.Read)
	for {
		body, err := frames.fixed(maxRequestBytes)
		if err != nil {
			if !isQuiet(err) {
				s.log.Warn("[EXECUTOR-REQ] query cannot be read, connection closed", "problem", err)
			}
			return
		}
		var request legacyv1.Request
		response := failed("the request cannot be decoded")
		if proto.Unmarshal(body, &request) == nil {
			response = s.answer(ctx, &request)
		}
		if err := s.write(conn, response); err != nil {
			return
		}
	}
}

func (s *Server) write(conn net.Conn, response *legacyv1.Response) error {
	body, err := proto.Marshal(response)
	if err != nil || len(body) > maxResponseBytes {
		body, err = proto.Marshal(failed("the answer is larger than an answer may be"))
	}
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(s.settings.Read)); err != nil {
		return err
	}
	_, err = conn.Write(appendFixed(nil, body))
	return err
}

// failed is the answer that holds an error.
func failed(text string) *legacyv1.Response {
	return &legacyv1.Response{Payload: &legacyv1.Response_Error{Error: text}}
}

// answer answers one query from what is durable.
func (s *Server) answer(ctx context.Context, request *legacyv1.Request) *legacyv1.Response {
	standing := s.settings.Master.Standing()
	last := standing.Last
	if !standing.Ready {
		if request.GetGetLastBlockNumber() != nil {
			return &legacyv1.Response{Payload: &legacyv1.Response_LastBlockNumber{LastBlockNumber: &legacyv1.LastBlockNumber{}}}
		}
		return failed(master.ErrNotReady.Error())
	}
	switch query := request.GetPayload().(type) {
	case *legacyv1.Request_GetActiveValidators:
		return s.validators(ctx, last, last.State.Epoch.Number)
	case *legacyv1.Request_GetValidatorsAtBlock:
		epoch, err := epochOfBlock(last, query.GetValidatorsAtBlock.GetBlockNumber())
		if err != nil {
			return failed(err.Error())
		}
		return s.validators(ctx, last, epoch)
	case *legacyv1.Request_GetLastBlockNumber:
		s.log.Debug("[EXECUTOR-REQ] position answered", "block_number", last.Position.Index)
		return &legacyv1.Response{Payload: &legacyv1.Response_LastBlockNumber{LastBlockNumber: &legacyv1.LastBlockNumber{
			LastBlockNumber: last.Position.Index, LastGlobalExecIndex: last.Position.Index, IsReady: true,
			LastExecutedCommitHash: rootOf(last), LastEpoch: last.State.Epoch.Number,
		}}}
	case *legacyv1.Request_GetCurrentEpoch:
		return &legacyv1.Response{Payload: &legacyv1.Response_CurrentEpoch{
			CurrentEpoch: &legacyv1.CurrentEpoch{Epoch: last.State.Epoch.Number},
		}}
	case *legacyv1.Request_GetEpochStartTimestamp:
		epoch, err := s.epoch(last, query.GetEpochStartTimestamp.GetEpoch())
		if err != nil {
			return failed(err.Error())
		}
		return &legacyv1.Response{Payload: &legacyv1.Response_EpochStartTimestamp{
			EpochStartTimestamp: &legacyv1.EpochStartTimestamp{TimestampMs: epoch.TimestampMs},
		}}
	case *legacyv1.Request_AdvanceEpoch:
		return s.advanceEpoch(ctx, last, query.AdvanceEpoch)
	case *legacyv1.Request_GetEpochBoundaryData:
		return s.boundary(ctx, last, query.GetEpochBoundaryData.GetEpoch())
	case *legacyv1.Request_GetLastHandledCommitIndex:
		return &legacyv1.Response{Payload: &legacyv1.Response_LastHandledCommitIndex{
			LastHandledCommitIndex: &legacyv1.LastHandledCommitIndex{
				LastCommitIndex: uint32(min(last.Position.Index, math.MaxUint32)), LastGei: last.Position.Index,
				LastBlockNumber: last.Position.Index, Epoch: last.State.Epoch.Number, IsAuthoritative: true,
				LastBlockTimestampMs: last.TimestampMs, StateRoot: rootOf(last),
			},
		}}
	default:
		return failed("the request is none of this protocol")
	}
}

// validators answers with the committee of an epoch.
func (s *Server) validators(ctx context.Context, last master.Last, number uint64) *legacyv1.Response {
	epoch, infos, err := s.committee(ctx, last, number)
	if err != nil {
		return failed(err.Error())
	}
	return &legacyv1.Response{Payload: &legacyv1.Response_ValidatorInfoList{ValidatorInfoList: &legacyv1.ValidatorInfoList{
		Validators: infos, EpochTimestampMs: epoch.TimestampMs, LastGlobalExecIndex: last.Position.Index,
	}}}
}

// boundary answers with the boundary that an epoch began with.
func (s *Server) boundary(ctx context.Context, last master.Last, number uint64) *legacyv1.Response {
	epoch, infos, err := s.committee(ctx, last, number)
	if err != nil {
		return failed(err.Error())
	}
	return &legacyv1.Response{Payload: &legacyv1.Response_EpochBoundaryData{EpochBoundaryData: &legacyv1.EpochBoundaryData{
		Epoch: epoch.Number, EpochStartTimestampMs: epoch.TimestampMs, Validators: infos,
		BoundaryBlock: epoch.Boundary.Index, BoundaryGei: epoch.Boundary.Index,
	}}}
}

func (s *Server) advanceEpoch(
	ctx context.Context, last master.Last, query *legacyv1.AdvanceEpochRequest,
) *legacyv1.Response {
	boundary := master.Position{Index: query.GetBoundaryGei()}
	if block := query.GetBoundaryBlock(); block != 0 && block != boundary.Index {
		return failed(fmt.Sprintf("boundary_block is %d, boundary_gei %d: they are one number", block, boundary.Index))
	}
	switch {
	case boundary.Index == last.Position.Index:
		// The protocol carries no digest; the commit that is last here is the one meant.
		boundary.Digest = last.Position.Digest
	case boundary.Index < last.Position.Index && query.GetNewEpoch() != last.State.Epoch.Number:
		return failed((&master.BeyondBoundaryError{Boundary: boundary.Index, Accepted: last.Position.Index}).Error())
	}
	inForce, err := s.settings.Master.AdvanceEpoch(ctx, master.Epoch{
		Number: query.GetNewEpoch(), Boundary: boundary, TimestampMs: query.GetEpochStartTimestampMs(),
	})
	if err != nil {
		return failed(err.Error())
	}
	if inForce.Number == 0 {
		inForce.TimestampMs = s.settings.GenesisTimestampMs
	}
	return &legacyv1.Response{Payload: &legacyv1.Response_EpochAdvanced{EpochAdvanced: &legacyv1.EpochAdvanced{
		NewEpoch: inForce.Number, EpochStartTimestampMs: inForce.TimestampMs,
	}}}
}

// epoch knows the epoch in force and that of genesis.
func (s *Server) epoch(last master.Last, number uint64) (master.Epoch, error) {
	switch number {
	case 0:
		return master.Epoch{TimestampMs: s.settings.GenesisTimestampMs}, nil
	case last.State.Epoch.Number:
		return last.State.Epoch, nil
	default:
		return master.Epoch{}, fmt.Errorf("epoch %d is not known; epoch %d is in force", number, last.State.Epoch.Number)
	}
}

func (s *Server) committee(
	ctx context.Context, last master.Last, number uint64,
) (master.Epoch, []*legacyv1.ValidatorInfo, error) {
	epoch, err := s.epoch(last, number)
	if err != nil {
		return epoch, nil, err
	}
	members, err := s.settings.Master.Committee(ctx, number)
	if err != nil {
		return epoch, nil, err
	}
	infos := make([]*legacyv1.ValidatorInfo, 0, len(members))
	for place, member := range members {
		key := base64Key(member.ProtocolKey)
		infos = append(infos, &legacyv1.ValidatorInfo{
			Address: hex.EncodeToString(member.ProtocolKey[:]), Stake: strconv.FormatUint(member.Stake, 10),
			AuthorityKey: key, ProtocolKey: key, NetworkKey: base64Key(member.NetworkKey),
			Name: fmt.Sprintf("authority-%d", place), P2PAddress: member.Address,
		})
	}
	return epoch, infos, nil
}

// base64Key is a key in its text form.
func base64Key(key [32]byte) []byte {
	return base64.StdEncoding.AppendEncode(nil, key[:])
}

// epochOfBlock tells which epoch a block up to the last is of.
func epochOfBlock(last master.Last, number uint64) (uint64, error) {
	epoch := last.State.Epoch
	switch {
	case number > last.Position.Index:
		return 0, fmt.Errorf("block %d is above the last block %d", number, last.Position.Index)
	case number == 0:
		return 0, nil
	case epoch.Number == 0 || number > epoch.Boundary.Index:
		return epoch.Number, nil
	case epoch.Number == 1:
		return 0, nil
	default:
		return 0, fmt.Errorf("block %d is of an epoch before %d, which is not known any more", number, epoch.Number)
	}
}

// rootOf is what this protocol has for the hash of a block.
func rootOf(last master.Last) []byte {
	if last.StateRoot == nil {
		return nil
	}
	return last.StateRoot[:]
}
