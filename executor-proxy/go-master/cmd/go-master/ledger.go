package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"syscall"

	"metanode.dev/go-master/ledger"
	"metanode.dev/go-master/store"
)

const ledgerUsage = `go-master ledger: print what was executed, in execution order.

Reads the file itself, so the master of that folder must not run. With --json, a JSON array with one commit a line: index, digest,
root, transactions (digests of those executed), rejected (digest, position, code, reason), duplicates (digests of those skipped);
the form of 'executor-proxy ledger --json'.

Flags:
`

// line is one commit of the output.
type line struct {
	Index        uint64         `json:"index"`
	Digest       string         `json:"digest"`
	Root         string         `json:"root"`
	Transactions []string       `json:"transactions"`
	Rejected     []rejectedLine `json:"rejected"`
	Duplicates   []string       `json:"duplicates"`
}

type rejectedLine struct {
	Digest   string `json:"digest"`
	Position int    `json:"position"`
	Code     uint32 `json:"code"`
	Reason   string `json:"reason"`
}

func printLedger(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ledger", flag.ContinueOnError)
	dir := flags.String("data-dir", "go-master-data", "`FOLDER` of the ledger")
	from := flags.Uint64("from", 1, "first commit `INDEX`")
	to := flags.Uint64("to", math.MaxUint64, "last commit `INDEX`; those that are not executed yet are left out")
	asJSON := flags.Bool("json", false, "print JSON instead of a table")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), ledgerUsage)
		flags.PrintDefaults()
	}
	if code, done := parse(flags, args, stdout, stderr); done {
		return code
	}
	if *from > *to {
		tell(stderr, fmt.Errorf("--from %d is above --to %d", *from, *to))
		return exitFailure
	}
	output := bufio.NewWriter(stdout)
	write := writeTable
	if *asJSON {
		write = writeJSON
	}
	err := write(output, func(each func(store.Commit) error) error { return store.Read(*dir, *from, *to, each) })
	// Whoever reads may have seen enough, as in `| head`.
	if err = errors.Join(err, output.Flush()); err != nil && !errors.Is(err, syscall.EPIPE) {
		tell(stderr, err)
		return exitFailure
	}
	return exitOK
}

// commits calls its argument for one commit after the other.
type commits func(each func(store.Commit) error) error

func writeJSON(output *bufio.Writer, read commits) error {
	separator := "[\n"
	err := read(func(commit store.Commit) error {
		text, err := json.Marshal(lineOf(commit))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(output, "%s%s", separator, text)
		separator = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	end := "\n]\n"
	if separator == "[\n" {
		end = "[\n]\n"
	}
	_, err = output.WriteString(end)
	return err
}

func writeTable(output *bufio.Writer, read commits) error {
	fmt.Fprintf(output, "%10s  %-64s  %-64s  transactions\n", "index", "digest", "root")
	return read(func(commit store.Commit) error {
		l := lineOf(commit)
		fmt.Fprintf(output, "%10d  %s  %s  %d executed, %d rejected, %d duplicates\n",
			l.Index, l.Digest, l.Root, len(l.Transactions), len(l.Rejected), len(l.Duplicates))
		for _, digest := range l.Transactions {
			fmt.Fprintf(output, "%10s  %s  executed\n", "", digest)
		}
		for _, r := range l.Rejected {
			fmt.Fprintf(output, "%10s  %s  rejected at position %d: %d %s\n", "", r.Digest, r.Position, r.Code, r.Reason)
		}
		for _, digest := range l.Duplicates {
			fmt.Fprintf(output, "%10s  %s  duplicate\n", "", digest)
		}
		// A write that failed is told again by the last flush.
		return nil
	})
}

func lineOf(commit store.Commit) line {
	l := line{
		Index: commit.Index, Digest: commit.Digest.String(), Root: commit.StateRoot.String(),
		Transactions: []string{}, Rejected: []rejectedLine{}, Duplicates: []string{},
	}
	for position, result := range commit.Results {
		digest := result.Digest.String()
		switch result.Outcome {
		case ledger.Executed:
			l.Transactions = append(l.Transactions, digest)
		case ledger.Duplicate:
			l.Duplicates = append(l.Duplicates, digest)
		case ledger.Rejected:
			code, reason := uint32(result.Rejection.Code), result.Rejection.Reason
			l.Rejected = append(l.Rejected, rejectedLine{Digest: digest, Position: position, Code: code, Reason: reason})
		}
	}
	return l
}
