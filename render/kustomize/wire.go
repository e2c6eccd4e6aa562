package kustomize

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/render"
)

// Limits bound what one render may use. They hold for each child on its own.
type Limits struct {
	Time        time.Duration // processor time of all threads
	MemoryBytes int64         // all that Go has from the kernel; with three quarters of it the child slows down
	Files       int           // files in the snapshot
	FileBytes   int64         // a larger file cannot be used by a manifest
	TreeBytes   int64         // all files together
	OutputBytes int64         // all rendered objects together
}

// request is the first line a child reads; the snapshot's tar stream follows.
type request struct {
	Paths  []string `json:"paths"`  // directories to render; empty for all
	Shard  int      `json:"shard"`  // this child builds every Shards-th unit, beginning with this
	Shards int      `json:"shards"` // number of children
	Limits Limits   `json:"limits"`
}

// The answer is a sequence of frames: one byte for the type, four bytes for the length (big endian), a JSON value. It is
// complete when the end frame has come and counts the frames before it. Anything less is an error, never "nothing".
const (
	frameUnit    = 'u' // a unitFrame: what follows, until the next, belongs to it
	frameObject  = 'o' // an objectFrame
	frameMistake = 'm' // a render.ManifestError
	frameEnd     = 'e' // an endFrame
)

// unitFrame announces what is built next, so that the parent can name it if the child dies of it.
type unitFrame struct {
	Index int    `json:"index"` // the order of the output
	Name  string `json:"name"`
}

// objectFrame is one object.
type objectFrame struct {
	Origin render.Origin   `json:"origin"`
	Object json.RawMessage `json:"object"`
	// Source is true for a document of a root that cannot be rendered: it is only searched for mistakes.
	Source bool `json:"source,omitempty"`
}

type endFrame struct {
	Frames int `json:"frames"` // before this one
}

var errCut = errors.New("the answer of the rendering child ends early")

// frameWriter writes frames and counts them.
type frameWriter struct {
	w io.Writer
	n int
}

func (f *frameWriter) write(kind byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode frame %q: %w", kind, err)
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data)))
	if _, err := f.w.Write(append(head, data...)); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	f.n++
	return nil
}

// answer is everything one child said.
type answer struct {
	units    []unit
	mistakes render.ManifestErrors
	last     string // the unit it worked on when it stopped talking
}

// unit is one root or plain file with what came out of it.
type unit struct {
	index   int
	name    string // of the root
	objects []render.Object
	sources []render.Object // instead of objects, for a root that cannot be rendered
}

// readAnswer reads frames until the end frame. On error the answer holds what came before.
func readAnswer(r io.Reader, limit int64) (answer, error) {
	var a answer
	br := bufio.NewReader(r)
	for frames := 0; ; frames++ {
		kind, data, err := readFrame(br, &limit)
		if err != nil {
			return a, err
		}
		done, err := a.take(kind, data, frames)
		if err != nil {
			return a, fmt.Errorf("answer of the rendering child: frame %d: %w", frames, err)
		}
		if done {
			return a, atEnd(br)
		}
	}
}

// atEnd is nil when r has nothing more.
func atEnd(r io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, 1))
	if err == nil && n > 0 {
		err = errors.New("the rendering child went on after the end of its answer")
	}
	return err
}

func readFrame(r io.Reader, limit *int64) (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errCut, err)
	}
	if !slices.Contains([]byte{frameUnit, frameObject, frameMistake, frameEnd}, head[0]) {
		return 0, nil, fmt.Errorf("answer of the rendering child: unknown type %q", head[0])
	}
	n := int64(binary.BigEndian.Uint32(head[1:]))
	if *limit -= n; *limit < 0 {
		return 0, nil, errOutput
	}
	data, err := io.ReadAll(io.LimitReader(r, n))
	if err != nil || int64(len(data)) < n {
		return 0, nil, fmt.Errorf("%w: %w", errCut, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return head[0], data, nil
}

// take adds one frame to a. It returns true for the end frame.
func (a *answer) take(kind byte, data []byte, frames int) (bool, error) {
	switch kind {
	case frameUnit:
		var u unitFrame
		if err := json.Unmarshal(data, &u); err != nil {
			return false, err
		}
		a.units, a.last = append(a.units, unit{index: u.Index, name: u.Name}), u.Name
	case frameObject:
		if len(a.units) == 0 {
			return false, errors.New("an object outside any unit")
		}
		return false, a.units[len(a.units)-1].take(data)
	case frameMistake:
		var m render.ManifestError
		if err := json.Unmarshal(data, &m); err != nil {
			return false, err
		}
		a.mistakes = append(a.mistakes, m)
	case frameEnd:
		var e endFrame
		if err := json.Unmarshal(data, &e); err != nil {
			return false, err
		}
		if e.Frames != frames {
			return false, fmt.Errorf("%w: %d of %d frames came", errCut, frames, e.Frames)
		}
		return true, nil
	}
	return false, nil
}

// take adds an object to u, with whole numbers as int64, which unstructured objects require.
func (u *unit) take(data []byte) error {
	var f objectFrame
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	if err := decodeObject(f.Object, &object.Object); err != nil {
		return err
	}
	o := render.Object{Unstructured: object, Origin: f.Origin}
	if f.Source {
		u.sources = append(u.sources, o)
	} else {
		u.objects = append(u.objects, o)
	}
	return nil
}
