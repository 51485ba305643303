// Checks an unpacked evidence bundle with the note and tlog packages of Go's checksum database.
//
//	go run check.go [KEY]
//
// KEY is the log's public key as its owner states it; without one, the first line of vkeys.txt is taken at its word.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type leaf struct {
	Payload  string `json:"payload"`
	Position int64  `json:"position"`
	Recorded string `json:"recorded_at"`
	Stream   string `json:"stream"`
	Version  int64  `json:"version"`
}

type manifest struct {
	Format        int    `json:"format"`
	Claim         string `json:"claim"`
	DecisionEntry int64  `json:"decision_entry"`
	Entries       int    `json:"entries"`
	Origin        string `json:"origin"`
	Size          int64  `json:"size"`
	Root          string `json:"root"`
	Program       string `json:"program"`
	ZoneData      string `json:"zone_data"`
}

type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
}

func main() {
	key := lines("vkeys.txt")[0]
	if len(os.Args) > 1 {
		key = os.Args[1]
	}
	checkSums()
	last := signed(key, read("checkpoint.txt"))
	count := checkEntries(last)
	checkManifest(last, count)
	earlier := checkEarlier(key, last)
	checkBases(last)
	checkKeys()
	fmt.Printf("%d entries are in the log %s of %d entries, signed by %s; %d earlier checkpoints are consistent with it\n",
		count, last.origin, last.size, key, earlier)
}

// checkSums compares every file with SHA256SUMS, which lists all of them but itself.
func checkSums() {
	var want []string
	names, err := filepath.Glob("*")
	check(err)
	for _, name := range names {
		if info, err := os.Lstat(name); err == nil && info.IsDir() || name == "SHA256SUMS" {
			continue
		}
		data := read(name)
		if bytes.ContainsRune(data, '\r') {
			fail("%s: a carriage return, which no file here has", name)
		}
		want = append(want, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name))
	}
	if strings.Join(want, "") != string(read("SHA256SUMS")) {
		fail("the files are not those that SHA256SUMS lists")
	}
}

// checkEntries checks that each entry is what its leaf says, and each leaf in the tree of the checkpoint.
func checkEntries(last checkpoint) int {
	entries, leaves, proofs := lines("entries.jsonl"), lines("leaves.jsonl"), lines("proofs.txt")
	if len(entries) != len(leaves) || len(entries) != len(proofs) {
		fail("entries, leaves and proofs are not equally many")
	}
	before, versions := int64(0), map[string]int64{}
	for i := range entries {
		var l leaf
		check(json.Unmarshal([]byte(leaves[i]), &l))
		if fmt.Sprintf("%x", sha256.Sum256([]byte(entries[i]))) != l.Payload {
			fail("line %d of entries.jsonl is not what its leaf says", i+1)
		}
		if !strings.Contains(entries[i], `"recordedtime":"`+l.Recorded+`"`) {
			fail("line %d of entries.jsonl was recorded at another time than its leaf says", i+1)
		}
		if l.Position <= before {
			fail("line %d of leaves.jsonl is out of order", i+1)
		}
		before = l.Position
		if versions[l.Stream]++; l.Version != versions[l.Stream] {
			fail("version %d of %s is missing before entry %d", versions[l.Stream], l.Stream, l.Position)
		}
		proof := tlog.RecordProof(hashes(strings.Fields(proofs[i])))
		err := tlog.CheckRecord(proof, last.size, last.root, l.Position-1, tlog.RecordHash([]byte(leaves[i])))
		if err != nil {
			fail("entry %d: %v", l.Position, err)
		}
	}
	return len(entries)
}

// checkManifest checks that manifest.json says what the checkpoint and the entries do, and that decision.json is the
// decision in the entry that it names. Which program and zone data it names nothing can show.
func checkManifest(last checkpoint, count int) {
	var said manifest
	check(json.Unmarshal(read("manifest.json"), &said))
	root := base64.StdEncoding.EncodeToString(last.root[:])
	want := manifest{1, said.Claim, said.DecisionEntry, count, last.origin, last.size, root, said.Program, said.ZoneData}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	check(encoder.Encode(want))
	if !bytes.Equal(text.Bytes(), read("manifest.json")) {
		fail("manifest.json is not what the checkpoint and the entries say")
	}
	entries := lines("entries.jsonl")
	for i, line := range lines("leaves.jsonl") {
		var l leaf
		check(json.Unmarshal([]byte(line), &l))
		if l.Position != said.DecisionEntry || l.Stream != said.Claim {
			continue
		}
		var entry struct {
			Data struct{ Decision json.RawMessage }
		}
		check(json.Unmarshal([]byte(entries[i]), &entry))
		if len(entry.Data.Decision) == 0 || string(entry.Data.Decision)+"\n" != string(read("decision.json")) {
			fail("decision.json is not the decision that entry %d records", l.Position)
		}
		return
	}
	fail("entry %d of %s, the decision, is not here", said.DecisionEntry, said.Claim)
}

