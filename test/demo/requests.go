package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// addrs finds the address of the pod in its page.
var addrs = regexp.MustCompile(`"addrs":\["([^"]+)"\]`)

// showRequests sends 40 requests, each on a connection of its own, prints how often which pod answered and returns that.
func (s *stage) showRequests(ctx context.Context, addr netip.AddrPort) (map[string]int, error) {
	if _, err := exec.LookPath("curl"); err != nil {
		return askInProcess(ctx, addr)
	}
	if _, err := s.show(ctx, fmt.Sprintf("curl -sS -m 10 %s | grep addrs", addr)); err != nil {
		return nil, err
	}
	line := fmt.Sprintf(`for i in $(seq %d); do curl -sS -m 10 %s | grep -o '"addrs":\[[^]]*\]'; done | sort | uniq -c`, requests, addr)
	out, err := s.show(ctx, line)
	if err != nil {
		return nil, err
	}
	return countAnswers(out)
}

// countAnswers reads the output of `uniq -c`.
func countAnswers(out string) (map[string]int, error) {
	answers := map[string]int{}
	for line := range strings.Lines(out) {
		pod := addrs.FindStringSubmatch(line)
		n, err := strconv.Atoi(strings.Fields(line + " -")[0])
		if pod == nil || err != nil {
			return nil, fmt.Errorf("expected a count and the address of a pod, got: %s", strings.TrimSpace(line))
		}
		answers[pod[1]] += n
	}
	return answers, nil
}

// askInProcess does the same where there is no curl.
func askInProcess(ctx context.Context, addr netip.AddrPort) (map[string]int, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answers := map[string]int{}
	for range requests {
		pod, err := askOnce(ctx, &client, addr)
		if err != nil {
			return nil, err
		}
		answers[pod]++
	}
	fmt.Printf("\n(curl is not installed: %d requests to http://%s from the demo itself)\n", requests, addr)
	for _, pod := range slices.Sorted(maps.Keys(answers)) {
		fmt.Printf("%7d \"addrs\":[%q]\n", answers[pod], pod)
	}
	return answers, nil
}

func askOnce(ctx context.Context, client *http.Client, addr netip.AddrPort) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	pod := addrs.FindSubmatch(page)
	if pod == nil {
		return "", fmt.Errorf("GET http://%s: expected the page of a pod, got: %s", addr, firstLine(string(page)))
	}
	return string(pod[1]), nil
}
