package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memory is what a process holds, in MiB: now and at most so far.
type memory struct{ resident, peak float64 }

func memoryOf(pid int) (memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(data)) {
		field, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch field {
		case "VmRSS":
			m.resident = kib / 1024
		case "VmHWM":
			m.peak = kib / 1024
		}
	}
	if m.resident == 0 {
		return m, fmt.Errorf("process %d shows no memory", pid)
	}
	return m, nil
}

// processorTime returns what a process has used so far, and the children that it has waited for.
func processorTime(pid int) (own, children time.Duration, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	after := data[strings.LastIndex(string(data), ")")+1:]
	fields := strings.Fields(string(after)) // from the third on: proc(5)
	if len(fields) < 15 {
		return 0, 0, errors.New("/proc/PID/stat is too short")
	}
	var ticks [4]int64 // utime, stime, cutime, cstime
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return 0, 0, err
		}
	}
	const tick = time.Second / 100 // USER_HZ, fixed by Linux's interface
	return time.Duration(ticks[0]+ticks[1]) * tick, time.Duration(ticks[2]+ticks[3]) * tick, nil
}

// childWatch keeps the highest peak of memory of any child of a process: those that render live for less than a second, so
// it looks often, which costs processor time. It has no place in a run that is timed.
type childWatch struct {
	stop chan struct{}
	work sync.WaitGroup
	peak float64
}

func watchChildren(pid int) *childWatch {
	w := &childWatch{stop: make(chan struct{})}
	w.work.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			for _, child := range childrenOf(pid) {
				if m, err := memoryOf(child); err == nil {
					w.peak = max(w.peak, m.peak)
				}
			}
			select {
			case <-w.stop:
				return
			case <-ticker.C:
			}
		}
	})
	return w
}

// end returns the peak, in MiB.
func (w *childWatch) end() float64 {
	close(w.stop)
	w.work.Wait()
	return w.peak
}

// childrenOf returns the processes that pid has started and not yet waited for.
func childrenOf(pid int) []int {
	var children []int
	all, _ := os.ReadDir("/proc") // a process that ends meanwhile is no child any more
	for _, entry := range all {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		after := data[strings.LastIndex(string(data), ")")+1:]
		if fields := strings.Fields(string(after)); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			children = append(children, child)
		}
	}
	return children
}
