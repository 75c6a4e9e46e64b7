package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"metanode.dev/go-master/genesis"
	"metanode.dev/go-master/master"
	"metanode.dev/go-master/store"
)

const runUsage = `go-master run: serve executor.v1.ExecutorService, health and reflection until SIGTERM or SIGINT, then drain.

  go-master run --genesis genesis.toml --listen unix:/run/metanode/master.sock
  go-master run --genesis genesis.toml --data-dir /var/lib/go-master --authority 1f0e...

The server comes up first and says ready = false; commits are taken when the ledger is loaded. One process has a data folder
for itself. A second signal ends it at once; nothing that was acknowledged is lost.

Flags:
`

// settings of the command, as they were given.
type settings struct {
	genesis, dataDir, authority, listen string
	window                              master.Window
	executeTimeout                      time.Duration
	logFormat, logLevel                 string
	lifeline                            bool
	legacy                              legacySettings
}

func runFlags(s *settings) *flag.FlagSet {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&s.genesis, "genesis", "", "the genesis `FILE` of the network; required")
	flags.StringVar(&s.dataDir, "data-dir", "go-master-data", "`FOLDER` of the ledger; made if it is not there")
	flags.StringVar(&s.authority, "authority", "",
		"protocol `KEY` of the authority that this master belongs to, 64 hex digits (default: that of the first opening is recorded)")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:7300",
		"`ADDRESS` of the API: host:port (port 0 takes a free one) or unix:PATH")
	flags.IntVar(&s.window.Commits, "window-commits", master.DefaultWindow.Commits,
		"most `COMMITS` taken and not yet durable, 1 to 4096; 1 makes each wait for a sync of its own")
	flags.Uint64Var(&s.window.Bytes, "window-bytes", master.DefaultWindow.Bytes,
		"most `BYTES` in them, 65536 to 1073741824; a larger commit is taken alone")
	flags.DurationVar(&s.executeTimeout, "execute-timeout", 30*time.Second,
		"`TIME` that the ledger has for the oldest commit in flight, 1s to 10m; then the process ends with exit code 1")
	flags.StringVar(&s.logFormat, "log-format", "text", "`FORM` of the events on standard error: text or json")
	flags.StringVar(&s.logLevel, "log-level", "info", "lowest `LEVEL` that is told: debug, info, warn or error")
	flags.BoolVar(&s.lifeline, "lifeline", false,
		"end at once when standard input does: for a parent that holds the other end of it")
	s.legacy.register(flags)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), runUsage)
		flags.PrintDefaults()
	}
	return flags
}

