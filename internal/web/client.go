package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

const (
	// patience bounds one question. The answer is made from memory.
	patience = 15 * time.Second
	// maxStatus bounds what is read of an answer, in bytes: a fleet of thousands of members and placements.
	maxStatus = 256 << 20
)

// FetchStatus asks the gitfleet that listens at address, such as http://127.0.0.1:8484, for its report. The errors tell
// a person whether nothing listens there, or something that is not gitfleet.
func FetchStatus(ctx context.Context, address string) (report.Report, error) {
	base, err := parseAddress(address)
	if err != nil {
		return report.Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+statusPath, nil)
	if err != nil {
		return report.Report{}, fmt.Errorf("address %q: %w", address, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the URL is in our own words already
		}
		return report.Report{}, fmt.Errorf("no gitfleet answers at %s: start one with 'gitfleet run', or name the address of one that runs: %w", base, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is lost: the body was read, or reading failed
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "application/json" {
		return report.Report{}, fmt.Errorf("what answers at %s is not gitfleet: it says %s, %q, to %s", base, resp.Status, kind, statusPath)
	}
	var r report.Report
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&r); err != nil {
		return report.Report{}, fmt.Errorf("the answer from %s is not a report of gitfleet, or was cut: %w", base, err)
	}
	return r, nil
}

// parseAddress returns address as a URL without a path. A bare host:port means http.
func parseAddress(address string) (string, error) {
	full := address
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("address %q of the running gitfleet: write it like http://127.0.0.1:8484", address)
	}
	return u.Scheme + "://" + u.Host + strings.TrimSuffix(u.Path, "/"), nil
}
