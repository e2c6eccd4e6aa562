package main

import (
	"os"
	"strings"
	"testing"
)

// TestMain makes the test binary the program as well: started with anything but test flags it is gitfleet, race detector
// included. So the tests stop, kill and restart what users run, and rendering finds its child.
func TestMain(m *testing.M) {
	silence()
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
	}
	os.Exit(m.Run())
}