// checkEarlier checks that the log at each earlier checkpoint is the beginning of the log at the last.
func checkEarlier(key string, last checkpoint) int {
	names, err := filepath.Glob("earlier-*.txt")
	check(err)
	for _, name := range names {
		proof, text, found := bytes.Cut(append([]byte("\n"), read(name)...), []byte("\n\n"))
		if !found {
			fail("%s: no checkpoint in it", name)
		}
		old := signed(key, text)
		if old.origin != last.origin {
			fail("%s: of another log", name)
		}
		err := tlog.CheckTree(hashes(strings.Fields(string(proof))), last.size, last.root, old.size, old.root)
		if err != nil {
			fail("%s: %v", name, err)
		}
	}
	return len(names)
}

// checkBases checks that the root which a decision names is that of the log when it was made.
func checkBases(last checkpoint) {
	named := map[string]bool{}
	for _, line := range lines("entries.jsonl") {
		var entry struct {
			Data struct {
				Decision struct {
					Basis struct {
						Entries int64
						Root    *string
					}
				}
			}
		}
		check(json.Unmarshal([]byte(line), &entry))
		if basis := entry.Data.Decision.Basis; basis.Root != nil {
			name := fmt.Sprintf("basis-%d.txt", basis.Entries)
			named[name] = true
			proof := hashes(strings.Fields(string(read(name))))
			check(tlog.CheckTree(proof, last.size, last.root, basis.Entries, hashes([]string{*basis.Root})[0]))
		}
	}
	names, err := filepath.Glob("basis-*.txt")
	check(err)
	for _, name := range names {
		if !named[name] {
			fail("%s: no decision here was made on so many entries", name)
		}
	}
}

// checkKeys checks that each key of vkeys.txt stands beside a signature; that of a witness is of a kind of its own.
func checkKeys() {
	var text []byte
	names, err := filepath.Glob("earlier-*.txt")
	check(err)
	for _, name := range append(names, "checkpoint.txt") {
		text = append(text, read(name)...)
	}
	for _, key := range lines("vkeys.txt") {
		parts := strings.SplitN(key, "+", 3)
		found := false
		for _, line := range strings.Split(string(text), "\n") {
			raw, err := base64.StdEncoding.DecodeString(line[strings.LastIndex(line, " ")+1:])
			found = found || len(parts) == 3 && err == nil && len(raw) > 4 &&
				strings.HasPrefix(line, "\u2014 "+parts[0]+" ") && fmt.Sprintf("%x", raw[:4]) == parts[1]
		}
		if !found {
			fail("vkeys.txt: %s has signed none of the checkpoints", key)
		}
	}
}

// signed returns what a note says that is signed by a key.
func signed(key string, text []byte) checkpoint {
	verifier, err := note.NewVerifier(key)
	check(err)
	opened, err := note.Open(text, note.VerifierList(verifier))
	check(err)
	said := strings.Split(opened.Text, "\n")
	if len(said) != 4 || said[3] != "" {
		fail("a note, but not a checkpoint")
	}
	size, err := strconv.ParseInt(said[1], 10, 64)
	check(err)
	return checkpoint{said[0], size, hashes(said[2:3])[0]}
}

func hashes(texts []string) []tlog.Hash {
	var found []tlog.Hash
	for _, text := range texts {
		raw, err := base64.StdEncoding.Strict().DecodeString(text)
		check(err)
		if len(raw) != tlog.HashSize {
			fail("not a hash: %s", text)
		}
		found = append(found, *(*tlog.Hash)(raw))
	}
	return found
}

func lines(name string) []string {
	text := string(read(name))
	if !strings.HasSuffix(text, "\n") {
		fail("%s: its last line has no end", name)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func read(name string) []byte {
	data, err := os.ReadFile(name)
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, "REFUSED: "+format+"\n", values...)
	os.Exit(1)
}
