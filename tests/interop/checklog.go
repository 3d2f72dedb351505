// Checklog judges a Tahini log from outside: it shares no line with the Python code, only the specifications.
//
// It reads the log over HTTP with the Go team's own checksum-database packages (golang.org/x/mod/sumdb/note and tlog):
//
//	checklog URL VKEY OLD-CHECKPOINT-FILE
//
// and checks the signed checkpoint, the root that the tiles add up to, leaves out of entry bundles, and the inclusion
// and consistency proofs that the log itself hands out. Sources: c2sp.org/signed-note, tlog-checkpoint, tlog-tiles,
// tlog-proof and RFC 6962.
//
// x/mod before v0.40.0 lets some tiles through unchecked (CVE-2026-56865, GO-2026-6179), and distributions carry older
// ones. So nothing is believed here for having come out of a tile: every leaf and every older root is proved against the
// signed root with CheckRecord or CheckTree.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height    = 8
	width     = 1 << height
	maxAnswer = 32 << 20
	samples   = 9
)

// A logClient knows where the log is and whose signature to believe. It keeps the tiles it has fetched.
type logClient struct {
	url       string
	name      string
	verifiers note.Verifiers
	tiles     map[tlog.Tile][]byte
}

var client = &http.Client{Timeout: 30 * time.Second}

func (c *logClient) get(path string) ([]byte, error) {
	answer, err := client.Get(c.url + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
}

// open checks a checkpoint's signature and parses its text: origin, size, root, possibly extension lines.
func (c *logClient) open(signed []byte) (tlog.Tree, error) {
	opened, err := note.Open(signed, c.verifiers)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != c.name {
		return tlog.Tree{}, fmt.Errorf("checkpoint: not one of log %q", c.name)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %q is not a size", lines[1])
	}
	root, err := parseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func parseHash(text string) (hash tlog.Hash, err error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != tlog.HashSize {
		return hash, fmt.Errorf("%q is not a hash", text)
	}
	copy(hash[:], raw)
	return hash, nil
}

func parseHashes(texts []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		hash, err := parseHash(text)
		if err != nil {
			return nil, err
		}
		hashes[i] = hash
	}
	return hashes, nil
}

// Height, ReadTiles and SaveTiles make the client a tlog.TileReader.
func (c *logClient) Height() int { return height }

func (c *logClient) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		if c.tiles[tile] == nil {
			// x/mod writes the height into the path, tlog-tiles does not: there it is always 8.
			fetched, err := c.get("/tile/" + strings.TrimPrefix(tile.Path(), "tile/8/"))
			if err != nil {
				return nil, err
			}
			c.tiles[tile] = fetched
		}
		data[i] = c.tiles[tile]
	}
	return data, nil
}

func (c *logClient) SaveTiles([]tlog.Tile, [][]byte) {}

// leaf reads entry index out of its bundle.
func (c *logClient) leaf(index, size int64) ([]byte, error) {
	bundle := tlog.Tile{H: height, L: -1, N: index / width, W: width}
	if rest := size - bundle.N*width; rest < width {
		bundle.W = int(rest)
	}
	data, err := c.get("/tile/entries/" + strings.TrimPrefix(bundle.Path(), "tile/8/data/"))
	if err != nil {
		return nil, err
	}
	for at := bundle.N * width; len(data) >= 2; at++ {
		length := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+length {
			break
		}
		if at == index {
			return data[2 : 2+length], nil
		}
		data = data[2+length:]
	}
	return nil, fmt.Errorf("entry bundle %d is truncated before entry %d", bundle.N, index)
}

// checkLeaf proves from tiles that a leaf is in the tree, then checks the proof file that the log gives for it.
func (c *logClient) checkLeaf(index int64, tree tlog.Tree, hashes tlog.HashReader) error {
	leaf, err := c.leaf(index, tree.N)
	if err != nil {
		return err
	}
	record := tlog.RecordHash(leaf)
	proof, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, record); err != nil {
		return fmt.Errorf("entry %d is not what the tiles hold: %w", index, err)
	}
	file, err := c.get(fmt.Sprintf("/v1/log/inclusion/%d", index))
	if err != nil {
		return err
	}
	given, under, err := c.parseProof(string(file), index)
	if err != nil {
		return fmt.Errorf("inclusion proof of entry %d: %w", index, err)
	}
	if err := tlog.CheckRecord(given, under.N, under.Hash, index, record); err != nil {
		return fmt.Errorf("inclusion proof of entry %d: %w", index, err)
	}
	return nil
}

