package genesis

import (
	"strings"
	"testing"

	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

func TestAGenesisFileIsReadWithTheDefaultsOfWhatItLeavesOut(t *testing.T) {
	g, err := Parse([]byte(testkit.Genesis()))
	if err != nil {
		t.Fatal(err)
	}
	want := master.Limits{CommitTransactions: 100, CommitBytes: 65536, TransactionBytes: 8192}
	if g.Chain != testkit.Chain || g.Limits != want || g.Accounts[0].Balance != testkit.Balance ||
		!g.Has(testkit.Authority) || g.Has(testkit.Other) {
		t.Fatalf("%+v", g)
	}
	without := strings.Split(testkit.Genesis(), "[parameters]")[0] + "[[authorities]]" +
		strings.Split(testkit.Genesis(), "[[authorities]]")[1]
	if g, err = Parse([]byte(without)); err != nil || g.Limits != master.DefaultLimits {
		t.Fatalf("%+v and %v", g, err)
	}
}

func TestEveryMistakeIsNamed(t *testing.T) {
	text := strings.NewReplacer(
		"max_commit_bytes", "max_comit_bytes",
		strings.Repeat("c1", 32), "c1",
		strings.Repeat("b1", 32), strings.Repeat("x1", 32),
	).Replace(testkit.Genesis())
	text += text[strings.Index(text, "[[accounts]]"):] + text[strings.Index(text, "[[authorities]]"):strings.Index(text, "[[accounts]]")]
	_, err := Parse([]byte(text))
	for _, problem := range []string{
		"chain_id is not", "unknown key parameters.max_comit_bytes", "authorities[0].network_key", "accounts[1] is there twice", "not sorted",
	} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q is not in %v", problem, err)
		}
	}
	for _, text := range []string{"", "chain_id = 5", "authorities = 5", "["} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// FuzzGenesis: whatever the text is, it is read or refused.
func FuzzGenesis(f *testing.F) {
	f.Add([]byte(testkit.Genesis()))
	f.Add([]byte("[[authorities]]\nstake = -1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if g, err := Parse(text); err == nil && len(g.Committee) == 0 {
			t.Fatalf("%+v has no committee", g)
		}
	})
}
