package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/ledger"
	"metanode.dev/go-master/master"
)

// program is the binary, built once.
var program string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "go-master")
	if err == nil {
		program = filepath.Join(folder, "go-master")
		err = exec.Command("go", "build", "-o", program, ".").Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the program:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// process is one life of the program; killed when the test ends.
type process struct {
	t       testing.TB
	command *exec.Cmd
	// address that it listens on.
	address string
	// events that it tells, read all the time, since a process whose pipe is full stands still.
	events chan map[string]any
}

// startProcess starts it in a folder, with a genesis file there, and waits for the event that tells where it listens.
func startProcess(t testing.TB, folder string, args ...string) *process {
	t.Helper()
	return startProcessWith(t, folder, nil, args...)
}

// startProcessWith is the same with a standard input; nil has none.
func startProcessWith(t testing.TB, folder string, input *os.File, args ...string) *process {
	t.Helper()
	genesis := filepath.Join(folder, "genesis.toml")
	if err := os.WriteFile(genesis, []byte(testkit.Genesis()), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"run", "--genesis", genesis, "--data-dir", filepath.Join(folder, "data"),
		"--listen", "127.0.0.1:0", "--log-format", "json"}, args...)
	p := &process{t: t, command: exec.Command(program, args...), events: make(chan map[string]any, 100_000)}
	if input != nil {
		p.command.Stdin = input
	}
	stderr, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	go func() {
		defer close(p.events)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			// The last words of an error are for people.
			var event map[string]any
			if json.Unmarshal(lines.Bytes(), &event) == nil {
				p.events <- event
			}
		}
	}()
	for event := range p.events {
		if event["msg"] == "listening" {
			p.address = event["address"].(string)
			return p
		}
	}
	t.Fatal("it does not listen")
	return nil
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

// end sends a signal and returns the exit code.
func (p *process) end(signal syscall.Signal) int {
	p.t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	slow := time.AfterFunc(testkit.Deadline, p.kill)
	defer slow.Stop()
	for range p.events {
	}
	_ = p.command.Wait()
	return p.command.ProcessState.ExitCode()
}

func (p *process) client() *testkit.Client {
	p.t.Helper()
	target := p.address
	if strings.HasPrefix(target, "/") {
		target = "unix:" + target
	}
	client := testkit.Dial(p.t, target)
	client.WaitUntilReady()
	return client
}

func runCommand(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = &out, &errs
	_ = command.Run()
	return command.ProcessState.ExitCode(), out.String(), errs.String()
}

// lines is what `ledger --json` prints.
func lines(t *testing.T, folder string, args ...string) []line {
	t.Helper()
	code, stdout, stderr := runCommand(append([]string{"ledger", "--data-dir", filepath.Join(folder, "data"), "--json"}, args...)...)
	var lines []line
	if err := json.Unmarshal([]byte(stdout), &lines); err != nil || code != 0 {
		t.Fatalf("exit code %d: %s (%v)", code, stderr, err)
	}
	return lines
}