// parseProof reads a c2sp.org/tlog-proof file: header, optional extra line, index, hashes, blank line, checkpoint.
func (c *logClient) parseProof(file string, index int64) (tlog.RecordProof, tlog.Tree, error) {
	blank := strings.Index(file, "\n\n")
	if blank < 0 {
		return nil, tlog.Tree{}, errors.New("no checkpoint in it")
	}
	lines := strings.Split(file[:blank], "\n")
	if len(lines) > 1 && strings.HasPrefix(lines[1], "extra ") {
		lines = append(lines[:1], lines[2:]...)
	}
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || lines[1] != fmt.Sprintf("index %d", index) {
		return nil, tlog.Tree{}, errors.New("not a tlog-proof of that entry")
	}
	proof, err := parseHashes(lines[2:])
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	tree, err := c.open([]byte(file[blank+2:]))
	return proof, tree, err
}

// checkConsistency asks the log how its tree extends an older one and checks the answer.
func (c *logClient) checkConsistency(old, tree tlog.Tree) error {
	answer, err := c.get(fmt.Sprintf("/v1/log/consistency?old=%d&new=%d", old.N, tree.N))
	if err != nil {
		return err
	}
	var parsed struct{ Proof []string }
	if err := json.Unmarshal(answer, &parsed); err != nil {
		return fmt.Errorf("consistency proof: %w", err)
	}
	proof, err := parseHashes(parsed.Proof)
	if err != nil {
		return fmt.Errorf("consistency proof: %w", err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("consistency proof from %d to %d entries: %w", old.N, tree.N, err)
	}
	return nil
}

// spread picks a few numbers of low..high, both ends among them.
func spread(low, high int64) []int64 {
	var picked []int64
	for i := int64(0); i < samples; i++ {
		n := low + (high-low)*i/(samples-1)
		if len(picked) == 0 || picked[len(picked)-1] != n {
			picked = append(picked, n)
		}
	}
	return picked
}

type summary struct {
	OK          bool  `json:"ok"`
	Size        int64 `json:"size"`
	Inclusion   int   `json:"inclusion"`
	Consistency int   `json:"consistency"`
}

func check(url, vkey, oldFile string) (done summary, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return done, err
	}
	c := &logClient{strings.TrimSuffix(url, "/"), verifier.Name(), note.VerifierList(verifier), map[tlog.Tile][]byte{}}
	oldNote, err := os.ReadFile(oldFile)
	if err != nil {
		return done, err
	}
	old, err := c.open(oldNote)
	if err != nil {
		return done, fmt.Errorf("the older note: %w", err)
	}
	newNote, err := c.get("/checkpoint")
	if err != nil {
		return done, err
	}
	tree, err := c.open(newNote)
	if err != nil {
		return done, err
	}
	if old.N < 1 || tree.N < old.N {
		return done, fmt.Errorf("the log shrank: %d entries once, %d now", old.N, tree.N)
	}
	hashes := tlog.TileHashReader(tree, c)
	root, err := tlog.TreeHash(tree.N, hashes)
	if err == nil && root != tree.Hash {
		err = errors.New("another root")
	}
	if err != nil {
		return done, fmt.Errorf("the tiles do not add up to the signed root: %w", err)
	}
	if err := c.checkConsistency(old, tree); err != nil {
		return done, err
	}
	for _, index := range spread(0, tree.N-1) {
		if err := c.checkLeaf(index, tree, hashes); err != nil {
			return done, err
		}
		done.Inclusion++
	}
	for _, size := range spread(1, tree.N) {
		root, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return done, err
		}
		if err := c.checkConsistency(tlog.Tree{N: size, Hash: root}, tree); err != nil {
			return done, err
		}
		done.Consistency++
	}
	done.OK, done.Size, done.Consistency = true, tree.N, done.Consistency+1
	return done, nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: checklog URL VKEY OLD-CHECKPOINT-FILE")
		os.Exit(1)
	}
	done, err := check(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "checklog:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(done)
}
