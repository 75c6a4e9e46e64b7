// Command go-master is an execution master: the reference ledger behind metanode.executor.v1.ExecutorService.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Exit codes, as those of executor-proxy.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitSettings = 78
)

const usage = `go-master executes commits in order, exactly once, and acknowledges them when their effects are durable.

Usage:
  go-master run --genesis FILE [flags]         serve executor.v1.ExecutorService until SIGTERM or SIGINT, then drain
  go-master ledger --data-dir FOLDER [flags]   print what was executed, in execution order

'go-master run --help' and 'go-master ledger --help' tell the flags.

Exit codes: 0 ended on request; 1 an error, told on standard error and in the log; 2 wrong arguments; 78 mistakes in the
settings or the genesis file, all of them listed.
`

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// command runs one command and returns its exit code.
func command(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "run":
		return run(args[1:], stdout, stderr)
	case "ledger":
		return printLedger(args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	default:
		fmt.Fprintf(stderr, "go-master: unknown command %q\n\n%s", args[0], usage)
		return exitUsage
	}
}

// parse reads flags; done is true where the command ends here, with a code.
func parse(flags *flag.FlagSet, args []string, stdout, stderr io.Writer) (code int, done bool) {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		flags.Usage()
		return exitOK, true
	case err != nil:
		fmt.Fprintf(stderr, "go-master: %s\n", err)
		return exitUsage, true
	}
	return exitOK, false
}

// tell tells an error for people.
func tell(stderr io.Writer, err error) { fmt.Fprintf(stderr, "go-master: %s\n", err) }
