package main

import (
	"context"
	"errors"
	"flag"
	"iter"
	"net"
	"time"

	"metanode.dev/go-master/legacyuds"
)

// legacySettings are those of the framed protocol, as they were given.
type legacySettings struct {
	on              bool
	blocks, queries string
	layout          legacyuds.Layout
	idle            time.Duration
}

func (s *legacySettings) register(flags *flag.FlagSet) {
	flags.BoolVar(&s.on, "uds-legacy", false, "serve the framed protocol of existing masters as well, on two sockets")
	flags.StringVar(&s.blocks, "uds-blocks", "/tmp/executor0.sock", "`ADDRESS` that blocks come in on: a path or tcp://host:port")
	flags.StringVar(&s.queries, "uds-queries", "/tmp/rust-go.sock_1", "`ADDRESS` of queries: a path or tcp://host:port")
	flags.TextVar(&s.layout, "uds-layout", legacyuds.ExecutableBlock,
		"`LAYOUT` of the blocks: executable-block or committed-epoch-data")
	flags.DurationVar(&s.idle, "uds-idle", legacyuds.DefaultIdle, "`TIME` after which a silent connection is closed without a word")
}

// addresses by flag; none where the protocol is not served.
func (s *legacySettings) addresses() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if s.on && yield("uds-blocks", s.blocks) {
			yield("uds-queries", s.queries)
		}
	}
}

// legacyListeners are the two sockets; nil where the protocol is not served.
type legacyListeners struct{ blocks, queries net.Listener }

func (s *legacySettings) listen() (*legacyListeners, error) {
	if !s.on {
		return nil, nil
	}
	blocks, err := listen(s.blocks)
	if err != nil {
		return nil, err
	}
	queries, err := listen(s.queries)
	if err != nil {
		return nil, errors.Join(err, blocks.Close())
	}
	return &legacyListeners{blocks, queries}, nil
}

// attributes of the event that tells where it listens.
func (l *legacyListeners) attributes() []any {
	if l == nil {
		return nil
	}
	return []any{"uds_blocks", l.blocks.Addr().String(), "uds_queries", l.queries.Addr().String()}
}

// serve serves until ctx ends.
func (l *legacyListeners) serve(ctx context.Context, p *prepared) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	return legacyuds.New(legacyuds.Settings{
		Master:             p.master,
		Layout:             p.settings.legacy.layout,
		GenesisTimestampMs: p.genesis.TimestampMs,
		Idle:               p.settings.legacy.idle,
		Log:                p.log,
	}).Serve(ctx, l.blocks, l.queries)
}