// TestX05EverythingAcknowledgedIsThereAfterAKill kills the program at random points under load, and looks afterwards whether what it
// acknowledged, and what it reported as its position, is there: each commit once, with the root of a ledger that never died.
func TestX05EverythingAcknowledgedIsThereAfterAKill(t *testing.T) {
	const lives, perLife = 12, 100
	folder := t.TempDir()
	model, roots := newModel(t), []ledger.Digest{{}}
	rootAt := func(index uint64) ledger.Digest {
		for uint64(len(roots)) <= index {
			roots = append(roots, model.execute(t, uint64(len(roots))))
		}
		return roots[index]
	}
	var known, inFlight uint64
	var sent atomic.Uint64
	for life := uint64(1); life <= lives; life++ {
		p := startProcess(t, folder)
		client := p.client()
		position := client.Position()
		stands := position.GetBlockNumber()
		if stands < known || stands > sent.Load() {
			t.Fatalf("life %d stands at %d; %d was told, %d sent", life, stands, known, sent.Load())
		}
		root, digest := rootAt(stands), testkit.Digest(stands)
		if stands > 0 && (!bytes.Equal(position.GetStateRoot(), root[:]) || !bytes.Equal(position.GetCommitDigest(), digest[:])) {
			t.Fatalf("life %d at %d: %v, want root %s", life, stands, position, root)
		}
		stream, incarnation := client.Open(0)
		if incarnation != life {
			t.Fatalf("life %d was issued %d", life, incarnation)
		}
		killed, writer := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(writer)
			for index := stands + 1; ; index++ {
				select {
				case <-killed:
					return
				default:
					sent.Store(index)
					stream.Commit(testkit.Commit(index))
				}
			}
		}()
		// In every other life the last that was told is a position, not an acknowledgement.
		known = stands
		for until := stands + rand.Uint64N(perLife); known < until; {
			a := stream.Acknowledgement()
			if root := rootAt(a.GetIndex()); a.GetDuplicate() || len(a.GetRejected()) > 0 || !bytes.Equal(a.GetStateRoot(), root[:]) {
				t.Fatalf("life %d: %v", life, a)
			}
			known = a.GetIndex()
		}
		if life%2 == 0 {
			known = max(known, client.Position().GetBlockNumber())
		}
		p.kill()
		close(killed)
		client.Close()
		<-writer
		inFlight += sent.Load() - known
	}
	all := lines(t, folder)
	if uint64(len(all)) < known {
		t.Fatalf("%d commits are there, %d were told", len(all), known)
	}
	for place, l := range all {
		index := uint64(place) + 1
		// Each transfer carries the next nonce: one that was executed twice, or left out, would be a rejection.
		if l.Index != index || len(l.Transactions) != 1 || len(l.Rejected) > 0 || l.Root != rootAt(index).String() {
			t.Fatalf("at place %d: %+v, want root %s", place, l, rootAt(index))
		}
	}
	if inFlight == 0 {
		t.Error("nothing was on its way at any kill")
	}
	t.Logf("%d commits over %d kills; %d were sent and not told when they came", len(all), lives, inFlight)
}

// model is a ledger that never dies.
type model struct{ ledger *ledger.Ledger }

func newModel(t *testing.T) *model {
	t.Helper()
	l, err := ledger.New(testkit.Chain, []ledger.Balance{{Key: testkit.Account(1), Balance: testkit.Balance}})
	if err != nil {
		t.Fatal(err)
	}
	return &model{l}
}