func run(args []string, stdout, stderr io.Writer) int {
	var s settings
	if code, done := parse(runFlags(&s), args, stdout, stderr); done {
		return code
	}
	p, err := s.prepare(stderr)
	if err != nil {
		tell(stderr, err)
		return exitSettings
	}
	if s.lifeline {
		go endWithParent(os.Stdin, killSelf)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once; what was acknowledged is durable.
	context.AfterFunc(ctx, stop)
	if err := p.serve(ctx); err != nil {
		tell(stderr, err)
		return exitFailure
	}
	p.log.Info("ended")
	return exitOK
}

// prepared is what the settings come to.
type prepared struct {
	settings settings
	genesis  *genesis.Genesis
	master   *master.Master
	log      *slog.Logger
}

// prepare checks everything and lists all mistakes; nothing is created.
func (s settings) prepare(stderr io.Writer) (*prepared, error) {
	var problems []error
	note := func(flag string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	p := &prepared{settings: s, genesis: &genesis.Genesis{}}
	var err error
	p.log, err = newLog(s, stderr)
	note("log", err)
	if s.genesis == "" {
		note("genesis", errors.New("is required"))
	} else if read, err := genesis.Read(s.genesis); err != nil {
		note("genesis", err)
	} else {
		p.genesis = read
	}
	if s.dataDir == "" {
		note("data-dir", errors.New("is empty"))
	}
	if _, _, err := address(s.listen); err != nil {
		note("listen", err)
	}
	if s.legacy.idle < 100*time.Millisecond {
		note("uds-idle", fmt.Errorf("is %s, at least 100ms is needed", s.legacy.idle))
	}
	for flag, text := range s.legacy.addresses() {
		if _, _, err := address(text); err != nil {
			note(flag, err)
		}
	}
	authority, err := s.readAuthority(p.genesis)
	note("authority", err)
	p.master, err = master.New(master.Settings{
		Chain:          p.genesis.Chain,
		Authority:      authority,
		Limits:         p.genesis.Limits,
		Window:         s.window,
		ExecuteTimeout: s.executeTimeout,
		Log:            p.log,
	})
	if err != nil {
		problems = append(problems, err)
	}
	return p, errors.Join(problems...)
}

func (s settings) readAuthority(g *genesis.Genesis) (*master.Authority, error) {
	if s.authority == "" {
		return nil, nil
	}
	key, err := hex.DecodeString(s.authority)
	if err != nil || len(key) != 32 {
		return nil, errors.New("is not 64 hex digits")
	}
	authority := master.Authority(key)
	if len(g.Committee) > 0 && !g.Has(authority) {
		return nil, errors.New("is not the protocol_key of an authority of the genesis file")
	}
	return &authority, nil
}

func newLog(s settings, stderr io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fmt.Errorf("level %q is none of debug, info, warn, error", s.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(stderr, options)), nil
	default:
		return nil, fmt.Errorf("format %q is neither text nor json", s.logFormat)
	}
}

// serve runs until ctx ends or something fails.
func (p *prepared) serve(ctx context.Context) error {
	listener, err := listen(p.settings.listen)
	if err != nil {
		return err
	}
	legacy, err := p.settings.legacy.listen()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	p.log.Info("listening", append([]any{"address", listener.Addr().String()}, legacy.attributes()...)...)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A server that ends early takes the rest with it.
	servers := make(chan error, 2)
	go func() {
		defer cancel()
		servers <- p.master.Serve(listener)
	}()
	go func() {
		defer cancel()
		servers <- legacy.serve(ctx, p)
	}()
	var opened *store.Store
	err = p.master.Run(ctx, func(context.Context) (master.Executor, error) {
		var err error
		opened, err = store.Open(p.settings.dataDir, store.Genesis{
			Chain:     p.genesis.Chain,
			Accounts:  p.genesis.Accounts,
			Committee: p.genesis.Committee,
		})
		if err != nil {
			return nil, err
		}
		return opened, nil
	})
	cancel()
	err = errors.Join(err, <-servers, <-servers)
	if err == nil && opened != nil {
		// After an error the ledger may hang; the end of the process closes it.
		err = opened.Close()
	}
	return err
}

// address tells network and address of a listener: unix:PATH, a path that begins with a slash, host:port, or tcp://host:port.
func address(text string) (network, address string, err error) {
	path, isUnix := strings.CutPrefix(text, "unix:")
	if isUnix || strings.HasPrefix(text, "/") {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return "", "", fmt.Errorf("%q names no path", text)
		}
		return "unix", path, nil
	}
	text = strings.TrimPrefix(text, "tcp://")
	host, _, err := net.SplitHostPort(text)
	if err == nil && host == "" {
		err = errors.New("the host is missing")
	}
	if err != nil {
		return "", "", fmt.Errorf("%q is neither host:port nor unix:PATH: %w", text, err)
	}
	return "tcp", text, nil
}

// listen listens. The socket of a process that was killed is taken over; one that is in use is not.
func listen(text string) (net.Listener, error) {
	network, address, err := address(text)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if conn, err := net.DialTimeout(network, address, time.Second); err == nil {
			return nil, errors.Join(fmt.Errorf("%s is in use by another process", address), conn.Close())
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			if err := os.Remove(address); err != nil {
				return nil, err
			}
		}
	}
	return net.Listen(network, address)
}