func (m *model) execute(t *testing.T, index uint64) ledger.Digest {
	t.Helper()
	execution, err := m.ledger.Execute(&ledger.Commit{
		Index: index, PreviousDigest: testkit.Digest(index - 1), Digest: testkit.Digest(index),
		Transactions: []ledger.Transaction{{Bytes: testkit.Transfer(1, index-1)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return execution.StateRoot
}

func TestSignalsEndItCleanly(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			folder := t.TempDir()
			p := startProcess(t, folder)
			client := p.client()
			stream, _ := client.Open(0)
			stream.Execute(testkit.Commit(1))
			stream.Commit(testkit.Commit(2))
			ended := make(chan error, 1)
			go func() {
				for {
					if a, err := stream.TryAcknowledgement(); a == nil {
						ended <- err
						return
					}
				}
			}()
			if code := p.end(signal); code != exitOK {
				t.Fatalf("the exit code is %d", code)
			}
			testkit.WantError(t, <-ended, codes.Unavailable, master.ReasonDraining)
			if count := len(lines(t, folder)); count < 1 || count > 2 {
				t.Fatalf("%d commits are there", count)
			}
		})
	}
}

func TestS08ASecondProcessOnOneFolderIsRefusedAndTheFirstGoesOn(t *testing.T) {
	folder := t.TempDir()
	first := startProcess(t, folder)
	client := first.client()
	second := startProcess(t, folder)
	if code := second.wait(); code != exitFailure {
		t.Fatalf("the exit code of the second is %d", code)
	}
	code, _, stderr := runCommand("ledger", "--data-dir", filepath.Join(folder, "data"))
	if inUse := fmt.Sprintf("in use by process %d", first.command.Process.Pid); code != exitFailure || !strings.Contains(stderr, inUse) {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	stream, _ := client.Open(0)
	stream.Execute(testkit.Commit(1))
}

func TestItServesAUnixSocketAndTakesOverThatOfAKilledProcess(t *testing.T) {
	folder := t.TempDir()
	socket := filepath.Join(folder, "master.sock")
	first := startProcess(t, folder, "--listen", "unix:"+socket)
	stream, _ := first.client().Open(0)
	stream.Execute(testkit.Commit(1))
	code, _, stderr := runCommand("run", "--genesis", filepath.Join(folder, "genesis.toml"),
		"--data-dir", filepath.Join(folder, "other"), "--listen", "unix:"+socket)
	if code != exitFailure || !strings.Contains(stderr, "in use by another process") {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	first.kill()
	second := startProcess(t, folder, "--listen", "unix:"+socket)
	if got := second.client().Position().GetBlockNumber(); got != 1 {
		t.Fatalf("it stands at %d", got)
	}
	if code := second.end(syscall.SIGTERM); code != exitOK {
		t.Fatalf("the exit code is %d", code)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the socket is still there: %v", err)
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	p := startProcess(t, t.TempDir())
	client := p.client()
	conn, err := grpc.NewClient(p.address, client.Credentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(client.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	for _, name := range []string{executorv1.ExecutorService_ServiceDesc.ServiceName, "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(names, " "), name) {
			t.Errorf("%s is not in %v", name, names)
		}
	}
}

func TestTheLedgerCommandPrintsWhatWasExecuted(t *testing.T) {
	folder := t.TempDir()
	p := startProcess(t, folder)
	stream, _ := p.client().Open(0)
	root := stream.Execute(testkit.Commit(1)).GetStateRoot()
	mixed := testkit.CommitWith(2, testkit.Transfer(1, 0), testkit.Transfer(1, 1), []byte("junk"))
	mixed.DuplicateMarks = []byte{1}
	stream.Execute(mixed)
	stream.Execute(testkit.CommitWith(3))
	p.kill()
	got := lines(t, folder, "--from", "1", "--to", "2")
	if len(got) != 2 || got[0].Root != fmt.Sprintf("%x", root) || got[0].Digest != fmt.Sprintf("%x", testkit.Digest(1)) {
		t.Fatalf("%+v", got)
	}
	hash := func(bytes []byte) string { return ledger.TransactionDigest(bytes).String() }
	second := got[1]
	if len(second.Transactions) != 1 || second.Transactions[0] != hash(testkit.Transfer(1, 1)) ||
		len(second.Duplicates) != 1 || second.Duplicates[0] != hash(testkit.Transfer(1, 0)) ||
		len(second.Rejected) != 1 || second.Rejected[0].Digest != hash([]byte("junk")) || second.Rejected[0].Position != 2 {
		t.Fatalf("%+v", second)
	}
	if none := lines(t, folder, "--from", "4"); len(none) != 0 {
		t.Fatalf("%+v", none)
	}
	_, table, _ := runCommand("ledger", "--data-dir", filepath.Join(folder, "data"))
	if !strings.Contains(table, "1 executed, 1 rejected, 1 duplicates") {
		t.Fatal(table)
	}
}

func TestHelpTeachesAndMistakesAreListed(t *testing.T) {
	for _, c := range []struct {
		args  []string
		code  int
		words []string
	}{
		{[]string{"--help"}, exitOK, []string{"run", "ledger", "78"}},
		{[]string{"run", "--help"}, exitOK, []string{"-genesis", "-window-bytes", "unix:PATH"}},
		{[]string{"ledger", "--help"}, exitOK, []string{"-data-dir", "JSON"}},
		{nil, exitUsage, []string{"Usage"}},
		{[]string{"walk"}, exitUsage, []string{`"walk"`}},
		{[]string{"run", "--nowhere"}, exitUsage, []string{"nowhere"}},
		{[]string{"run", "here"}, exitUsage, []string{`"here"`}},
		{
			[]string{"run", "--listen", "x", "--authority", "aa", "--log-level", "loud", "--window-commits", "0", "--data-dir", ""},
			exitSettings, []string{"--genesis", "--listen", "--authority", "--log", "--data-dir", "window: 0"},
		},
		{[]string{"ledger", "--from", "5", "--to", "4"}, exitFailure, []string{"above"}},
		{[]string{"ledger", "--data-dir", "/nowhere"}, exitFailure, []string{"there is no ledger"}},
	} {
		code, stdout, stderr := runCommand(c.args...)
		for _, word := range c.words {
			if code != c.code || !strings.Contains(stdout+stderr, word) {
				t.Errorf("%v: exit code %d, %q is not in\n%s%s", c.args, code, word, stdout, stderr)
			}
		}
	}
}

func TestALifelineEndsTheProcessWithItsParent(t *testing.T) {
	folder := t.TempDir()
	input, parent, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := startProcessWith(t, folder, input, "--lifeline")
	if err := errors.Join(input.Close(), parent.Close()); err != nil {
		t.Fatal(err)
	}
	p.wait()
	if status := p.command.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it ended with %v", p.command.ProcessState)
	}
}
